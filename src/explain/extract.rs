//! What one message says: its times, its limit, and which way the clock is wrong by them.

use std::ops::Range;
use std::time::Duration;

use regex_lite::Captures;

use super::context::Wording;
use super::pattern::{Direction, Pattern, Proves};
use super::time::{Format, length};
use crate::decision::{Offset, Realtime};

const QUARTER: u64 = 15 * 60;
/// How near to whole quarter hours the difference of two zones is.
const NEAR_QUARTER: u64 = 90;

/// Any message that was found: numbers and the pattern's own words, nothing of the text.
#[derive(Clone, Debug)]
pub struct Match<'p> {
    /// What it is.
    pub pattern: &'p Pattern,
    /// Line in the text, from 1.
    pub line: u64,
    /// Our time in it.
    pub ours: Option<Realtime>,
    /// The other side's time in it.
    pub theirs: Option<Realtime>,
    /// How far the clocks may be apart, by the text.
    pub limit: Option<Duration>,
    /// How far our clock was off by it.
    pub said: Option<Said>,
    /// Which way.
    pub direction: Direction,
    /// How much it says of the clock.
    pub proves: Proves,
    /// Whether a program says it, or it is only written of.
    pub wording: Wording,
    /// Why its numbers cannot all be right.
    pub contradiction: Option<Contradiction>,
    /// The time that its line begins with, and whether it has a zone.
    pub logged: Option<(Realtime, bool)>,
}

impl Match<'_> {
    /// How far our clock may be off before this other side refuses.
    pub(super) fn tolerance(&self) -> Duration {
        self.limit.or(self.pattern.tolerance).unwrap_or_default()
    }

    /// Whether it is the difference of two zones: whole quarter hours, and as far as zones are apart.
    pub(super) fn is_of_another_zone(&self, zone_secs: i64) -> bool {
        let Some(said) = self.said.filter(|said| !said.is_least) else {
            return false;
        };
        let size = said.offset.abs().as_secs();
        let beyond = size % QUARTER;
        let is_whole = beyond < NEAR_QUARTER || QUARTER - beyond < NEAR_QUARTER;
        let is_host = zone_secs != 0 && size.abs_diff(zone_secs.unsigned_abs()) < NEAR_QUARTER;
        is_whole
            && size + NEAR_QUARTER > 30 * 60
            && (is_host || (3600 - NEAR_QUARTER..=14 * 3600 + NEAR_QUARTER).contains(&size))
    }
}

/// How far off our clock was by a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Theirs minus ours.
    pub offset: Offset,
    /// Whether it is that much or more.
    pub is_least: bool,
}

/// The numbers of a message do not add up: our clock was off by one or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// If the time they call theirs was right.
    pub by_theirs: Offset,
    /// If the other one was.
    pub by_edge: Offset,
}

/// What the named groups hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    ours: Option<Realtime>,
    theirs: Option<Realtime>,
    edge: Option<Realtime>,
    from: Option<Realtime>,
    until: Option<Realtime>,
    limit: Option<Duration>,
    offset: Option<Duration>,
    least: Option<Duration>,
}

impl Groups {
    /// Whether there is any; who only writes of a message leaves them out.
    pub(super) fn has_numbers(&self) -> bool {
        let times = [self.ours, self.theirs, self.edge, self.from, self.until];
        let lengths = [self.limit, self.offset, self.least];
        times.iter().any(Option::is_some) || lengths.iter().any(Option::is_some)
    }
}

/// The line that a message is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatchedLine<'a> {
    pub(super) number: u64,
    pub(super) head: &'a str,
    pub(super) wording: Wording,
}

/// The message around a literal that was found at `place`: its span and its groups.
pub(super) fn find(pattern: &Pattern, window: &str, place: Range<usize>) -> Option<(usize, usize, Groups)> {
    if pattern.regexes.is_empty() {
        return is_said(window, &place).then(|| (place.start, place.end, Groups::default()));
    }
    let covers = |captures: &Captures<'_>| {
        captures.get(0).is_some_and(|whole| whole.start() <= place.start && place.start < whole.end())
    };
    pattern.regexes.iter().find_map(|expression| {
        let captures = expression.compiled()?.captures_iter(window).find(covers)?;
        let whole = captures.get(0)?;
        Some((whole.start(), whole.end(), groups(pattern, &captures)))
    })
}

/// The name of an error alone is no message where it is a part of another name, or of source code: `import x.TheError;`.
fn is_said(window: &str, place: &Range<usize>) -> bool {
    const CODE: [&str; 7] = ["import ", "class ", "except ", "catch (", "throws ", "raise ", "new "];
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (before, after) = (&window[..place.start], &window[place.end..]);
    if !window[place.clone()].chars().all(is_word) {
        return true;
    }
    let path_begins = before.trim_end_matches(|c| is_word(c) || c == '.');
    let is_part = before.ends_with(is_word) || after.starts_with(is_word);
    let is_member = after.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_word));
    !is_part
        && !is_member
        && !after.starts_with([';', '(', '{'])
        && !CODE.iter().any(|word| path_begins.ends_with(word))
}

