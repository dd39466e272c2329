//! The machine: what happened goes in, what is to be done comes out. Here is which state answers which event. What an answer to a
//! question means is in `answers.rs`, what is asked and stepped in `questions.rs`, what begins and ends an epoch in `epoch.rs`, what
//! happens when time passes in `timing.rs`.

mod answers;
mod attempt;
mod describe;
mod epoch;
mod freeze;
mod proof;
mod questions;
mod signs;
mod timing;
mod tolerance;

use std::collections::VecDeque;
use std::time::Duration;

use self::attempt::{Attempt, Deadline, Reason};
use self::freeze::Freezing;
use self::proof::{Proof, SecondLook};
use self::signs::RestoreSigns;
use self::tolerance::Tolerance;
use super::action::{Action, StepBy};
use super::event::{Authority, Cause, Event};
use super::evidence::Evidence;
use super::exchange::Exchange;
use super::leap::LeapSecond;
use super::policy::Policy;
use super::reading::Leap;
use super::state::State;
use super::time::{Boottime, Clocks, Epoch, Offset, Round};

/// When the daemon is asked whether it agrees: chronyd needs 4.2 s for three samples.
const DAEMON_ASKED_AFTER: Duration = Duration::from_secs(6);
const DAEMON_ASKED_TIMES: u32 = 10;

/// What was measured last: offset, bound, and when.
type LatestMeasurement = (Offset, Duration, Boottime);

/// The pure machine. Time comes in as an argument; nothing is read and nothing is done here.
#[derive(Clone, Debug)]
pub struct Machine {
    policy: Policy,
    state: State,
    epoch: Epoch,
    round: Round,
    cause: Cause,
    since: Boottime,
    /// By what a restore or a pause was noticed so far.
    signs: RestoreSigns,
    /// The epoch of the first sign, where this epoch began by a later one.
    repeats: Option<Epoch>,
    /// Whether a hook has reported the wake-up that began this epoch.
    wake_is_noticed: bool,
    /// Whose hands correct the clock in this epoch; none until that is known.
    way: Option<StepBy>,
    authority: Option<Authority>,
    daemon: Option<String>,
    /// How long to wait for the daemon, where no other reference can be asked.
    only_source: Option<Duration>,
    attempt: Attempt,
    deadline: Deadline,
    reason: Reason,
    exchange: Exchange,
    /// What plain servers said where the daemon's authenticated sources outrank them: for texts alone.
    outranked: Option<Exchange>,
    latest: Option<LatestMeasurement>,
    /// What this epoch's exchanges are worth to waiters with a wider tolerance.
    tolerance: Tolerance,
    proof: Option<Proof>,
    /// Until when the proof before this epoch would have lasted.
    would_last: Boottime,
    evidence: Evidence,
    /// An operator has said that the time of the floor's file is wrong.
    floor_is_off: bool,
    /// The reference of the last proof, where it was only one.
    proven_by: Option<String>,
    /// What the supporters of the last proof said.
    leap: Leap,
    /// The leap second that is set in the kernel.
    kernel_leap: Leap,
    /// What comes of the two; until it was made, or measured whether it was.
    leap_second: Option<LeapSecond>,
    /// When the last one was made.
    leapt: Boottime,
    falsetickers: Vec<String>,
    ask_daemon: Boottime,
    daemon_asked: u32,
    /// When the clock was set by others in the last minute.
    sets: VecDeque<Boottime>,
    /// When the warning that another program keeps setting the clock may be given again.
    say_sets: Boottime,
    second_look: SecondLook,
    freezing: Freezing,
    /// Until when a sleep that was announced is believed.
    asleep_until: Boottime,
    /// The clocks at the last event.
    clocks: Clocks,
}

impl Machine {
    /// A machine that continues counting after `epoch`, the last one that was published in this boot.
    #[must_use]
    pub fn new(policy: Policy, epoch: Epoch) -> Self {
        let evidence = Evidence { may_pause: policy.may_pause, ..Evidence::default() };
        Self {
            policy,
            state: State::Unknown,
            epoch,
            round: Round::default(),
            cause: Cause::Started,
            since: Boottime::default(),
            signs: RestoreSigns::default(),
            repeats: None,
            wake_is_noticed: false,
            way: None,
            authority: None,
            daemon: None,
            only_source: None,
            attempt: Attempt::new(),
            deadline: Deadline::Off,
            reason: Reason::unknown(),
            exchange: Exchange::default(),
            outranked: None,
            latest: None,
            tolerance: Tolerance::default(),
            proof: None,
            would_last: Boottime::default(),
            evidence,
            floor_is_off: false,
            proven_by: None,
            leap: Leap::None,
            kernel_leap: Leap::None,
            leap_second: None,
            leapt: Boottime::default(),
            falsetickers: vec![],
            ask_daemon: Boottime::NEVER,
            daemon_asked: 0,
            sets: VecDeque::new(),
            say_sets: Boottime::default(),
            second_look: SecondLook::default(),
            freezing: Freezing::new(),
            asleep_until: Boottime::default(),
            clocks: Clocks::default(),
        }
    }

