//! A line of `journalctl --output=json`: what is read of it is the same when it is written again, alone.

use clockgate::past::{Author, ClockEvent, JournalEntry};
use serde_json::json;

const KEEPERS: [&str; 3] = ["chronyd", "ntpd", "systemd-timesyn"];

pub fn check(data: &[u8]) {
    let Some(entry) = parse(data) else { return };
    let is_known = match &entry.author {
        Author::Keeper(name) => KEEPERS.contains(&name.as_str()),
        Author::Other => true,
    };
    assert!(is_known, "{:?}", entry.author);
    let is_of_a_keeper = matches!(entry.event, ClockEvent::Step | ClockEvent::Slew);
    assert!(!is_of_a_keeper || entry.author != Author::Other, "a stranger reports of the clock: {entry:?}");
    assert!(entry.boot.len() <= data.len());
    // The journal counts microseconds.
    assert_eq!((entry.realtime.as_nanos() % 1000, entry.monotonic % 1000), (0, 0));
    assert_eq!(parse(&[data, b"{"].concat()), None, "a line that goes on behind its object");
    let alone = json!({
        "__REALTIME_TIMESTAMP": (entry.realtime.as_nanos() / 1000).to_string(),
        "__MONOTONIC_TIMESTAMP": (entry.monotonic / 1000).to_string(),
        "_BOOT_ID": entry.boot,
    });
    let again = parse(alone.to_string().as_bytes()).unwrap();
    assert_eq!((&again.boot, again.realtime, again.monotonic), (&entry.boot, entry.realtime, entry.monotonic));
    assert_eq!((again.author, again.event), (Author::Other, ClockEvent::Nothing));
}

fn parse(line: &[u8]) -> Option<JournalEntry> {
    JournalEntry::parse(
        line,
        |name| KEEPERS.contains(&name),
        |message| match message {
            stepped if stepped.contains("stepped") => ClockEvent::Step,
            wrong if wrong.contains("wrong by") => ClockEvent::Slew,
            _ => ClockEvent::Nothing,
        },
    )
}
