//! The daemon as a reference: asked after it forgot, until it has learned anew.

use std::time::Duration;

use tokio::time::sleep;

use super::{Corrector, DaemonInCharge, unproven};
use crate::correction;
use crate::daemon::by_unit::{After, Keeping};
use crate::daemon::chrony::{self, Chronyd, Day, Forgot, LastSample};
use crate::daemon::timesyncd;
use crate::decision::{Boottime, Failure, Forgotten, Measurement, Offset, Reading, Voice};
use crate::sys::clock::{boottime, realtime};

/// How often a daemon that measures is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often another daemon than chronyd is asked that: each look goes through `/proc`.
const ANOTHER_LOOK_EVERY: Duration = Duration::from_millis(300);
/// How often the reset of a daemon that does not answer is tried again.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(100);

impl Corrector {
    /// Asks the daemon after its reset, until it has measured; each answer is based on a newer sample than the last.
    ///
    /// chronyd takes 4.2 s for its first three samples; a deadline below that is met by asking again.
    pub async fn measure(&self, deadline: Duration) -> Measurement {
        let until = boottime() + deadline;
        self.reset_chronyd_after_all(until).await;
        let (keeper, untrue, last_sample) = self.known().as_ref().map_or_else(
            || (DaemonInCharge::Absent, Some("it was not reset".to_owned()), None),
            |known| (known.keeper.clone(), known.untrue.clone(), known.last_sample),
        );
        let (source, answer) = match (keeper, untrue) {
            (DaemonInCharge::Chronyd, None) => (chrony::NAME, self.measure_by_chronyd(last_sample, until).await),
            (DaemonInCharge::Timesyncd, None) => (timesyncd::NAME, self.measure_by_timesyncd(until).await),
            (DaemonInCharge::Another(keeping), None) => {
                (keeping.daemon.facts().name, self.measure_by_another(&keeping, until).await)
            }
            (DaemonInCharge::Another(keeping), Some(why)) => (keeping.daemon.facts().name, Err(unproven(&why))),
            (DaemonInCharge::Chronyd, Some(why)) => (chrony::NAME, Err(unproven(&why))),
            (DaemonInCharge::Timesyncd, Some(why)) => (timesyncd::NAME, Err(unproven(&why))),
            (DaemonInCharge::Absent, why) => ("time daemon", Err(why.unwrap_or_default())),
        };
        match answer {
            Ok(reading) => Measurement { readings: vec![reading], ..Measurement::default() },
            Err(why) => Measurement {
                failures: vec![Failure { voice: Some(Voice::server(source)), ..Failure::remark(source, why) }],
                ..Measurement::default()
            },
        }
    }

    /// Four polls of the slowest of its reference clocks: what chronyd needs to be sure without a server that it can ask quickly.
    pub async fn four_polls(&self) -> Option<Duration> {
        let slowest = self.with_chronyd(Chronyd::slowest_clock).await.ok()?.ok()??;
        Some(slowest.saturating_mul(4))
    }

    /// Like [`Corrector::forget`], and leaves chronyd the samples that it has taken since it forgot, where it did.
    pub async fn look(&self) -> Forgotten {
        let is_true = self
            .known()
            .as_ref()
            .is_some_and(|known| known.keeper == DaemonInCharge::Chronyd && known.untrue.is_none());
        if is_true && let Ok(Ok(said)) = self.with_chronyd(|chronyd| chronyd.authority()).await {
            let authority = self.authentication.receive(&said, Day::Doubtful);
            return Forgotten { daemon: Some(chrony::NAME.to_owned()), authority, ..Forgotten::default() };
        }
        self.forget_again().await
    }

    /// Like [`Corrector::forget`], where nothing happened to the clock since: a daemon that would have to begin anew continues.
    pub async fn forget_again(&self) -> Forgotten {
        let is_void = self.known().as_ref().is_none_or(|known| known.is_void);
        let forgotten = self.forget().await;
        if let Some(known) = self.known().as_mut() {
            known.is_void &= is_void;
        }
        forgotten
    }

