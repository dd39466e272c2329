//! `clockgate report`: cases as folders, a known night of the real machine and recorder, what a history may be that no agent wrote, and the
//! picture in a real browser.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod cases;
mod night;
mod page;
mod picture;
mod robustness;
mod signs;
mod simulated;
mod years;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::expected::is_blessing;
use support::{Outcome, needing};

/// A test and its name.
type Named = (&'static str, fn() -> Outcome);

const PLAIN: [Named; 11] = [
    ("the_committed_night_is_what_the_machine_and_the_recorder_make_of_it", night::is_committed),
    ("the_report_of_the_night_is_what_was_done_to_the_host", night::is_reported),
    ("a_restore_that_several_signs_show_is_reported_once", signs::are_reported_once),
    ("the_same_sign_again_and_a_late_one_are_of_other_restores", signs::of_others_are_reported_by_themselves),
    ("the_picture_of_the_readme_is_that_of_the_night", picture::is_committed),
    ("the_page_allows_the_one_style_that_it_has", page::allows_its_style),
    ("a_history_that_is_cut_at_any_byte_is_reported_up_to_there", robustness::cut_at_every_byte),
    ("a_history_that_is_cut_is_printed_up_to_there_and_that_is_said", robustness::cut_and_printed),
    ("ten_years_of_records_lose_the_oldest_alone_and_are_dated", years::of_rotation),
    ("a_file_that_is_no_file_of_ours_is_not_overwritten", robustness::not_overwritten),
    ("one_form_is_printed_and_a_reader_that_stops_is_no_error", robustness::printed_once),
];

const BROWSER: [Named; 2] = [
    ("each_mark_is_seen_where_the_data_say_in_light_dark_and_print", picture::in_a_browser),
    ("no_name_of_a_container_or_a_reference_is_more_than_text_in_a_browser", page::in_a_browser),
];

fn main() -> ExitCode {
    // The cases read it: it is written before they are begun. Its own test says what is wrong with it.
    if is_blessing() {
        let _ = night::is_committed();
    }
    let mut trials = cases::trials();
    trials.extend(PLAIN.map(|(name, test)| Trial::test(name, test)));
    trials.extend(BROWSER.map(|(name, test)| needing(browser::lacks(), name, test)));
    let lacks = browser::lacks_user_namespaces();
    let disk = "a_report_that_does_not_fit_on_the_disk_leaves_the_old_one";
    trials.push(needing(lacks, disk, robustness::full_disk));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
