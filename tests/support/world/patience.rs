//! Whoever waits at the gate is answered by the deadline: proven, opened or held by the policy, and told so.

use std::time::Duration;

use clockgate::decision::{Action, Awake, Boottime, Cause, Clocks, Epoch, Event, Machine, State};

/// A question, or a step, is given up after so long; a reset that ends late is followed by a question to the daemon.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// After an operator's word the next question is asked after so long.
const ASKED_WITHIN: Duration = Duration::from_secs(2);
/// How often a gate that stays shut is reported.
const REMIND_INTERVAL: Duration = Duration::from_secs(60);

/// The deadline of those who wait, as they were promised it.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// When the policy applies; none while nobody waits.
    due: Option<Awake>,
    /// What is left of it while the machine sleeps.
    paused: Option<Duration>,
    /// What the machine was in after the event before.
    state: State,
    /// When this epoch began: no policy applies before an exchange of it has ended.
    epoch: Epoch,
    epoch_since: Boottime,
    /// The same, or when an operator's step took the place of its question, or a step could begin since what runs is frozen.
    asked_since: Boottime,
}

impl Patience {
    /// A step that an operator ordered takes the place of the question; so does one that waited until what runs is frozen, or for
    /// as long as it may be frozen.
    pub fn steps_instead(&mut self, event: &Event, actions: &[Action], now: Boottime) {
        let steps = actions.iter().any(|action| matches!(action, Action::Step { .. }));
        let freezes = actions.iter().any(|action| matches!(action, Action::Freeze(..)));
        let takes_its_place = match event {
            Event::StepByDate(_) | Event::Reckon => steps || freezes,
            Event::Frozen(..) | Event::Alarm => steps,
            _ => false,
        };
        if takes_its_place {
            self.asked_since = now;
        }
    }

    /// Takes what has happened, and judges it.
    pub fn watch(&mut self, event: &Event, machine: &Machine, deadline: Duration, now: &Clocks) {
        let before = std::mem::replace(&mut self.state, machine.state());
        if machine.epoch() != self.epoch {
            (self.epoch, self.epoch_since, self.asked_since) = (machine.epoch(), now.boot, now.boot);
        }
        let begins_anew = match event {
            Event::Disrupted(Cause::Resume { slept }) => !slept.is_zero(),
            Event::Started | Event::Disrupted(Cause::Restore(_) | Cause::Pause { .. }) => true,
            Event::Alarm => matches!(machine.snapshot().cause, Cause::Restore(_)) && self.epoch_since == now.boot,
            _ => false,
        };
        let full = now.awake() + deadline;
        let left = self.paused.take();
        match machine.state() {
            State::Unknown | State::Synchronized | State::FreeRunning | State::GaveUp(_) => self.due = None,
            State::Suspended => {
                let is_fresh = begins_anew || matches!(before, State::Synchronized | State::FreeRunning);
                let due = self.due.take().filter(|_| !is_fresh).map(|due| due.since(now.awake()));
                self.paused = Some(left.or(due).unwrap_or(deadline.max(self.least(before))));
            }
            State::Disrupted | State::Settling if begins_anew => self.due = Some(full),
            State::Disrupted | State::Settling => {
                let due = left.map(|left| now.awake() + left).or(self.due);
                self.due = Some(due.unwrap_or(full.max(now.awake() + self.least(before))));
            }
        }
        let may_ask = now.boot < self.asked_since + ASKED_WITHIN + LOST_AFTER + LOST_AFTER;
        let is_told = may_ask || self.due.is_none_or(|due| now.awake() < due);
        assert!(is_told || *event != Event::Alarm, "nobody was told at the deadline: {}", machine.state());
    }

    /// Who was told that the gate is held is told again by the reminder.
    fn least(&self, before: State) -> Duration {
        match before {
            State::GaveUp(_) => REMIND_INTERVAL,
            State::Unknown
            | State::Suspended
            | State::Disrupted
            | State::Settling
            | State::Synchronized
            | State::FreeRunning => Duration::ZERO,
        }
    }

    /// An alarm is set for the deadline, or for the end of the question that is before it.
    pub fn has_an_end(&self, machine: &Machine, alarm: Boottime, now: &Clocks) {
        match machine.state() {
            State::Disrupted | State::Settling => {
                let due = self.due.map_or(now.boot, |due| due.on_boottime(now));
                let last = due.max(now.boot + ASKED_WITHIN + LOST_AFTER);
                assert!(alarm <= last, "whoever waits is told nothing: {}", machine.state());
            }
            State::Suspended | State::GaveUp(_) => assert!(alarm != Boottime::NEVER, "{} for ever", machine.state()),
            State::Unknown | State::Synchronized | State::FreeRunning => {}
        }
    }
}
