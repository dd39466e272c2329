//! The starts of containers that the gate holds: looked for beside the event loop, which takes what was seen last. Only while the gate
//! is shut, and only when something has happened.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{ContainerList, Gate};
use crate::sys::clock::boottime;
use crate::transition::Transition;
use crate::waiter::oci::{self, Waiting};

/// After a look, none follows for so many times as long as it took: looking costs a twentieth of a processor at most.
const PAUSE: u32 = 20;
/// The processor is the walk's first: most gates are open again before that.
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(100);

/// What was seen last at this shut gate.
#[derive(Clone, Debug, Default)]
pub struct HeldStarts(Arc<Mutex<HeldState>>);

#[derive(Debug, Default)]
struct HeldState {
    seen: ContainerList,
    /// What is seen before the gate opens is void after it.
    openings: u64,
    /// Whether a look is under way, or the pause after it.
    is_busy: bool,
    /// Whether something has happened since the last look began.
    is_due: bool,
}

impl HeldStarts {
    /// Those that were seen last.
    pub fn seen(&self) -> ContainerList {
        self.state().seen.clone()
    }

    /// Keeps up with the gate: looks for them while it is shut, and forgets them once it is open.
    pub fn follow(&self, happened: &[Transition]) {
        for Transition { before, now, .. } in happened {
            match (before.gate, now.gate) {
                (_, Gate::Shut) => self.look(),
                (Gate::Shut, Gate::Proven | Gate::Unproven) => self.are_released(),
                (Gate::Proven | Gate::Unproven, Gate::Proven | Gate::Unproven) => {}
            }
        }
    }

    fn are_released(&self) {
        let mut state = self.state();
        state.seen = ContainerList::default();
        state.openings += 1;
        state.is_due = false;
    }

    /// Soon, and behind what is under way.
    fn look(&self) {
        let mut state = self.state();
        state.is_due = true;
        if !std::mem::replace(&mut state.is_busy, true) {
            let held = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(FIRST_LOOK_AFTER).await;
                while held.look_once().await {}
            });
        }
    }

    /// Looks, if that is due still, and pauses.
    async fn look_once(&self) -> bool {
        let openings = {
            let mut state = self.state();
            state.is_busy = std::mem::take(&mut state.is_due);
            if !state.is_busy {
                return false;
            }
            state.openings
        };
        let began = boottime();
        let looked = tokio::task::spawn_blocking(|| oci::waiting(Path::new("/proc"))).await;
        self.note(ContainerList::new(&looked.unwrap_or_default(), Waiting::named), openings);
        let took: Duration = boottime().since(began);
        tokio::time::sleep(took.saturating_mul(PAUSE)).await;
        true
    }

    fn note(&self, found: ContainerList, openings: u64) {
        let mut state = self.state();
        if state.openings == openings {
            state.seen = found;
        }
    }

    fn state(&self) -> MutexGuard<'_, HeldState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::NamedContainer;

    fn found() -> ContainerList {
        NamedContainer::new("an engine", "ab", None).into()
    }

    #[test]
    fn what_was_seen_at_a_shut_gate_is_forgotten_when_it_opens_even_by_a_look_that_is_under_way() {
        let held = HeldStarts::default();
        held.note(found(), 0);
        assert_eq!(held.seen().to_string(), "an engine ab");
        held.are_released();
        held.note(found(), 0);
        assert!(held.seen().is_empty());
        held.note(found(), 1);
        assert_eq!(held.seen().count(), 1);
    }

    #[tokio::test]
    async fn a_look_that_is_not_due_any_more_is_not_made() {
        let held = HeldStarts::default();
        held.look();
        held.are_released();
        assert!(!held.look_once().await && !held.state().is_busy);
    }
}
