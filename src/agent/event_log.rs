//! The agent's log: one line a transition, and what happened where that is more than the transition it causes.

use std::collections::BTreeSet;

use tracing::{debug, error, info, warn};

use crate::decision::{
    Action, DaemonVerdict, Epoch, Event, Failure, FreezeOutcome, Gate, Machine, Round, Snapshot, State, nanos_u64,
};
use crate::sys::clock::boottime;

/// Who gave no reading, said once for each round of questions: what is reported of a round is reported whole, again and again.
#[derive(Debug, Default)]
pub(super) struct Silent {
    round: Option<(Epoch, Round)>,
    said: BTreeSet<String>,
}

impl Silent {
    /// Says who has had his time and gave no reading.
    pub(super) fn tell(&mut self, event: &Event) {
        let Event::Measured(epoch, round, measurement) = event else { return };
        if !measurement.waiting.is_empty() {
            return;
        }
        if self.round != Some((*epoch, *round)) {
            *self = Self { round: Some((*epoch, *round)), said: BTreeSet::new() };
        }
        for Failure { source, why, .. } in &measurement.failures {
            if self.said.insert(source.clone()) {
                info!(epoch = epoch.get(), %source, "no reading: {why}");
            }
        }
    }
}

/// What a guard refused, and what is known to be wrong and cannot be made right: said at once, not at the deadline, and once an epoch.
#[derive(Debug, Default)]
pub(super) struct RefusedSteps {
    said: Option<(Epoch, String)>,
    /// Why the last step was ordered, which is no refusal.
    stepping: String,
}

impl RefusedSteps {
    /// Says it, if it is new.
    pub(super) fn tell(&mut self, machine: &Machine, actions: &[Action]) {
        let trouble = machine.trouble();
        if actions.iter().any(|action| matches!(action, Action::Step { .. })) {
            self.stepping.clone_from(&trouble.why);
        }
        let is_held = machine.state() == State::Disrupted && trouble.is_wrong() && trouble.why != self.stepping;
        let now = (machine.epoch(), trouble.why.clone());
        if is_held && self.said.as_ref() != Some(&now) {
            warn!(epoch = now.0.get(), "{}", now.1);
            self.said = Some(now);
        }
    }
}

/// Says what happened.
pub(super) fn event(event: &Event) {
    match event {
        Event::Forgotten(epoch, forgotten) => {
            if let Some(trouble) = &forgotten.trouble {
                warn!(
                    epoch = epoch.get(),
                    daemon = forgotten.daemon.as_deref(),
                    "cannot reset the time daemon: {trouble}"
                );
            }
        }
        Event::Stepped(epoch, Ok(moved)) => info!(epoch = epoch.get(), %moved, "clock stepped"),
        Event::Stepped(epoch, Err(error)) => warn!(epoch = epoch.get(), "clock not stepped: {error}"),
        Event::HandedOver(epoch, Err(why)) => warn!(epoch = epoch.get(), "cannot notify the time daemon of the step: {why}"),
        Event::DaemonAsked(epoch, verdict) => daemon(epoch.get(), verdict),
        Event::Frozen(order, FreezeOutcome { frozen, of, stuck }) if !stuck.is_empty() => {
            warn!(epoch = order.epoch.get(), frozen, of, "cannot freeze everything: {}", stuck.join("; "));
        }
        Event::Frozen(order, FreezeOutcome { frozen, of, .. }) if *of > 0 => info!(epoch = order.epoch.get(), frozen, of, "frozen"),
        Event::CarriersThawed(order, Ok(names)) if !names.is_empty() => warn!(
            epoch = order.epoch.get(),
            containers = names.join(" "),
            "no reference can be reached: thawed the containers that carry the network; the clock may be wrong"
        ),
        Event::CarriersThawed(order, Err(why)) => warn!(epoch = order.epoch.get(), "cannot thaw the containers that carry the network: {why}"),
        Event::Dated(epoch, date) => debug!(epoch = epoch.get(), "no reference answers; {date}"),
        Event::Unseen(source) => debug!(source, "a restore may have been missed: measuring the clock again"),
        Event::Thawed(order, Err(why)) => error!(epoch = order.epoch.get(), "cannot thaw; trying again: {why}"),
        Event::Measured(..)
        | Event::Started
        | Event::Disrupted(_)
        | Event::Sleeping(_)
        | Event::Woken(_)
        | Event::HandedOver(_, Ok(()))
        | Event::Frozen(..)
        | Event::Thawed(_, Ok(()))
        | Event::CarriersThawed(..)
        | Event::NetworkChanged
        | Event::Hinted(..)
        | Event::Accepted
        | Event::Reckon
        // Who lost it has said why.
        | Event::SourceLost(_)
        | Event::KernelFlagged(_)
        | Event::Alarm => {}
    }
}

fn daemon(epoch: u64, verdict: &DaemonVerdict) {
    match verdict {
        DaemonVerdict::Agrees { offset } => info!(epoch, %offset, "the daemon agrees"),
        DaemonVerdict::Disagrees { offset } => warn!(epoch, %offset, "the daemon disagrees"),
        DaemonVerdict::Silent(why) => warn!(epoch, "cannot ask the time daemon whether it agrees: {why}"),
        DaemonVerdict::NotYet => {}
    }
}

/// Says how the gate stands now, if it stands otherwise than before.
pub(super) fn transition(before: &Snapshot, after: &Snapshot, machine: &Machine) {
    if (before.state, before.epoch, before.gate) == (after.state, after.epoch, after.gate) {
        return;
    }
    let what = match (before.gate, after.gate) {
        (_, Gate::Shut) if after.epoch != before.epoch => "gate shut",
        (Gate::Shut, Gate::Shut) => "gate stays shut",
        (Gate::Proven | Gate::Unproven, Gate::Shut) => "gate shut",
        (Gate::Proven, Gate::Proven) => "gate stays open",
        (_, Gate::Proven) => "gate open",
        (_, Gate::Unproven) => "gate open without a proof",
    };
    let falsetickers = machine.falsetickers().join(" ");
    info!(
        epoch = after.epoch.get(),
        cause = %after.cause,
        state = %machine.state(),
        offset = after.offset.map(tracing::field::display),
        bound_us = after.bound.map(|bound| nanos_u64(bound) / 1000),
        falsetickers = (!falsetickers.is_empty()).then_some(falsetickers),
        after_us = nanos_u64(boottime().since(after.since)) / 1000,
        "{what}"
    );
}
