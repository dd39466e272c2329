//! Moving the clock, and knowing afterwards which of its moves were ours.
#![expect(unsafe_code, reason = "adjtimex(2) with modes is in no safe crate")]

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::adjtimex::NOMINAL_TICK_US;
use super::clock::standing;
use crate::decision::{Boottime, Differences, Offset, Realtime};

/// How far two readings of `REALTIME − BOOTTIME` may differ without the clock having been set: the two clocks share the
/// kernel's rate, slewed or not, so only the reading itself is uncertain.
pub use crate::decision::NOISE;

/// The system clock as something to set. Every step that is ours goes through here, so that the others are foreign.
#[derive(Debug)]
pub struct SystemClock {
    seen: Mutex<ClocksBefore>,
}

#[derive(Debug)]
struct ClocksBefore {
    standing: Differences,
    /// Whether we moved the clock since the last look.
    ours: bool,
    /// By how much.
    moved: Offset,
    /// The move that the time daemon was ordered to make and has not made yet: by how much, to so much.
    ordered: Option<(Offset, Duration)>,
}

impl ClocksBefore {
    const fn new(standing: Differences) -> Self {
        Self { standing, ours: false, moved: Offset::ZERO, ordered: None }
    }

    /// Books a move that was ordered as ours, once it is seen.
    fn note_differences(&mut self, now: Differences) {
        let moved = self.foreign(now);
        if let Some((offset, slack)) = self.ordered
            && moved.abs() > NOISE
            && (moved - offset).abs() <= slack
        {
            self.ours = true;
            self.moved = self.moved + moved;
            self.ordered = None;
        }
    }

    fn foreign(&self, now: Differences) -> Offset {
        now.real_minus_boot - self.standing.real_minus_boot - self.moved
    }

    fn look(&mut self, now: Differences) -> ClockChange {
        self.note_differences(now);
        let change = ClockChange {
            foreign: self.foreign(now),
            ours: self.ours,
            slept: now.boot_minus_mono.saturating_sub(self.standing.boot_minus_mono),
        };
        *self = Self { ordered: self.ordered, ..Self::new(now) };
        change
    }
}

/// What became of the clocks since the last look, our own steps taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// Change of `REALTIME − BOOTTIME` that is not ours.
    pub foreign: Offset,
    /// Whether we moved the clock meanwhile, if only by the kick's microsecond.
    pub ours: bool,
    /// Growth of `BOOTTIME − MONOTONIC`: the time asleep.
    pub slept: Duration,
}

/// Why the clock was not moved as ordered.
#[derive(Debug, thiserror::Error)]
pub enum SetClockError {
    /// Another program moved it between measurement and step; nothing was done.
    #[error("the clock moved by {0} after it was measured")]
    Superseded(Offset),
    /// adjtimex(2) said no.
    #[error("adjtimex(ADJ_SETOFFSET, {offset}) failed")]
    Kernel {
        /// The step asked for.
        offset: Offset,
        /// EPERM without CAP_SYS_TIME.
        source: io::Error,
    },
    /// It moved, but not by what was asked for.
    #[error("asked to move the clock by {asked}, it moved by {moved}")]
    Astray {
        /// The step asked for.
        asked: Offset,
        /// What came of it.
        moved: Offset,
    },
}

impl SystemClock {
    /// Begins to watch from the present standing of the clocks.
    #[must_use]
    pub fn new() -> Self {
        Self { seen: Mutex::new(ClocksBefore::new(standing())) }
    }

    /// Steps the clock by `offset`, atomically in the kernel, unless it was moved since it said `local` at `as_of`.
    ///
    /// # Errors
    /// [`SetClockError`]; after `Superseded` and `Kernel` the clock is as it was.
    pub fn step(&self, offset: Offset, local: Realtime, as_of: Boottime) -> Result<Offset, SetClockError> {
        let mut seen = self.seen();
        let before = standing();
        let change = before.real_minus_boot - (local - as_of.as_realtime());
        if change.abs() > NOISE {
            return Err(SetClockError::Superseded(change));
        }
        set_offset(offset).map_err(|source| SetClockError::Kernel { offset, source })?;
        let moved = standing().real_minus_boot - before.real_minus_boot;
        seen.ours = true;
        seen.moved = seen.moved + offset;
        if (moved - offset).abs() > NOISE { Err(SetClockError::Astray { asked: offset, moved }) } else { Ok(moved) }
    }

    /// Moves the clock by one microsecond: the kernel marks it unsynchronised with a maximum error of 16 s, stops writing it
    /// into the RTC and cancels the cancel-on-set timers of all programs, which makes systemd-timesyncd measure at once.
    ///
    /// # Errors
    /// What adjtimex(2) said; EPERM without CAP_SYS_TIME.
    pub fn kick(&self) -> io::Result<()> {
        let mut seen = self.seen();
        // An offset of exactly zero would not cancel the timers (kernel/time/timekeeping.c compares the offsets).
        set_offset(Offset::from_nanos(1000))?;
        seen.ours = true;
        Ok(())
    }

