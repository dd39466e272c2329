//! The starts of containers that the gate holds, looked for in all processes: the one place where the agent does that. The event loop
//! takes what was seen last, and has it looked for while the gate is shut and something has happened. Threads beside the loop look by
//! themselves.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{Boottime, ContainerList, Gate};
use crate::sys::clock::boottime;
use crate::transition::Transition;
use crate::waiter::oci::{self, Waiting};

/// After a look, none follows for so many times as long as it took: looking costs a twentieth of a processor at most.
const PAUSE: u32 = 20;
/// The processor is the walk's first: most gates are open again before that.
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(100);
/// However many ask, a look is good for so long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was seen last at this shut gate.
#[derive(Clone, Debug, Default)]
pub struct HeldStarts(Arc<HeldStartsInner>);

#[derive(Debug, Default)]
struct HeldStartsInner {
    state: Mutex<HeldState>,
    /// One looks at a time.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct HeldState {
    seen: ContainerList,
    /// When that was looked for; none at an open gate.
    looked: Option<Boottime>,
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

    /// How many there are at a shut gate, as of a second ago at the most. It may take seconds: not for the event loop.
    pub fn count(&self) -> u64 {
        let _turn = lock(&self.0.turn);
        let openings = {
            let state = self.state();
            if state.looked.is_some_and(|looked| boottime().since(looked) < LOOK_EVERY) {
                return state.seen.count() as u64;
            }
            state.openings
        };
        let found = look();
        let count = found.count();
        self.note(found, openings);
        count as u64
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
        (state.seen, state.looked) = (ContainerList::default(), None);
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
        let held = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _turn = lock(&held.0.turn);
            let began = boottime();
            held.note(look(), openings);
            boottime().since(began)
        });
        let took: Duration = looked.await.unwrap_or_default();
        tokio::time::sleep(took.saturating_mul(PAUSE)).await;
        true
    }

    fn note(&self, found: ContainerList, openings: u64) {
        let mut state = self.state();
        if state.openings == openings {
            (state.seen, state.looked) = (found, Some(boottime()));
        }
    }

    fn state(&self) -> MutexGuard<'_, HeldState> {
        lock(&self.0.state)
    }
}

fn look() -> ContainerList {
    ContainerList::new(&oci::waiting(Path::new("/proc")), Waiting::named)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(
            (held.seen().to_string().as_str(), held.count()),
            ("an engine ab", 1),
            "a look is good for a second"
        );
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
