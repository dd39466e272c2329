//! The true time as somebody in the guest would know it: by a clock of its own, whatever the guest's says.

use std::time::Duration;

use clockgate::decision::{Offset, Realtime};

use super::guest::Guest;
use super::wire::Clocks;
use super::{Outcome, until};

/// How well the time is known that is told.
const GOOD: Duration = Duration::from_millis(10);

/// Shell words that put the true time, so many seconds off, into `$now`, as `clockgate` reads it.
pub fn now(guest: &Guest, off_secs: i64) -> Outcome<String> {
    let (truth, clocks) = compare(guest)?;
    let since_boot = Realtime::from_nanos(i64::try_from(clocks.boottime)?);
    let ahead = (truth - since_boot + Offset::from_secs(off_secs)).as_nanos();
    // A stamp begins with the time since boot, which no step changes.
    Ok(format!(
        "set -- $(/usr/lib/lab/part stamp); now=$(($1 + {ahead})); \
         now=@$((now / 1000000000)).$(printf %09d $((now % 1000000000))); "
    ))
}

/// Truth minus guest, as well.
pub fn off_by(guest: &Guest) -> Outcome<Offset> {
    let (truth, clocks) = compare(guest)?;
    Ok(truth - Realtime::from_nanos(clocks.realtime))
}

fn compare(guest: &Guest) -> Outcome<(Realtime, Clocks)> {
    until("the guest answers quickly", Duration::from_secs(20), || {
        let (truth, clocks, within) = guest.compare()?;
        Ok((within <= GOOD).then_some((truth, clocks)))
    })
}
