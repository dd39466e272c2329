//! Where there is no agent: an NTP server's word or the kernel's, as the caller wants it.

use std::time::Duration;

use super::{Ground, NoAgent, Options, millis};
use crate::decision::{Agreement, Failure, Measurement, Policy};
use crate::reference::References;
use crate::sys::adjtimex;
use crate::sys::clock::boottime;

/// How long an exchange may take.
const EXCHANGE: Duration = Duration::from_secs(1);
/// RFC 5905's PHI is 15; ours allows for a laptop's crystal.
const DRIFT_PPM: u32 = 500;

/// How often to look again: an exchange is somebody else's work, the kernel's claim costs a microsecond.
#[must_use]
pub(super) const fn look_every(no_agent: NoAgent) -> Duration {
    match no_agent {
        NoAgent::Measure | NoAgent::Fail | NoAgent::Open => Duration::from_secs(1),
        NoAgent::Kernel => Duration::from_millis(100),
    }
}

/// Looks once whether there is ground to go on.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn look(options: &Options) -> Result<Ground, String> {
    match options.no_agent {
        NoAgent::Measure => by_measuring(options),
        NoAgent::Kernel | NoAgent::Open if options.require_proof => {
            Err("nothing but a measurement proves the clock (--require-proof)".to_owned())
        }
        NoAgent::Kernel => on_the_kernels_word(options),
        NoAgent::Open => Ok(Ground::NoAgent),
        NoAgent::Fail => Err("an agent is wanted (--no-agent fail)".to_owned()),
    }
}

fn by_measuring(options: &Options) -> Result<Ground, String> {
    let references = References::new(options.servers.clone());
    // A pause of the machine inside an exchange is invisible to it, so it takes a second one, asked after the first.
    measure(&references, options.threshold)?;
    measure(&references, options.threshold)
}

fn measure(references: &References, threshold: Duration) -> Result<Ground, String> {
    let measurement = references.measure(EXCHANGE);
    let policy = Policy { threshold, max_drift_ppm: DRIFT_PPM, ..Policy::default() };
    match measurement.agreement(&policy, boottime()) {
        Ok(agreement) if agreement.bound() <= threshold => Ok(Ground::Measured {
            source: supporters(&measurement, &agreement),
            offset: agreement.offset,
            bound: agreement.bound(),
        }),
        Ok(agreement) => Err(format!(
            "{} says that the clock is off by {} ±{:.3} ms",
            supporters(&measurement, &agreement),
            agreement.offset,
            millis(agreement.root_distance)
        )),
        Err(why) => {
            let each = measurement.failures.iter().map(|Failure { source, why, .. }| format!("{source}: {why}"));
            Err(format!("{why} ({})", each.collect::<Vec<_>>().join("; ")))
        }
    }
}

fn supporters(measurement: &Measurement, agreement: &Agreement) -> String {
    let named = measurement.readings.iter().map(|r| r.source.as_str());
    named.filter(|name| !agreement.falsetickers.iter().any(|f| f == name)).collect::<Vec<_>>().join(" and ")
}

fn on_the_kernels_word(options: &Options) -> Result<Ground, String> {
    let clock = adjtimex::read().map_err(|error| format!("adjtimex(2) cannot be read: {error}"))?;
    if clock.unsynchronised {
        return Err("the kernel says that its clock is not synchronised".to_owned());
    }
    if clock.max_error > options.threshold {
        return Err(format!("the kernel says that its clock may be {:.3} ms wrong", millis(clock.max_error)));
    }
    Ok(Ground::Kernel { max_error: clock.max_error })
}
