//! What the kernel says of its own clock, understood: adjtimex(2) without modes, which needs no privilege and changes nothing.

use std::io;
use std::time::Duration;

use clockgate_run::sys::kernel_clock;

use crate::decision::Leap;

/// The kernel's tick at USER_HZ 100, microseconds; one more or less is 100 ppm (adjtimex(2), `tick`).
pub const NOMINAL_TICK_US: i64 = 10_000;
/// How far a daemon can slew the clock's rate by the tick, BOOTTIME's with it, parts per million: the kernel allows a tenth
/// (kernel/time/timekeeping.c, timekeeping_validate_timex), chronyd uses 83,333 at most.
pub const MOST_SLEWED_PPM: u32 = 100_000;
const PPB_PER_TICK_US: i64 = 100_000;
/// A second takes `offset >> (SHIFT_PLL + constant)` out of a phase offset (kernel/time/ntp.c, ntp_offset_chunk).
const SHIFT_PLL: u32 = 2;

/// Where `maxerror` ends (NTP_PHASE_LIMIT in include/linux/timex.h): after a step, at boot, and after hours without a measurement.
const MOST_ERROR: Duration = Duration::from_secs(16);

/// The kernel's clock as it sees itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelClock {
    /// The clock is unsynchronised (TIME_ERROR: STA_UNSYNC, or a pulse-per-second signal gone bad).
    pub unsynchronised: bool,
    /// `maxerror`: the error that the time daemon claims, grown by 500 ppm since, at most 16 s.
    pub max_error: Duration,
    /// `esterror`: the same one's guess.
    pub estimated_error: Duration,
    /// `freq`: the correction of the crystal, parts per billion.
    pub frequency_ppb: i64,
    /// `tick`: microseconds a tick; 10,000 without a slew.
    pub tick_us: i64,
    /// What a phase offset that is being worked off bends the rate by just now, parts per billion (systemd-timesyncd).
    pub phase_ppb: i64,
    /// TAI minus UTC, seconds; zero where it was never set.
    pub tai_offset_secs: i32,
    /// The leap second that is set in the kernel.
    pub leap: Leap,
}

impl KernelClock {
    /// How wrong the clock may be, as its time daemon claims; none where there is none. STA_UNSYNC alone says less: chronyd leaves it
    /// set unless `rtcsync` is configured (chrony.conf(5)).
    #[must_use]
    pub fn claim(&self) -> Option<Duration> {
        Some(self.max_error).filter(|error| *error < MOST_ERROR)
    }

    /// How far cannot reset the clock's frequency, parts per million without the sign, rounded up.
    #[must_use]
    pub fn rate_ppm(&self) -> u32 {
        let slew = (self.tick_us - NOMINAL_TICK_US).saturating_mul(PPB_PER_TICK_US);
        let ppb = slew.saturating_add(self.frequency_ppb).saturating_add(self.phase_ppb);
        u32::try_from(ppb.unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

/// Asks the kernel.
///
/// # Errors
/// What adjtimex(2) said: a seccomp filter can forbid it.
pub fn read() -> io::Result<KernelClock> {
    kernel_clock::read().map(|(state, timex)| understand(state, &timex))
}

fn understand(state: libc::c_int, timex: &libc::timex) -> KernelClock {
    let nanos = if timex.status & libc::STA_NANO == 0 { timex.offset.saturating_mul(1000) } else { timex.offset };
    let shift = SHIFT_PLL + u32::try_from(timex.constant).unwrap_or(0);
    KernelClock {
        unsynchronised: kernel_clock::is_unsynchronised(state),
        max_error: kernel_clock::max_error(timex),
        estimated_error: Duration::from_micros(u64::try_from(timex.esterror).unwrap_or(0)),
        // `freq` is parts per million with 16 binary digits after the point.
        frequency_ppb: timex.freq.saturating_mul(1000) >> 16,
        tick_us: timex.tick,
        phase_ppb: nanos.checked_shr(shift).unwrap_or(0),
        tai_offset_secs: timex.tai,
        leap: match timex.status & (libc::STA_INS | libc::STA_DEL) {
            libc::STA_INS => Leap::Insert,
            libc::STA_DEL => Leap::Delete,
            _ => Leap::None,
        },
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "a struct of C's")]
mod tests {
    use super::*;

    fn timex() -> libc::timex {
        // SAFETY: plain numbers, for which all zero bits are a value.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        timex.tick = NOMINAL_TICK_US;
        timex
    }

    #[test]
    fn the_kernel_answers_anybody() -> io::Result<()> {
        let clock = read()?;
        assert!((9_000..=11_000).contains(&clock.tick_us), "{clock:?}");
        assert!(clock.max_error <= Duration::from_secs(16), "{clock:?}");
        Ok(())
    }

    #[test]
    fn a_slew_by_the_tick_and_the_crystals_correction_add_up() {
        let mut slewed = timex();
        slewed.tick = 10_833;
        slewed.freq = -20 << 16;
        assert_eq!(understand(0, &slewed).rate_ppm(), 83_280);
        assert_eq!(understand(0, &timex()).rate_ppm(), 0);
    }

    #[test]
    fn a_phase_offset_changes_the_rate_by_an_eighth_of_it_a_second() {
        // systemd-timesyncd at its shortest poll of 32 s: constant 1.
        let mut slewed = timex();
        (slewed.offset, slewed.constant, slewed.status) = (400_000_000, 1, libc::STA_NANO);
        assert_eq!(understand(0, &slewed).rate_ppm(), 50_000);
        (slewed.offset, slewed.status) = (-400_000, 0);
        assert_eq!(understand(0, &slewed).rate_ppm(), 50_000);
    }

    #[test]
    fn an_unsynchronised_clock_and_a_coming_leap_second_are_reported() {
        let mut flagged = timex();
        flagged.status = libc::STA_DEL | libc::STA_UNSYNC;
        let clock = understand(libc::TIME_ERROR, &flagged);
        assert!(clock.unsynchronised);
        assert_eq!(clock.leap, Leap::Delete);
    }
}
