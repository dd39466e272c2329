//! Deadlines on `CLOCK_BOOTTIME`: tokio's timers stand still while the machine sleeps.
#![expect(unsafe_code, reason = "tokio asks for a promise that the descriptor is not closed under it")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::time::Boottime;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// A timer, as tokio waits for it.
#[derive(Debug)]
pub struct Alarm(AsyncFd<BoottimeTimer>);

#[derive(Debug)]
struct BoottimeTimer(TimerFd);

impl AsRawFd for BoottimeTimer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// What timerfd_create(2) or epoll_ctl(2) said.
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: the timer keeps its one descriptor open until it is dropped, and AsyncFd owns it from here on.
        Ok(Self(unsafe { AsyncFd::register(BoottimeTimer(timer)) }?))
    }

    /// Waits until then.
    ///
    /// # Errors
    /// What timerfd_settime(2) or epoll_wait(2) said.
    pub async fn until(&mut self, when: Boottime) -> io::Result<()> {
        if when == Boottime::NEVER {
            std::future::pending::<()>().await;
        }
        // Zero would switch it off; a moment that has passed comes at once.
        let when = TimeSpec::from_duration(Duration::from_nanos(when.as_nanos().max(1)));
        let timer = &self.0.get_ref().0;
        timer.set(Expiration::OneShot(when), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut ready = self.0.readable().await?;
        ready.clear_ready();
        Ok(timer.unset()?)
    }

    /// Waits so long.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn after(&mut self, length: Duration) -> io::Result<()> {
        self.until(boottime() + length).await
    }
}
