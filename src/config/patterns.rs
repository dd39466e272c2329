//! Messages that `clockgate explain` knows: those of the program, and those of a host below `/etc/clockgate/explain.d`, which
//! count first. In front of the room of the patterns, as the only reader of YAML.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::yaml::{self, Value, YamlNode};
use super::{ConfigError, Fault, drop_ins};
use crate::duration;
use crate::explain::{Direction, EMBEDDED, Expression, Format, Otherwise, Pattern, Proves};
use crate::tolerance::ToleranceClass;

const FOLDER: &str = "etc/clockgate/explain.d";

/// All patterns, those of the host below `root` before those of the program.
///
/// # Errors
/// [`ConfigError`] with every fault of every file.
pub fn load(root: &Path) -> Result<Vec<Pattern>, ConfigError> {
    let (mut patterns, mut faults) = (vec![], vec![]);
    let folder = root.join(FOLDER);
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
        Err(error) => {
            let what = format!("cannot be listed: {error}");
            return Err(ConfigError { faults: vec![Fault { file: folder, line: None, key: None, what }] });
        }
    };
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    for file in files {
        match drop_ins::read(&file) {
            Ok(text) => take(&file, &text, true, &mut patterns, &mut faults),
            Err(what) => faults.push(Fault { file, line: None, key: None, what }),
        }
    }
    for (name, text) in EMBEDDED {
        take(Path::new(name), text, false, &mut patterns, &mut faults);
    }
    if faults.is_empty() { Ok(patterns) } else { Err(ConfigError { faults }) }
}

/// The patterns of a host's file whose text is there already.
///
/// # Errors
/// [`ConfigError`] with every fault of the text.
#[doc(hidden)]
pub fn load_text(file: &Path, text: &str) -> Result<Vec<Pattern>, ConfigError> {
    let (mut patterns, mut faults) = (vec![], vec![]);
    take(file, text, true, &mut patterns, &mut faults);
    if faults.is_empty() { Ok(patterns) } else { Err(ConfigError { faults }) }
}

fn take(file: &Path, text: &str, compile: bool, patterns: &mut Vec<Pattern>, faults: &mut Vec<Fault>) {
    let mut fault = |line: u64, key: Option<&str>, what: String| {
        let line = (line > 0).then_some(line);
        faults.push(Fault { file: file.to_owned(), line, key: key.map(str::to_owned), what });
    };
    let entries = match yaml::parse(text) {
        Ok(YamlNode { value: Value::List(entries), .. }) => entries,
        Ok(YamlNode { value: Value::Map(keys), .. }) if keys.is_empty() => vec![],
        Ok(node) => {
            return fault(node.line, None, "expected a list of messages, each beginning with `- id:`".to_owned());
        }
        Err(syntax) => return fault(syntax.line, None, syntax.message),
    };
    for entry in entries {
        let Value::Map(keys) = entry.value else {
            fault(entry.line, None, "expected a message with its keys, beginning with `- id:`".to_owned());
            continue;
        };
        let mut draft = Draft::default();
        for (key, node) in &keys {
            if let Err(what) = draft.set(key, &node.value, compile) {
                fault(node.line, Some(key), what);
            }
        }
        match draft.finish() {
            Ok(pattern) => patterns.push(pattern),
            Err(what) => fault(keys.first().map_or(entry.line, |(_, node)| node.line), None, what),
        }
    }
}

/// A pattern of which keys may be missing.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    issuer: Option<String>,
    literals: Vec<String>,
    regexes: Vec<String>,
    formats: Vec<Format>,
    unit: String,
    direction: Option<Direction>,
    proves: Option<Proves>,
    otherwise: Option<Otherwise>,
    tolerance: Option<Duration>,
    tolerance_source: String,
    refused_before_effect: bool,
    may_mean: String,
    next: String,
}

impl Draft {
    fn set(&mut self, key: &str, value: &Value, compile: bool) -> Result<(), String> {
        match key {
            "id" => self.id = Some(word(value)?),
            "issuer" => self.issuer = Some(word(value)?),
            "literal" => self.literals = words(value)?,
            "regex" => {
                self.regexes = words(value)?;
                if compile {
                    self.regexes.iter().try_for_each(|source| Expression::new(source.clone()).check())?;
                }
            }
            "formats" => {
                let named = |name: String| {
                    Format::named(&name).ok_or_else(|| {
                        format!(
                            "unknown format `{name}`: rfc3339, rfc2822, unix, unix-ms, unix-us, or strptime's with %"
                        )
                    })
                };
                self.formats = words(value)?.into_iter().map(named).collect::<Result<_, _>>()?;
            }
            "unit" => {
                self.unit = one_of(value, &["s", "min", "h", "d", "ms", "us"].map(|unit| (unit, unit.to_owned())))?
            }
            "direction" => {
                let all = [Direction::Behind, Direction::Ahead, Direction::Either, Direction::None];
                self.direction = Some(one_of(value, &all.map(|one| (one.name(), one)))?);
            }
            "proves" => {
                let all = [("clock", Proves::Clock), ("either", Proves::Either), ("other", Proves::Other)];
                self.proves = Some(one_of(value, &all)?);
            }
            "otherwise" => self.otherwise = Some(one_of(value, &OTHERWISE)?),
            "tolerance" => self.tolerance = Some(duration::parse(&word(value)?)?),
            "tolerance-of" => {
                let name = word(value)?;
                let class = ToleranceClass::named(&name)
                    .ok_or_else(|| format!("unknown class `{name}`, see `clockgate tolerances`"))?;
                self.tolerance = Some(class.tolerance);
                if self.tolerance_source.is_empty() {
                    class.source.clone_into(&mut self.tolerance_source);
                }
            }
            "tolerance-source" => self.tolerance_source = word(value)?,
            "refused-before-effect" => match value {
                Value::Switch(on) => self.refused_before_effect = *on,
                Value::Nothing | Value::Number(_) | Value::Odd(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                    return Err(format!("expected true or false, found {value}"));
                }
            },
            "may-mean" => self.may_mean = word(value)?,
            "next" => self.next = word(value)?,
            _ => return Err("unknown key".to_owned()),
        }
        Ok(())
    }