fn groups(pattern: &Pattern, captures: &Captures<'_>) -> Groups {
    let text = |name| captures.name(name).map(|found| found.as_str());
    let time = |name| text(name).and_then(|text| pattern.formats.iter().find_map(|format| format.parse(text)));
    let span = |name| text(name).and_then(|text| length(text, &pattern.unit));
    let millis = text("limit_ms").and_then(|text| length(text, "ms"));
    Groups {
        ours: time("ours"),
        theirs: time("theirs"),
        edge: time("edge"),
        from: time("from"),
        until: time("until"),
        limit: span("limit").or(millis),
        offset: span("offset"),
        least: span("least"),
    }
}

/// What the groups mean.
pub(super) fn read<'p>(pattern: &'p Pattern, groups: &Groups, line: &MatchedLine<'_>) -> Match<'p> {
    let said = said(pattern, groups);
    let mut direction = match said {
        Some(said) if pattern.direction != Direction::None && said.offset != Offset::ZERO => side(said.offset),
        Some(_) | None => pattern.direction,
    };
    let mut proves = pattern.proves;
    // An interval of the other side's clock: before it our clock made it too late; after it, it is dead, or we are behind.
    if let (Some(theirs), Some(from), Some(until)) = (groups.theirs, groups.from, groups.until) {
        if theirs < from {
            (direction, proves) = (Direction::Ahead, Proves::Clock);
        } else if theirs > until {
            (direction, proves) = (Direction::Behind, Proves::Either);
        }
    }
    if line.wording == Wording::Mention && proves == Proves::Clock {
        proves = Proves::Either;
    }
    Match {
        pattern,
        line: line.number,
        ours: groups.ours,
        theirs: groups.theirs.filter(|_| groups.from.is_none() || groups.until.is_none()),
        limit: groups.limit,
        said,
        direction,
        proves,
        wording: line.wording,
        contradiction: contradiction(pattern, groups),
        logged: logged(line.head),
    }
}

fn said(pattern: &Pattern, groups: &Groups) -> Option<Said> {
    let least = |offset| Some(Said { offset, is_least: true });
    if let (Some(ours), Some(theirs)) = (groups.ours, groups.theirs) {
        return Some(Said { offset: theirs - ours, is_least: false });
    }
    if let (Some(ours), Some(edge)) = (groups.ours, groups.edge) {
        return least(edge - ours);
    }
    if let (Some(theirs), Some(from), Some(until)) = (groups.theirs, groups.from, groups.until) {
        return match () {
            () if theirs < from => least(theirs - from),
            () if theirs > until => least(theirs - until),
            () => None,
        };
    }
    let signed = |size: Duration| {
        let offset = Offset::from_nanos(i64::try_from(size.as_nanos()).unwrap_or(i64::MAX));
        match pattern.direction {
            Direction::Behind => Some(offset),
            Direction::Ahead => Some(Offset::ZERO - offset),
            Direction::Either | Direction::None => None,
        }
    };
    let exact = groups.offset.and_then(signed).map(|offset| Said { offset, is_least: false });
    exact.or_else(|| groups.least.and_then(signed).map(|offset| Said { offset, is_least: true }))
}

fn side(offset: Offset) -> Direction {
    if offset.is_backward() { Direction::Ahead } else { Direction::Behind }
}

/// The edge is their time and the limit: minus it for who is behind, plus it for who is ahead.
fn contradiction(pattern: &Pattern, groups: &Groups) -> Option<Contradiction> {
    let (ours, theirs, edge, limit) = (groups.ours?, groups.theirs?, groups.edge?, groups.limit?);
    let limit = Offset::from_nanos(i64::try_from(limit.as_nanos()).ok()?);
    let computed = match pattern.direction {
        Direction::Behind => theirs + (Offset::ZERO - limit),
        Direction::Ahead => theirs + limit,
        Direction::Either | Direction::None => return None,
    };
    let is_outside = match pattern.direction {
        Direction::Behind => ours < edge,
        Direction::Ahead | Direction::Either | Direction::None => ours > edge,
    };
    let apart = (computed - edge).abs();
    let found = Contradiction { by_theirs: theirs - ours, by_edge: edge - ours };
    (apart > Duration::from_secs(1) || !is_outside).then_some(found)
}

/// The time that a line of a log begins with.
fn logged(head: &str) -> Option<(Realtime, bool)> {
    let head = head.trim_start_matches(['[', '{', '"', ' ', '(']);
    let stamp = head.get(..19)?;
    let is_stamp = stamp.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-' || byte == b'/',
        10 => byte == b'T' || byte == b' ',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    if !is_stamp {
        return None;
    }
    let rest = head.get(19..)?.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
    let stamp = stamp.replace('/', "-");
    let zoned = |zone: &str| Format::Rfc3339.parse(&format!("{stamp}{zone}"));
    match rest.as_bytes().first() {
        Some(b'Z' | b'z') => zoned("Z").map(|at| (at, true)),
        Some(b'+' | b'-') => rest.get(..6).or_else(|| rest.get(..5)).and_then(zoned).map(|at| (at, true)),
        Some(_) | None => zoned("Z").map(|at| (at, false)),
    }
}
