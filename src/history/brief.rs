//! A record in brief: the fields that a report reads, borrowed from the line, so that a history of any length is read at once.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Gap, Stamp, VERSION, record::truth};
use crate::decision::{Boottime, Offset, Realtime};

/// A line that was read; fields that are not named here are skipped.
#[derive(Clone, Debug, Deserialize)]
pub struct BriefRecord<'a> {
    version: u64,
    /// The boot that it was written in.
    #[serde(borrow, rename = "boot_id")]
    pub boot: Cow<'a, str>,
    boottime_ns: u64,
    realtime_ns: i64,
    /// The epoch.
    pub epoch: u64,
    /// When it began, nanoseconds since boot.
    #[serde(default)]
    pub since_boottime_ns: Option<u64>,
    /// The kind of event.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// Why the epoch began.
    #[serde(borrow, default)]
    pub cause: Cow<'a, str>,
    /// The gate: `shut`, `open` or `unproven`; empty where the record has none.
    #[serde(borrow, default)]
    pub gate: Cow<'a, str>,
    /// Reference minus local at the last measurement of the epoch.
    #[serde(default)]
    pub offset_ns: Option<i64>,
    /// The most the clock was wrong then.
    #[serde(default)]
    pub bound_ns: Option<u64>,
    #[serde(default)]
    real_minus_boot_ns: Option<i64>,
    /// All steps of the epoch.
    #[serde(default)]
    pub stepped_ns: Option<i64>,
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
    pub frozen_containers: Vec<BriefContainer<'a>>,
    /// The held containers.
    #[serde(borrow, default)]
    pub held_containers: Vec<BriefContainer<'a>>,
    /// The released containers.
    #[serde(borrow, default)]
    pub released_containers: Vec<BriefContainer<'a>>,
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
pub struct BriefContainer<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Its name, where it is known.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
}

/// What one reference said.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct BriefAnswer<'a> {
    /// Who said it.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// Reference minus local.
    pub offset_ns: i64,
    /// Its root distance when it was asked.
    pub root_distance_ns: u64,
    /// Whether the answer was authenticated.
    #[serde(default)]
    pub authenticated: bool,
}

impl<'a> BriefRecord<'a> {
    /// Reads a line; none where it is torn, of a later version, or no record.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let record: Self = serde_json::from_str(line).ok()?;
        (record.version <= VERSION).then_some(record)
    }

    /// The answers as they were written, to be compared with those of the record before.
    #[must_use]
    pub fn written_answers(&self) -> &'a str {
        self.answers.map_or("", RawValue::get)
    }

    /// Who answered last.
    #[must_use]
    pub fn answers(&self) -> Vec<BriefAnswer<'a>> {
        serde_json::from_str(self.written_answers()).unwrap_or_default()
    }

    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Boottime {
        Boottime::from_nanos(self.boottime_ns)
    }

    /// What dates it, where `gap` is what lies before it.
    #[must_use]
    pub fn stamp(&self, gap: Gap) -> Stamp {
        let measured = self.offset_ns.map(Offset::from_nanos);
        let truth = truth(Some(&self.gate), self.real_minus_boot_ns, measured);
        Stamp { gap, at: self.at(), shown: Realtime::from_nanos(self.realtime_ns), truth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::HistoryRecord;

    const LINE: &str = r#"{"version":1,"boot_id":"a\"b","boottime_ns":5,"realtime_ns":-7,"epoch":2,"event":"x","gate":"open","offset_ns":3,"real_minus_boot_ns":10,"new":{"a":[1]},"frozen_containers":[{"engine":"podman","id":"i"},{"engine":"docker","id":"j","name":"web"}]}"#;

    #[test]
    fn a_line_is_read_in_brief_as_it_is_read_whole() {
        let (brief, whole) = (BriefRecord::parse(LINE).unwrap(), HistoryRecord::parse(LINE).unwrap());
        let stamp = brief.stamp(Gap::None);
        assert_eq!((&*brief.boot, &*brief.event, brief.epoch), (&*whole.boot, &*whole.event, whole.epoch));
        assert_eq!((stamp.at, stamp.shown, stamp.truth), (whole.at, whole.shown, whole.truth));
        let names: Vec<_> = brief.frozen_containers.iter().map(|one| one.name.as_deref().unwrap_or(&one.id)).collect();
        assert_eq!(names, ["i", "web"]);
    }

    #[test]
    fn what_one_of_the_two_skips_the_other_skips_too() {
        let later = LINE.replace(r#""version":1"#, r#""version":2"#);
        for line in ["", "{}", "[]", "null", "\u{0}", &later, LINE, &LINE[..LINE.len() - 1]] {
            assert_eq!(BriefRecord::parse(line).is_some(), HistoryRecord::parse(line).is_some(), "{line}");
        }
    }
}
