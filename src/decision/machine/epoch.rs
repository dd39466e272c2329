//! What begins an epoch, and what a stranger's setting of the clock means.

use std::time::Duration;

use super::super::action::{Action, Samples, StepBy, Warning};
use super::super::event::{Cause, Forgotten, Notifier};
use super::super::exchange::lasting;
use super::super::leap;
use super::super::plausibility::near_midnight;
use super::super::policy::Correction;
use super::super::published::Gate;
use super::super::reading::Leap;
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Epoch, NOISE, Offset};
use super::Machine;
use super::attempt::{Attempt, Busy, Deadline, RETRY_FIRST, Reason};
use super::signs::SAME_WITHIN;

/// Sets within a minute that are more than a person or a daemon would make.
const MANY_SETS: usize = 6;
const SETS_WITHIN: Duration = Duration::from_secs(60);
/// How long it is not said again.
const SETS_SAID_FOR: Duration = Duration::from_secs(600);

impl Machine {
    /// Shut, nothing under way, until the machine wakes up or the image is restored.
    pub(super) fn fall_asleep(&mut self, cause: Cause, now: &Clocks) -> Vec<Action> {
        self.begin_epoch(cause, now);
        self.state = State::Suspended;
        self.deadline.pause(now);
        self.asleep_until = now.boot + self.policy.suspend_timeout;
        self.freezing.before_sleep(self.epoch, self.policy.freeze, now)
    }

    /// What we knew is void: shut, and find out. The first exchange overlaps the daemon's forgetting.
    pub(super) fn disrupt(&mut self, cause: Cause, now: &Clocks) -> Vec<Action> {
        self.begin_epoch(cause, now);
        self.state = State::Disrupted;
        self.remember(cause);
        self.exchange.begin();
        self.outranked = None;
        self.way = match self.policy.correction {
            Correction::Daemon => Some(StepBy::Daemon),
            Correction::Clockgate | Correction::None => Some(StepBy::Own),
            Correction::Auto => None,
        };
        match self.policy.correction {
            Correction::None => self.measure(now),
            // It is asked when it has forgotten.
            Correction::Daemon => {
                self.attempt.busy = self.asking(now);
                vec![Action::ResetDaemon(self.epoch, samples(cause))]
            }
            Correction::Auto | Correction::Clockgate => {
                let mut actions = vec![Action::ResetDaemon(self.epoch, samples(cause))];
                actions.extend(self.measure(now));
                actions
            }
        }
    }

    /// The machine runs again. Without an announcement before it, logind's word is of a wake-up that the kernel reported first. So is the
    /// first notice after that; another one, or a later one, may be of a pause that nothing else shows.
    pub(super) fn woken(&mut self, by: Notifier, now: &Clocks) -> Vec<Action> {
        let is_known = self.state != State::Suspended
            && match by {
                Notifier::Logind => true,
                Notifier::Notify => {
                    matches!(self.cause, Cause::Resume { .. })
                        && !self.wake_is_noticed
                        && now.boot.since(self.since) <= SAME_WITHIN
                }
            };
        let actions = if is_known { vec![] } else { self.disrupt(Cause::Resume { slept: Duration::ZERO }, now) };
        self.wake_is_noticed |= by == Notifier::Notify;
        actions
    }

    fn begin_epoch(&mut self, cause: Cause, now: &Clocks) {
        let was_open = self.state.gate() != Gate::Shut;
        let is_anew = is_counted(cause);
        if let Some(proof) = self.proof.take() {
            self.would_last = proof.valid_until;
        }
        self.repeats = self.repeated(cause, now);
        self.epoch = self.epoch.next();
        self.cause = cause;
        self.since = now.boot;
        self.wake_is_noticed = false;
        self.latest = None;
        self.tolerance.forget();
        self.ask_daemon = Boottime::NEVER;
        self.daemon_asked = 0;
        self.attempt = Attempt::new();
        self.second_look.done();
        self.deadline.go_on(now);
        if is_anew || was_open || self.deadline == Deadline::Off {
            self.deadline = Deadline::after(self.policy.deadline, now);
        }
        if is_anew {
            self.reason = Reason::unknown();
        }
        self.freezing.begin_epoch(is_anew.then_some(self.policy.freeze).flatten(), now);
    }

