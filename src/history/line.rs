//! The line of a record, as the agent writes it.

use clockgate_history::VERSION;
use serde_json::{Map, Value, json};

use crate::decision::NamedContainer;
use crate::transition::{Fact, ReceivedAnswer, Transition};

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