    fn finish(self) -> Result<Pattern, String> {
        let missing = |key: &str| format!("a message has no `{key}`");
        if self.literals.iter().all(String::is_empty) {
            return Err(missing("literal"));
        }
        Ok(Pattern {
            id: self.id.ok_or_else(|| missing("id"))?,
            issuer: self.issuer.ok_or_else(|| missing("issuer"))?,
            literals: self.literals,
            regexes: self.regexes.into_iter().map(Expression::new).collect(),
            formats: self.formats,
            unit: self.unit,
            direction: self.direction.ok_or_else(|| missing("direction"))?,
            proves: self.proves.ok_or_else(|| missing("proves"))?,
            otherwise: self.otherwise.unwrap_or(Otherwise::Unknown),
            tolerance: self.tolerance,
            tolerance_source: self.tolerance_source,
            refused_before_effect: self.refused_before_effect,
            may_mean: self.may_mean,
            next: self.next,
        })
    }
}

const OTHERWISE: [(&str, Otherwise); 6] = [
    ("credentials", Otherwise::Credentials),
    ("certificate", Otherwise::Certificate),
    ("stale-request", Otherwise::StaleRequest),
    ("time-zone", Otherwise::TimeZone),
    ("their-clock", Otherwise::TheirClock),
    ("unknown", Otherwise::Unknown),
];

fn word(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) | Value::Odd(text) if !text.is_empty() => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Nothing | Value::Switch(_) | Value::Odd(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            Err(format!("expected a string, found {value}"))
        }
    }
}

fn words(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::List(items) => items.iter().map(|item| word(&item.value)).collect(),
        Value::Nothing | Value::Switch(_) | Value::Number(_) | Value::Odd(_) | Value::Text(_) | Value::Map(_) => {
            word(value).map(|one| vec![one])
        }
    }
}

fn one_of<T: Clone>(value: &Value, allowed: &[(&str, T)]) -> Result<T, String> {
    let given = word(value)?;
    let found = allowed.iter().find(|(name, _)| *name == given).map(|(_, one)| one.clone());
    let names = || allowed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("`{given}` is not one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_program_is_without_fault_and_has_an_id_of_its_own() {
        let (mut patterns, mut faults) = (vec![], vec![]);
        for (name, text) in EMBEDDED {
            take(Path::new(name), text, true, &mut patterns, &mut faults);
        }
        assert!(faults.is_empty(), "{}", ConfigError { faults });
        let ids: std::collections::BTreeSet<&str> = patterns.iter().map(|pattern| pattern.id.as_str()).collect();
        assert_eq!(ids.len(), patterns.len());
    }

    #[test]
    fn a_hosts_own_message_counts_before_ours_and_its_faults_have_file_line_and_key() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        let good = "- id: a.b\n  issuer: a\n  literal: Signature expired\n  direction: behind\n  proves: clock\n";
        std::fs::write(folder.join("a.yaml"), good).unwrap();
        assert_eq!(load(root.path()).unwrap()[0].id, "a.b");
        for (text, line, key) in [
            ("- id: a\n  issuer: b\n  literal: c\n  direction: sideways\n  proves: clock\n", 4, Some("direction")),
            (
                "- id: a\n  issuer: b\n  literal: c\n  regex: '(?P<hours>x'\n  direction: none\n  proves: other\n",
                4,
                Some("regex"),
            ),
            (
                "- id: a\n  issuer: b\n  literal: c\n  regex: '(?P<hours>x)'\n  direction: none\n  proves: other\n",
                4,
                Some("regex"),
            ),
            ("- id: a\n  issuer: b\n  direction: none\n  proves: other\n", 1, None),
        ] {
            std::fs::write(folder.join("a.yaml"), text).unwrap();
            let faults = load(root.path()).unwrap_err().faults;
            assert!(faults.iter().any(|f| f.line == Some(line) && f.key.as_deref() == key), "{text}: {faults:?}");
        }
    }
}
