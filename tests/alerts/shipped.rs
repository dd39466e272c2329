//! What is shipped in packaging/prometheus, and which queries are in it; for `tests/vm` too.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Outcome;

/// A file of packaging/prometheus.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name)
}

/// Its text.
pub fn text(name: &str) -> Outcome<String> {
    Ok(fs::read_to_string(path(name))?)
}

/// The name of the file with the rules, which the file with their tests has too.
pub const RULES: &str = "clockgate.rules.yaml";
/// The alerts that fire in a guest whose clock is set; all others fire beside agents that run here.
pub const SEEN_IN_A_GUEST: [&str; 4] =
    ["ClockgateFrozenTooLong", "ClockgateSetByOthers", "ClockgateDaemonDisagrees", "ClockgateSecondOpinion"];
/// The dashboard.
pub const DASHBOARD: &str = "dashboard.json";

/// A panel of the dashboard, with its queries.
#[derive(Debug)]
pub struct Panel {
    pub title: String,
    pub queries: Vec<String>,
}

/// The panels of the dashboard.
pub fn panels() -> Outcome<Vec<Panel>> {
    let board: Value = serde_json::from_str(&text(DASHBOARD)?)?;
    let query = |target: &Value| target["expr"].as_str().unwrap_or_default().to_owned();
    let panel = |panel: &Value| Panel {
        title: panel["title"].as_str().unwrap_or_default().to_owned(),
        queries: panel["targets"].as_array().into_iter().flatten().map(query).collect(),
    };
    Ok(board["panels"].as_array().into_iter().flatten().map(panel).collect())
}

/// A query as Grafana asks it, for all instances.
pub fn asked(query: &str) -> String {
    query.replace("$instance", ".*").replace("$__rate_interval", "30s").replace("$__range", "10m")
}
