//! What doctor may print somewhere: a file of `tests/doctor/lists` with a line for each check.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::outcome::{Outcome, ensure};

/// Fails unless each check is in the list with the result that it has. A line is an id, the results that it may have with `|` between
/// them, and why; a `fail` needs a reason behind it that says why it is true.
pub fn is_listed(name: &str, said: &Value) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/lists").join(name);
    let wrong = differences(&fs::read_to_string(path)?, said);
    ensure(wrong.is_empty(), format!("{name}: {wrong:#?}\n{said:#}"))
}

fn differences(list: &str, said: &Value) -> Vec<String> {
    let lines: Vec<(&str, &str, &str)> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| {
            let (id, rest) = line.split_once(' ')?;
            let (results, why) = rest.split_once(' ').unwrap_or((rest, ""));
            Some((id, results, why))
        })
        .collect();
    let checks: Vec<&Value> = said["checks"].as_array().into_iter().flatten().collect();
    let mut wrong = vec![];
    if checks.is_empty() {
        wrong.push("no check was made".to_owned());
    }
    for check in checks {
        let (id, result) = (check["id"].as_str().unwrap_or_default(), check["result"].as_str().unwrap_or_default());
        match lines.iter().find(|(listed, ..)| *listed == id) {
            None => wrong.push(format!("{id} is not listed: {check}")),
            Some((_, results, _)) if !results.split('|').any(|one| one == result) => {
                wrong.push(format!("{id} is {result}, and {results} is listed: {check}"));
            }
            Some((_, _, "")) if result == "fail" => wrong.push(format!("{id} fails, and nothing says why: {check}")),
            Some(_) => {}
        }
    }
    wrong
}
