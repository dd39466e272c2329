//! D-Bus with real parts: a private dbus-daemon, a logind of our own on it, the agent's object on it and on its socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::future::Future;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

#[path = "bus/daemon.rs"]
mod daemon;
#[path = "bus/logind.rs"]
mod logind;
#[path = "bus/sleep.rs"]
mod sleep;

macro_rules! scenes {
    ($($module:ident: $($scene:ident),+ $(,)?;)+) => {
        vec![$($(scene(stringify!($scene), || run($module::$scene()))),+),+]
    };
}

fn main() {
    let scenes = scenes! {
        sleep:
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
            a_refused_inhibitor_is_asked_for_again_and_sleep_is_announced_all_the_same,
            nobody_but_logind_can_announce_a_sleep,
            when_nobody_listens_any_more_the_inhibitor_is_let_go;
    };
    libtest_mimic::run(&Arguments::from_args(), scenes).exit();
}

/// A scene that needs a dbus-daemon: without one it is skipped aloud, and in CI it fails.
fn scene(name: &str, play: fn()) -> Trial {
    let here = daemon::Bus::is_here();
    if !here {
        eprintln!("skipped: {name}: no dbus-daemon on this machine");
    }
    let skip = !here && std::env::var("CI").as_deref() != Ok("true");
    Trial::test(name, move || {
        play();
        Ok(())
    })
    .with_ignored_flag(skip)
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
