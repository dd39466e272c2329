//! Where there is no agent: an NTP server's word or the kernel's, as the caller wants it.

use std::time::Duration;

use super::{Ground, NoAgent, Options};
use crate::decision::{Agreement, Boottime, Failure, Measurement, Policy, bound_in_words};
use crate::reference::References;
use crate::sys::adjtimex::{self, KernelClock};
use crate::sys::clock::boottime;

/// How long an exchange may take.
const EXCHANGE: Duration = Duration::from_secs(1);

/// How often to look again: each look is two questions to every server, which allows one more in 2 s; the kernel's claim costs
/// a microsecond.
#[must_use]
pub(super) const fn look_every(no_agent: NoAgent) -> Duration {
    match no_agent {
        NoAgent::Measure => Duration::from_secs(4),
        NoAgent::Fail | NoAgent::Open => Duration::from_secs(1),
        NoAgent::Kernel => Duration::from_millis(100),
    }
}

/// Who looks, again and again: what a server may be asked is known across the looks.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    options: &'a Options,
    references: References,
    /// When to look again, and what was seen last.
    look_at: Boottime,
    seen: Result<Ground, String>,
}

impl<'a> Alone<'a> {
    /// Asks nothing yet.
    #[must_use]
    pub(super) fn new(options: &'a Options) -> Self {
        let references = References::new(options.servers.clone());
        Self { options, references, look_at: Boottime::default(), seen: Err(String::new()) }
    }

    /// Looks if it is time to, or says what was seen last.
    ///
    /// # Errors
    /// As [`Alone::look`].
    pub(super) fn look_in_time(&mut self, now: Boottime) -> Result<Ground, String> {
        if now >= self.look_at {
            self.seen = self.look();
            self.look_at = now + look_every(self.options.no_agent);
        }
        self.seen.clone()
    }

    /// How long it is until then.
    #[must_use]
    pub(super) fn pause(&self, now: Boottime) -> Duration {
        self.look_at.since(now)
    }

    /// Looks once whether there is ground to go on.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn look(&self) -> Result<Ground, String> {
        match self.options.no_agent {
            NoAgent::Measure => self.by_measuring(),
            NoAgent::Kernel | NoAgent::Open if self.options.require_proof => {
                Err("only a measurement proves the clock (--require-proof)".to_owned())
            }
            NoAgent::Kernel => {
                let clock = adjtimex::read().map_err(|error| format!("adjtimex(2) cannot be read: {error}"))?;
                by_the_kernel(&clock, self.options.threshold)
            }
            NoAgent::Open => Ok(Ground::NoAgent),
            NoAgent::Fail => Err("an agent is required (--no-agent fail)".to_owned()),
        }
    }

    /// A pause of the machine inside an exchange is invisible to it, so it takes a second one, asked after the first.
    fn by_measuring(&self) -> Result<Ground, String> {
        let threshold = self.options.threshold;
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

/// By its maximum error, which grows by 500 ppm without a measurement, and is 16 s after a step and at boot. Its flag
/// STA_UNSYNC alone says less: chronyd leaves it set unless `rtcsync` is configured (chrony.conf(5)).
fn by_the_kernel(clock: &KernelClock, threshold: Duration) -> Result<Ground, String> {
    let KernelClock { max_error, unsynchronised, .. } = *clock;
    if max_error <= threshold {
        return Ok(Ground::Kernel { max_error, unsynchronised });
    }
    let flag = if unsynchronised { " and is not synchronised" } else { "" };
    Err(format!("the kernel says that its clock may be {} wrong{flag}", bound_in_words(max_error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;

    fn kernel(max_error_ms: u64, unsynchronised: bool) -> Result<Ground, String> {
        let read = adjtimex::read().expect("adjtimex(2) may be read");
        let max_error = Duration::from_millis(max_error_ms);
        by_the_kernel(&KernelClock { max_error, unsynchronised, ..read }, Policy::default().threshold)
    }

    #[test]
    fn the_maximum_error_counts_and_the_flag_is_said() {
        for flag in [false, true] {
            let max_error = Duration::from_millis(14);
            assert_eq!(kernel(14, flag), Ok(Ground::Kernel { max_error, unsynchronised: flag }));
            assert!(kernel(16_000, flag).is_err_and(|why| why.contains("not synchronised") == flag));
        }
        let said = kernel(14, true).map(|ground| ground.to_string()).unwrap_or_default();
        assert!(said.contains("at most 14.000 ms wrong") && said.contains("STA_UNSYNC"), "{said}");
    }

    #[test]
    fn a_clock_that_moved_between_two_exchanges_is_not_confirmed() {
        let at =
            |offset_ms: i64| Agreement::of_one(Offset::from_nanos(offset_ms * 1_000_000), Duration::from_millis(10));
        assert_eq!(confirmed(&at(-10), &at(10)), Ok(()));
        assert!(confirmed(&at(-30), &at(30)).is_err_and(|why| why.contains("moved by 60.000 ms")));
    }
}