    /// Has the time daemon move the clock by `offset`, to `slack`; that move is ours, and any other one is foreign. Returns by how much the
    /// clock moved meanwhile.
    pub fn by_the_daemon<T>(&self, offset: Offset, slack: Duration, order: impl FnOnce() -> T) -> (T, Offset) {
        self.seen().ordered = Some((offset, slack));
        let before = standing();
        // Not under the lock: a daemon may take its time, and the loop looks at the clock meanwhile.
        let outcome = order();
        let now = standing();
        let mut seen = self.seen();
        seen.note_differences(now);
        seen.ordered = None;
        (outcome, now.real_minus_boot - before.real_minus_boot)
    }

    /// What became of the clocks since the last look.
    pub fn look(&self) -> ClockChange {
        self.seen().look(standing())
    }

    fn seen(&self) -> MutexGuard<'_, ClocksBefore> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes out a bend of the rate that a dead daemon left behind: chronyd slews by the kernel's tick, up to 8 %.
///
/// # Errors
/// What adjtimex(2) said; EPERM without CAP_SYS_TIME.
pub fn reset_rate() -> io::Result<()> {
    let mut timex = zeroed();
    timex.modes = libc::ADJ_TICK;
    timex.tick = NOMINAL_TICK_US as libc::c_long;
    adjtimex(&mut timex)
}

fn set_offset(offset: Offset) -> io::Result<()> {
    let mut timex = zeroed();
    // Not ADJ_NANO: the kernel keeps it (STA_NANO), and who gives it microseconds later, as BusyBox' ntpd does, slews by a thousandth.
    timex.modes = libc::ADJ_SETOFFSET;
    // The fraction must not be negative: −0.3 s is −1 s and 700,000 µs (kernel/time/timekeeping.c).
    let micros = offset.as_nanos().div_euclid(1000);
    timex.time.tv_sec = micros.div_euclid(1_000_000);
    timex.time.tv_usec = micros.rem_euclid(1_000_000);
    adjtimex(&mut timex)
}

fn zeroed() -> libc::timex {
    // SAFETY: struct timex is plain numbers, for which all zero bits are a value (modes = 0: read only).
    unsafe { std::mem::zeroed() }
}

fn adjtimex(timex: &mut libc::timex) -> io::Result<()> {
    // SAFETY: the pointer is to a whole struct timex that lives across the call.
    if unsafe { libc::adjtimex(timex) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untouched_clock_shows_no_change() {
        let clock = SystemClock::new();
        let change = clock.look();
        assert!(change.foreign.abs() <= NOISE && !change.ours && change.slept <= NOISE, "{change:?}");
    }

    #[test]
    fn the_loop_looks_at_the_clock_while_a_daemon_takes_its_time_to_step() {
        let clock = std::sync::Arc::new(SystemClock::new());
        let (looked, looks) = std::sync::mpsc::channel();
        let at_work = clock.clone();
        let _worker = std::thread::spawn(move || {
            at_work.by_the_daemon(Offset::from_secs(5), Duration::from_millis(20), || looked.send(at_work.look()))
        });
        let change = looks.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(change.foreign.abs() <= NOISE && !change.ours, "{change:?}");
    }

    #[test]
    fn what_a_daemon_was_ordered_to_do_is_ours_and_once() {
        let before = standing();
        let by = |offset| Differences { real_minus_boot: before.real_minus_boot + offset, ..before };
        let ordered =
            |offset| ClocksBefore { ordered: Some((offset, Duration::from_millis(20))), ..ClocksBefore::new(before) };
        let (hour, ms) = (Offset::from_secs(3600), Offset::from_nanos(1_000_000));
        let mut seen = ordered(hour);
        assert!(!seen.look(before).ours, "not made yet");
        let made = seen.look(by(hour + ms));
        assert!(made.ours && made.foreign == Offset::ZERO, "{made:?}");
        let again = seen.look(by(hour + ms + hour));
        assert!(!again.ours && again.foreign == hour, "{again:?}");
        let other = ordered(hour).look(by(Offset::from_secs(-3600)));
        assert!(!other.ours && other.foreign == Offset::from_secs(-3600), "{other:?}");
    }

    #[test]
    fn a_clock_that_moved_since_it_was_measured_is_not_stepped() {
        // Refused before the kernel is asked: this is safe to run on any machine.
        let clock = SystemClock::new();
        let stale = super::super::clock::realtime() + Offset::from_secs(-5);
        let refused = clock.step(Offset::from_secs(3600), stale, super::super::clock::boottime());
        assert!(matches!(refused, Err(SetClockError::Superseded(_))), "{refused:?}");
    }
}
