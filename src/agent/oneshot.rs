//! One measurement, step and proof without an agent: what `clockgate sync` does. Nothing is published and nothing is watched.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{AgentError, Performer};
use crate::config::Config;
use crate::daemon::Corrector;
use crate::decision::{
    ContainerList, Epoch, Event, Failure, HttpDate, Machine, Measurement, Offset, Policy, Snapshot, State, StepBy,
    StepError,
};
use crate::disruption::clock_set::ClockSet;
use crate::publish::outlets;
use crate::publish::proof_file::ProofFile;
use crate::sys::async_descriptor::readable;
use crate::sys::clock::{boottime, clocks, standing};
use crate::sys::step::SystemClock;
use crate::sys::timerfd::Alarm;
use crate::transition::{Recorder, Walked};

/// How often the clock is looked at while another program sets it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct OneshotOutcome {
    /// The state of the machine at the end; its gate says whether the clock is proven.
    pub end: Snapshot,
    /// Why there is no proof; meaningless where there is one.
    pub trouble: String,
    /// The steps that were made.
    pub steps: Vec<Offset>,
    /// Why a step was not permitted, if that is what ended it.
    pub not_permitted: Option<String>,
    /// Who did not answer in the last exchange.
    pub failures: Vec<Failure>,
}

/// What is to be done once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A proof.
    Proof,
    /// The clock set by dead reckoning from the last proof in this boot, which proves nothing.
    Reckoning,
}

/// Walks from what was proven in this boot to the goal, or to the deadline of `config.policy`.
///
/// # Errors
/// [`AgentError::Alarm`].
pub async fn measure_step_and_prove(config: &Config, goal: Goal) -> Result<OneshotOutcome, AgentError> {
    let clock = Arc::new(SystemClock::new());
    let (outcomes, mut inbox) = mpsc::channel(super::QUEUE);
    let corrector = Corrector::new(clock.clone(), config.correction_settings());
    let performer = Performer::new(corrector, outcomes, config);
    let alarm = Alarm::new().and_then(readable).map_err(AgentError::Alarm)?;
    let clock_set = ClockSet::new(clock.clone()).map_err(AgentError::Alarm)?;
    // An operator who steps the clock does not ask for a freeze.
    let policy = Policy { freeze: None, ..super::policy(config) };
    let mut known = ProofFile::beside(&config.page);
    let mut machine = Machine::new(policy, Epoch::default()).knowing(known.read());
    let mut outcome = OneshotOutcome::default();
    let mut recorder = Recorder::default();
    if goal == Goal::Reckoning && machine.evidence().last.is_none() {
        outcome.trouble = "dead reckoning needs a proof in this boot, and there is none".to_owned();
        return Ok(outcome);
    }
    let first = match goal {
        Goal::Proof => Event::Started,
        Goal::Reckoning => Event::Reckon,
    };
    let mut events = VecDeque::from([(first, clocks())]);
    loop {
        let Some((event, now)) = events.pop_front() else {
            let (new, now) = tokio::select! {
                biased;
                set = clock_set.changed() => (set.map_err(AgentError::Alarm)?, clocks()),
                // A stranger's step between the two exchanges voids the first one here as well.
                Some(event) = inbox.recv() => {
                    let (mut events, now) = clock_set.undisturbed();
                    events.push(event);
                    (events, now)
                }
                fired = super::on_alarm(&alarm) => {
                    fired.map_err(AgentError::Alarm)?;
                    (vec![Event::Alarm], clocks())
                }
            };
            events.extend(new.into_iter().map(|event| (event, now)));
            continue;
        };
        recorder.receive(&event);
        outcome.note(&event);
        performer.heed(&event);
        let actions = machine.step(event.clone(), now);
        let end = machine.snapshot();
        // Nothing is published and the verb prints the end itself: what the events say is all there is to log.
        let held = &ContainerList::default();
        let walked = Walked { before: &end, after: &end, machine: &machine, actions: &[], at: now, woken: 0, held };
        recorder.events(&event, &walked).iter().for_each(outlets::log);
        // The next who asks one reference counts on from here; where there is no place to keep it, it is the first proof.
        drop(known.note(machine.evidence()));
        let given_up = matches!(machine.state(), State::GaveUp(_)) || outcome.not_permitted.is_some();
        if machine.state() == State::Synchronized || given_up {
            outcome.end = machine.snapshot();
            outcome.trouble = machine.trouble().to_string();
            return Ok(outcome);
        }
        actions.into_iter().for_each(|action| performer.start(action, machine.state().gate()));
        alarm.get_ref().set(machine.alarm()).map_err(AgentError::Alarm)?;
    }
}

/// Steps the clock once by the `Date` of a web server: the daemon is reset before it and ordered to measure after it. Returns the step, and
/// why the daemon could not be ordered to measure.
///
/// # Errors
/// [`StepError`].
pub async fn step_once(config: &Config, date: &HttpDate) -> Result<(Offset, Option<String>), StepError> {
    let corrector = Corrector::new(Arc::new(SystemClock::new()), config.correction_settings());
    let forgotten = corrector.forget().await;
    let moved = corrector.step(StepBy::Own, date.offset, date.local, date.as_of).await;
    // A daemon that was reset measures again, no matter how the step ended.
    let resynced = corrector.hand_over().await;
    Ok((moved?, forgotten.trouble.or(resynced.err())))
}

/// By how much the clock has moved since REALTIME was ahead of BOOTTIME by `before`, once the agent that was asked to step it by `wanted` has
/// done so; none if it is not done in time.
pub async fn stepped_meanwhile(before: Offset, wanted: Offset, within: Duration) -> Option<Offset> {
    let end = boottime() + within;
    loop {
        let moved = standing().real_minus_boot - before;
        if (moved - wanted).abs() <= wanted.abs() / 2 {
            return Some(moved);
        }
        if boottime() >= end {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks every reference once, and leaves it at that.
pub async fn measure(config: &Config) -> Measurement {
    let (events, _inbox) = mpsc::channel(1);
    let corrector = Corrector::new(Arc::new(SystemClock::new()), config.correction_settings());
    Performer::new(corrector, events, config).measure().await
}

impl OneshotOutcome {
    /// What a caller is shown; the rest of what happened is in the record.
    fn note(&mut self, event: &Event) {
        if let Event::Measured(_, _, measurement) = event {
            self.failures.clone_from(&measurement.failures);
        }
        let Event::Stepped(_, stepped) = event else { return };
        match stepped {
            Ok(moved) => self.steps.push(*moved),
            Err(StepError::NotPermitted(why)) => self.not_permitted = Some(why.clone()),
            Err(StepError::Superseded { .. } | StepError::Failed(_)) => {}
        }
    }
}
