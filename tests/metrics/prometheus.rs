//! Prometheus 2.42 and 3.5 themselves: promtool finds no fault, and a server scrapes both forms.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::served::{Served, free_port, get};
use crate::status::SOON;
use crate::support::{Ours, clockgate, harmless, laboratory, until, until_some};

/// The Debians that they are from.
const SUITES: [&str; 2] = ["bookworm", "forky"];

/// What keeps these tests from running.
pub fn lacks() -> Option<String> {
    laboratory::missing(&["prometheus/bookworm/promtool", "prometheus/forky/promtool"])
}

/// `check metrics` reads text format 0.0.4, and says something where it would have something changed.
pub fn promtool() {
    let port = free_port();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}', textfile: /clockgate.prom}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    let page = served.agent.host.at("run/clockgate/public");
    let printed = clockgate().args(["status", "--format", "prometheus", "--page"]).arg(page).output().unwrap().stdout;
    let answer = get(port, "/metrics", "text/plain");
    let scraped = answer.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec();
    let file = fs::read(served.agent.host.at("clockgate.prom")).unwrap();
    for suite in SUITES {
        for text in [&printed, &scraped, &file] {
            let promtool = laboratory::folder().join(format!("prometheus/{suite}/promtool"));
            let mut command = harmless(promtool);
            command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(text).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{suite}: {output:?}");
            assert!(output.stdout.is_empty(), "{suite}: {output:?}");
        }
    }
}

/// Hands requests on to the agent without their `Accept`: those of a scraper that knows text format 0.0.4 alone.
fn without_accept(agent: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut scraper in listener.incoming().flatten() {
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.ends_with("\r\n\r\n") {
                match scraper.read(&mut buffer) {
                    Ok(count) if count > 0 => request += &String::from_utf8_lossy(&buffer[..count]),
                    _ => break,
                }
            }
            let Ok(mut agent) = TcpStream::connect(("127.0.0.1", agent)) else { return };
            let lines = request.split_inclusive("\r\n").filter(|line| !line.starts_with("Accept:"));
            let _ = agent.write_all(lines.collect::<String>().as_bytes());
            let mut answer = vec![];
            let _ = agent.read_to_end(&mut answer);
            let _ = scraper.write_all(&answer);
        }
    });
    port
}

/// A server that scrapes both forms each second.
struct Server {
    port: u16,
    _process: Ours,
}

impl Server {
    fn start(suite: &str, folder: &std::path::Path, open: u16, plain: u16) -> Self {
        let job = |name: &str, port: u16| {
            format!("- {{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n")
        };
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{}{}",
            job("open", open),
            job("plain", plain)
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let port = free_port();
        let mut command = harmless(laboratory::folder().join(format!("prometheus/{suite}/prometheus")));
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Ours::logged(&mut command, &folder.join("log")).unwrap();
        Self { port, _process: process }
    }

    /// What its interface says, once it does.
    fn says(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The results of a query, by job.
    fn query(&self, query: &str) -> Vec<(String, String)> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let said = self.says(&format!("query?query={encoded}")).unwrap_or_default();
        let results = said["data"]["result"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> =
            results.iter().map(|one| (text(&one["metric"]["job"]), text(&one["value"][1]))).collect();
        found.sort();
        found
    }
}

pub fn scrapes() {
    let port = free_port();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}'}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    served.proves_anew();
    let plain = without_accept(port);
    let both = |value: &str| vec![("open".to_owned(), value.to_owned()), ("plain".to_owned(), value.to_owned())];
    for suite in SUITES {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(suite, folder.path(), port, plain);
        let log = || fs::read_to_string(folder.path().join("log")).unwrap();
        let is_scraped = || server.query("clockgate_gate_proven") == both("1");
        let scraped = until("both forms are scraped", SOON * 4, is_scraped);
        assert!(scraped.is_ok(), "{suite}: {}", log());
        let requested = "clockgate_disruptions_total{cause=\"requested\"}";
        assert_eq!(server.query(requested), both("1"), "{suite}");
        assert_eq!(server.query("clockgate_build_info{version!=\"\"}"), both("1"), "{suite}");
        assert_eq!(server.query("clockgate_gate_shut_duration_seconds_bucket{le=\"+Inf\"}"), both("2"), "{suite}");
        assert_eq!(server.query("clockgate_gate_shut_duration_seconds_bucket{le=\"300.0\"}"), both("2"), "{suite}");
        // The same series in both, and no scrape had a fault.
        let counts = server.query("count by (job) ({__name__=~\"clockgate_.*\"})");
        assert!(counts.len() == 2 && counts[0].1 == counts[1].1, "{suite}: {counts:?}");
        let targets = server.says("targets").unwrap();
        let errors: Vec<_> =
            targets["data"]["activeTargets"].as_array().unwrap().iter().map(|one| one["lastError"].clone()).collect();
        assert_eq!(errors, ["", ""], "{suite}");
        // A unit is in OpenMetrics alone.
        let path = "targets/metadata?metric=clockgate_proof_age_seconds";
        let units = until_some("the units", SOON, || {
            let said = server.says(path)?;
            let mut units: Vec<_> = said["data"].as_array()?.iter().map(|one| one["unit"].to_string()).collect();
            units.sort();
            (units.len() == 2).then_some(units)
        });
        assert_eq!(units.unwrap(), ["\"\"", "\"seconds\""], "{suite}");
    }
}
