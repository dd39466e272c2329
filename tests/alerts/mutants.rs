//! Rules with one number changed: the tests of the rule have to see it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::parsed::{self, Rule};
use crate::shipped;
use crate::support::prometheus::program;

/// Each number of a rule is doubled and halved in turn, 0 becomes 2; those of durations are among them.
pub fn killed() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, tests) = (blocks(shipped::RULES, "      - alert: "), blocks(parsed::TESTS, "  - name: "));
    let mut count = 0;
    for rule in parsed::rules() {
        let is_of_it = |block: &&String| block.contains(&format!(": {}\n", rule.alert));
        let own = rules.blocks.iter().find(is_of_it).unwrap();
        let name = format!("  - name: '{}: ", rule.alert);
        let own_tests: String = tests.blocks.iter().filter(|block| block.starts_with(&name)).cloned().collect();
        // An anchor of YAML is in the first test of all.
        let own_tests = own_tests.replace("*runbook", &rule.annotations["runbook_url"]).replace("&runbook ", "");
        fs::write(folder.path().join(parsed::TESTS), format!("{}{own_tests}", tests.head)).unwrap();
        let passes = |block: &str| {
            fs::write(folder.path().join(shipped::RULES), format!("{}{block}", rules.head)).unwrap();
            passes(folder.path())
        };
        assert!(passes(own), "{}: as it is shipped", rule.alert);
        for mutant in mutants(own, &rule) {
            assert!(!passes(&mutant), "no test fails of:\n{mutant}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

fn passes(folder: &Path) -> bool {
    let mut promtool = Command::new(program("bookworm", "promtool"));
    promtool.args(["test", "rules", parsed::TESTS]).current_dir(folder).output().unwrap().status.success()
}

/// A file in pieces that begin alike.
struct Blocks {
    head: String,
    blocks: Vec<String>,
}

fn blocks(name: &str, begin: &str) -> Blocks {
    let mut found = Blocks { head: String::new(), blocks: vec![] };
    for line in shipped::text(name).unwrap().split_inclusive('\n') {
        if line.starts_with(begin) {
            found.blocks.push(String::new());
        }
        found.blocks.last_mut().unwrap_or(&mut found.head).push_str(line);
    }
    found
}

/// The rule with another number in its expression, or waiting for another time.
fn mutants(block: &str, rule: &Rule) -> Vec<String> {
    let end = block.find("        labels:").unwrap();
    let begin = block.find("        expr: ").unwrap();
    let (head, rest) = (&block[begin..end], &block[end..]);
    assert!(rule.lasts.is_none() || head.contains("        for: "), "{head}");
    let mut found = vec![];
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let mut at = 0;
    while let Some(next) = head[at..].find(|c: char| c.is_ascii_digit()) {
        let from = at + next;
        let to = from + head[from..].find(|c| !digits(c)).unwrap_or(head.len() - from);
        at = to;
        let number: f64 = head[from..to].parse().unwrap();
        let others = if number == 0.0 { vec![2.0] } else { vec![number * 2.0, number / 2.0] };
        let is_duration = head[to..].starts_with(['m', 'h']);
        for other in others {
            // A half of a minute is 30 s: durations are whole numbers.
            let written = match (is_duration, head[to..].starts_with('h')) {
                (true, true) => format!("{}m", other * 60.0),
                (true, false) => format!("{}s", other * 60.0),
                (false, _) => other.to_string(),
            };
            let after = if is_duration { to + 1 } else { to };
            found.push(format!("{}{}{written}{}{rest}", &block[..begin], &head[..from], &head[after..]));
        }
    }
    found
}
