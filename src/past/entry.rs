//! One entry of a journal: the two clocks at its arrival, and what it reports of the clock.

use serde_json::Value;

use crate::decision::Realtime;

/// `SD_MESSAGE_SLEEP_START` and `SD_MESSAGE_SLEEP_STOP` of sd-messages.h.
const SLEEP_START: &str = "6bbd95ee977941e497c48be27c254128";
const SLEEP_STOP: &str = "8811e6df2a8e40f58a94cea26f8ebf14";

/// Who wrote an entry, as far as it matters for the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A program that keeps the clock and may have set it right: its name.
    Keeper(String),
    /// Any other program.
    Other,
}

/// What an entry reports beside the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockEvent {
    /// The machine goes to sleep.
    SleepStart,
    /// It has slept.
    SleepStop,
    /// A keeper has stepped the clock.
    Step,
    /// A time daemon begins to slew a clock that is wrong by more than a second: before this entry it was wrong, since an
    /// unknown time.
    Slew,
    /// Nothing of the clock.
    Nothing,
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// `_BOOT_ID`.
    pub boot: String,
    /// `CLOCK_REALTIME` when the journal received it (`__REALTIME_TIMESTAMP`).
    pub realtime: Realtime,
    /// `CLOCK_MONOTONIC` then, nanoseconds (`__MONOTONIC_TIMESTAMP`).
    pub monotonic: i64,
    /// Who wrote it.
    pub author: Author,
    /// What it reports.
    pub event: ClockEvent,
}

impl JournalEntry {
    /// Reads a line of `journalctl --output=json`; none where a field is missing.
    ///
    /// `keeper` says whether the program with this comm keeps clocks, `event_of` what a keeper's message reports of the clock.
    #[must_use]
    pub fn parse(line: &[u8], keeper: impl Fn(&str) -> bool, event_of: impl Fn(&str) -> ClockEvent) -> Option<Self> {
        let fields: Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| fields[name].as_str();
        let nanos = |name: &str| text(name)?.parse::<i64>().ok()?.checked_mul(1_000);
        // A daemon that was started under another name is known by the one that it logs under.
        let comms = ["_COMM", "SYSLOG_IDENTIFIER"].into_iter().filter_map(text);
        let author = comms.map(comm).find(|comm| keeper(comm));
        let event = match text("MESSAGE_ID") {
            Some(SLEEP_START) => ClockEvent::SleepStart,
            Some(SLEEP_STOP) => ClockEvent::SleepStop,
            Some(_) | None if author.is_some() => text("MESSAGE").map_or(ClockEvent::Nothing, event_of),
            Some(_) | None => ClockEvent::Nothing,
        };
        Some(Self {
            boot: text("_BOOT_ID")?.to_owned(),
            realtime: Realtime::from_nanos(nanos("__REALTIME_TIMESTAMP")?),
            monotonic: nanos("__MONOTONIC_TIMESTAMP")?,
            author: author.map_or(Author::Other, |name| Author::Keeper(name.to_owned())),
            event,
        })
    }

    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, nanoseconds: slewing bends both alike, so only steps, sleep and leap seconds move it.
    pub(super) const fn difference(&self) -> i64 {
        self.realtime.as_nanos().saturating_sub(self.monotonic)
    }
}

/// As the kernel cuts the name of a process (`TASK_COMM_LEN`).
fn comm(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<JournalEntry> {
        JournalEntry::parse(
            line.as_bytes(),
            |comm| comm == "keeps-the-clock",
            |message| {
                if message.contains("wrong by") { ClockEvent::Slew } else { ClockEvent::Nothing }
            },
        )
    }

    #[test]
    fn an_entry_is_read_with_its_author_and_what_it_tells() {
        let line = |rest: &str| {
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1790000000000001","__MONOTONIC_TIMESTAMP":"5000000","_BOOT_ID":"b"{rest}}}"#
            )
        };
        let plain = parse(&line("")).unwrap();
        assert_eq!((plain.realtime.as_nanos(), plain.monotonic), (1_790_000_000_000_001_000, 5_000_000_000));
        assert_eq!((&plain.author, plain.event), (&Author::Other, ClockEvent::Nothing));
        let keeper = Author::Keeper("keeps-the-clock".to_owned());
        let by_name = parse(&line(r#","_COMM":"python3","SYSLOG_IDENTIFIER":"keeps-the-clock""#)).unwrap();
        assert_eq!(by_name.author, keeper);
        let slew = parse(&line(r#","_COMM":"keeps-the-clock","MESSAGE":"wrong by 9 s""#)).unwrap();
        assert_eq!(slew.event, ClockEvent::Slew);
        let stranger = parse(&line(r#","_COMM":"sh","MESSAGE":"wrong by 9 s""#)).unwrap();
        assert_eq!(stranger.event, ClockEvent::Nothing);
        assert_eq!(parse(&line(&format!(r#","MESSAGE_ID":"{SLEEP_STOP}""#))).unwrap().event, ClockEvent::SleepStop);
        // journalctl prints a message that is no UTF-8 as a list of numbers.
        assert_eq!(parse(&line(r#","_COMM":"keeps-the-clock","MESSAGE":[1,2]"#)).unwrap().event, ClockEvent::Nothing);
        for broken in ["", "{}", "[]", "Hint: You are currently not seeing messages from other users"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
