//! Members put into a JSON text, and everything else of it left as it is, to the byte.

use serde_json::{Value, json};

use crate::container::docker::parse;

/// Sets `default-runtime` and one of `runtimes` in the text of a `daemon.json`, which is empty where there is none.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn set_runtime(text: &str, name: &str, runtime: &Value) -> Result<String, String> {
    let is = Value::Object(parse(text)?);
    let mut wanted = is.clone();
    wanted["runtimes"][name] = runtime.clone();
    wanted["default-runtime"] = name.into();
    if is == wanted {
        return Ok(text.to_owned());
    }
    let (mark, text) = split_mark(text);
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let top = JsonObject::read(text, 0)?;
    let edited = match top.member("runtimes") {
        Some(null) if text.get(null.value.0..null.value.1) == Some("null") => {
            top.replace(text, null, &json!({ name: runtime }))
        }
        Some(runtimes) => {
            let inner = JsonObject::read(text, runtimes.value.0)?;
            // An entry with our name is of an install that was forgotten.
            inner
                .member(name)
                .map_or_else(|| inner.insert(text, name, runtime), |old| inner.replace(text, old, runtime))
        }
        None => top.insert(text, "runtimes", &json!({ name: runtime })),
    };
    let top = JsonObject::read(&edited, 0)?;
    let edited = match top.member("default-runtime") {
        Some(member) => top.replace(&edited, member, &name.into()),
        None => top.insert(&edited, "default-runtime", &name.into()),
    };
    // What Docker will read is what was meant, or nothing is written at all.
    if serde_json::from_str::<Value>(&edited).is_ok_and(|value| value == wanted) {
        return Ok(format!("{mark}{edited}"));
    }
    Err("cannot be edited without other changes: check for a duplicate key".to_owned())
}

/// The byte order mark at the beginning, where there is one, and the text behind it.
fn split_mark(text: &str) -> (&str, &str) {
    let text_at = text.len() - text.trim_start_matches('\u{feff}').len();
    text.split_at(text_at)
}

/// Where the parts of an object lie in the text that holds it.
struct JsonObject {
    members: Vec<Member>,
    /// Just behind the opening brace.
    inside: usize,
    /// At the closing brace.
    end: usize,
}

struct Member {
    name: String,
    name_at: usize,
    value: (usize, usize),
}

impl JsonObject {
    /// Finds the members of the object that begins at or behind `at`. The text is known to be JSON, so little can go wrong.
    fn read(text: &str, at: usize) -> Result<Self, String> {
        let cannot = || "cannot be edited".to_owned();
        let open = at + text.get(at..).and_then(|rest| rest.find('{')).ok_or_else(cannot)?;
        let mut object = Self { members: vec![], inside: open + 1, end: open + 1 };
        let mut at = skip_space(text, open + 1);
        while text.as_bytes().get(at) == Some(&b'"') {
            let name_end = value_end(text, at)?;
            let colon = skip_space(text, name_end);
            let from = skip_space(text, colon + 1);
            let to = value_end(text, from)?;
            let name = serde_json::from_str(text.get(at..name_end).unwrap_or_default()).map_err(|_| cannot())?;
            object.members.push(Member { name, name_at: at, value: (from, to) });
            at = skip_space(text, to);
            if text.as_bytes().get(at) == Some(&b',') {
                at = skip_space(text, at + 1);
            }
        }
        object.end = at;
        if text.as_bytes().get(at) == Some(&b'}') { Ok(object) } else { Err(cannot()) }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Puts a member behind the last one, in the manner of the others.
    fn insert(&self, text: &str, name: &str, value: &Value) -> String {
        let name = Value::from(name);
        match self.members.last() {
            Some(last) => {
                let space = self.indent(text).map_or_else(|| " ".to_owned(), |own| format!("{}{own}", line_end(text)));
                splice(text, last.value.1, last.value.1, &format!(",{space}{name}: {}", self.laid_out(text, value)))
            }
            None => {
                let outer = indent(text, self.inside);
                // Only the level that we are on shows how far in the next level is.
                let unit = if outer.is_empty() { "    " } else { &outer };
                let own = format!("{outer}{unit}");
                let (end, value) = (line_end(text), pretty(value, &own, unit, line_end(text)));
                splice(text, self.inside, self.end, &format!("{end}{own}{name}: {value}{end}{outer}"))
            }
        }
    }

    /// Puts another value in the place of a member's.
    fn replace(&self, text: &str, member: &Member, value: &Value) -> String {
        splice(text, member.value.0, member.value.1, &self.laid_out(text, value))
    }

    /// A value as the members of this object are laid out: in one line with them, or over several.
    fn laid_out(&self, text: &str, value: &Value) -> String {
        self.indent(text).map_or_else(
            || value.to_string(),
            |own| pretty(value, &own, &unit(&own, &indent(text, self.inside)), line_end(text)),
        )
    }

    /// How far in the members stand; none where they stand in one line with the brace.
    fn indent(&self, text: &str) -> Option<String> {
        let first = self.members.first()?;
        let gap = text.get(self.inside..first.name_at).unwrap_or_default();
        gap.contains('\n').then(|| indent(text, first.name_at))
    }
}

/// The white space at the beginning of a line.
fn indent(text: &str, at: usize) -> String {
    let line = text.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    line.chars().take_while(|c| c.is_whitespace()).collect()
}

/// How the lines of a text end.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + (rest.len() - rest.trim_start().len())
}

