//! What monitoring systems read: the metrics of a real agent in both forms, and the line of `status --format nagios`.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod nri;
mod prometheus;
mod served;
mod starts;
mod status;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::{lacks_program, lacks_root, needing};

fn main() -> ExitCode {
    let plain: [(&str, fn()); 3] = [
        ("without_an_agent_there_are_the_metrics_of_the_page_alone", status::page_alone),
        ("nagios_gets_a_line_and_a_code_for_each_gate", status::nagios),
        ("a_format_is_not_json", status::no_json),
    ];
    // The agent is started without the right to set the clock.
    let agents: [(&str, fn()); 9] = [
        ("status_prints_what_the_agent_has_counted_in_both_forms", status::of_an_agent),
        ("by_tcp_each_scraper_gets_its_form_and_ready_is_an_open_gate", served::by_tcp),
        ("by_a_unix_socket_it_is_the_same", served::by_socket),
        ("a_hundred_slow_scrapers_delay_no_proof_and_no_other_scraper_for_long", served::slow_scrapers),
        ("scrapers_beyond_64_wait_for_three_seconds_and_a_head_beyond_8_kib_is_refused", served::limits),
        ("a_port_that_is_taken_costs_the_metrics_alone", served::taken_port),
        ("the_textfile_is_whole_follows_each_change_and_says_when_the_agent_is_dead", served::textfile),
        ("a_textfile_that_cannot_be_written_costs_the_metrics_alone", served::unwritable),
        ("the_tolerance_that_a_shut_gate_serves_is_said_in_each_form", starts::tolerance),
    ];
    // As another user.
    let strangers: [(&str, fn()); 3] = [
        ("a_refused_start_is_counted_and_a_strangers_is_not", starts::refused),
        ("a_container_of_a_pod_that_is_refused_is_counted_each_time", starts::refused_of_pods),
        ("who_imitates_a_held_start_changes_what_is_said_and_nothing_else", starts::imitated),
    ];
    let trial = |lacks, (name, test): (&str, fn())| {
        needing(lacks, name, move || {
            test();
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = plain.map(|test| trial(None, test)).into();
    trials.extend(agents.map(|test| trial(lacks_program("setpriv"), test)));
    let lacks = lacks_program("setpriv").or_else(lacks_root);
    trials.extend(strangers.map(|test| trial(lacks.clone(), test)));
    let servers: [(&str, fn()); 2] = [
        ("promtool_finds_no_fault_in_what_is_printed_served_and_written", prometheus::promtool),
        ("prometheus_2_42_and_3_5_scrape_both_forms", prometheus::scrapes),
    ];
    trials.extend(servers.map(|test| trial(support::prometheus::missing().or_else(|| lacks_program("setpriv")), test)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