    /// The epoch that an earlier sign of the same disruption began.
    fn repeated(&mut self, cause: Cause, now: &Clocks) -> Option<Epoch> {
        let again = self.signs.take(cause.restore_sign(), self.state.gate(), (self.epoch.next(), now.boot));
        // Logind and a hook announce the same sleep.
        let is_same_sleep = cause == Cause::Sleep && (self.state, self.cause) == (State::Suspended, cause);
        if is_same_sleep { self.repeats.or(Some(self.epoch)) } else { again }
    }

    /// What a disruption does to what is known without asking.
    fn remember(&mut self, cause: Cause) {
        self.evidence.rtc = None;
        self.evidence.hint = None;
        self.evidence.http_date = None;
        match cause {
            Cause::Resume { slept } if !slept.is_zero() => {
                for known in [&mut self.evidence.last, &mut self.evidence.anchor].into_iter().flatten() {
                    known.sleeps = known.sleeps.saturating_add(1);
                }
            }
            // The machine may be any time later than it thinks, and what one voice has changed so far is void with it.
            Cause::Restore(_) | Cause::Pause { .. } => {
                self.evidence.anchor = None;
                self.evidence.restored = true;
            }
            Cause::Resume { .. }
            | Cause::Started
            | Cause::Sleep
            | Cause::ForeignStep { .. }
            | Cause::Snapshot
            | Cause::Requested
            | Cause::Expired
            | Cause::Drifted
            | Cause::DaemonDisagrees => {}
        }
    }

    /// The daemon forgot, or there is none: now it is known whose answers count.
    pub(super) fn forgotten(&mut self, what: Forgotten, now: &Clocks) -> Vec<Action> {
        self.daemon = what.daemon;
        self.evidence.rtc = what.rtc;
        self.authority = what.authority.filter(|_| !what.has_keys);
        let is_asked = self.authority.is_some() || what.only_source.is_some();
        let is_outranked = is_asked && self.policy.correction == Correction::Auto;
        if self.authority.is_some() {
            self.tolerance.forget_dates();
        }
        if is_outranked {
            // Plain answers count no longer.
            self.tolerance.forget();
        }
        self.only_source = what.only_source;
        match self.way {
            Some(StepBy::Daemon) => self.ask_daemon_alone(now),
            Some(StepBy::Own) | None if is_outranked => {
                self.way = Some(StepBy::Daemon);
                self.outranked = Some(std::mem::take(&mut self.exchange));
                self.ask_daemon_alone(now)
            }
            Some(StepBy::Own) | None => {
                self.way = Some(StepBy::Own);
                self.decide(now)
            }
        }
    }

    /// The daemon is asked; a clock that is certainly wrong is brought up to the floor first, for certificates are checked.
    fn ask_daemon_alone(&mut self, now: &Clocks) -> Vec<Action> {
        // It is asked when the step has ended: a second one beside it would be measured on a clock that the first still moves.
        if matches!(self.attempt.busy, Busy::Stepping(..)) {
            return vec![];
        }
        self.attempt.busy = Busy::No;
        self.raise_to_floor(now).unwrap_or_else(|| self.measure(now))
    }

    /// Another program set the clock.
    pub(super) fn set_by_others(&mut self, state: State, change: Offset, now: &Clocks) -> Vec<Action> {
        if let Some(rest) = self.take_leap_second(change, now) {
            return if rest.abs() <= NOISE { vec![] } else { self.set_by_others(state, rest, now) };
        }
        let mut actions = self.count_sets(now);
        if self.is_leap_second(change, now) {
            self.evidence.last.iter_mut().chain(&mut self.evidence.anchor).for_each(|known| known.shift(change));
        }
        let is_no_move = change.abs() <= NOISE;
        actions.extend(match state {
            State::Synchronized | State::FreeRunning if self.absorb(change, now) => vec![],
            // A request to measure: a program marked the clock unsynchronised.
            State::Disrupted | State::Settling if is_no_move => vec![],
            State::GaveUp(_) if is_no_move => self.try_again(now),
            State::Unknown
            | State::Suspended
            | State::Disrupted
            | State::Settling
            | State::Synchronized
            | State::FreeRunning
            | State::GaveUp(_) => self.disrupt(Cause::ForeignStep { change }, now),
        });
        actions
    }

