//! The rules and their tests, parsed as Prometheus and promtool do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::shipped::{RULES, text};

/// The tests of the rules.
pub const TESTS: &str = "clockgate.rules.test.yaml";

#[derive(Debug, Deserialize)]
struct RuleFile {
    groups: Vec<RuleGroup>,
}

#[derive(Debug, Deserialize)]
struct RuleGroup {
    rules: Vec<Rule>,
}

/// An alerting rule.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    pub alert: String,
    pub expr: String,
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// The rules that are shipped.
pub fn rules() -> Vec<Rule> {
    let file: RuleFile = serde_saphyr(&text(RULES).unwrap());
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

#[derive(Debug, Deserialize)]
struct TestFile {
    tests: Vec<RuleTest>,
}

/// A test of promtool's.
#[derive(Debug, Deserialize)]
pub struct RuleTest {
    pub name: String,
    #[serde(rename = "alert_rule_test")]
    pub moments: Vec<Moment>,
}

/// Which alerts there are at a moment.
#[derive(Debug, Deserialize)]
pub struct Moment {
    pub alertname: String,
    /// Whole minutes, as `4m`.
    pub eval_time: String,
    #[serde(default)]
    pub exp_alerts: Vec<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Moment {
    pub fn minutes(&self) -> u32 {
        self.eval_time.strip_suffix('m').and_then(|minutes| minutes.parse().ok()).unwrap()
    }
}

/// The tests that are shipped.
pub fn tests() -> Vec<RuleTest> {
    serde_saphyr::<TestFile>(&text(TESTS).unwrap()).tests
}

fn serde_saphyr<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

/// The names of clockgate's metrics in a query, without what a histogram adds to its lines.
pub fn metrics(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("clockgate_"));
    let stem = |word: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    ours.map(stem).collect()
}
