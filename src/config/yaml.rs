//! YAML as it is written: every key and value with its line, nothing judged. The only user of the YAML crate.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::{MessageFormatter, Spanned, UserMessageFormatter};

/// Nested deeper than any of our keys, and far from what a parser could stumble over.
const MAX_DEPTH: usize = 16;
/// A fragment has a few dozen lines; aliases that unfold to more than this are an attack or an accident.
const MAX_NODES: usize = 10_000;

/// A value and the line that it is written on.
#[derive(Clone, Debug, PartialEq)]
pub struct YamlNode {
    /// Line in the file, from 1; 0 where the parser does not say.
    pub line: u64,
    /// What is written there.
    pub value: Value,
}

/// What YAML makes of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `key:` with nothing after it, `~` or `null`.
    Nothing,
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// A number that is not whole, or too large for its kind; kept as it reads.
    Odd(String),
    /// Any other scalar.
    Text(String),
    /// A list.
    List(Vec<YamlNode>),
    /// A mapping, in the order of the file; the line is the key's.
    Map(Vec<(String, YamlNode)>),
}

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Syntax {
    /// Line in the file, from 1; 0 where the parser does not say.
    pub line: u64,
    /// What the parser made of it.
    pub message: String,
}

/// Parses one file; an empty one, or one of comments, is an empty mapping.
///
/// # Errors
/// [`Syntax`]: the parser stops at the first fault.
pub fn parse(text: &str) -> Result<YamlNode, Syntax> {
    // A truly empty document would be refused; the parser calls the lack of any value an end of file.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(YamlNode { line: 1, value: Value::Map(vec![]) });
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 2 },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options::<Spanned<Value>>(text, options).map(YamlNode::from).map_err(|error| Syntax {
        line: error.location().map_or(0, |l| l.line()),
        message: UserMessageFormatter.format_message(error.without_snippet()).into_owned(),
    })
}

impl From<Spanned<Value>> for YamlNode {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { line: spanned.referenced.line(), value: spanned.value }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Odd(text) | Self::Text(text) => write!(f, "`{text}`"),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a mapping"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit)
    }
}

struct Visit;

impl<'de> Visitor<'de> for Visit {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, on: bool) -> Result<Value, E> {
        Ok(Value::Switch(on))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| Value::Odd(number.to_string()), Value::Number))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Odd(number.to_string()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Value, E> {
        Ok(Value::Odd(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Odd(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(E::custom("binary data is not allowed here"))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = vec![];
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = vec![];
        while let Some(key) = entries.next_key::<Spanned<Value>>()? {
            let name = match key.value {
                Value::Text(text) | Value::Odd(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Switch(on) => on.to_string(),
                Value::Nothing | Value::List(_) | Value::Map(_) => {
                    return Err(A::Error::custom("a key must be a string"));
                }
            };
            let value = entries.next_value::<Value>()?;
            map.push((name, YamlNode { line: key.referenced.line(), value }));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Vec<(String, YamlNode)> {
        match parse(text).map(|n| n.value) {
            Ok(Value::Map(map)) => map,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_value_has_its_line_and_kind() {
        let read = map("a: 5\n\n# b\nb:\n  c: [x,\n   7]\nd: true\ne:\nf: 1.5\n'g': \"5\"\n");
        let lines: Vec<(&str, u64)> = read.iter().map(|(key, node)| (key.as_str(), node.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 4), ("d", 7), ("e", 8), ("f", 9), ("g", 10)]);
        assert_eq!(read[0].1.value, Value::Number(5));
        let Value::Map(inner) = &read[1].1.value else { panic!() };
        let Value::List(list) = &inner[0].1.value else { panic!() };
        assert_eq!((inner[0].1.line, list[0].line, list[1].line), (5, 5, 6));
        assert_eq!(read[2].1.value, Value::Switch(true));
        assert_eq!(read[3].1.value, Value::Nothing);
        assert_eq!(read[4].1.value, Value::Odd("1.5".to_owned()));
        assert_eq!(read[5].1.value, Value::Text("5".to_owned()));
    }

    #[test]
    fn comments_alone_and_nothing_are_an_empty_mapping() {
        assert!(map("").is_empty());
        assert!(map("# only\n\n   # this\n").is_empty());
    }

    #[test]
    fn a_fault_in_the_syntax_names_its_line() {
        for (text, line) in [("a: 1\nb: [1,\n", 2), ("a: 1\na: 2\n", 2), ("a: 1\n b: 2\n", 2), ("a: 1\n---\nb: 2\n", 3)]
        {
            match parse(text) {
                Err(fault) => assert_eq!(fault.line, line, "{text:?}: {fault}"),
                Ok(node) => panic!("{text:?} was read as {node:?}"),
            }
        }
    }

    #[test]
    fn a_bomb_of_aliases_does_not_go_off() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let before = format!("*a{}", n - 1);
            let many = [before.as_str(); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{many}]\n"));
        }
        assert!(parse(&text).is_err());
    }
}
