//! What clockgate-interfaces(7) promises of the page, each with a test of the reader.

#![allow(missing_docs, reason = "a test's parts")]
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod judged;
mod namespace;
mod opened;
mod shared;
mod tolerances;
mod writer;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

pub type Done = Result<(), Failed>;
type Test = (&'static str, fn() -> Done);

fn main() -> ExitCode {
    if let Some(code) = namespace::inside() {
        return code;
    }
    let plain: [Test; 22] = [
        ("a_reader_under_a_writer_never_sees_half_of_a_change", shared::torn),
        ("a_sequence_that_stays_odd_is_shut_until_it_is_repaired", shared::killed_writer),
        ("a_sleeper_is_woken_by_a_change_of_the_word", shared::woken),
        ("a_waiting_reader_sees_changes_without_a_wake_and_stops_at_the_deadline", shared::unwoken),
        ("a_removed_or_truncated_page_is_noticed_and_the_next_is_opened", shared::replaced),
        ("a_page_taken_over_by_another_version_or_kernel_is_no_longer_read", shared::taken_over),
        ("a_page_of_an_older_layout_is_judged_by_what_it_has", opened::older),
        ("a_page_with_fields_of_later_is_read_and_a_newer_version_is_refused", opened::newer),
        ("absent_short_and_foreign_pages_and_those_of_another_boot_are_different_errors", opened::not_a_page),
        ("the_default_is_the_host_s_page", opened::default),
        ("each_field_is_read_from_its_place", judged::fields),
        ("a_proof_ends_at_valid_until_and_shows_its_remaining_time", judged::validity),
        ("a_bound_over_the_threshold_is_shut_whichever_gate_the_page_has", judged::bound),
        ("a_step_a_slew_and_a_sleep_since_the_proof_are_seen", judged::moved_clocks),
        ("a_leap_second_is_no_step", judged::leap_second),
        ("a_gate_opened_without_a_proof_is_shut_once_the_agent_has_ended", judged::unproven),
        ("a_word_of_a_later_version_is_shut", judged::unknown_word),
        ("a_wider_tolerance_goes_by_two_exchanges_and_a_narrow_one_waits_for_the_gate", tolerances::served),
        ("at_an_open_gate_the_proof_and_its_growth_count_for_every_tolerance", tolerances::proof),
        ("a_measurement_is_void_after_a_sleep_a_move_beyond_the_tolerance_and_without_an_agent", tolerances::void),
        ("an_agent_before_the_tolerances_serves_none", tolerances::before),
        ("the_example_of_the_readme_is_the_one_that_is_run", opened::readme),
    ];
    let mut trials: Vec<_> = plain.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    let (name, skipped) = ("in_a_time_namespace_the_times_of_the_page_are_the_host_s", namespace::why_not());
    if let Some(why) = &skipped {
        // As cargo's own runner does, to the error output, so that a list of the tests stays one.
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
    }
    trials.push(Trial::test(name, namespace::offset).with_ignored_flag(skipped.is_some()));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Fails with what was found where `is_so` is not.
pub fn expect(is_so: bool, found: impl std::fmt::Debug) -> Done {
    if is_so { Ok(()) } else { Err(format!("{found:?}").into()) }
}
