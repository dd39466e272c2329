//! Versions that meet: what the previous release wrote is read by this program, what this one writes by that one's layouts, and what a later
//! one may write is refused or skipped with words. `kept/` has the previous release's files; the program itself runs beside this one in
//! `tests/night previous`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bus;
#[path = "../freezer/cgroups.rs"]
#[allow(dead_code, reason = "the tests of the freezer need more of it")]
mod cgroups;
mod files;
mod hooks;
mod keeping;
mod layout;
mod live;
mod pages;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::{Outcome, laboratory, lacks_program, needing};

type Test = (&'static str, fn() -> Outcome);

/// A file of the previous release's.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades/kept").join(name)
}

fn main() -> ExitCode {
    let tests: [Test; 14] = [
        ("a_page_of_the_previous_release_is_read_field_by_field_and_opens_what_waits", pages::previous),
        ("our_page_is_read_by_the_layout_of_the_previous_release", pages::ours_by_its_layout),
        ("a_page_of_a_later_version_is_refused_with_words_and_opens_nothing", pages::later),
        ("a_page_that_becomes_one_of_a_later_version_opens_nothing_for_those_who_wait", pages::becomes_later),
        ("an_agent_takes_nothing_over_from_a_page_of_a_later_version", pages::taken_over),
        ("a_page_with_more_behind_ours_is_read", pages::longer),
        ("the_history_of_the_previous_release_is_read_and_continued", files::history),
        ("the_ledger_of_the_previous_release_is_read", files::ledger),
        ("a_ledger_of_a_later_version_is_reported_and_kept", files::later_ledger),
        ("the_configuration_of_the_previous_release_means_what_it_meant", files::configuration),
        ("a_configuration_of_a_later_version_is_refused_and_no_agent_starts", files::later_configuration),
        ("what_the_previous_release_hooked_is_known_and_removed", hooks::previous),
        ("a_hook_of_a_later_version_is_left_as_it_is", hooks::later),
        ("the_bus_has_what_the_previous_release_calls_and_a_missing_method_is_another_version", bus::interface),
    ];
    let mut trials: Vec<Trial> = tests.map(|(name, test)| Trial::test(name, test)).into();
    if std::env::var_os("CLOCKGATE_NIGHT").is_some() {
        cgroups::sweep();
        let lacks =
            || cgroups::lacks().or_else(|| lacks_program("setpriv")).or_else(|| laboratory::missing(&["previous"]));
        trials.extend(live::TESTS.map(|(name, test)| needing(lacks(), name, test)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
