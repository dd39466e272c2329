//! All by the daemon: it measures, it steps, and is believed only after it forgot. A chronyd with `-x` may not step; what it then
//! says is the trap.

use std::path::Path;
use std::time::Duration;

use clockgate::daemon::BusAddress;
use clockgate::decision::{DaemonVerdict, Offset, StepBy, StepError};
use clockgate::sys::clock::{boottime, realtime};
use libtest_mimic::Failed;

use crate::Test;
use crate::corrector::measured;
use crate::lab::{Daemon, block_on, corrector};
use crate::relay::{Relay, boast};
use crate::support::chronyd::free_port;
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("a_chronyd_that_may_not_step_is_named_and_made_to_forget_its_lie", a_chronyd_that_may_not_step),
    ("a_step_that_was_said_and_not_made_is_found_out", a_step_that_was_said_and_not_made),
    ("a_daemon_that_means_another_step_than_was_judged_makes_none", a_daemon_that_means_another_step),
    ("a_sample_that_contradicts_the_others_unmakes_the_belief", a_sample_that_contradicts),
    ("a_daemon_that_forgot_meanwhile_does_not_step_by_nothing", a_daemon_that_forgot_meanwhile),
];

const THIRTY: Offset = Offset::from_secs(30);
/// Far less than thirty seconds, and more than a busy machine makes of a sample.
const NEAR: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn thirty_seconds_behind() -> Result<(Daemon, Daemon), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst key 1 offset 30"])?;
    client.synchronised()?;
    Ok((server, client))
}

fn near_thirty(offset: Offset) -> bool {
    (offset - THIRTY).abs() < NEAR
}

fn a_chronyd_that_may_not_step() -> Outcome {
    let (_server, client) = thirty_seconds_behind()?;
    let corrector = client.corrector();
    block_on(async {
        assert!(corrector.forget().await.authority.is_some());
        let found = measured(&corrector, PATIENCE).await?;
        assert!(near_thirty(found.offset), "{found:?}");
        let refused = corrector.step(StepBy::Daemon, found.offset, realtime(), boottime()).await;
        let Err(StepError::NotPermitted(why)) = refused else { return Err(format!("{refused:?}").into()) };
        assert!(why.contains("`-x`") && why.contains("`correction: clockgate`"), "{why}");
        assert_eq!(corrector.ask(Duration::from_millis(200)).await, DaemonVerdict::NotYet);
        let again = measured(&corrector, PATIENCE).await?;
        assert!(near_thirty(again.offset), "the clock is as wrong as before: {again:?}");
        let verdict = corrector.ask(Duration::from_millis(200)).await;
        assert!(matches!(verdict, DaemonVerdict::Disagrees { offset } if near_thirty(offset)), "{verdict:?}");
        Ok(())
    })
}

fn a_step_that_was_said_and_not_made() -> Outcome {
    let (_server, client) = thirty_seconds_behind()?;
    let boaster = Relay::before(&client, boast())?;
    let corrector = corrector(&boaster.socket(), None, Path::new("/nonexistent"), BusAddress::Nowhere);
    block_on(async {
        corrector.forget().await;
        let found = measured(&corrector, PATIENCE).await?;
        let stepped = corrector.step(StepBy::Daemon, found.offset, realtime(), boottime()).await;
        let Err(StepError::Failed(why)) = stepped else { return Err(format!("{stepped:?}").into()) };
        assert!(why.contains("reported a step of +29.9") || why.contains("reported a step of +30.0"), "{why}");
        assert!(why.contains("moved by"), "{why}");
        assert_eq!(corrector.ask(Duration::from_millis(200)).await, DaemonVerdict::NotYet, "and it is reset");
        Ok(())
    })
}

fn a_daemon_that_means_another_step() -> Outcome {
    let (_server, client) = thirty_seconds_behind()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        measured(&corrector, PATIENCE).await?;
        let stepped = corrector.step(StepBy::Daemon, Offset::from_secs(10), realtime(), boottime()).await;
        assert!(matches!(stepped, Err(StepError::Superseded { .. })), "{stepped:?}");
        let stale = realtime() + Offset::from_secs(-5);
        let stepped = corrector.step(StepBy::Daemon, THIRTY, stale, boottime()).await;
        assert!(matches!(stepped, Err(StepError::Superseded { .. })), "{stepped:?}");
        assert!(!client.log().contains("Could not step"), "it was not even asked to");
        Ok(())
    })
}

/// What a pause of the machine looks like to its chronyd, between two samples: the server is suddenly ahead.
fn a_sample_that_contradicts() -> Outcome {
    let truth = Daemon::server()?;
    let line = "server {server} minpoll -2 maxpoll 0 iburst";
    let before = Daemon::between(&truth, &[line], free_port()?)?;
    before.synchronised()?;
    let client = Daemon::client(&before, &[line])?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        let first = measured(&corrector, PATIENCE).await?;
        assert!(first.offset.abs() < NEAR, "{first:?}");
        let port = before.port;
        drop(before);
        let after = Daemon::between(&truth, &[&format!("{line} offset 30")], port)?;
        after.synchronised()?;
        let lost =
            || client.log().contains("no selectable sources") && client.ask().sources().is_ok_and(|s| !s[0].selected);
        until("chronyd follows nobody", PATIENCE, lost)?;
        let tracking = client.ask().tracking()?;
        assert!(tracking.synchronised().is_some() && tracking.offset.abs() < NEAR, "the trap: {tracking:?}");
        assert_eq!(corrector.ask(Duration::from_millis(200)).await, DaemonVerdict::NotYet);
        assert_eq!(corrector.describe().await, None);
        let second = measured(&corrector, PATIENCE).await?;
        assert!(near_thirty(second.offset), "{second:?}");
        Ok(())
    })
}

fn a_daemon_that_forgot_meanwhile() -> Outcome {
    let (_server, client) = thirty_seconds_behind()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        let stepped = corrector.step(StepBy::Daemon, THIRTY, realtime(), boottime()).await;
        assert!(matches!(stepped, Err(StepError::Failed(ref why)) if why.contains("measures again")), "{stepped:?}");
        Ok(())
    })
}
