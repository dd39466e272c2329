//! timerfd(2): the alarm that survives sleep, and the timer that fires when a program sets the clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::read;

use crate::decision::Boottime;

/// Seconds since 1970 at which that timer would expire if the clock were never set: the year 2255.
const NEVER_SECS: i64 = 9_000_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// An alarm on `CLOCK_BOOTTIME`: time asleep counts, so a deadline that passed meanwhile rings on waking up.
#[derive(Debug)]
pub struct Alarm(TimerFd);

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// What timerfd_create(2) said.
    pub fn new() -> io::Result<Self> {
        Ok(Self(TimerFd::new(ClockId::CLOCK_BOOTTIME, flags())?))
    }

    /// Rings at `when`, at once if that is past, never at [`Boottime::NEVER`].
    ///
    /// # Errors
    /// What timerfd_settime(2) said.
    pub fn set(&self, when: Boottime) -> io::Result<()> {
        if when == Boottime::NEVER {
            return Ok(self.0.unset()?);
        }
        // A time of zero would unset the alarm instead of ringing at once.
        let nanos = when.as_nanos().max(1);
        let spec = TimeSpec::new(
            i64::try_from(nanos / NANOS_PER_SEC).unwrap_or(i64::MAX),
            i64::try_from(nanos % NANOS_PER_SEC).unwrap_or(0),
        );
        Ok(self.0.set(Expiration::OneShot(spec), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Whether it rang since it was last asked.
    ///
    /// # Errors
    /// What read(2) said, [`io::ErrorKind::WouldBlock`] if it did not ring.
    pub fn rang(&self) -> io::Result<()> {
        Ok(consume(&self.0).map(|_| ())?)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A timer that is cancelled when a program sets `CLOCK_REALTIME`, and by the kernel itself when the machine resumes.
#[derive(Debug)]
pub struct ClockSetWatch(TimerFd);

impl ClockSetWatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// What timerfd_create(2) or timerfd_settime(2) said.
    pub fn new() -> io::Result<Self> {
        let watch = Self(TimerFd::new(ClockId::CLOCK_REALTIME, flags())?);
        watch.arm()?;
        Ok(watch)
    }

    /// Whether the clock was set since it was last asked; arms the watch again before it answers.
    ///
    /// # Errors
    /// What read(2) or timerfd_settime(2) said; [`io::ErrorKind::WouldBlock`] if it was not set.
    pub fn was_set(&self) -> io::Result<()> {
        // nix's own `wait` swallows ECANCELED, which is the very thing we wait for.
        match consume(&self.0) {
            Ok(_) | Err(Errno::ECANCELED) => self.arm(),
            Err(errno) => Err(errno.into()),
        }
    }

    fn arm(&self) -> io::Result<()> {
        let how = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Ok(self.0.set(Expiration::OneShot(TimeSpec::new(NEVER_SECS, 0)), how)?)
    }
}

impl AsRawFd for ClockSetWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn flags() -> TimerFlags {
    TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK
}

fn consume(timer: &TimerFd) -> Result<usize, Errno> {
    let mut expirations = [0; 8];
    read(timer.as_fd(), &mut expirations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_in_the_past_rings_and_an_unset_one_does_not() -> io::Result<()> {
        let alarm = Alarm::new()?;
        assert_eq!(alarm.rang().map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
        alarm.set(Boottime::from_nanos(0))?;
        let mut fds = [nix::poll::PollFd::new(alarm.0.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, 1000_u16)?;
        alarm.rang()
    }
}
