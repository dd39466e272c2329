//! A PTP hardware clock's own time beside the system's (linux/ptp_clock.h).
#![expect(unsafe_code, reason = "ioctl(2)")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use abi::{ClockTime, SysOffset, SysOffsetExtended, SysOffsetPrecise};

/// PTP_MAX_SAMPLES.
const MAX_SAMPLES: usize = 25;

/// One comparison, nanoseconds since 1970: the system clock before and after, and the hardware clock in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// CLOCK_REALTIME before.
    pub before: i64,
    /// The hardware clock, in its own scale.
    pub device: i64,
    /// CLOCK_REALTIME after.
    pub after: i64,
}

/// What a PTP clock can be asked. The device does, and in tests a substitute.
pub trait Ptp {
    /// Both clocks at the very same moment, where the hardware can.
    ///
    /// # Errors
    /// What ioctl(2) said; EOPNOTSUPP and ENODEV where this clock or this clocksource cannot.
    fn precise(&self) -> io::Result<Bracket>;
    /// So many comparisons whose brackets lie around the one register read.
    ///
    /// # Errors
    /// What ioctl(2) said; EOPNOTSUPP where the driver cannot.
    fn extended(&self, samples: usize) -> io::Result<Vec<Bracket>>;
    /// So many comparisons whose brackets lie around the driver's whole call.
    ///
    /// # Errors
    /// What ioctl(2) said.
    fn plain(&self, samples: usize) -> io::Result<Vec<Bracket>>;
}

/// The device, open.
#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// Opens `/dev/ptpN` for reading, which is all that the questions below need.
    ///
    /// # Errors
    /// What open(2) said.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }
}

impl Ptp for Device {
    fn precise(&self) -> io::Result<Bracket> {
        let mut asked = SysOffsetPrecise::default();
        // SAFETY: the kernel writes one whole structure of this layout, which lives across the call.
        unsafe { abi::ptp_sys_offset_precise(self.0.as_raw_fd(), &raw mut asked) }?;
        let at = asked.sys_realtime.nanos();
        Ok(Bracket { before: at, device: asked.device.nanos(), after: at })
    }

    fn extended(&self, samples: usize) -> io::Result<Vec<Bracket>> {
        let samples = samples.clamp(1, MAX_SAMPLES);
        let mut asked = SysOffsetExtended { n_samples: count(samples), ..SysOffsetExtended::default() };
        // SAFETY: as above; the kernel writes at most MAX_SAMPLES samples.
        unsafe { abi::ptp_sys_offset_extended(self.0.as_raw_fd(), &raw mut asked) }?;
        let bracket = |[before, device, after]: [ClockTime; 3]| Bracket {
            before: before.nanos(),
            device: device.nanos(),
            after: after.nanos(),
        };
        Ok(asked.ts.into_iter().take(samples).map(bracket).collect())
    }

    fn plain(&self, samples: usize) -> io::Result<Vec<Bracket>> {
        let samples = samples.clamp(1, MAX_SAMPLES);
        let mut asked =
            SysOffset { n_samples: count(samples), reserved: [0; 3], ts: [ClockTime::default(); 2 * MAX_SAMPLES + 1] };
        // SAFETY: as above. The number of the request says that the kernel only reads; it writes the answer all the same
        // (drivers/ptp/ptp_chardev.c), so it gets a pointer to what may be written.
        unsafe { abi::ptp_sys_offset(self.0.as_raw_fd(), &raw mut asked) }?;
        let stamps: Vec<i64> = asked.ts.iter().take(2 * samples + 1).map(|time| time.nanos()).collect();
        Ok(interleaved(&stamps))
    }
}

/// system, device, system, device, system: each device time lies between its neighbours.
fn interleaved(stamps: &[i64]) -> Vec<Bracket> {
    let triples = stamps.windows(3).step_by(2);
    triples.map(|w| Bracket { before: w[0], device: w[1], after: w[2] }).collect()
}

fn count(samples: usize) -> u32 {
    u32::try_from(samples).unwrap_or(1)
}

/// The kernel's structures, and the requests that carry them.
mod abi {
    use super::MAX_SAMPLES;

    /// struct ptp_clock_time
    #[repr(C)]
    #[derive(Clone, Copy, Debug, Default)]
    pub struct ClockTime {
        pub sec: i64,
        pub nsec: u32,
        pub reserved: u32,
    }

    impl ClockTime {
        pub fn nanos(self) -> i64 {
            self.sec.saturating_mul(1_000_000_000).saturating_add(self.nsec.into())
        }
    }

    /// struct ptp_sys_offset_precise
    #[repr(C)]
    #[derive(Debug, Default)]
    pub struct SysOffsetPrecise {
        pub device: ClockTime,
        pub sys_realtime: ClockTime,
        pub sys_monoraw: ClockTime,
        pub reserved: [u32; 4],
    }

    /// struct ptp_sys_offset_extended
    #[repr(C)]
    #[derive(Debug, Default)]
    pub struct SysOffsetExtended {
        pub n_samples: u32,
        pub reserved: [u32; 3],
        pub ts: [[ClockTime; 3]; MAX_SAMPLES],
    }

    /// struct ptp_sys_offset
    #[repr(C)]
    #[derive(Debug)]
    pub struct SysOffset {
        pub n_samples: u32,
        pub reserved: [u32; 3],
        pub ts: [ClockTime; 2 * MAX_SAMPLES + 1],
    }

    nix::ioctl_readwrite!(ptp_sys_offset_precise, b'=', 8, SysOffsetPrecise);
    nix::ioctl_readwrite!(ptp_sys_offset_extended, b'=', 9, SysOffsetExtended);
    nix::ioctl_write_ptr!(ptp_sys_offset, b'=', 5, SysOffset);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        // The size is part of each request's number: 0xC0403D08, 0xC4C03D09, 0x43403D05.
        assert_eq!(size_of::<SysOffsetPrecise>(), 0x40);
        assert_eq!(size_of::<SysOffsetExtended>(), 0x4c0);
        assert_eq!(size_of::<SysOffset>(), 0x340);
    }

    #[test]
    fn interleaved_times_are_brackets() {
        let brackets = interleaved(&[10, 1, 12, 2, 15]);
        let expected = [Bracket { before: 10, device: 1, after: 12 }, Bracket { before: 12, device: 2, after: 15 }];
        assert_eq!(brackets, expected);
    }

    #[test]
    fn what_is_no_clock_says_so() {
        let device = Device::open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.precise().unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(device.extended(3).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(device.plain(3).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
