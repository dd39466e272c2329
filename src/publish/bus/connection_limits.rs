//! The connections of our own socket: a limit for each user, and one connection reserved for root.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::{AbortHandle, Id};

use crate::decision::Boottime;
use crate::sys::clock::boottime;

/// The command line comes one at a time; more than these is a program that forgot to hang up.
const AT_ONCE: usize = 64;
/// Of these are root's alone.
const ROOTS: usize = 16;
/// One user who is not root has no more.
const EACH: usize = 16;
/// Who has said nothing for so long, and waits for no answer, makes room for who comes.
const IDLE: Duration = Duration::from_secs(1);

/// The activity of a connection: when data was received last, and how many calls are being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionActivity(Arc<(AtomicU64, AtomicUsize)>);

impl ConnectionActivity {
    /// A connection that begins now.
    pub(super) fn new() -> Self {
        let activity = Self::default();
        activity.received();
        activity
    }

    /// Data was received.
    pub(super) fn received(&self) {
        self.0.0.store(boottime().as_nanos(), Ordering::Relaxed);
    }

    /// A call is being answered, until what is returned is dropped.
    #[must_use]
    pub(super) fn answering(&self) -> Answering {
        self.0.1.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn idle_for(&self, now: Boottime) -> Option<Duration> {
        let is_silent = self.0.1.load(Ordering::Relaxed) == 0;
        is_silent.then(|| now.since(Boottime::from_nanos(self.0.0.load(Ordering::Relaxed))))
    }
}

/// A call that is being answered.
#[derive(Debug)]
pub(super) struct Answering(ConnectionActivity);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.received();
        self.0.0.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One that is connected.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) uid: u32,
    pub(super) activity: ConnectionActivity,
    pub(super) task: AbortHandle,
}

/// All that are connected.
#[derive(Debug, Default)]
pub(super) struct Guests(Vec<Guest>);

impl Guests {
    pub(super) fn came(&mut self, guest: Guest) {
        self.0.push(guest);
    }

    pub(super) fn went(&mut self, task: Id) {
        self.0.retain(|guest| guest.task.id() != task);
    }

    /// Whether there is room for one more of that user; who is idle makes room.
    pub(super) fn make_room(&mut self, uid: u32, now: Boottime) -> bool {
        if self.has_room(uid) {
            return true;
        }
        // Of the same user: no user loses a connection to another user.
        let idle = |guest: &Guest| guest.activity.idle_for(now).filter(|idle| guest.uid == uid && *idle >= IDLE);
        let longest = self.0.iter().enumerate().filter_map(|(at, guest)| Some((idle(guest)?, at))).max();
        let Some((_, at)) = longest else { return false };
        self.0.remove(at).task.abort();
        true
    }

    fn has_room(&self, uid: u32) -> bool {
        if uid == 0 {
            return self.0.len() < AT_ONCE;
        }
        let (all, own) = self
            .0
            .iter()
            .filter(|guest| guest.uid != 0)
            .fold((0, 0), |(all, own), guest| (all + 1, own + usize::from(guest.uid == uid)));
        self.0.len() < AT_ONCE && all < AT_ONCE - ROOTS && own < EACH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests() -> (tokio::runtime::Runtime, Guests) {
        (tokio::runtime::Builder::new_current_thread().build().unwrap(), Guests::default())
    }

    fn come(runtime: &tokio::runtime::Runtime, guests: &mut Guests, uid: u32, count: usize) -> usize {
        let now = boottime();
        let taken = (0..count).filter(|_| {
            let has_room = guests.make_room(uid, now);
            if has_room {
                let task = runtime.spawn(std::future::pending::<()>()).abort_handle();
                guests.came(Guest { uid, activity: ConnectionActivity::new(), task });
            }
            has_room
        });
        taken.count()
    }

    #[test]
    fn a_users_connections_are_limited_and_one_is_reserved_for_root() {
        let (runtime, mut guests) = guests();
        for (uid, taken) in [(1000, 16), (1001, 16), (1002, 16), (1003, 0)] {
            assert_eq!(come(&runtime, &mut guests, uid, 100), taken, "{uid}");
        }
        assert_eq!(come(&runtime, &mut guests, 0, 100), 16);
    }

    #[test]
    fn who_is_idle_makes_room_for_its_own_user_and_who_waits_for_an_answer_does_not() {
        let (runtime, mut guests) = guests();
        come(&runtime, &mut guests, 1000, 16);
        let waits = guests.0[0].activity.answering();
        let later = boottime() + IDLE;
        assert!(!guests.make_room(1000, boottime()), "no connection is idle for long");
        assert!(guests.make_room(1000, later));
        assert!(guests.0.iter().any(|guest| guest.activity.idle_for(later).is_none()), "the one that waits is there");
        assert_eq!(guests.0.len(), 15);
        drop(waits);
        assert!(guests.0.iter().all(|guest| guest.activity.idle_for(later).is_some()));
    }
}
