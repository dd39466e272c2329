//! What is shipped in packaging/prometheus: the rules, their tests and the dashboard, as their readers parse them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A file of packaging/prometheus.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name)
}

/// Its text.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The name of the file with the rules, which the file with their tests has too.
pub const RULES: &str = "clockgate.rules.yaml";
/// The alerts that fire in a guest whose clock is set; all others fire beside agents that run here.
pub const SEEN_IN_A_GUEST: [&str; 4] =
    ["ClockgateFrozenTooLong", "ClockgateSetByOthers", "ClockgateDaemonDisagrees", "ClockgateSecondOpinion"];
/// The tests of the rules.
pub const TESTS: &str = "clockgate.rules.test.yaml";
/// The dashboard.
pub const DASHBOARD: &str = "dashboard.json";

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
    let file: RuleFile = serde_saphyr(&text(RULES));
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
    serde_saphyr::<TestFile>(&text(TESTS)).tests
}

fn serde_saphyr<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

/// A panel of the dashboard, with its queries.
#[derive(Debug)]
pub struct Panel {
    pub title: String,
    pub queries: Vec<String>,
}

/// The panels of the dashboard.
pub fn panels() -> Vec<Panel> {
    let board: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let panel = |panel: &Value| Panel {
        title: panel["title"].as_str().unwrap().to_owned(),
        queries: panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["expr"].as_str().unwrap().to_owned())
            .collect(),
    };
    board["panels"].as_array().unwrap().iter().map(panel).collect()
}

/// A query as Grafana asks it, for all instances.
pub fn asked(query: &str) -> String {
    query.replace("$instance", ".*").replace("$__rate_interval", "30s").replace("$__range", "10m")
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
