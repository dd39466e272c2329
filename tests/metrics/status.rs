//! `clockgate status --format`.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use clockgate::decision::{Gate, Offset, Snapshot};
use clockgate::metrics::{FAMILIES, MetricType};

use crate::support::agent::Agent;
use crate::support::host::HostFolder;
use crate::support::liar::Liar;
use crate::support::{clockgate, gate_page, until};

/// Far more than anything here takes.
pub const SOON: Duration = Duration::from_secs(30);

fn status(format: &str, page: &Path) -> Output {
    clockgate().args(["status", "--format", format, "--page"]).arg(page).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The number of the line that begins so.
pub fn number(text: &str, line: &str) -> Option<f64> {
    let found = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
    found.map(|number| number.parse().unwrap())
}

pub fn of_an_agent() {
    let server = Liar::here(Offset::ZERO).unwrap();
    let agent = Agent::start(&format!("servers: ['{}']\ncorrection: none\n", server.address())).unwrap();
    let page = agent.host.at("run/clockgate/public");
    let proven = || number(&text(&status("prometheus", &page)), "clockgate_gate_proven") == Some(1.0);
    until("the clock is proven", SOON, proven).unwrap();
    let plain = text(&status("prometheus", &page));
    let open = text(&status("openmetrics", &page));
    for text in [&plain, &open] {
        assert_eq!(number(text, "clockgate_gate_state{state=\"open\"}"), Some(1.0), "{text}");
        assert_eq!(number(text, "clockgate_gate_state{state=\"shut\"}"), Some(0.0), "{text}");
        assert_eq!(number(text, "clockgate_state{state=\"Synchronized\"}"), Some(1.0), "{text}");
        assert_eq!(number(text, "clockgate_disruptions_total{cause=\"started\"}"), Some(1.0), "{text}");
        assert_eq!(number(text, "clockgate_disruptions_total{cause=\"restore\"}"), Some(0.0), "{text}");
        assert_eq!(number(text, "clockgate_steps_total{direction=\"forward\"}"), Some(0.0), "{text}");
        assert_eq!(number(text, "clockgate_gate_shut_duration_seconds_count"), Some(1.0), "{text}");
        assert_eq!(number(text, "clockgate_gate_shut_duration_seconds_bucket{le=\"+Inf\"}"), Some(1.0), "{text}");
        let shut = number(text, "clockgate_gate_shut_duration_seconds_sum").unwrap();
        assert!(shut > 0.0 && shut < SOON.as_secs_f64(), "{shut}");
        let reference = format!("reference=\"{}\"", server.address());
        let up = format!("clockgate_reference_up{{{reference},authenticated=\"false\"}}");
        assert_eq!(number(text, &up), Some(1.0), "{text}");
        assert!(number(text, &format!("clockgate_reference_distance_seconds{{{reference}}}")).unwrap() > 0.0);
        assert!(number(text, &format!("clockgate_reference_offset_seconds{{{reference}}}")).unwrap().abs() < 0.2);
        assert!(number(text, "clockgate_clock_error_bound_seconds").unwrap() < 0.2, "{text}");
        assert!(number(text, "clockgate_proof_valid_seconds").unwrap() > 0.0, "{text}");
        assert!(number(text, "clockgate_proof_age_seconds").unwrap() < SOON.as_secs_f64(), "{text}");
        assert_eq!(number(text, "clockgate_second_masters"), Some(0.0), "{text}");
        assert_eq!(number(text, "clockgate_starts_held"), Some(0.0), "{text}");
        assert_eq!(number(text, "clockgate_gate_threshold_seconds"), Some(0.2), "{text}");
        assert_eq!(number(text, "clockgate_time_seconds"), None, "what is printed may be read later");
    }
    assert_eq!(number(&open, "clockgate_build_info{version=\"0.1.0\"}"), Some(1.0), "{open}");
    whole(&plain, &open);
}

/// Each family that is there has its head, in the form that it is written in.
fn whole(plain: &str, open: &str) {
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1 && !plain.contains("# EOF"), "{open}");
    for family in &FAMILIES {
        let name = family.name;
        let stem = name.trim_end_matches("_total").trim_end_matches("_info");
        let is_there = plain.lines().any(|line| line.starts_with(name));
        let kind = if family.kind == MetricType::Info { "gauge" } else { family.kind.name() };
        assert_eq!(plain.contains(&format!("# TYPE {name} {kind}\n")), is_there, "{name}: {plain}");
        assert_eq!(open.contains(&format!("# TYPE {stem} {}\n", family.kind.name())), is_there, "{name}: {open}");
        let unit = open.contains(&format!("# UNIT {stem} seconds\n"));
        assert_eq!(unit, is_there && stem.ends_with("_seconds"), "{name}: {open}");
    }
}

pub fn page_alone() {
    let host = HostFolder::new(&[]).unwrap();
    let page = gate_page::publish(host.path(), &gate_page::proven()).unwrap();
    let output = status("openmetrics", &gate_page::public(host.path()));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(number(&said, "clockgate_gate_proven"), Some(1.0), "{said}");
    assert_eq!(number(&said, "clockgate_clock_offset_seconds"), Some(0.0), "{said}");
    assert!(!said.contains("clockgate_disruptions") && said.ends_with("# EOF\n"), "{said}");
    drop(page);
    let _shut = gate_page::publish(host.path(), &gate_page::shut()).unwrap();
    let output = status("prometheus", &gate_page::public(host.path()));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(number(&said, "clockgate_gate_state{state=\"shut\"}"), Some(1.0), "{said}");
    assert_eq!(number(&said, "clockgate_proof_valid_seconds"), Some(0.0), "{said}");
    assert!(!said.contains("clockgate_clock_offset"), "nothing was measured yet: {said}");
}

pub fn nagios() {
    let host = HostFolder::new(&[]).unwrap();
    let folder = gate_page::public(host.path());
    let output = status("nagios", &folder);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output).starts_with("CLOCKGATE UNKNOWN: "), "{output:?}");
    let unproven = Snapshot { gate: Gate::Unproven, why: "no reference | has answered".into(), ..gate_page::shut() };
    let behind = Snapshot { offset: Some(Offset::from_nanos(-1_500_000)), ..gate_page::proven() };
    for (snapshot, code, begins) in [
        (behind, 0, "CLOCKGATE OK: gate open, proven for 3"),
        (unproven, 1, "CLOCKGATE WARNING: gate open without a proof: no reference / has answered | "),
        (gate_page::shut(), 2, "CLOCKGATE CRITICAL: gate shut: resume: measuring | "),
    ] {
        let mut page = gate_page::publish(host.path(), &snapshot).unwrap();
        page.alive(clockgate::sys::clock::boottime() + SOON).unwrap();
        let output = status("nagios", &folder);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with(begins) && said.lines().count() == 1, "{said}");
        assert_eq!(said.matches('|').count(), 1, "one bar, before the numbers: {said}");
        assert_eq!(said.contains(" offset=-0.001500000s "), code == 0, "{said}");
    }
}

pub fn no_json() {
    let both = clockgate().args(["status", "--json", "--format", "nagios"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}