/// Behind the value that begins at `at`.
fn value_end(text: &str, at: usize) -> Result<usize, String> {
    let rest = text.get(at..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(at + values.byte_offset()),
        _ => Err("cannot be edited".to_owned()),
    }
}

/// By how much the inner text is further in than the outer.
fn unit(inner: &str, outer: &str) -> String {
    inner.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or("    ").to_owned()
}

/// Objects over several lines; everything else in one.
fn pretty(value: &Value, indent: &str, unit: &str, end: &str) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let inner = format!("{indent}{unit}");
    let lines = members
        .iter()
        .map(|(name, value)| format!("{inner}{}: {}", Value::from(name.as_str()), pretty(value, &inner, unit, end)));
    format!("{{{end}{}{end}{indent}}}", lines.collect::<Vec<_>>().join(&format!(",{end}")))
}

fn splice(text: &str, from: usize, to: usize, new: &str) -> String {
    let (before, after) = (text.get(..from).unwrap_or_default(), text.get(to..).unwrap_or_default());
    format!("{before}{new}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<String, String> {
        set_runtime(text, "clockgate-runc", &json!({ "path": "/w" }))
    }

    #[test]
    fn no_file_and_an_empty_one_become_a_readable_one() {
        let whole = "{\n    \"runtimes\": {\n        \"clockgate-runc\": {\n            \"path\": \"/w\"\n        }\n    },\n    \
                     \"default-runtime\": \"clockgate-runc\"\n}\n";
        for text in ["", "{}\n", " \n", "{ }\n"] {
            assert_eq!(set(text).as_deref(), Ok(whole), "{text:?}");
        }
    }

    #[test]
    fn what_is_there_stays_to_the_byte() {
        let text = "{\n\t\"log-driver\" :  \"journald\",\n\n\t\"runtimes\": {\n\t\t\"kata\": { \"path\":\"/k\" }\n\t},\n\t\"x\": [1,\n2]}";
        let edited = set(text).unwrap();
        assert_eq!(
            edited,
            "{\n\t\"log-driver\" :  \"journald\",\n\n\t\"runtimes\": {\n\t\t\"kata\": { \"path\":\"/k\" },\n\t\t\"clockgate-runc\": {\n\t\t\t\"path\": \"/w\"\n\t\t}\n\t},\n\t\"x\": [1,\n2],\n\t\"default-runtime\": \"clockgate-runc\"}"
        );
        assert_eq!(
            set("{\"a\": {\"runtimes\": 1}, \"default-runtime\": \"kata\"}").unwrap(),
            "{\"a\": {\"runtimes\": 1}, \"default-runtime\": \"clockgate-runc\", \"runtimes\": {\"clockgate-runc\":{\"path\":\"/w\"}}}"
        );
        // A key that looks like ours in a text, an escaped name, a name of two bytes.
        assert!(set(r#"{"labels": ["\"runtimes\": {"], "d\u0065fault-runtime": "ä}{", "runtimes": {}}"#).is_ok());
    }

    #[test]
    fn a_byte_order_mark_line_ends_and_null_are_taken_as_they_are() {
        assert_eq!(
            set("\u{feff}{\r\n  \"runtimes\": null,\r\n  \"default-runtime\": \"\"\r\n}\r\n").unwrap(),
            "\u{feff}{\r\n  \"runtimes\": {\r\n    \"clockgate-runc\": {\r\n      \"path\": \"/w\"\r\n    }\r\n  },\r\n  \"default-runtime\": \"clockgate-runc\"\r\n}\r\n"
        );
        assert_eq!(
            set(r#"{"runtimes":null}"#).unwrap(),
            r#"{"runtimes":{"clockgate-runc":{"path":"/w"}}, "default-runtime": "clockgate-runc"}"#
        );
    }

    #[test]
    fn what_an_install_that_was_forgotten_left_is_not_put_in_twice() {
        assert_eq!(
            set(r#"{"runtimes": {"clockgate-runc": {"path": "/old"}}}"#).unwrap(),
            r#"{"runtimes": {"clockgate-runc": {"path":"/w"}}, "default-runtime": "clockgate-runc"}"#
        );
    }

    #[test]
    fn what_is_set_already_keeps_its_layout() {
        let text =
            "{\"runtimes\"\n: {\n  \"clockgate-runc\":\n{\"path\": \"/w\"}},\"default-runtime\":\"clockgate-runc\"}";
        assert_eq!(set(text).as_deref(), Ok(text));
    }

    #[test]
    fn what_is_not_understood_is_not_touched() {
        for text in ["[]", "{", "{\"a\": 1,}", "// no\n{}", "{\"runtimes\": []}", "nul", "{} {}"] {
            assert!(set(text).is_err(), "{text}");
        }
        let twice = r#"{"runtimes": {"a": {}}, "runtimes": {"b": {}}}"#;
        assert!(set(twice).unwrap_err().contains("duplicate key"));
    }
}
