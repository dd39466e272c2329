//! A record as a line of JSON, and back.

use serde_json::{Map, Value, json};

use super::VERSION;
use crate::decision::{Boottime, NamedContainer, Offset, Realtime};
use crate::transition::{Fact, ReceivedAnswer, Transition};

/// A line that was read. Fields of later versions are kept in `fields` and mean nothing here.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRecord {
    /// The boot that it was written in.
    pub boot: String,
    /// When it happened.
    pub at: Boottime,
    /// What the system clock showed then, right or wrong.
    pub shown: Realtime,
    /// The epoch.
    pub epoch: u64,
    /// When it began.
    pub epoch_began: Option<Boottime>,
    /// The kind of event.
    pub event: String,
    /// Why the epoch began.
    pub cause: String,
    /// What happened, in words.
    pub message: String,
    /// The true time minus `CLOCK_BOOTTIME`, where the record has a proof.
    pub truth: Option<Offset>,
    /// Reference minus local at the last measurement of the epoch, proven or not.
    pub measured: Option<Offset>,
    /// The whole line.
    pub fields: Map<String, Value>,
}

impl HistoryRecord {
    /// Reads a line; none where it is torn, of a later version, or no record.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let number = |name: &str| fields.get(name).and_then(Value::as_i64);
        if fields.get("version")?.as_u64()? > VERSION {
            return None;
        }
        let measured = number("offset_ns").map(Offset::from_nanos);
        Some(Self {
            boot: text("boot_id")?.to_owned(),
            at: Boottime::from_nanos(number("boottime_ns")?.try_into().ok()?),
            shown: Realtime::from_nanos(number("realtime_ns")?),
            epoch: number("epoch")?.try_into().ok()?,
            epoch_began: number("since_boottime_ns").and_then(|at| at.try_into().ok()).map(Boottime::from_nanos),
            event: text("event")?.to_owned(),
            cause: text("cause").unwrap_or_default().to_owned(),
            message: text("message").unwrap_or_default().to_owned(),
            truth: truth(text("gate"), number("real_minus_boot_ns"), measured),
            measured,
            fields,
        })
    }

    /// The line of a record, which ends it. `lost` is how many records before it could not be written.
    #[must_use]
    pub fn line(happened: &Transition, boot: &str, lost: u64) -> String {
        let mut fields = Map::new();
        fields.insert("version".to_owned(), VERSION.into());
        fields.insert("boot_id".to_owned(), boot.into());
        fields.extend(happened.facts().into_iter().map(|(name, fact)| (name.to_owned(), value(fact))));
        fields.insert("message".to_owned(), happened.line().into());
        if lost > 0 {
            fields.insert("lost".to_owned(), lost.into());
        }
        format!("{}\n", Value::Object(fields))
    }
}

/// The true time minus `CLOCK_BOOTTIME`: what a proof says of the clocks' difference.
pub(super) fn truth(gate: Option<&str>, real_minus_boot_ns: Option<i64>, measured: Option<Offset>) -> Option<Offset> {
    let proven = real_minus_boot_ns.filter(|_| gate == Some("open"));
    proven.map(|proven| Offset::from_nanos(proven) + measured.unwrap_or(Offset::ZERO))
}

fn value(fact: Fact) -> Value {
    match fact {
        Fact::Number(number) => number.into(),
        Fact::Text(text) => text.into(),
        Fact::Texts(texts) => texts.into(),
        Fact::Containers(containers) => containers.iter().map(container).collect(),
        Fact::Answers(answers) => answers.iter().map(answer).collect(),
    }
}

/// What may not be written down, or is not known, is left out.
fn container(container: &NamedContainer) -> Value {
    let NamedContainer { engine, id, name } = container;
    let id = Some(id).filter(|id| !id.is_empty());
    let known = [("engine", Some(*engine)), ("id", id.map(String::as_str)), ("name", name.as_deref())];
    known.into_iter().filter_map(|(field, text)| Some((field, text?))).collect()
}

fn answer(answer: &ReceivedAnswer) -> Value {
    json!({
        "source": answer.source,
        "kind": answer.kind.to_string(),
        "offset_ns": answer.offset.as_nanos(),
        "root_distance_ns": answer.root_distance_ns(),
        "authenticated": answer.authenticated,
    })
}
