//! The time that a hypervisor publishes in the VMClock page (linux/vmclock-abi.h): what the processor's counter was at a
//! known time, how fast it runs, and how wrong both can be. It needs no exchange, and is never smeared.
//!
//! Read from the page and not from the PTP clock that the same driver registers: that one counts UTC or TAI by the age of the
//! driver, and does not say which.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::bracket::undisturbed;
use crate::decision::{Leap, Offset, Reading, Realtime, ReferenceKind, Voice, drift};
use crate::reference::BUILT;
use crate::sys::clock::realtime;
use crate::sys::cpu_counter;
use crate::sys::vmclock::{self, CounterTime, VmClock};

/// Where the kernel lists the counters that it trusts, below the root.
const CLOCKSOURCES: &str = "sys/devices/system/clocksource/clocksource0/available_clocksource";

const UTC: u8 = 0;
const TAI: u8 = 1;
const SYNCHRONIZED: u8 = 2;
const FREE_RUNNING: u8 = 3;

/// The largest error of a hypervisor's time, where the page does not have it.
const UNTOLD: Duration = Duration::from_millis(10);
/// The largest error of the counter's rate where the page does not have it, parts per million.
const UNKNOWN_RATE_PPM: u32 = 500;

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum VmClockError {
    /// The page cannot be read.
    #[error("cannot read the time of VMClock")]
    Page(#[from] vmclock::VmClockPageError),
    /// A page that reports only disruptions.
    #[error("VMClock has no time")]
    NoTime,
    /// Time that is not to be trusted, or not in a scale that we know.
    #[error("VMClock has {what} {value}")]
    NotUsable {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u8,
    },
    /// The kernel has found the counter to be unreliable.
    #[error("the kernel does not trust the processor's counter ({})", cpu_counter::CLOCKSOURCE)]
    BadCounter,
    /// A time that has certainly passed, or is beyond all numbers.
    #[error("VMClock shows an impossible time")]
    Implausible,
    /// The system clock was moved, or the page written, while it was read.
    #[error("the system clock was moved, or VMClock was updated, while it was read")]
    Disturbed,
}

/// The hypervisor's time against the system's.
///
/// # Errors
/// [`VmClockError`]
pub fn measure(root: &Path) -> Result<Reading, VmClockError> {
    let device = VmClock::open(root)?;
    if device.read()?.time.is_none_or(|time| Some(time.counter_id) != cpu_counter::ID) {
        return Err(VmClockError::NoTime);
    }
    let trusted = fs::read_to_string(root.join(CLOCKSOURCES)).unwrap_or_default();
    if !trusted.split_whitespace().any(|source| source == cpu_counter::CLOCKSOURCE) {
        return Err(VmClockError::BadCounter);
    }
    // The sequence lock spans the counter as well: a page written in between may belong to another counter.
    let ask = || {
        let page = device.read()?;
        let (before, counted, after) = (realtime(), cpu_counter::read(), realtime());
        if device.read()?.sequence != page.sequence {
            return Err(VmClockError::Disturbed);
        }
        Ok((time_at(&page.time.ok_or(VmClockError::NoTime)?, counted)?, before, after))
    };
    let (moment, answer) = undisturbed(ask).ok_or(VmClockError::Disturbed)?;
    let (shown, before, after) = answer?;
    let width = (after - before).abs();
    let middle = before + Offset::from_nanos((after - before).as_nanos() / 2);
    Ok(Reading {
        source: "vmclock0".to_owned(),
        voice: Voice::hypervisor(),
        kind: ReferenceKind::VmClock,
        as_of: moment.as_of,
        local: moment.local,
        offset: shown.truth - middle,
        root_distance: shown.distance + width / 2,
        authenticated: false,
        leap: shown.leap,
        stratum: None,
        delay: Some(width),
        upstream: None,
    })
}

/// The page's word on a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageTime {
    truth: Realtime,
    distance: Duration,
    leap: Leap,
}

