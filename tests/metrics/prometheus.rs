//! Prometheus 2.42 and 3.5 themselves: promtool finds no fault, and a server scrapes both forms.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use crate::served::{Served, get};
use crate::status::SOON;
use crate::support::prometheus::{Prometheus, SUITES, free_port, program};
use crate::support::{clockgate, harmless, until, until_some};

/// `check metrics` reads text format 0.0.4, and says something where it would have something changed.
pub fn promtool() {
    let port = free_port().unwrap();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}', textfile: /clockgate.prom}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    let page = served.agent.host.at("run/clockgate/public");
    let printed = clockgate().args(["status", "--format", "prometheus", "--page"]).arg(page).output().unwrap().stdout;
    let answer = get(port, "/metrics", "text/plain");
    let scraped = answer.split_once("\r\n\r\n").unwrap().1.as_bytes().to_vec();
    let file = fs::read(served.agent.host.at("clockgate.prom")).unwrap();
    for suite in SUITES {
        for text in [&printed, &scraped, &file] {
            let mut command = harmless(program(suite, "promtool"));
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
fn server(suite: &str, open: u16, plain: u16) -> Prometheus {
    let job = |name: &str, port: u16| {
        format!("- {{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n")
    };
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{}{}",
        job("open", open),
        job("plain", plain)
    );
    Prometheus::start(suite, &config).unwrap()
}

/// The results of a query, by job.
fn by_job(server: &Prometheus, query: &str) -> Vec<(String, f64)> {
    let results = server.query(query);
    let mut found: Vec<_> = results.iter().map(|one| (one.label("job").to_owned(), one.points[0].1)).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

pub fn scrapes() {
    let port = free_port().unwrap();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}'}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    served.proves_anew();
    let plain = without_accept(port);
    let both = |value: f64| vec![("open".to_owned(), value), ("plain".to_owned(), value)];
    for suite in SUITES {
        let server = server(suite, port, plain);
        let query = |query: &str| by_job(&server, query);
        let is_scraped = || query("clockgate_gate_proven") == both(1.0);
        let scraped = until("both forms are scraped", SOON * 4, is_scraped);
        assert!(scraped.is_ok(), "{suite}: {}", server.log());
        let requested = "clockgate_disruptions_total{cause=\"requested\"}";
        assert_eq!(query(requested), both(1.0), "{suite}");
        assert_eq!(query("clockgate_build_info{version!=\"\"}"), both(1.0), "{suite}");
        assert_eq!(query("clockgate_gate_shut_duration_seconds_bucket{le=\"+Inf\"}"), both(2.0), "{suite}");
        assert_eq!(query("clockgate_gate_shut_duration_seconds_bucket{le=\"300.0\"}"), both(2.0), "{suite}");
        // The same series in both, and no scrape had a fault.
        let counts = query("count by (job) ({__name__=~\"clockgate_.*\"})");
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
