//! What text, picture and page have in common: times, shares and the line of a disruption.

use std::fmt::Write as _;
use std::time::Duration;

use super::{AgentBefore, ClockReport, Disruption, Ending, GateLane, NamedContainers};
use crate::decision::{Realtime, bound_in_words, size_in_words};
use crate::history::{DatedBy, none_of, utc, utc_as};
use crate::page::text::shown;
use crate::transition::EventKind;

/// How many containers a line names.
const NAMED: usize = 3;

/// That there is nothing to report.
pub(super) fn nothing(report: &ClockReport) -> String {
    none_of(report.whole.map(|whole| (whole.from, whole.until)))
}

/// What the local time is at a moment: seconds east of UTC; none where that is unknown.
pub type Zone = fn(Realtime) -> Option<i64>;

/// The local time with its zone; none where it is UTC.
pub(super) fn local(time: Realtime, zone: Zone) -> Option<String> {
    let east = zone(time).filter(|east| *east != 0)?;
    let moved = Realtime::from_nanos(time.as_nanos().saturating_add(east.saturating_mul(1_000_000_000)));
    let (sign, minutes) = (if east < 0 { '-' } else { '+' }, east.unsigned_abs() / 60);
    Some(format!("{} {sign}{:02}:{:02}", utc_as(moved, "%H:%M:%S"), minutes / 60, minutes % 60))
}

/// When a disruption was: UTC with a question mark where no proof dates it, and the local time.
pub(super) fn when(disruption: &Disruption, zone: Zone) -> String {
    let mark = if is_doubtful(disruption) { "?" } else { " " };
    let local = local(disruption.time, zone).map(|local| format!(" ({local})")).unwrap_or_default();
    format!("{}{mark}{local}", utc(disruption.time))
}

pub(super) fn is_doubtful(disruption: &Disruption) -> bool {
    disruption.by == Some(DatedBy::Clock)
}

/// A share of the whole, in percent: what is small is not nothing, and nearly all is not all.
pub(super) fn percent(part: Duration, whole: Duration) -> String {
    let share = if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() * 100.0 };
    match share {
        _ if part.is_zero() => "0 %".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        ..0.001 => "< 0.001 %".to_owned(),
        99.999.. => "> 99.999 %".to_owned(),
        ..1.0 | 99.0.. => format!("{share:.3} %"),
        _ => format!("{share:.1} %"),
    }
}

/// What a condition of the gate means.
pub(super) const fn lane_words(lane: GateLane) -> &'static str {
    match lane {
        GateLane::Proven => "open on a proof",
        GateLane::Unproven => "open without a proof",
        GateLane::Shut => "shut",
        GateLane::Asleep => "shut, the machine asleep",
        GateLane::NoAgent => "unknown: no agent ran",
        GateLane::Off => "unknown: the machine was off",
        GateLane::Paused => "unknown: the machine was paused",
    }
}

/// What a disruption was, without its time.
pub(super) fn line(disruption: &Disruption, names: &NamedContainers) -> String {
    let mut line = format!("{}: ", disruption.cause_name());
    line.push_str(&how_far_off(disruption));
    if let Some(asleep) = disruption.asleep {
        // Writing to a string does not fail.
        let _ = write!(line, ", asleep for {}", size_in_words(asleep));
    }
    let _ = write!(line, ", {}", shut(disruption));
    let named = disruption.named.as_deref();
    if let Some((frozen, of)) = disruption.frozen.filter(|(_, of)| *of > 0) {
        let list = named.map(|named| listed(frozen, names.of(&named.frozen))).unwrap_or_default();
        let _ = write!(line, ", frozen {frozen} of {of}{list}");
    }
    if disruption.held > 0 {
        let list = named.map(|named| listed(disruption.held, names.of(&named.held))).unwrap_or_default();
        let _ = write!(line, ", held {}{list}", disruption.held);
    }
    if disruption.released > 0 {
        let list = named.map(|named| listed(disruption.released, names.of(&named.released))).unwrap_or_default();
        let _ = write!(line, ", released {}{list}", disruption.released);
    }
    let warnings: Vec<&str> = warnings(disruption).collect();
    if !warnings.is_empty() {
        let _ = write!(line, "; warned: {}", warnings.join(", "));
    }
    match disruption.before {
        AgentBefore::Killed => line.push_str("; the agent before it was killed"),
        AgentBefore::OtherBoot => line.push_str("; another boot"),
        AgentBefore::None | AgentBefore::Ended => {}
    }
    line
}

fn how_far_off(disruption: &Disruption) -> String {
    let Some(measured) = disruption.measured else { return "offset unknown".to_owned() };
    let distance = bound_in_words(measured.root_distance);
    if measured.offset.abs() <= measured.root_distance {
        return format!("right (± {distance})");
    }
    format!("{} (± {distance})", measured.offset.in_words())
}

fn shut(disruption: &Disruption) -> String {
    let shut = size_in_words(disruption.shut);
    match disruption.ending {
        Ending::Proven => format!("shut for {shut}"),
        Ending::Unproven => format!("shut for {shut}, then open without a proof"),
        Ending::ProvenLater(later) => {
            format!("shut for {shut}, proven {} after it was opened", size_in_words(later))
        }
        Ending::StillShut => format!("shut for {shut} or longer"),
        Ending::Overtaken => format!("shut for {shut}, until the next disruption"),
        Ending::AgentGone => "shut until the agent was gone".to_owned(),
    }
}

fn listed<'a>(count: u32, names: impl Iterator<Item = &'a str>) -> String {
    let mut first: Vec<String> = names.take(NAMED).map(shown).collect();
    if first.is_empty() {
        return String::new();
    }
    let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(first.len());
    if more > 0 {
        first.push(format!("{more} more"));
    }
    format!(" ({})", first.join(", "))
}

/// The names of the warnings that belong to a disruption.
pub(super) fn warnings(disruption: &Disruption) -> impl Iterator<Item = &'static str> {
    let bits = disruption.warnings;
    EventKind::ALL.into_iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, kind)| kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_is_not_nothing_and_nearly_all_is_not_all() {
        let day = Duration::from_secs(86_400);
        let printed = |part| percent(part, day);
        assert_eq!(printed(Duration::ZERO), "0 %");
        assert_eq!(printed(Duration::from_millis(70)), "< 0.001 %");
        assert_eq!(printed(Duration::from_secs(100)), "0.116 %");
        assert_eq!(printed(Duration::from_secs(8640)), "10.0 %");
        assert_eq!(printed(day - Duration::from_millis(70)), "> 99.999 %");
        assert_eq!((printed(day), percent(Duration::ZERO, Duration::ZERO)), ("100 %".to_owned(), "0 %".to_owned()));
    }

    #[test]
    fn local_time_has_its_zone_and_is_left_out_where_it_is_utc() {
        let at = Realtime::from_secs(1_795_521_600);
        assert_eq!(local(at, |_| Some(-12_600)).as_deref(), Some("08:30:00 -03:30"));
        assert_eq!((local(at, |_| Some(0)), local(at, |_| None)), (None, None));
        assert_eq!(utc(at), "2026-11-24T12:00:00.000Z");
    }

    #[test]
    fn a_name_with_commands_for_the_terminal_is_written_out() {
        assert_eq!(listed(5, ["a\u{1b}[2J", "b"].into_iter()), " (a\\u{1b}[2J, b, 3 more)");
    }
}
