//! Texts with error messages: cut into pieces they say the same, and what is printed is no part of them.

use std::path::Path;
use std::sync::OnceLock;

use clockgate::config::patterns;
use clockgate::decision::{Offset, Realtime};
use clockgate::explain::{Findings, Literals, Match, Now, Scanner, World, json, judge, pem, text};

fn literals() -> &'static Literals {
    static ALL: OnceLock<Literals> = OnceLock::new();
    ALL.get_or_init(|| Literals::new(patterns::load(Path::new("/nonexistent")).unwrap()).unwrap())
}

fn scanned<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Findings<'static> {
    let mut scanner = Scanner::new(literals());
    pieces.for_each(|piece| scanner.feed(piece));
    scanner.finish()
}

pub fn check(data: &[u8]) {
    if let Some(written) = super::text(data) {
        let _ = pem(written).map(|one| one.until.zip(one.from));
    }
    let findings = scanned(std::iter::once(data));
    let length = 1 + usize::from(data.first().copied().unwrap_or(0));
    let pieces = scanned(data.chunks(length));
    assert_eq!(found(&findings), found(&pieces), "cut into pieces of {length} bytes");
    assert_eq!(findings.lifetimes, pieces.lifetimes, "cut into pieces of {length} bytes");
    let lines = data.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    for one in &findings.matches {
        assert!((1..=lines).contains(&one.line), "line {} of {lines}", one.line);
    }
    let now = |offset| Now { offset, root_distance: std::time::Duration::from_millis(5), supporters: Some(4) };
    let offset = [None, Some(Offset::ZERO), Some(Offset::from_secs(-7200))][data.len() % 3];
    let world = World {
        now: offset.map(now),
        local: Some(Realtime::from_secs(1_782_561_600)),
        zone_secs: 7200,
        lifetimes: findings.lifetimes,
    };
    let explained = judge(findings.matches, &world, |_| None);
    let printed = text(&explained, world.zone_secs);
    let is_plain = printed.chars().all(|c| c == '\n' || !c.is_control());
    assert!(is_plain && printed.ends_with('\n'), "{printed:?}");
    assert_eq!(json(&explained)["version"], 2);
}

/// What was found, without the patterns by which it was.
fn found(findings: &Findings<'_>) -> Vec<String> {
    let one = |one: &Match<'_>| {
        let times = (one.ours, one.theirs, one.limit, one.said, one.logged);
        format!("{} {} {times:?} {:?} {:?}", one.pattern.id, one.line, one.direction, one.wording)
    };
    findings.matches.iter().map(one).collect()
}
