//! A record, borrowed from its line, so that a history of any length is read at once. Fields that are not named here are skipped.

use std::borrow::Cow;

use clockgate_page::time::{Boottime, Offset, Realtime};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::VERSION;

/// A line that was read.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryRecord<'a> {
    /// The line itself.
    #[serde(skip)]
    line: &'a str,
    version: u64,
    /// The boot that it was written in.
    #[serde(borrow, rename = "boot_id")]
    pub boot: Cow<'a, str>,
    boottime_ns: u64,
    realtime_ns: i64,
    /// The epoch.
    pub epoch: u64,
    #[serde(default)]
    since_boottime_ns: Option<u64>,
    /// The kind of event.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// Why the epoch began.
    #[serde(borrow, default)]
    pub cause: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    /// The epoch of the first sign of the disruption, where an earlier one began an epoch of its own.
    #[serde(default)]
    pub repeats_epoch: Option<u64>,
    /// The gate: `shut`, `open` or `unproven`; empty where the record has none.
    #[serde(borrow, default)]
    pub gate: Cow<'a, str>,
    #[serde(default)]
    offset_ns: Option<i64>,
    /// The most the clock was wrong at the last measurement of the epoch.
    #[serde(default)]
    pub bound_ns: Option<u64>,
    #[serde(default)]
    real_minus_boot_ns: Option<i64>,
    #[serde(default)]
    stepped_ns: Option<i64>,
    /// How many containers are frozen.
    #[serde(default)]
    pub frozen: Option<u64>,
    /// How many were to be frozen.
    #[serde(default)]
    pub frozen_of: Option<u64>,
    /// How many waiters the gate held.
    #[serde(default)]
    pub held: Option<u64>,
    /// How many waiters were woken.
    #[serde(default)]
    pub released: Option<u64>,
    /// The frozen containers.
    #[serde(borrow, default)]
    pub frozen_containers: Vec<RecordedContainer<'a>>,
    /// The held containers.
    #[serde(borrow, default)]
    pub held_containers: Vec<RecordedContainer<'a>>,
    /// The released containers.
    #[serde(borrow, default)]
    pub released_containers: Vec<RecordedContainer<'a>>,
    /// Who answered last, as JSON: most records repeat those of the one before.
    #[serde(borrow, default)]
    answers: Option<&'a RawValue>,
    /// The references that the agreement left out.
    #[serde(borrow, default)]
    pub falsetickers: Vec<Cow<'a, str>>,
    /// How many records before this one could not be written.
    #[serde(default)]
    pub lost: Option<u64>,
}

/// A container that a record names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct RecordedContainer<'a> {
    /// Its id; empty where it was not to be written down.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    /// Its name, where it is known.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
}

/// What one reference said.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct RecordedAnswer<'a> {
    /// Who said it.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// Its root distance when it was asked.
    pub root_distance_ns: u64,
    /// Whether the answer was authenticated.
    #[serde(default)]
    pub authenticated: bool,
}

impl<'a> HistoryRecord<'a> {
    /// Reads a line; none where it is torn, of a later version, or no record.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let record: Self = serde_json::from_str(line).ok()?;
        (record.version <= VERSION).then_some(Self { line, ..record })
    }

    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Boottime {
        Boottime::from_nanos(self.boottime_ns)
    }

    /// What the system clock showed then, right or wrong.
    #[must_use]
    pub const fn shown(&self) -> Realtime {
        Realtime::from_nanos(self.realtime_ns)
    }

    /// When its epoch began.
    #[must_use]
    pub fn epoch_began(&self) -> Option<Boottime> {
        self.since_boottime_ns.map(Boottime::from_nanos)
    }

    /// Reference minus local at the last measurement of the epoch, proven or not.
    #[must_use]
    pub fn measured(&self) -> Option<Offset> {
        self.offset_ns.map(Offset::from_nanos)
    }

    /// All steps of the epoch.
    #[must_use]
    pub fn stepped(&self) -> Option<Offset> {
        self.stepped_ns.map(Offset::from_nanos)
    }

    /// The true time minus `CLOCK_BOOTTIME`, where the record has a proof: what that says of the clocks' difference.
    #[must_use]
    pub fn truth(&self) -> Option<Offset> {
        let proven = self.real_minus_boot_ns.filter(|_| self.gate == "open");
        proven.map(|proven| Offset::from_nanos(proven) + self.measured().unwrap_or(Offset::ZERO))
    }

    /// What happened, in words: few readers want to know.
    #[must_use]
    pub fn message(&self) -> String {
        self.message.and_then(|message| serde_json::from_str(message.get()).ok()).unwrap_or_default()
    }

    /// The answers as they were written, to be compared with those of the record before.
    #[must_use]
    pub fn written_answers(&self) -> &'a str {
        self.answers.map_or("", RawValue::get)
    }

    /// Who answered last.
    #[must_use]
    pub fn answers(&self) -> Vec<RecordedAnswer<'a>> {
        serde_json::from_str(self.written_answers()).unwrap_or_default()
    }

    /// All that the line has, also what later versions added.
    #[must_use]
    pub fn fields(&self) -> Map<String, Value> {
        serde_json::from_str(self.line).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"version":1,"boot_id":"a\"b","boottime_ns":5,"realtime_ns":-7,"epoch":2,"event":"x","gate":"open","offset_ns":3,"real_minus_boot_ns":10,"new":{"a":[1]},"frozen_containers":[{"engine":"podman","id":"i"},{"engine":"docker","id":"j","name":"web"},{"engine":"docker"}]}"#;

    #[test]
    fn a_line_is_read_with_what_it_names_and_without_what_a_later_version_added() {
        let record = HistoryRecord::parse(LINE).unwrap();
        assert_eq!((&*record.boot, &*record.event, record.epoch), ("a\"b", "x", 2));
        assert_eq!((record.at().as_nanos(), record.shown().as_nanos()), (5, -7));
        assert_eq!(record.truth(), Some(Offset::from_nanos(13)));
        let names: Vec<_> = record.frozen_containers.iter().map(|one| one.name.as_deref().unwrap_or(&one.id)).collect();
        assert_eq!(names, ["i", "web", ""]);
        assert_eq!(record.fields()["new"]["a"][0], 1);
    }

    #[test]
    fn what_is_torn_or_no_record_or_of_a_later_version_is_skipped() {
        let later = LINE.replace(r#""version":1"#, r#""version":2"#);
        for line in ["", "{}", "[]", "null", "\u{0}", &later] {
            assert!(HistoryRecord::parse(line).is_none(), "{line}");
        }
        for end in 0..LINE.len() {
            assert!(HistoryRecord::parse(&LINE[..end]).is_none(), "cut at {end}");
        }
        assert!(HistoryRecord::parse(&format!(" {LINE}\r\n")).is_some());
    }
}
