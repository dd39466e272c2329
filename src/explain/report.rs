//! The explanation for people and for programs. No word of the text that was explained is in it.

use std::time::Duration;

use serde_json::{Value, json as value};

use super::context::Wording;
use super::extract::{Contradiction, Match, Said};
use super::lifetime::Lifetime;
use super::pattern::Pattern;
use super::time::{in_utc, in_zone};
use super::verdict::{Explanation, Verdict};
use super::world::{Now, Then};
use crate::decision::{Offset, Realtime, bound_in_words, nanos_u64, size_in_words};
use crate::duration;

/// The version of what `--json` prints; raised when a field changes its meaning or goes.
const JSON_VERSION: u32 = 2;
/// More than so many messages are a number.
const SHOWN: usize = 3;

/// For people: the verdict, what it rests on, what to do.
#[must_use]
pub fn text(explained: &Explanation<'_>, zone_secs: i64) -> String {
    let mut lines = vec![headline(explained, zone_secs)];
    for one in explained.matches.iter().take(SHOWN) {
        lines.extend(evidence(one, zone_secs).into_iter().map(|line| format!("  {line}")));
    }
    match explained.matches.len().saturating_sub(SHOWN) {
        0 => {}
        more => lines.push(format!("  and {more} more of these messages.")),
    }
    lines.extend(explained.lifetimes.iter().map(|(one, left)| format!("  {}", lifetime(one, *left, zone_secs))));
    lines.extend(explained.now.as_ref().map(|now| format!("  Measured now: {}.", measured(now))));
    lines.extend(explained.hints.iter().map(|hint| format!("  {hint}")));
    lines.join("\n") + "\n"
}

fn headline(explained: &Explanation<'_>, zone_secs: i64) -> String {
    let said = explained.matches.first().and_then(|one| one.said);
    let how_far = said.map_or_else(
        || match explained.direction {
            super::Direction::Behind => " behind".to_owned(),
            super::Direction::Ahead => " ahead".to_owned(),
            super::Direction::Either | super::Direction::None => " wrong".to_owned(),
        },
        |said| format!(" {}", said_in_words(said)),
    );
    match explained.verdict {
        Verdict::ClockNow => {
            let now = explained.now.as_ref().map_or_else(|| "wrong".to_owned(), |now| now.offset.in_words());
            format!("THE CLOCK, NOW: your clock is {now}.")
        }
        Verdict::ClockThen => match &explained.then {
            Some(then) => {
                format!("THE CLOCK, THEN: your clock was {}{}.", then.offset.in_words(), ended(then, zone_secs))
            }
            None => format!("THE CLOCK, THEN: your clock was{how_far} when this was written; it is right now."),
        },
        Verdict::ClockUnmeasured => {
            format!("THE CLOCK: your clock was{how_far} when this was written; the clock of now was not measured.")
        }
        Verdict::Credentials => format!("CREDENTIALS, not the clock{}.", clock_now(explained)),
        Verdict::Certificate => format!("A CERTIFICATE OR SIGNATURE, not the clock{}.", clock_now(explained)),
        Verdict::StaleRequest => "A STALE REQUEST, not the clock: it was signed long before it was sent.".to_owned(),
        Verdict::TimeZone => {
            format!("A TIME ZONE, not the clock{}: the program takes local time for UTC.", clock_now(explained))
        }
        Verdict::TheirClock => format!("THEIR CLOCK, not yours{}.", clock_now(explained)),
        Verdict::Unknown if explained.matches.is_empty() => {
            "UNKNOWN: no message in this text is known to speak of time.".to_owned()
        }
        Verdict::Unknown => "UNKNOWN: the text alone does not tell whether it was the clock.".to_owned(),
    }
}

fn ended(then: &Then, zone_secs: i64) -> String {
    let since = then.since.map_or_else(String::new, |at| format!(" from {}", in_both(at, zone_secs)));
    let until = then.until.map_or_else(String::new, |at| format!(" until {}", in_both(at, zone_secs)));
    let by = then.by.as_ref().map_or_else(String::new, |by| format!(", when {by} stepped it"));
    since + &until + &by
}

fn clock_now(explained: &Explanation<'_>) -> String {
    let right =
        |now: &Now| format!(": your clock is right to {}", bound_in_words(now.offset.abs() + now.root_distance));
    explained.now.as_ref().map_or_else(String::new, right)
}

fn said_in_words(said: Said) -> String {
    if said.is_least { format!("at least {}", said.offset.in_words()) } else { said.offset.in_words() }
}

fn measured(now: &Now) -> String {
    let who = match now.supporters {
        Some(1) => "1 reference".to_owned(),
        Some(many) => format!("{many} references that agree"),
        None => "the agent's gate page".to_owned(),
    };
    format!("your clock is {} (+-{}, {who})", now.offset.in_words(), bound_in_words(now.root_distance))
}

