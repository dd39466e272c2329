//! D-Bus with real parts: a private dbus-daemon, a logind of our own on it, the agent's object on it and on its socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::too_many_arguments, reason = "methods that others defined")]

use std::future::Future;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

mod agent;
mod daemon;
mod garbage;
mod logind;
mod object;
mod relay;
mod sleep;
mod socket;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use support::{lacks_program, lacks_root, needing};

macro_rules! scenes {
    ($($module:ident needs $needs:expr => $($scene:ident),+ $(,)?;)+) => {
        vec![$($(scene(stringify!($scene), &$needs, || run($module::$scene()))),+),+]
    };
}

/// Set where this program runs again, on a host that it made.
const INSIDE: &str = "CLOCKGATE_TEST_INSIDE";

fn main() {
    if std::env::var_os(INSIDE).is_some() {
        return run(strangers::as_a_member());
    }
    let scenes = scenes! {
        sleep needs ["dbus-daemon", "setpriv"] =>
            the_machine_sleeps_only_after_the_answer_and_the_next_sleep_is_held_again,
            a_second_announcement_without_a_wake_up_between_is_announced_too,
            a_wake_up_without_a_sleep_is_passed_on_and_leaves_an_inhibitor,
            a_wake_up_before_the_answer_ends_the_wait,
            without_an_answer_the_inhibitor_is_let_go_before_logind_loses_patience,
            an_agent_that_drops_the_question_does_not_hold_the_sleep_back,
            an_agent_that_starts_during_a_sleep_is_told_of_it,
            a_bus_that_dies_is_said_once_and_found_again,
            a_wake_up_that_was_missed_while_the_bus_was_away_is_made_up_for,
            a_bus_that_is_not_there_at_first_is_waited_for,
            a_logind_that_leaves_and_comes_back_gives_a_new_inhibitor,
            a_logind_that_comes_back_and_cannot_be_asked_may_have_seen_a_sleep,
            a_refused_inhibitor_is_asked_for_again_and_sleep_is_announced_all_the_same,
            nobody_but_logind_can_announce_a_sleep,
            when_nobody_listens_any_more_the_inhibitor_is_let_go;
        garbage needs ["dbus-daemon", "setpriv"] =>
            a_bus_that_says_what_is_no_message_is_left_and_joined_again,
            services_that_answer_with_other_types_than_their_own_harm_nothing;
        object needs ["dbus-daemon", "setpriv"] =>
            the_properties_are_those_of_the_snapshot,
            a_property_is_current_before_its_change_is_signalled,
            a_message_that_is_too_long_is_passed_over_and_ends_no_connection,
            what_changes_is_said_in_one_signal_and_nothing_else_is,
            sync_answers_when_the_clock_is_proven_again,
            sync_answers_when_the_agent_gives_up_and_errs_when_the_callers_time_ends,
            notify_passes_each_event_and_waits_as_it_is_told,
            the_introspection_is_the_interface_file_that_we_ship,
            a_bus_that_dies_is_joined_again_and_a_name_that_is_taken_waited_for;
        socket needs ["dbus-send"] =>
            without_a_bus_our_own_client_syncs_and_notifies,
            a_caller_that_tells_the_time_is_asked_until_the_clock_is_proven_or_disrupted_again,
            a_time_with_an_announcement_or_from_another_moment_is_refused,
            libdbus_is_served_on_the_socket_and_peers_hear_of_changes,
            the_socket_is_roots_alone_and_replaces_a_dead_one_but_never_a_living_one,
            garbage_on_the_socket_harms_nobody_else,
            silent_connections_make_room_and_those_that_wait_for_an_answer_do_not,
            a_flood_of_notices_is_turned_away_and_said_so;
        strangers needs ["dbus-daemon", "busctl", "setpriv", "unshare", ROOT] =>
            on_the_bus_everybody_reads_and_strangers_act_only_by_polkit,
            a_stranger_on_the_socket_is_turned_away_and_told_with_77,
            a_member_of_the_group_is_let_in_on_a_host_that_has_it;
    };
    libtest_mimic::run(&Arguments::from_args(), scenes).exit();
}

const ROOT: &str = "root";

fn scene(name: &str, needs: &[&str], play: fn()) -> Trial {
    let lacks = |need: &&str| if *need == ROOT { lacks_root() } else { lacks_program(need) };
    needing(needs.iter().find_map(lacks), name, move || {
        play();
        Ok(())
    })
}

fn run(scene: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scene);
}

/// What has to happen: the time is that of a machine under a heavy load, not what it takes.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.unwrap_or_else(|_| panic!("it did not happen"))
}

/// What must not happen.
async fn nothing_within<T>(time: Duration, what: impl Future<Output = T>) {
    assert!(tokio::time::timeout(time, what).await.is_err(), "it happened");
}