/// The time at this value of the counter.
fn time_at(time: &CounterTime, counted: u64) -> Result<PageTime, VmClockError> {
    let not_usable = |what, value| Err(VmClockError::NotUsable { what, value });
    if !matches!(time.status, SYNCHRONIZED | FREE_RUNNING) {
        return not_usable("a clock of status", time.status);
    }
    let leap = match time.leap {
        // What is long over (4, 5) is none; while one is being inserted (3) a second has two names.
        0 | 4 | 5 => Leap::None,
        1 => Leap::Insert,
        2 => Leap::Delete,
        other => return not_usable("the leap indicator", other),
    };
    let leap_seconds = match (time.time_type, time.tai_offset_secs) {
        (UTC, _) => 0,
        (TAI, Some(offset)) => i64::from(offset),
        (other, _) => return not_usable("a time of type", other),
    };
    let elapsed = counted.wrapping_sub(time.counter_value);
    let frac = scaled(elapsed, time.period, time.period_shift).checked_add(time.frac.into());
    let frac = frac.ok_or(VmClockError::Implausible)?;
    // The upper half is whole seconds, the lower one 2^-64 of a second.
    let whole = (frac >> 64).checked_add(time.secs.into()).and_then(|secs| i64::try_from(secs).ok());
    let whole = whole.ok_or(VmClockError::Implausible)? - leap_seconds;
    let nanos = ((frac & u128::from(u64::MAX)) * 1_000_000_000) >> 64;
    let truth = Realtime::from_secs(whole) + Offset::from_nanos(i64::try_from(nanos).unwrap_or(0));
    if truth < BUILT {
        return Err(VmClockError::Implausible);
    }
    let since = i64::try_from(time.secs).map_or(0, |secs| whole + leap_seconds - secs);
    let since = Duration::from_secs(since.unsigned_abs());
    let grown = time.period_maxerror.map_or_else(
        || drift(since, UNKNOWN_RATE_PPM),
        |error| {
            let nanos = scaled(elapsed, error, time.period_shift).saturating_mul(1_000_000_000 >> 9) >> (64 - 9);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        },
    );
    let at_first = time.maxerror_nanos.map_or(UNTOLD, Duration::from_nanos);
    Ok(PageTime { truth, distance: at_first.saturating_add(grown), leap })
}

/// So many periods, in 2^-64 s.
fn scaled(elapsed: u64, period: u64, shift: u8) -> u128 {
    (u128::from(elapsed) * u128::from(period)).checked_shr(shift.into()).unwrap_or(0)
}

#[cfg(test)]
pub(in crate::reference) mod tests {
    use super::*;
    use crate::sys::vmclock::fake::FakePage;

    const AT: u64 = 1_800_000_000;

    /// A counter of 1 GHz whose value was 5,000,000,000 at AT and a quarter.
    fn gigahertz() -> CounterTime {
        CounterTime {
            counter_id: 1,
            time_type: UTC,
            status: SYNCHRONIZED,
            smearing: 0,
            tai_offset_secs: None,
            leap: 0,
            period_shift: 8,
            counter_value: 5_000_000_000,
            // 2^72 / 10^9, rounded: nanoseconds in 2^-(64 + 8) s.
            period: 4_722_366_482_870,
            period_maxerror: None,
            secs: AT,
            frac: 1 << 62,
            maxerror_nanos: Some(50_000),
        }
    }

    fn at(nanos: i64) -> Realtime {
        Realtime::from_secs(AT.cast_signed()) + Offset::from_nanos(nanos)
    }

    #[test]
    fn the_counter_gives_the_time_since_the_page_was_written() {
        let shown = time_at(&gigahertz(), 15_000_000_000).unwrap();
        assert!((shown.truth - at(10_250_000_000)).abs() < Duration::from_nanos(10), "{shown:?}");
        assert_eq!(shown.distance, Duration::from_micros(50) + drift(Duration::from_secs(10), UNKNOWN_RATE_PPM));
    }

