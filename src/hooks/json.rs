//! Members put into a JSON text, and everything else of it left as it is, to the byte.

use serde_json::Value;

/// Sets `default-runtime` and one of `runtimes` in the text of a `daemon.json`; `None` is a file that is not there.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn set_runtime(text: &str, name: &str, runtime: &Value) -> Result<String, String> {
    let wanted = {
        let mut value = parse(text)?;
        value["runtimes"][name] = runtime.clone();
        value["default-runtime"] = name.into();
        value
    };
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let top = Object::read(text, 0)?;
    let edited = match top.member("runtimes") {
        Some(runtimes) => {
            let inner = Object::read(text, runtimes.value.0)?;
            insert(text, &inner, name, runtime)
        }
        None => insert(text, &top, "runtimes", &serde_json::json!({ name: runtime })),
    };
    let top = Object::read(&edited, 0)?;
    let edited = match top.member("default-runtime") {
        Some(member) => splice(&edited, member.value.0, member.value.1, &Value::from(name).to_string()),
        None => insert(&edited, &top, "default-runtime", &name.into()),
    };
    // What Docker will read is what was meant, or nothing is written at all.
    if serde_json::from_str::<Value>(&edited).is_ok_and(|value| value == wanted) {
        return Ok(edited);
    }
    Err("cannot be edited without changing more of it: has it a key twice?".to_owned())
}

/// The text as a value: an object, whose `runtimes` is one too where there is any.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(serde_json::json!({}));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    if !value.is_object() {
        return Err("is no JSON object".to_owned());
    }
    if value.get("runtimes").is_some_and(|runtimes| !runtimes.is_object()) {
        return Err("its `runtimes` is no object".to_owned());
    }
    Ok(value)
}

/// Where the parts of an object lie in the text that holds it.
struct Object {
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

impl Object {
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

/// Puts a member behind the last one, in the manner of the others.
fn insert(text: &str, object: &Object, name: &str, value: &Value) -> String {
    let before = |at: usize| text.get(..at).unwrap_or_default();
    let indent = |at: usize| {
        let line = before(at).rsplit('\n').next().unwrap_or_default();
        line.chars().take_while(|c| c.is_whitespace()).collect::<String>()
    };
    let name = Value::from(name);
    match (object.members.first(), object.members.last()) {
        (Some(first), Some(last)) => {
            let gap = text.get(object.inside..first.name_at).unwrap_or_default();
            let (space, value) = if gap.contains('\n') {
                let own = indent(first.name_at);
                (format!("\n{own}"), pretty(value, &own, &unit(&own, &indent(object.inside))))
            } else {
                (" ".to_owned(), value.to_string())
            };
            splice(text, last.value.1, last.value.1, &format!(",{space}{name}: {value}"))
        }
        _ => {
            let outer = indent(object.inside);
            // Nothing tells how far in the next level is but the level that we are on.
            let unit = if outer.is_empty() { "    " } else { &outer };
            let own = format!("{outer}{unit}");
            let value = pretty(value, &own, unit);
            splice(text, object.inside, object.end, &format!("\n{own}{name}: {value}\n{outer}"))
        }
    }
}

/// By how much the inner text is further in than the outer.
fn unit(inner: &str, outer: &str) -> String {
    inner.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or("    ").to_owned()
}

/// Objects over several lines; everything else in one.
fn pretty(value: &Value, indent: &str, unit: &str) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let inner = format!("{indent}{unit}");
    let lines = members
        .iter()
        .map(|(name, value)| format!("{inner}{}: {}", Value::from(name.as_str()), pretty(value, &inner, unit)));
    format!("{{\n{}\n{indent}}}", lines.collect::<Vec<_>>().join(",\n"))
}

fn splice(text: &str, from: usize, to: usize, new: &str) -> String {
    let (before, after) = (text.get(..from).unwrap_or_default(), text.get(to..).unwrap_or_default());
    format!("{before}{new}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<String, String> {
        set_runtime(text, "clockgate-runc", &serde_json::json!({ "path": "/w" }))
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
    fn what_is_not_understood_is_not_touched() {
        for text in
            ["[]", "{", "{\"a\": 1,}", "// no\n{}", "{\"runtimes\": []}", "{\"runtimes\": null}", "nul", "{} {}"]
        {
            assert!(set(text).is_err(), "{text}");
        }
        let twice = r#"{"runtimes": {"a": {}}, "runtimes": {"b": {}}}"#;
        assert!(set(twice).unwrap_err().contains("twice"));
    }
}
