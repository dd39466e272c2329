//! The alerting rules and the dashboard that are shipped: by promtool in virtual time, and by real servers beside real agents.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod alertmanager;
mod dashboard;
mod disruption;
mod fleet;
mod mutants;
mod parsed;
mod rules;
mod shipped;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::{lacks_program, needing};

fn main() -> ExitCode {
    let texts: [(&str, fn()); 5] = [
        ("every_alert_says_how_bad_it_is_what_to_do_and_where_to_read_on", rules::complete),
        ("every_alert_has_a_test_that_fires_a_near_miss_and_a_test_that_resolves", rules::tested),
        ("every_alert_has_its_row_in_the_documentation", rules::documented),
        ("the_dashboard_is_one_that_grafana_imports", dashboard::importable),
        ("every_metric_of_rules_and_dashboard_is_documented_and_every_documented_one_is_shown", dashboard::metrics),
    ];
    let programs: [(&str, fn()); 2] = [
        ("promtool_2_42_and_3_5_find_no_fault_in_the_rules_and_their_tests", rules::promtool),
        ("another_number_in_a_rule_makes_its_tests_fail", mutants::killed),
    ];
    let trial = |lacks, (name, test): (&str, fn())| {
        needing(lacks, name, move || {
            test();
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = texts.map(|test| trial(None, test)).into();
    trials.extend(programs.map(|test| trial(support::prometheus::missing(), test)));
    let lacks = support::prometheus::missing().or_else(|| lacks_program("setpriv")).or_else(alertmanager::lacks);
    trials.push(needing(
        lacks,
        "an_agent_is_disrupted_the_alerts_arrive_and_resolve_and_the_dashboard_shows_it",
        disruption::arrives,
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