/// In UTC, and in the zone of this machine where it has another.
fn in_both(time: Realtime, zone_secs: i64) -> String {
    match zone_secs {
        0 => in_utc(time),
        secs => format!("{} ({})", in_utc(time), in_zone(time, secs)),
    }
}

/// When something begins and ends.
fn lifetime(one: &Lifetime, left: Option<Offset>, zone_secs: i64) -> String {
    let line = one.line.map_or_else(String::new, |line| format!(" in line {line}"));
    let from = one.from.map_or_else(String::new, |from| format!(" from {}", in_both(from, zone_secs)));
    let until = one.until.map_or_else(String::new, |until| format!(" until {}", in_both(until, zone_secs)));
    let left = left.map_or_else(String::new, |left| match left.is_backward() {
        true => format!(", which was {} ago", size_in_words(left.abs())),
        false => format!(", which is in {}", size_in_words(left.abs())),
    });
    format!("{}{line}: valid{from}{until}{left}.", one.kind.words())
}

/// What one message says.
fn evidence(one: &Match<'_>, zone_secs: i64) -> Vec<String> {
    let mut lines = vec![format!("Line {}: {} ({}).", one.line, one.pattern.issuer, one.pattern.id)];
    let at = |time| in_both(time, zone_secs);
    if let (Some(ours), Some(theirs)) = (one.ours, one.theirs) {
        lines.push(format!("Your time was {}, theirs was {}.", at(ours), at(theirs)));
    }
    if let Some(said) = one.said {
        lines.push(format!("By these words your clock was {}.", said_in_words(said)));
    }
    if let Some(Contradiction { by_theirs, by_edge }) = one.contradiction {
        let (a, b) = (by_theirs.in_words(), by_edge.in_words());
        lines.push(format!(
            "These numbers do not add up: your clock was {a} or {b}, by which of the two times is theirs."
        ));
    }
    if one.limit.is_some() || one.pattern.tolerance.is_some() {
        lines.push(match one.tolerance() {
            Duration::ZERO => "They tolerate no clock error.".to_owned(),
            some => format!("They tolerate {}.", size_in_words(some)),
        });
    }
    lines
}

/// For programs.
#[must_use]
pub fn json(explained: &Explanation<'_>) -> Value {
    let nanos = |at: Option<Realtime>| at.map(Realtime::as_nanos);
    let length = |length: Option<Duration>| length.map(nanos_u64);
    let matches: Vec<Value> = explained
        .matches
        .iter()
        .map(|one| {
            value!({
                "id": one.pattern.id,
                "issuer": one.pattern.issuer,
                "line": one.line,
                "direction": one.direction.name(),
                "reported": one.wording == Wording::Report,
                "ours_ns": nanos(one.ours),
                "theirs_ns": nanos(one.theirs),
                "offset_ns": one.said.map(|said| said.offset.as_nanos()),
                "offset_is_least": one.said.map(|said| said.is_least),
                "limit_ns": length(one.limit),
                "tolerance_ns": length(one.limit.or(one.pattern.tolerance)),
                "tolerance_source": one.pattern.tolerance_source,
                "refused_before_effect": one.pattern.refused_before_effect,
                "contradiction": one.contradiction.map(|both| value!([both.by_theirs.as_nanos(), both.by_edge.as_nanos()])),
            })
        })
        .collect();
    // Their times are printed in whole seconds.
    let resolution = |_: Offset| 1_000_000_000_u64;
    value!({
        "version": JSON_VERSION,
        "verdict": explained.verdict.name(),
        "direction": explained.direction.name(),
        "offset_ns": explained.offset.map(Offset::as_nanos),
        "bound_ns": explained.offset.map(resolution),
        "matches": matches,
        "now": explained.now.as_ref().map(|now| value!({
            "offset_ns": now.offset.as_nanos(),
            "bound_ns": nanos_u64(now.offset.abs() + now.root_distance),
            "root_distance_ns": nanos_u64(now.root_distance),
            "supporters": now.supporters,
        })),
        "then": explained.then.as_ref().map(|then| value!({
            "offset_ns": then.offset.as_nanos(),
            "from_ns": nanos(then.since),
            "to_ns": nanos(then.until),
            "by": then.by,
        })),
        "lifetimes": explained.lifetimes.iter().map(|(one, left)| value!({
            "kind": one.kind.name(),
            "line": one.line,
            "from_ns": nanos(one.from),
            "until_ns": nanos(one.until),
            "left_ns": left.map(Offset::as_nanos),
        })).collect::<Vec<Value>>(),
        "hints": explained.hints,
    })
}

/// All known messages, one a line: id, direction, tolerance, words.
#[must_use]
pub fn list(patterns: &[Pattern]) -> String {
    let line = |one: &Pattern| {
        let tolerance = one.tolerance.map_or_else(|| "-".to_owned(), duration::print);
        let words = one.literals.first().map(String::as_str).unwrap_or_default();
        format!("{:<28} {:<7} {:<7} {} | {}\n", one.id, one.direction.name(), tolerance, one.issuer, words)
    };
    patterns.iter().map(line).collect()
}
