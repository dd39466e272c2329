//! How often a caller may send a notice, by whichever channel: each notice shuts the gate and asks every reference for the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So many at once, and one more in each of these times.
const BURST: u32 = 8;
const EVERY: Duration = Duration::from_secs(1);
/// A notice that would have to wait longer is refused: it would come too late, and the queue must not grow.
const WAITS_MOST: Duration = Duration::from_secs(4);

/// The sender of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Teller {
    /// A user, by either bus.
    User(u32),
    /// Who runs this machine, by its port.
    Hypervisor,
}

/// How many notices each caller has sent.
#[derive(Clone, Debug, Default)]
pub struct Rate(Arc<Mutex<HashMap<Teller, Instant>>>);

impl Rate {
    /// Waits for their turn; false if that would take too long.
    pub async fn turn(&self, who: Teller) -> bool {
        let Some(at) = self.reserve(who, Instant::now()) else { return false };
        sleep_until(at).await;
        true
    }

    /// When the turn comes: a bucket that has run empty by then is full of what is owed.
    fn reserve(&self, who: Teller, now: Instant) -> Option<Instant> {
        let mut tellers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tellers.retain(|_, owed| *owed > now);
        let owed = tellers.get(&who).copied().unwrap_or(now) + EVERY;
        let at = (now + EVERY * BURST).max(owed) - EVERY * BURST;
        if at > now + WAITS_MOST {
            return None;
        }
        tellers.insert(who, owed);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Teller = Teller::User(1000);

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_slowed_down_and_refused_and_delays_no_other_callers_notice() {
        let (rate, begun) = (Rate::default(), Instant::now());
        let turns = (0..1570).map(|_| rate.reserve(USER, begun)).collect::<Vec<_>>();
        let at_once = turns.iter().filter(|turn| **turn == Some(begun)).count();
        let taken = turns.iter().flatten().count();
        assert_eq!((at_once, taken), (8, 12));
        for other in [Teller::User(0), Teller::Hypervisor] {
            assert!(rate.turn(other).await && Instant::now() == begun);
        }
        assert!(!rate.turn(USER).await);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(rate.turn(USER).await);
    }
}
