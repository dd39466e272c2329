//! A program set the clock: a timerfd cancelled on set, which also fires when the machine resumes. Our own steps are known by
//! [`SystemClock`], which makes them.

use std::io;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

use super::suspend;
use crate::decision::{Cause, Clocks, Event};
use crate::sys::async_descriptor::readable;
use crate::sys::clock::clocks;
use crate::sys::step::{ClockChange, NOISE, SystemClock};
use crate::sys::timerfd::ClockSetWatch;

/// The watch. It belongs to the event loop and sends no events: an answer that is waiting must not be believed before it was asked.
#[derive(Debug)]
pub struct ClockSet {
    watch: AsyncFd<ClockSetWatch>,
    clock: Arc<SystemClock>,
}

impl ClockSet {
    /// Begins to watch.
    ///
    /// # Errors
    /// What timerfd(2) said.
    pub fn new(clock: Arc<SystemClock>) -> io::Result<Self> {
        let watch = readable(ClockSetWatch::new()?)?;
        clock.look();
        Ok(Self { watch, clock })
    }

    /// Waits until the clock is set, and says what that means; nothing if we did it.
    ///
    /// # Errors
    /// What timerfd(2) said.
    pub async fn changed(&self) -> io::Result<Vec<Event>> {
        loop {
            let mut ready = self.watch.readable().await?;
            if let Ok(outcome) = ready.try_io(|_| self.so_far()) {
                return outcome;
            }
        }
    }

    /// What happened to the clocks so far, whether the runtime has noticed or not; and clocks that were not moved since, to judge an
    /// answer by that would make a proof.
    #[must_use]
    pub fn undisturbed(&self) -> (Vec<Event>, Clocks) {
        // Not set, or not to be asked, which `changed` reports.
        undisturbed(clocks, || self.so_far().unwrap_or_default())
    }

    fn so_far(&self) -> io::Result<Vec<Event>> {
        self.watch.get_ref().was_set()?;
        Ok(causes(&self.clock.look()).into_iter().map(Event::Disrupted).collect())
    }
}

/// Read first and looked afterwards: a sleep that came between would be taken for one before the proof, and would be missed.
fn undisturbed<C>(mut read: impl FnMut() -> C, mut look: impl FnMut() -> Vec<Event>) -> (Vec<Event>, C) {
    let mut events = vec![];
    loop {
        let now = read();
        let seen = look();
        if seen.is_empty() {
            return (events, now);
        }
        events.extend(seen);
    }
}

/// What a change of the clocks means: a sleep, a foreign step, both, or our own step, which is nothing.
fn causes(change: &ClockChange) -> Vec<Cause> {
    let moved = change.foreign.abs() > NOISE;
    let slept = suspend::slept(change);
    // A set that moved nothing is foreign too: a program marked the clock unsynchronised, and requests a measurement by that.
    let foreign = (moved || (slept.is_none() && !change.ours)).then_some(Cause::ForeignStep { change: change.foreign });
    slept.into_iter().chain(foreign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;
    use std::time::Duration;

    const SET: ClockChange = ClockChange { foreign: Offset::ZERO, ours: false, slept: Duration::ZERO };

    #[test]
    fn an_answer_is_judged_by_clocks_that_were_not_moved_since_they_were_read() {
        let slept = || Event::Disrupted(Cause::Resume { slept: Duration::from_secs(12) });
        // A sleep after the first reading; what is read before the look that finds nothing counts.
        let (mut read, mut looks) = (0, [vec![slept()], vec![]].into_iter());
        let (events, now) = undisturbed(
            || {
                read += 1;
                read
            },
            || looks.next().unwrap(),
        );
        assert_eq!((events, now), (vec![slept()], 2));
        assert!(looks.next().is_none(), "read before each look");
    }

    #[test]
    fn our_own_step_is_not_foreign_and_a_strangers_beside_it_is() {
        assert_eq!(causes(&ClockChange { ours: true, ..SET }), []);
        let beside = ClockChange { ours: true, foreign: Offset::from_secs(-3600), ..SET };
        assert_eq!(causes(&beside), [Cause::ForeignStep { change: Offset::from_secs(-3600) }]);
    }

    #[test]
    fn a_strangers_kick_moves_nothing_and_counts() {
        assert_eq!(causes(&SET), [Cause::ForeignStep { change: Offset::ZERO }]);
    }

    #[test]
    fn a_sleep_is_a_resume_and_a_step_inside_it_comes_after() {
        let slept = Duration::from_secs(12);
        assert_eq!(causes(&ClockChange { slept, ..SET }), [Cause::Resume { slept }]);
        let both = ClockChange { slept, foreign: Offset::from_secs(-3600), ..SET };
        assert_eq!(causes(&both).len(), 2);
    }
}