    /// Our own step that ended after its time limit moved the clock after the proof, as a step by another program does.
    pub(super) fn stepped_late(&mut self, change: Offset, now: &Clocks) -> Vec<Action> {
        if self.absorb(change, now) { vec![] } else { self.disrupt(Cause::ForeignStep { change }, now) }
    }

    /// A step that leaves the bound under the threshold moves offset and bound, and is measured in the background.
    fn absorb(&mut self, change: Offset, now: &Clocks) -> bool {
        let (Some(proof), Some((offset, bound, as_of))) = (&mut self.proof, &mut self.latest) else { return false };
        let distance = bound.saturating_sub(offset.abs());
        let moved = *offset - change;
        let new_bound = moved.abs().saturating_add(distance);
        let room = self.policy.threshold.saturating_sub(new_bound);
        let valid_until = proof.as_of + lasting(room, proof.drift_ppm);
        if change.abs() > self.policy.threshold || valid_until <= now.boot + RETRY_FIRST {
            return false;
        }
        (*offset, *bound) = (moved, new_bound);
        proof.bound = new_bound;
        proof.valid_until = valid_until;
        proof.differences.real_minus_boot = proof.differences.real_minus_boot + change;
        let soonest = (*as_of + self.policy.remeasure_min).max(now.boot);
        proof.remeasure = proof.remeasure.min(soonest);
        self.exchange.stepped(now.boot, change);
        true
    }

    /// A change of one second at a UTC midnight is the kernel's where a leap second was flagged.
    fn is_leap_second(&self, change: Offset, now: &Clocks) -> bool {
        let expected = match self.leap_flag() {
            Leap::None => return false,
            // 23:59:60: the clock is set back by one.
            Leap::Insert => Offset::from_secs(-1),
            Leap::Delete => Offset::from_secs(1),
        };
        near_midnight(now.real) && (change - expected).abs() <= leap::SLACK
    }

    fn leap_flag(&self) -> Leap {
        if self.kernel_leap == Leap::None { self.leap } else { self.kernel_leap }
    }

    /// The kernel made the leap second that the proof expects: truth and clock have moved alike. Says what else was changed.
    fn take_leap_second(&mut self, change: Offset, now: &Clocks) -> Option<Offset> {
        let leap = self.leap_second.filter(|leap| leap::is_made_by(*leap, change, now.boot))?;
        let proof = self.proof.as_mut()?;
        proof.differences.real_minus_boot = proof.differences.real_minus_boot + leap.change;
        proof.remeasure = leap::keeps_clear(leap, proof.remeasure);
        self.evidence.last.iter_mut().chain(&mut self.evidence.anchor).for_each(|known| known.shift(leap.change));
        (self.leapt, self.leap_second) = (leap.at, None);
        Some(change - leap.change)
    }

    /// Which leap second the proof is to outlast: one that is due stays until it was made, or measured whether it was.
    pub(super) fn expect_leap_second(&mut self, now: &Clocks) {
        let is_due = self.leap_second.is_some_and(|leap| now.boot >= leap.at);
        self.leap_second = match self.proof {
            Some(_) if is_due => self.leap_second,
            Some(proof) => leap::flagged(self.leap_flag(), now.real, proof.differences.real_minus_boot)
                .filter(|leap| !leap::is_that_of(*leap, self.leapt)),
            None => None,
        };
    }

