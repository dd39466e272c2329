//! A document of YAML as a tree of texts: what a text means is for those to know who ask for it by name.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Reads the first document. A key without a value is as if it were not there.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = vec![];
    for next in Parser::new_from_str(text) {
        let (event, _) = next.map_err(|error| error.to_string())?;
        let whole = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(vec![]));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Table(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Table(table, _)) => Value::Object(table),
                None => return Err("an end without a beginning".to_owned()),
            },
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "" | "~" | "null") => Value::Null,
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => continue,
            Event::Alias(_) | Event::Anchor(..) | Event::UnresolvedAlias(_) => {
                return Err("it has an alias, which is not read".to_owned());
            }
            _ => return Err("it has what no kubeconfig needs".to_owned()),
        };
        match open.last_mut() {
            Some(within) => within.take(whole)?,
            None => return Ok(whole),
        }
    }
    Ok(Value::Null)
}

/// What has begun and not ended.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Table(Map<String, Value>, Option<String>),
}

impl Open {
    fn take(&mut self, value: Value) -> Result<(), String> {
        match (self, value) {
            (Self::List(list), value) => list.push(value),
            (Self::Table(table, key), value) => match (key.take(), value) {
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err("a key that is no text".to_owned()),
                (Some(_), Value::Null) => {}
                (Some(name), value) => {
                    if table.insert(name.clone(), value).is_some() {
                        return Err(format!("the key `{name}` is there twice"));
                    }
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_stays_as_it_was_written() {
        let text = "# a comment\na: 007\nb: 'it''s'\nc: [yes, {d: \"x\\ty\"}, 1e3]\ne:\n- |\n  two\n  lines\n- >-\n  one\n  line\n";
        let tree =
            json!({ "a": "007", "b": "it's", "c": ["yes", { "d": "x\ty" }, "1e3"], "e": ["two\nlines\n", "one line"] });
        assert_eq!(parse(text), Ok(tree));
        assert_eq!(parse(r#"{"kind": "Config", "users": []}"#), Ok(json!({ "kind": "Config", "users": [] })));
    }

    #[test]
    fn a_key_without_a_value_is_not_there_and_of_several_documents_the_first_is_read() {
        assert_eq!(parse("---\na:\nb: ~\nc: null\nd: 'null'\n---\ne: f\n"), Ok(json!({ "d": "null" })));
        assert_eq!(parse(""), Ok(Value::Null));
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for wrong in ["a: &x b\nc: *x", "a: b\na: c", "[a]: b", "a: [b", &"[".repeat(10_000)] {
            assert!(parse(wrong).is_err(), "{wrong:.20}");
        }
    }
}