    /// The same machine with what an agent before it, or a verb, has proven in this boot.
    #[must_use]
    pub fn knowing(mut self, evidence: Evidence) -> Self {
        self.evidence = Evidence { may_pause: self.policy.may_pause, ..evidence };
        self
    }

    /// Takes new rules (configuration reloaded); they apply from the next answer on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.heed_the_operator();
    }

    /// Takes one event and says what is to be done about it.
    pub fn step(&mut self, event: Event, now: Clocks) -> Vec<Action> {
        self.clocks = now;
        self.signs.forget_old(now.boot);
        if let Event::Stepped(order, Ok(_)) = &event
            && self.attempt.step_under_way(*order).is_none()
        {
            // A step that is no longer waited for moved the clock all the same.
            self.tolerance.forget();
        }
        let mut actions = self.handle(event, &now);
        self.expect_leap_second(&now);
        self.heed_evidence(&now);
        actions.extend(self.freezing.settle(self.state, self.epoch, &now));
        actions.extend(self.thaw_tolerant(&now));
        if actions.iter().any(|action| matches!(action, Action::Step { .. })) {
            self.attempt.step_begins(now.boot);
        }
        actions
    }

    fn handle(&mut self, event: Event, now: &Clocks) -> Vec<Action> {
        match (self.state, event) {
            (_, Event::Started) => self.disrupt(Cause::Started, now),
            (_, Event::Sleeping(_)) => self.fall_asleep(Cause::Sleep, now),
            (_, Event::Disrupted(Cause::Snapshot)) => self.fall_asleep(Cause::Snapshot, now),
            (_, Event::Woken(by)) => self.woken(by, now),
            // What happens between the announcement and the sleep is measured after the wake-up.
            (State::Suspended, Event::Disrupted(Cause::ForeignStep { .. } | Cause::Requested)) => vec![],
            (state, Event::Disrupted(Cause::ForeignStep { change })) => self.set_by_others(state, change, now),
            (_, Event::Disrupted(cause)) => self.disrupt(cause, now),

            (State::Disrupted | State::Settling | State::GaveUp(_), Event::Forgotten(epoch, what))
                if epoch == self.epoch =>
            {
                self.forgotten(what, now)
            }
            (_, Event::Measured(epoch, round, m)) if epoch == self.epoch => self.measured(round, &m, now),
            (State::Disrupted | State::Settling | State::GaveUp(_), Event::Stepped(order, outcome)) => {
                match self.attempt.step_under_way(order) {
                    Some(purpose) => self.stepped(purpose, outcome, now),
                    None => outcome.map_or_else(|_| vec![], |change| self.moved_meanwhile(change, now)),
                }
            }
            (State::Synchronized | State::FreeRunning, Event::Stepped(_, Ok(change))) => self.stepped_late(change, now),
            (State::Synchronized | State::FreeRunning, Event::DaemonAsked(epoch, verdict)) if epoch == self.epoch => {
                self.daemon_says(verdict, now)
            }
            (_, Event::Hinted(epoch, hint)) if epoch == self.epoch => {
                self.evidence.hint = Some(hint);
                vec![]
            }
            (state, Event::Dated(epoch, date)) if epoch == self.epoch => self.dated(state, date, now),
            // The second exchange is under way meanwhile.
            (_, Event::HandedOver(..)) => vec![],
            // An answer from an older epoch, or to a question that an event overtook, changes nothing.
            (
                _,
                Event::Forgotten(..)
                | Event::Measured(..)
                | Event::Hinted(..)
                | Event::Dated(..)
                | Event::Stepped(..)
                | Event::DaemonAsked(..),
            ) => vec![],

            (State::Disrupted | State::Settling | State::GaveUp(_) | State::FreeRunning, Event::NetworkChanged) => {
                self.try_again(now)
            }
            (State::Unknown | State::Suspended | State::Synchronized, Event::NetworkChanged) => vec![],
            (State::Suspended, Event::Accepted | Event::Reckon | Event::StepByDate(_)) => vec![],
            (_, Event::Accepted) => self.accept(now),
            (_, Event::Reckon) => self.reckon_by_order(now),
            (_, Event::StepByDate(date)) => self.step_by_date(&date, now),
            (_, Event::Frozen(order, outcome)) => self.freezing.frozen(order, outcome.tolerances),
            (_, Event::Thawed(order, outcome)) => {
                self.freezing.thawed(order, outcome, now.boot);
                vec![]
            }
            (_, Event::CarriersThawed(order, Ok(run))) => {
                // The road may be open now.
                if self.freezing.carriers_run(order, run) { self.try_again(now) } else { vec![] }
            }
            (_, Event::TolerantThawed(order, outcome)) => {
                self.freezing.tolerant_run(order, outcome.is_ok(), now.boot);
                vec![]
            }
            (_, Event::CarriersThawed(_, Err(_)) | Event::SourceLost(_)) => vec![],
            (_, Event::Unseen(_)) => {
                self.second_look.order(now.boot);
                vec![]
            }
            (_, Event::KernelFlagged(leap)) => {
                self.kernel_leap = leap;
                vec![]
            }
            (_, Event::Alarm) => self.on_alarm(now),
        }
    }
}
