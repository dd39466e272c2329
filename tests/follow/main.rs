//! `clockgate status --follow`, and what `status` says beside the gate: with a real agent, and with pages that the test writes.

#[path = "../support/mod.rs"]
mod support;

mod follower;
mod lines;
mod lives;
mod said;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use support::{Outcome, lacks_program, needing};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(30);
/// For what has to lie further ahead than any test takes.
const HOUR: Duration = Duration::from_secs(3600);

type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    let plain: [Test; 9] = [
        ("each_change_is_a_line_and_a_time_that_no_proof_dates_says_so", lines::lines),
        ("each_change_is_an_object_as_status_prints_it_and_none_is_printed_twice", lines::objects_as_status),
        ("a_reader_that_has_gone_ends_it_quietly", lines::broken_pipe),
        ("it_sleeps_while_the_gate_is_open_on_a_proof", lines::idle),
        ("without_a_page_it_ends_as_status_does", lines::no_page),
        ("a_page_that_is_removed_or_cut_short_is_no_end", lives::replaced),
        ("an_agent_that_was_killed_is_noticed_when_it_should_have_said_that_it_lives", lives::silent),
        ("status_says_which_daemon_runs_and_when_the_next_measurement_is_due", said::beside_the_gate),
        ("the_last_disruption_is_the_history_s_else_the_page_s", said::last_disruption),
    ];
    let agents: [Test; 1] = [("it_outlives_a_real_agent_and_follows_the_next_one", lives::agents)];
    let terminals: [Test; 4] = [
        ("on_a_terminal_it_draws_each_change_and_counts_what_is_awaited", screen::drawn),
        ("it_fits_into_a_terminal_that_changes_its_size", screen::resized),
        ("an_interrupt_gives_the_terminal_back_and_ends_it_by_that_signal", screen::interrupted),
        ("stopped_by_the_keyboard_it_gives_the_terminal_back_until_it_goes_on", screen::stopped),
    ];
    let trial = |lacks, (name, test): Test| needing(lacks, name, test);
    let mut trials: Vec<Trial> = plain.map(|test| trial(None, test)).into();
    trials.extend(agents.map(|test| trial(lacks_program("setpriv"), test)));
    trials.extend(terminals.map(|test| trial(lacks_program("setsid").or_else(|| lacks_program("stty")), test)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
