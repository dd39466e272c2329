//! Where there is no agent: the word of an NTP server or of the kernel, as the caller wants it.

use std::time::Duration;

use clockgate_page::time::{Boottime, bound_in_words};

use crate::sys::kernel_clock;
use crate::{Ground, NoAgent, Options};

const REQUIRED: &str = "an agent is required (--no-agent fail)";

/// How often to look again: each look is two questions to every server, which allows one more in 2 s; the kernel's claim costs
/// a microsecond.
#[must_use]
pub const fn look_every(no_agent: NoAgent) -> Duration {
    match no_agent {
        NoAgent::Measure => Duration::from_secs(4),
        NoAgent::Fail | NoAgent::Open => Duration::from_secs(1),
        NoAgent::Kernel => Duration::from_millis(100),
    }
}

/// How servers are asked.
#[derive(Clone, Copy)]
pub enum Measuring<'a> {
    /// By this, each time.
    By(&'a dyn Fn() -> Result<Ground, String>),
    /// Not at all, for the reason that is said where it would be.
    Refused(&'static str),
}

impl std::fmt::Debug for Measuring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::By(_) => f.write_str("By"),
            Self::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
        }
    }
}

/// Who looks, again and again.
#[derive(Debug)]
pub struct Alone<'a> {
    options: &'a Options,
    measuring: Measuring<'a>,
    /// When to look again, and what was seen last.
    look_at: Boottime,
    seen: Result<Ground, String>,
}

impl<'a> Alone<'a> {
    /// Asks nothing yet.
    #[must_use]
    pub const fn new(options: &'a Options, measuring: Measuring<'a>) -> Self {
        Self { options, measuring, look_at: Boottime::from_nanos(0), seen: Err(String::new()) }
    }

    /// Why nothing but an agent will do, where that is so.
    #[must_use]
    pub(crate) const fn requires_an_agent(&self) -> Option<&'static str> {
        match (self.options.no_agent, self.measuring) {
            (NoAgent::Fail, _) => Some(REQUIRED),
            (NoAgent::Measure, Measuring::Refused(why)) => Some(why),
            (NoAgent::Measure, Measuring::By(_)) | (NoAgent::Kernel | NoAgent::Open, _) => None,
        }
    }

    /// Looks if it is time to, or says what was seen last.
    ///
    /// # Errors
    /// As [`Alone::look`].
    pub fn look_in_time(&mut self, now: Boottime) -> Result<Ground, String> {
        if now >= self.look_at {
            self.seen = self.look();
            self.look_at = now + look_every(self.options.no_agent);
        }
        self.seen.clone()
    }

    /// How long it is until then.
    #[must_use]
    pub fn pause(&self, now: Boottime) -> Duration {
        self.look_at.since(now)
    }

    /// Looks once whether there is ground to go on.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn look(&self) -> Result<Ground, String> {
        match self.options.no_agent {
            NoAgent::Measure => match self.measuring {
                Measuring::By(measure) => measure(),
                Measuring::Refused(why) => Err(why.to_owned()),
            },
            NoAgent::Kernel | NoAgent::Open if self.options.require_proof => {
                Err("only a measurement proves the clock (--require-proof)".to_owned())
            }
            NoAgent::Kernel => {
                let (state, timex) =
                    kernel_clock::read().map_err(|error| format!("adjtimex(2) cannot be read: {error}"))?;
                let unsynchronised = kernel_clock::is_unsynchronised(state);
                by_the_kernel((kernel_clock::max_error(&timex), unsynchronised), self.options.threshold)
            }
            NoAgent::Open => Ok(Ground::NoAgent),
            NoAgent::Fail => Err(REQUIRED.to_owned()),
        }
    }
}

/// By its maximum error, which grows by 500 ppm without a measurement, and is 16 s after a step and at boot. Its flag
/// STA_UNSYNC alone says less: chronyd leaves it set unless `rtcsync` is configured (chrony.conf(5)).
fn by_the_kernel((max_error, unsynchronised): (Duration, bool), threshold: Duration) -> Result<Ground, String> {
    if max_error <= threshold {
        return Ok(Ground::Kernel { max_error, unsynchronised });
    }
    let flag = if unsynchronised { " and is not synchronised" } else { "" };
    Err(format!("the kernel says that its clock may be {} wrong{flag}", bound_in_words(max_error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::THRESHOLD;

    fn kernel(max_error_ms: u64, unsynchronised: bool) -> Result<Ground, String> {
        by_the_kernel((Duration::from_millis(max_error_ms), unsynchronised), THRESHOLD)
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
}
