//! Prometheus and its promtool as two Debians have them: unpacked by `tests/setup`, never installed, on loopback or in a namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::laboratory;
use super::outcome::{Outcome, fail};
use super::process::{Ours, harmless};

/// The Debians that they are from: Prometheus 2.42 and 3.5.
pub const SUITES: [&str; 2] = ["bookworm", "forky"];
/// Far more than a server takes to answer.
const SOON: Duration = Duration::from_secs(30);

/// What keeps them from running.
pub fn missing() -> Option<String> {
    laboratory::missing(&[
        "prometheus/bookworm/promtool",
        "prometheus/forky/promtool",
        "prometheus/bookworm/prometheus-alertmanager",
        "prometheus/bookworm/prometheus-node-exporter",
    ])
}

/// A program of this suite.
pub fn program(suite: &str, name: &str) -> PathBuf {
    laboratory::folder().join("prometheus").join(suite).join(name)
}

/// A port that was free a moment ago.
pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A server; ended with what is dropped.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    folder: tempfile::TempDir,
    _process: Ours,
}

/// One result of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// When, in seconds since 1970, and what; one of a query for one moment.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().map(|(_, value)| *value)
    }

    fn parse(one: &Value) -> Option<Self> {
        let labels = one["metric"].as_object()?.iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse().ok()?));
        let points = match one["values"].as_array() {
            Some(points) => points.iter().filter_map(point).collect(),
            None => point(&one["value"]).into_iter().collect(),
        };
        Some(Self { labels: labels.collect(), points })
    }
}

impl Prometheus {
    /// One with this configuration.
    pub fn start(suite: &str, config: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config)?;
        let port = free_port()?;
        let mut command = harmless(program(suite, "prometheus"));
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Ours::logged(&mut command, &folder.path().join("log"))?;
        Ok(Self { port, folder, _process: process })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What its interface says, once it does.
    pub fn says(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The results of a query now; none too where it does not answer yet.
    pub fn query(&self, query: &str) -> Vec<Series> {
        let said = self.says(&format!("query?query={}", encoded(query))).unwrap_or_default();
        results(&said)
    }

    /// The results of a query over a time, second by second.
    pub fn range(&self, query: &str, from: f64, to: f64) -> Outcome<Vec<Series>> {
        let path = format!("query_range?start={from}&end={to}&step=1&query={}", encoded(query));
        match self.says(&path) {
            Some(said) if said["status"] == "success" => Ok(results(&said)),
            said => fail(format!("{query}: {said:?}")),
        }
    }
}

fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn results(said: &Value) -> Vec<Series> {
    said["data"]["result"].as_array().into_iter().flatten().filter_map(Series::parse).collect()
}

/// Writes a copy of a file of rules in which an alert waits for a second, an hour is 6 s and the three minutes of a textfile are 3 s.
pub fn hasty_rules(rules: &str, to: &Path) -> Outcome {
    let hasty = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        Some(_) | None => format!("{}\n", line.replace("> 3600", "> 6").replace("> 180", "> 3")),
    });
    Ok(fs::write(to, hasty.collect::<String>())?)
}