    fn count_sets(&mut self, now: &Clocks) -> Vec<Action> {
        self.sets.push_back(now.boot);
        while self.sets.front().is_some_and(|at| now.boot.since(*at) > SETS_WITHIN) {
            self.sets.pop_front();
        }
        if self.sets.len() < MANY_SETS || now.boot < self.say_sets {
            return vec![];
        }
        self.say_sets = now.boot + SETS_SAID_FOR;
        let beside = self.daemon.as_ref().map_or(String::new(), |daemon| format!(" beside {daemon}"));
        vec![Action::Warn(Warning::SetByOthers(format!(
            "the clock was set {} times in the last minute by another program{beside}: a second time daemon, or guest tools of \
             the hypervisor (open-vm-tools, VBoxService, qemu-ga) that synchronise the time as well; stop one of them",
            self.sets.len()
        )))]
    }

    /// An operator means this time: it is opened without a proof, and what contradicts it is forgotten.
    pub(super) fn accept(&mut self, now: &Clocks) -> Vec<Action> {
        let in_spite_of = self.known_trouble(now);
        self.floor_is_off = true;
        self.heed_the_operator();
        (self.evidence.last, self.evidence.anchor) = (None, None);
        (self.evidence.rtc, self.evidence.hint, self.evidence.http_date) = (None, None, None);
        let mut actions = self.disrupt(Cause::Requested, now);
        // It is asked again later: who means it knows what is said.
        actions.retain(|action| !matches!(action, Action::Measure(..)));
        let order = in_spite_of.map_or("accepted by an operator".to_owned(), |trouble| {
            format!("accepted by an operator, though {trouble}")
        });
        actions.extend(self.open_unproven(order, now));
        actions
    }

    /// What speaks against this time, without the commands that help.
    fn known_trouble(&self, now: &Clocks) -> Option<String> {
        let said = || (!self.reason.trouble.why.is_empty()).then(|| self.reason.trouble.to_string());
        self.contradiction(now).map(|found| found.to_string()).or_else(said)
    }

    pub(super) fn heed_the_operator(&mut self) {
        if self.floor_is_off {
            self.policy.floor.file = None;
        }
    }
}

/// Whether time passed that the clock may have missed: then the deadline begins anew, and earlier failures do not count.
const fn is_counted(cause: Cause) -> bool {
    match cause {
        Cause::Resume { slept } => !slept.is_zero(),
        Cause::Started | Cause::Restore(_) | Cause::Pause { .. } => true,
        Cause::Sleep
        | Cause::ForeignStep { .. }
        | Cause::Snapshot
        | Cause::Requested
        | Cause::Expired
        | Cause::Drifted
        | Cause::DaemonDisagrees => false,
    }
}

/// Whether what the daemon has measured may be of another clock than this.
const fn samples(cause: Cause) -> Samples {
    match cause {
        Cause::Started
        | Cause::Sleep
        | Cause::Resume { .. }
        | Cause::ForeignStep { .. }
        | Cause::Snapshot
        | Cause::Restore(_)
        | Cause::Pause { .. } => Samples::Void,
        Cause::Requested | Cause::Expired | Cause::Drifted | Cause::DaemonDisagrees => Samples::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Event, Machine, Policy, RestoreSign};

    fn ordered(cause: Cause) -> Option<Samples> {
        let mut machine = Machine::new(Policy::default(), Epoch::default());
        let actions = machine.step(Event::Disrupted(cause), Clocks::default());
        actions
            .into_iter()
            .find_map(|action| if let Action::ResetDaemon(_, samples) = action { Some(samples) } else { None })
    }

    #[test]
    fn the_samples_of_a_daemon_are_void_only_after_a_step_a_suspend_or_a_pause() {
        let moved = Duration::from_secs(3);
        let change = Offset::from_secs(3);
        for cause in [
            Cause::Started,
            Cause::Restore(RestoreSign::Notice),
            Cause::Resume { slept: moved },
            Cause::Pause { lost: moved },
            Cause::ForeignStep { change },
        ] {
            assert_eq!(ordered(cause), Some(Samples::Void), "{cause}");
        }
        for cause in [Cause::Requested, Cause::Expired, Cause::Drifted, Cause::DaemonDisagrees] {
            assert_eq!(ordered(cause), Some(Samples::Good), "{cause}");
        }
    }
}