    #[test]
    fn atomic_time_is_turned_into_utc_by_the_pages_own_leap_seconds() {
        let atomic = CounterTime { time_type: TAI, ..gigahertz() };
        assert!(matches!(time_at(&atomic, 5_000_000_000), Err(VmClockError::NotUsable { .. })));
        let atomic = CounterTime { tai_offset_secs: Some(37), ..atomic };
        assert_eq!(time_at(&atomic, 5_000_000_000).unwrap().truth, at(-36_750_000_000));
    }

    #[test]
    fn the_error_of_the_rate_grows_with_the_counter() {
        // A part in a million of the period.
        let known = CounterTime { period_maxerror: Some(4_722_366), ..gigahertz() };
        let shown = time_at(&known, 105_000_000_000).unwrap();
        let (error, expected) = (shown.distance.as_nanos(), 50_000 + 100_000);
        assert!(error.abs_diff(expected) < 10, "{error}");
    }

    #[test]
    fn what_is_unreliable_ambiguous_or_impossible_is_no_time() {
        let refused = |time: CounterTime| time_at(&time, 5_000_000_000).is_err();
        assert!(refused(CounterTime { status: 4, ..gigahertz() }));
        assert!(refused(CounterTime { status: 0, ..gigahertz() }));
        assert!(refused(CounterTime { time_type: 2, ..gigahertz() }));
        assert!(refused(CounterTime { leap: 3, ..gigahertz() }));
        assert!(refused(CounterTime { secs: 5, ..gigahertz() }));
        assert!(refused(CounterTime { secs: u64::MAX, ..gigahertz() }));
        assert_eq!(time_at(&CounterTime { leap: 1, ..gigahertz() }, 5_000_000_000).unwrap().leap, Leap::Insert);
    }

    #[test]
    fn no_page_a_page_without_time_and_a_bad_counter_are_different_errors() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(measure(root.path()), Err(VmClockError::Page(vmclock::VmClockPageError::NotThere { .. }))));
        FakePage::new(1).write(root.path());
        assert!(matches!(measure(root.path()), Err(VmClockError::NoTime)));
        let Some(id) = cpu_counter::ID else { return };
        let time = Some(CounterTime { counter_id: id, ..gigahertz() });
        FakePage { time, ..FakePage::new(1) }.write(root.path());
        assert!(matches!(measure(root.path()), Err(VmClockError::BadCounter)));
    }

    /// A page and a clock source as a hypervisor would have them; none where the counter cannot be read.
    pub(crate) fn root_with_a_page_that_is_right() -> Option<tempfile::TempDir> {
        let id = cpu_counter::ID?;
        let root = tempfile::tempdir().unwrap();
        let sources = root.path().join(CLOCKSOURCES);
        fs::create_dir_all(sources.parent().unwrap()).unwrap();
        fs::write(sources, format!("kvm-clock {}\n", cpu_counter::CLOCKSOURCE)).unwrap();
        // As a hypervisor would: the counter of now, and the time of now.
        let now = realtime().as_nanos().unsigned_abs();
        let frac = u64::try_from((u128::from(now % 1_000_000_000) << 64) / 1_000_000_000).unwrap();
        let time = CounterTime {
            counter_id: id,
            counter_value: cpu_counter::read(),
            secs: now / 1_000_000_000,
            frac,
            ..gigahertz()
        };
        FakePage { time: Some(time), ..FakePage::new(1) }.write(root.path());
        Some(root)
    }

    #[test]
    fn a_page_that_is_right_agrees_with_the_system_clock() {
        let Some(root) = root_with_a_page_that_is_right() else { return };
        let reading = measure(root.path()).unwrap();
        // The real counter is not exactly 1 GHz, and this machine may be busy: a second is near enough.
        assert!(reading.offset.abs() < Duration::from_secs(1), "{reading:?}");
        assert_eq!(reading.kind, ReferenceKind::VmClock);
    }
}
