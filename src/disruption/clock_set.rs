//! Somebody set the clock: a timerfd cancelled on set, which also fires when the machine resumes. Our own steps are known by
//! [`SystemClock`], which makes them.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::suspend;
use crate::decision::{Cause, Event};
use crate::sys::readable::readable;
use crate::sys::step::{Change, NOISE, SystemClock};
use crate::sys::timerfd::ClockSetWatch;

/// Sends what the clocks did, until nobody listens.
///
/// # Errors
/// What timerfd(2) said; the caller reports the source as lost.
pub async fn watch(clock: Arc<SystemClock>, events: Sender<Event>) -> io::Result<()> {
    let watch = readable(ClockSetWatch::new()?)?;
    clock.look();
    loop {
        let mut ready = watch.readable().await?;
        match ready.try_io(|fd| fd.get_ref().was_set()) {
            Ok(Ok(())) => {
                for cause in causes(&clock.look()) {
                    if events.send(Event::Disrupted(cause)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

/// What a change of the clocks means: a sleep, a foreign step, both, or a step of ours, which is nothing.
fn causes(change: &Change) -> Vec<Cause> {
    let moved = change.foreign.abs() > NOISE;
    let slept = suspend::slept(change);
    // A set that moved nothing is foreign too: somebody marked the clock unsynchronised, and means us to look.
    let foreign = (moved || (slept.is_none() && !change.ours)).then_some(Cause::ForeignStep { change: change.foreign });
    slept.into_iter().chain(foreign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;
    use std::time::Duration;

    const SET: Change = Change { foreign: Offset::ZERO, ours: false, slept: Duration::ZERO };

    #[test]
    fn our_own_step_is_not_foreign_and_a_strangers_beside_it_is() {
        assert_eq!(causes(&Change { ours: true, ..SET }), []);
        let beside = Change { ours: true, foreign: Offset::from_secs(-3600), ..SET };
        assert_eq!(causes(&beside), [Cause::ForeignStep { change: Offset::from_secs(-3600) }]);
    }

    #[test]
    fn a_strangers_kick_moves_nothing_and_counts() {
        assert_eq!(causes(&SET), [Cause::ForeignStep { change: Offset::ZERO }]);
    }

    #[test]
    fn a_sleep_is_a_resume_and_a_step_inside_it_comes_after() {
        let slept = Duration::from_secs(12);
        assert_eq!(causes(&Change { slept, ..SET }), [Cause::Resume { slept }]);
        let both = Change { slept, foreign: Offset::from_secs(-3600), ..SET };
        assert_eq!(causes(&both).len(), 2);
    }
}