    /// A chronyd that did not answer its reset is reset again, until it does.
    async fn reset_chronyd_after_all(&self, until: Boottime) {
        while self.known().as_ref().is_some_and(|known| known.is_awaited) {
            let since = realtime();
            let outcome = self.with_chronyd(|chronyd| chronyd.forget(chrony::ORDER)).await;
            if let Ok(Forgot::Done { said, .. }) = outcome {
                self.bursts.owe();
                let _ = said.map(|said| self.authentication.receive(&said, Day::Doubtful));
                if let Some(known) = self.known().as_mut() {
                    (known.untrue, known.is_awaited, known.since) = (None, false, since);
                }
            } else if boottime() >= until {
                return;
            } else {
                sleep(LOOK_AGAIN_EVERY).await;
            }
        }
    }

    async fn measure_by_chronyd(&self, before: Option<LastSample>, until: Boottime) -> Result<Reading, String> {
        let unit = self.bursts.unit().await;
        self.with_chronyd(Chronyd::freshen).await?.map_err(|e| e.to_string())?;
        self.bursts.paid(unit);
        loop {
            let looked = self.with_chronyd(move |chronyd| chronyd.look(before)).await?;
            if let Some((reading, last_sample)) = looked.map_err(|e| e.to_string())? {
                if let Some(known) = self.known().as_mut() {
                    known.last_sample = Some(last_sample);
                }
                return Ok(reading);
            }
            if boottime() >= until {
                let silence = match before {
                    None => "it has not taken enough samples since its reset",
                    Some(_) => "none of its sources has answered since it was last asked",
                };
                let missing = self.with_chronyd(|chronyd| chronyd.want_of_keys()).await?;
                return Err(missing.map_or(silence.to_owned(), |missing| format!("{silence}; {missing}")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn measure_by_timesyncd(&self, until: Boottime) -> Result<Reading, String> {
        let asked = realtime();
        // Where we may not kick, it was restarted, and what it has said since then has to do.
        let after = match correction::kick(&self.clock) {
            Ok(()) => asked,
            Err(_) => self.known().as_ref().map_or(asked, |known| known.since),
        };
        loop {
            match self.timesyncd.message().await {
                Ok(Some(message)) if message.is_after(after) => {
                    let server = self.timesyncd.server().await.ok().flatten();
                    return Ok(message.reading(server.as_ref(), boottime(), realtime()));
                }
                Ok(_) if boottime() >= until => {
                    return Err("it has had no answer since it was asked to measure".to_owned());
                }
                Ok(_) => sleep(LOOK_EVERY).await,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// It has no order to measure: where the clock may be another, it begins anew, and says what comes of that. Each answer rests on
    /// something newer than the last.
    async fn measure_by_another(&self, keeping: &Keeping, until: Boottime) -> Result<Reading, String> {
        let asked = realtime();
        let (is_void, updated) = match self.known().as_mut() {
            Some(known) => (std::mem::take(&mut known.is_void), known.updated),
            None => (true, None),
        };
        if is_void {
            self.others.resume(keeping, After::Step).await?;
        }
        let after = if is_void { asked } else { updated.map_or(asked, |updated| updated + Offset::from_nanos(1)) };
        let name = keeping.daemon.facts().name;
        loop {
            // One that was just ordered to end still answers.
            sleep(ANOTHER_LOOK_EVERY).await;
            let reported = self.others.reported(keeping.daemon).await;
            // Between its end and its start there is no answer.
            let answer =
                reported.as_ref().ok().and_then(Option::as_ref).filter(|reported| reported.has_updated_since(after));
            let reading = answer.and_then(|reported| reported.reading(name, boottime(), realtime()));
            if let Some(reading) = reading {
                if let Some(known) = self.known().as_mut() {
                    known.updated = Some(reading.local);
                }
                return Ok(reading);
            }
            if boottime() >= until {
                return Err(reported.err().unwrap_or_else(|| "it has not measured since it was asked".to_owned()));
            }
        }
    }
}
