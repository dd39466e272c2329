//! What each rule has to have, and what promtool says of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::parsed::{self, Rule, RuleTest};
use crate::shipped;
use crate::support::expected::is_as_written;
use crate::support::prometheus::{SUITES, program};

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
/// Where an alert is read on.
const RUNBOOK: &str = "https://github.com/clockgate/clockgate/blob/main/docs/metrics.md#alerts";
const HEAD: &str = "| alert | when | severity | what to do |\n|---|---|---|---|\n";

pub fn complete() {
    let rules = parsed::rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    assert!(rules.len() == names.len() && rules.len() > 10, "{names:?}");
    for rule in &rules {
        let name = &rule.alert;
        assert!(name.starts_with("Clockgate"), "{name}");
        assert!(SEVERITIES.contains(&rule.labels["severity"].as_str()), "{name}");
        let keys: Vec<_> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook_url", "summary"], "{name}");
        assert_eq!(rule.annotations["runbook_url"], RUNBOOK, "{name}");
        assert!(rule.annotations["summary"].ends_with('.') && !rule.annotations["summary"].contains("{{"), "{name}");
        // A description names who it is, and ends in what to do, which is the same for every host.
        assert!(rule.annotations["description"].contains("{{ $labels."), "{name}");
        let todo = todo(rule);
        assert!(todo.ends_with('.') && !todo.contains("{{"), "{name}: {todo}");
    }
    assert!(
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md"))
            .unwrap()
            .contains("\n## Alerts\n")
    );
}

/// What to do: a description without its first sentence.
fn todo(rule: &Rule) -> &str {
    let description = &rule.annotations["description"];
    let end = description.find(". ").unwrap();
    &description[end + 2..]
}

pub fn tested() {
    let (rules, tests) = (parsed::rules(), parsed::tests());
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    let asked: BTreeSet<&str> = tests.iter().flat_map(|test| &test.moments).map(|one| one.alertname.as_str()).collect();
    assert_eq!(names, asked);
    for name in names {
        let of_it: Vec<&RuleTest> = tests.iter().filter(|test| test.name.starts_with(&format!("{name}: "))).collect();
        assert!(of_it.iter().flat_map(|test| &test.moments).all(|one| one.alertname == name), "{name}");
        let (near, fires): (Vec<&RuleTest>, Vec<&RuleTest>) =
            of_it.into_iter().partition(|test| test.name.contains(": near miss: "));
        assert!(!near.is_empty() && !fires.is_empty(), "{name}");
        for test in near {
            assert!(test.moments.iter().all(|one| one.exp_alerts.is_empty()), "{}", test.name);
        }
        for test in fires {
            assert!(test.name.contains(": fires ") && test.name.contains("resolves"), "{}", test.name);
            let fired = test.moments.iter().find(|one| !one.exp_alerts.is_empty()).unwrap().minutes();
            let is_quiet = |from: u32, to: u32| {
                let mut quiet = test.moments.iter().filter(|one| one.exp_alerts.is_empty());
                quiet.any(|one| (from..to).contains(&one.minutes()))
            };
            assert!(is_quiet(0, fired) && is_quiet(fired, u32::MAX), "{}: before it, and after", test.name);
        }
    }
}

/// `CLOCKGATE_BLESS=1` writes the table anew.
pub fn documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(HEAD).unwrap();
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    let rows = parsed::rules();
    let rows = rows.iter().map(|rule| {
        let (summary, severity) = (&rule.annotations["summary"], &rule.labels["severity"]);
        format!("| `{}` | {summary} | {severity} | {} |\n", rule.alert, todo(rule))
    });
    let wanted = format!("{before}{HEAD}{}{after}", rows.collect::<String>());
    is_as_written(&path, &wanted).unwrap();
}

pub fn promtool() {
    for suite in SUITES {
        for verb in [["check", "rules", shipped::RULES], ["test", "rules", parsed::TESTS]] {
            let mut promtool = Command::new(program(suite, "promtool"));
            let output = promtool.args(verb).current_dir(shipped::path("")).output().unwrap();
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(output.status.success() && said.contains("SUCCESS"), "{suite}: {verb:?}: {said}");
            assert!(verb[0] == "test" || said.contains(&format!("{} rules found", parsed::rules().len())), "{said}");
        }
    }
}
