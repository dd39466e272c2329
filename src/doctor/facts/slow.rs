//! What takes seconds to find out, and is asked only with `-v`: which questions a filter on the way lets through, and the timer's rate.

use std::time::Duration;

use crate::decision::{Boottime, Measurement, Reading, Realtime, drift};
use crate::reference::http::TrustedAuthorities;
use crate::reference::probe::{self, FixedPortProbe, Slot, SlowProbe};
use crate::reference::{References, ServerName};
use crate::sys::adjtimex::MOST_SLEWED_PPM;
use crate::sys::clock::{boottime, monotonic_raw_nanos};

/// More servers than these tell no more.
const MOST_ASKED: usize = 4;

/// What the slow questions found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowFacts {
    /// What came of each server.
    pub probes: Vec<SlowProbe>,
    /// A question from port 123; none where there is no server to ask.
    pub from_ntp_port: Option<FixedPortProbe>,
    /// The timer's rate; none where no server answered twice.
    pub timer: Option<TimerRate>,
}

/// The rate of CLOCK_MONOTONIC_RAW, which no program slews, against a server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRate {
    /// How much faster it runs, parts per million.
    pub error_ppm: i64,
    /// How far off that may be, parts per million.
    pub bound_ppm: i64,
    /// By whose answers.
    pub source: String,
}

/// A measurement, and the clocks just before it.
#[derive(Debug)]
pub struct RawTimed {
    pub measurement: Measurement,
    boot: Boottime,
    raw_nanos: u64,
}

impl RawTimed {
    /// What `measure` finds.
    pub fn by(measure: impl FnOnce() -> Measurement) -> Self {
        let (boot, raw_nanos) = (boottime(), monotonic_raw_nanos());
        Self { measurement: measure(), boot, raw_nanos }
    }

    /// RAW when this was asked, and how far off that may be.
    fn raw_at(&self, reading: &Reading) -> (i128, Duration) {
        let later = reading.as_of.since(self.boot);
        (i128::from(self.raw_nanos) + nanos(later), drift(later, MOST_SLEWED_PPM))
    }
}

fn nanos(length: Duration) -> i128 {
    i128::try_from(length.as_nanos()).unwrap_or(i128::MAX)
}

/// Asks again, in its slots; `first` was just measured, and `time` is what it found.
pub fn gather(
    references: &References,
    names: &[ServerName],
    first: &RawTimed,
    time: Realtime,
    again: impl FnOnce(&References) -> Measurement,
) -> SlowFacts {
    let began = boottime();
    let authorities = TrustedAuthorities::load(None).ok();
    let asked = &names[..names.len().min(MOST_ASKED)];
    Slot::Families.wait(began);
    let mut probes = probe::of_each_family(asked, time, authorities.as_ref());
    let is_heard = probes.iter().any(|probe| probe.answering().is_some());
    if !is_heard {
        return SlowFacts { from_ntp_port: probe::from_ntp_port(&probes), probes, timer: None };
    }
    Slot::Long.wait(began);
    probe::long(&mut probes);
    Slot::Rate.wait(began);
    let second = RawTimed::by(|| again(references));
    Slot::FromNtpPort.wait(began);
    SlowFacts { from_ntp_port: probe::from_ntp_port(&probes), probes, timer: rate(first, &second) }
}

/// By the server that answered both times, where its bound is the narrowest.
fn rate(first: &RawTimed, second: &RawTimed) -> Option<TimerRate> {
    let pairs = first.measurement.readings.iter().filter_map(|before| {
        let after = second.measurement.readings.iter().find(|after| after.source == before.source)?;
        let ((began, slack), (ended, more)) = (first.raw_at(before), second.raw_at(after));
        let raw = ended - began;
        let elapsed = nanos_between(before, after);
        let unsure = nanos((before.delay? + after.delay?) / 2 + slack + more);
        (elapsed > 0).then(|| TimerRate {
            error_ppm: ppm(raw - elapsed, elapsed),
            bound_ppm: ppm(unsure, elapsed) + 1,
            source: before.source.clone(),
        })
    });
    pairs.min_by_key(|rate| rate.bound_ppm)
}

/// How long the server says that was.
fn nanos_between(before: &Reading, after: &Reading) -> i128 {
    let said = |reading: &Reading| i128::from((reading.local + reading.offset).as_nanos());
    said(after) - said(before)
}

fn ppm(part: i128, whole: i128) -> i64 {
    i64::try_from(part.saturating_mul(1_000_000) / whole).unwrap_or(i64::MAX)
}
