//! Where there is no agent: the word of NTP servers, if the caller wants that.

use std::time::Duration;

use super::Ground;
use crate::decision::{Agreement, Failure, Measurement, Policy, bound_in_words};
use crate::reference::{References, ServerName};
use crate::sys::clock::boottime;

/// How long an exchange may take.
const EXCHANGE: Duration = Duration::from_secs(1);

/// Whom to ask: what a server may be asked is known across the looks.
#[derive(Debug)]
pub(super) struct Servers {
    references: References,
    threshold: Duration,
}

impl Servers {
    /// Asks nothing yet.
    pub(super) fn new(servers: Vec<ServerName>, threshold: Duration) -> Self {
        Self { references: References::new(servers), threshold }
    }

    /// Asks twice: a pause of the machine inside an exchange is invisible to it, so a second one is asked after the first.
    ///
    /// # Errors
    /// Why there is no ground to go on, in words.
    pub(super) fn measure(&self) -> Result<Ground, String> {
        let threshold = self.threshold;
        let (first, _) = judge(&self.references.measure(EXCHANGE), threshold)?;
        let asked_after = boottime();
        let mut again = self.references.measure(EXCHANGE);
        again.readings.retain(|reading| reading.as_of >= asked_after);
        let (second, source) = judge(&again, threshold)?;
        confirmed(&first, &second)?;
        Ok(Ground::Measured { source, offset: second.offset, bound: second.bound() })
    }
}

/// What the references agree on, and who of them, if the clock is right by that.
fn judge(measurement: &Measurement, threshold: Duration) -> Result<(Agreement, String), String> {
    let policy = Policy { threshold, ..Policy::default() };
    match measurement.agreement(&policy, boottime()) {
        Ok(agreement) => {
            let source = supporters(measurement, &agreement);
            if agreement.bound() <= threshold {
                return Ok((agreement, source));
            }
            let (offset, distance) = (agreement.offset.in_words(), bound_in_words(agreement.root_distance));
            Err(format!("{source} says that the clock is {offset}, ±{distance}"))
        }
        Err(why) => {
            let each = measurement.failures.iter().map(|Failure { source, why, .. }| format!("{source}: {why}"));
            Err(format!("{why} ({})", each.collect::<Vec<_>>().join("; ")))
        }
    }
}

/// Two exchanges, one after the other, are of one clock only if it did not move between them.
fn confirmed(first: &Agreement, second: &Agreement) -> Result<(), String> {
    let apart = (second.offset - first.offset).abs();
    if apart <= first.root_distance + second.root_distance {
        return Ok(());
    }
    Err(format!("the clock moved by {} between two exchanges", bound_in_words(apart)))
}

fn supporters(measurement: &Measurement, agreement: &Agreement) -> String {
    let named = measurement.readings.iter().map(|r| r.source.as_str());
    named.filter(|name| !agreement.falsetickers.iter().any(|f| f == name)).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;

    #[test]
    fn a_clock_that_moved_between_two_exchanges_is_not_confirmed() {
        let at =
            |offset_ms: i64| Agreement::of_one(Offset::from_nanos(offset_ms * 1_000_000), Duration::from_millis(10));
        assert_eq!(confirmed(&at(-10), &at(10)), Ok(()));
        assert!(confirmed(&at(-30), &at(30)).is_err_and(|why| why.contains("moved by 60.000 ms")));
    }
}
