//! PTP hardware clocks that show the time of day: the hypervisor's, and those of network cards that a cloud synchronises.
//!
//! They are found by the name that the driver gives them, never by number; a card's clock without such a service counts from its
//! own beginning, and is not in the table. None of them is smeared at a leap second unless the hypervisor's own clock is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bracket::undisturbed;
use crate::decision::{Leap, Offset, Reading, Realtime, ReferenceKind, Voice};
use crate::reference::BUILT;
use crate::sys::adjtimex;
use crate::sys::ptp::{Bracket, Device, Ptp};

/// Where the kernel lists them, below the root.
const CLASS: &str = "sys/class/ptp";
/// Comparisons at once, of which the tightest counts.
const SAMPLES: usize = 5;
/// What two clocks read at one moment can still lie apart: rounding, and the counter that both are derived from.
const ROUNDING: Duration = Duration::from_micros(1);

/// The scale that a clock counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Coordinated universal time.
    Utc,
    /// Atomic time: ahead of UTC by the leap seconds so far, which the kernel knows if the time daemon set them.
    Tai,
}

/// The clocks that a cloud or a hypervisor synchronises: the beginning of the name, the scale, and how wrong the keeper may be, which
/// the clock does not report. A host kept by NTP is right within milliseconds; this leaves room for one kept badly.
const KNOWN: [(&str, Scale, Duration); 6] = [
    // drivers/ptp/ptp_kvm_common.c: the host's CLOCK_REALTIME.
    ("KVM virtual PTP", Scale::Utc, Duration::from_millis(10)),
    // drivers/hv/hv_util.c: the host's time as Hyper-V's time synchronization sends it.
    ("hyperv", Scale::Utc, Duration::from_millis(10)),
    // drivers/ptp/ptp_vmw.c: VMware's precision clock.
    ("ptp_vmw", Scale::Utc, Duration::from_millis(10)),
    // drivers/net/ethernet/amazon/ena/ena_phc.c: EC2's own time; its bound is in a file where the driver is Amazon's.
    ("ena-ptp-", Scale::Utc, Duration::from_millis(1)),
    // drivers/virtio/virtio_rtc_driver.c: types 0 and 1 are UTC and TAI; those after are monotonic or smeared.
    ("Virtio PTP type 0/variant 0", Scale::Utc, Duration::from_millis(10)),
    ("Virtio PTP type 1/variant 0", Scale::Tai, Duration::from_millis(10)),
];
// Not in the table: `vmclockN`, which counts UTC or TAI by the age of its driver and does not say which; its page does, see
// super::vmclock.

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum PhcError {
    /// The device cannot be opened.
    #[error("cannot open {}", path.display())]
    Unopened {
        /// The device.
        path: PathBuf,
        /// What open(2) said.
        source: io::Error,
    },
    /// It does not answer any of the three questions.
    #[error("cannot read the time of {name}")]
    Silent {
        /// The clock.
        name: String,
        /// What the last ioctl(2) said.
        source: io::Error,
    },
    /// Atomic time, and the TAI offset was never set in the kernel.
    #[error("{name} keeps TAI and the kernel does not know the TAI offset")]
    NoLeapSeconds {
        /// The clock.
        name: String,
    },
    /// A time that has certainly passed.
    #[error("{name} shows {secs} s since 1970: it is not set")]
    Implausible {
        /// The clock.
        name: String,
        /// The time in it.
        secs: i64,
    },
    /// The system clock was moved while it was read.
    #[error("the system clock was moved while {name} was read")]
    Disturbed {
        /// The clock.
        name: String,
    },
}

/// One such clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phc {
    /// `ptp0 (KVM virtual PTP)`.
    pub name: String,
    /// Its device.
    path: PathBuf,
    scale: Scale,
    /// How wrong its keeper may be.
    keeper: Duration,
    /// The file in which the driver reports it, if it does: nanoseconds.
    bound_file: PathBuf,
}

/// The clocks of this machine that show the time of day.
#[must_use]
pub fn find(root: &Path) -> Vec<Phc> {
    let Ok(entries) = fs::read_dir(root.join(CLASS)) else {
        return vec![];
    };
    let mut found: Vec<Phc> = entries.flatten().filter_map(|entry| known(root, &entry.path())).collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn known(root: &Path, class: &Path) -> Option<Phc> {
    let clock_name = fs::read_to_string(class.join("clock_name")).ok()?;
    let clock_name = clock_name.trim();
    let (_, scale, keeper) = KNOWN.iter().find(|(name, ..)| {
        // A name that ends in a dash is a family of names.
        if name.ends_with('-') { clock_name.starts_with(name) } else { clock_name == *name }
    })?;
    let number = class.file_name()?.to_str()?;
    Some(Phc {
        name: format!("{number} ({clock_name})"),
        path: root.join("dev").join(number),
        scale: *scale,
        keeper: *keeper,
        bound_file: class.join("device/phc_error_bound"),
    })
}

impl Phc {
    /// The clock's time against the system's.
    ///
    /// # Errors
    /// [`PhcError`]
    pub fn measure(&self) -> Result<Reading, PhcError> {
        let device =
            Device::open(&self.path).map_err(|source| PhcError::Unopened { path: self.path.clone(), source })?;
        let tai_offset = adjtimex::read().map_or(0, |clock| clock.tai_offset_secs);
        self.ask(&device, tai_offset)
    }

    fn ask(&self, device: &impl Ptp, tai_offset_secs: i32) -> Result<Reading, PhcError> {
        let name = || self.name.clone();
        let leap_seconds = match self.scale {
            Scale::Utc => 0,
            Scale::Tai if tai_offset_secs == 0 => return Err(PhcError::NoLeapSeconds { name: name() }),
            Scale::Tai => i64::from(tai_offset_secs),
        };
        let (moment, bracket) = undisturbed(|| tightest(device)).ok_or_else(|| PhcError::Disturbed { name: name() })?;
        let bracket = bracket.map_err(|source| PhcError::Silent { name: name(), source })?;
        let width = Duration::from_nanos(bracket.after.saturating_sub(bracket.before).unsigned_abs());
        let middle = bracket.before.saturating_add(bracket.after.saturating_sub(bracket.before) / 2);
        let truth = Realtime::from_nanos(bracket.device) + Offset::from_secs(-leap_seconds);
        if truth < BUILT {
            return Err(PhcError::Implausible { name: name(), secs: truth.as_secs() });
        }
        Ok(Reading {
            source: self.name.clone(),
            voice: Voice::hypervisor(),
            kind: ReferenceKind::Phc,
            as_of: moment.as_of,
            local: moment.local,
            offset: truth - Realtime::from_nanos(middle),
            root_distance: width / 2 + ROUNDING + self.keeper(),
            authenticated: false,
            leap: Leap::None,
            stratum: None,
            delay: Some(width),
            upstream: None,
        })
    }

    /// How wrong the clock itself may be: what its driver says just after it was asked, or what we allow for.
    fn keeper(&self) -> Duration {
        let named = fs::read_to_string(&self.bound_file).ok().and_then(|text| text.trim().parse().ok());
        named.map_or(self.keeper, Duration::from_nanos)
    }
}

/// The best that this clock can do. Each kind of question has drivers, and clocksources, that cannot answer it.
fn tightest(device: &impl Ptp) -> io::Result<Bracket> {
    if let Ok(bracket) = device.precise() {
        return Ok(bracket);
    }
    let brackets = device.extended(SAMPLES).or_else(|_| device.plain(SAMPLES))?;
    let ordered = brackets.into_iter().filter(|bracket| bracket.after >= bracket.before);
    let tightest = ordered.min_by_key(|bracket| bracket.after - bracket.before);
    tightest.ok_or_else(|| io::Error::other("every comparison ran backward"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::realtime;

    /// In place of a device, at the ioctl boundary: a clock so far ahead of the system's, and what it can be asked.
    #[derive(Clone, Copy, Debug)]
    struct FakeClock {
        ahead: i64,
        precise: bool,
        extended: bool,
        plain: bool,
    }

    const ALL: FakeClock = FakeClock { ahead: 0, precise: true, extended: true, plain: true };

    impl FakeClock {
        fn brackets(self, can: bool, widths: &[i64]) -> io::Result<Vec<Bracket>> {
            let now = realtime().as_nanos();
            let one = |width| Bracket { before: now, device: now + width / 2 + self.ahead, after: now + width };
            if can { Ok(widths.iter().copied().map(one).collect()) } else { Err(unsupported()) }
        }
    }

    impl Ptp for FakeClock {
        fn precise(&self) -> io::Result<Bracket> {
            Ok(self.brackets(self.precise, &[0])?[0])
        }

        fn extended(&self, _samples: usize) -> io::Result<Vec<Bracket>> {
            self.brackets(self.extended, &[9_000, -1_000, 4_000, 6_000])
        }

        fn plain(&self, _samples: usize) -> io::Result<Vec<Bracket>> {
            self.brackets(self.plain, &[90_000, 40_000])
        }
    }

    fn unsupported() -> io::Error {
        io::Error::from_raw_os_error(libc::EOPNOTSUPP)
    }

    fn listed(root: &Path, number: &str, clock_name: &str) {
        let class = root.join(CLASS).join(number);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join("clock_name"), format!("{clock_name}\n")).unwrap();
    }

    fn phc(clock_name: &str) -> (tempfile::TempDir, Phc) {
        let root = tempfile::tempdir().unwrap();
        listed(root.path(), "ptp3", clock_name);
        let mut found = find(root.path());
        (root, found.remove(0))
    }

    #[test]
    fn clocks_are_found_by_name_and_unsynchronised_ones_are_not() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()), []);
        for (number, name) in [
            ("ptp0", "0000:01:00.0"),
            ("ptp1", "ena-ptp-05"),
            ("ptp2", "KVM virtual PTP"),
            ("ptp4", "vmclock0"),
            ("ptp5", "Virtio PTP type 3/variant 1"),
            ("ptp6", "Virtio PTP type 2/variant 0"),
            ("ptp7", "hypervisor"),
        ] {
            listed(root.path(), number, name);
        }
        let names: Vec<_> = find(root.path()).into_iter().map(|phc| phc.name).collect();
        assert_eq!(names, ["ptp1 (ena-ptp-05)", "ptp2 (KVM virtual PTP)"]);
    }

    #[test]
    fn the_best_question_that_the_clock_can_answer_is_asked() {
        let (_root, phc) = phc("KVM virtual PTP");
        let keeper = Duration::from_millis(10);
        for (clock, width) in [
            (ALL, 0),
            (FakeClock { precise: false, ..ALL }, 4_000),
            (FakeClock { precise: false, extended: false, ..ALL }, 40_000),
        ] {
            let clock = FakeClock { ahead: 20_000_000_000, ..clock };
            let reading = phc.ask(&clock, 0).unwrap();
            assert_eq!(reading.offset, Offset::from_secs(20), "{clock:?}");
            assert_eq!(reading.root_distance, Duration::from_nanos(width / 2) + ROUNDING + keeper, "{clock:?}");
            assert_eq!((reading.kind, reading.delay), (ReferenceKind::Phc, Some(Duration::from_nanos(width))));
        }
        let silent = FakeClock { precise: false, extended: false, plain: false, ahead: 0 };
        assert!(matches!(phc.ask(&silent, 0), Err(PhcError::Silent { .. })));
    }

    #[test]
    fn the_bound_that_a_driver_reports_is_believed() {
        let (root, phc) = phc("ena-ptp-05");
        assert_eq!(phc.ask(&ALL, 0).unwrap().root_distance, Duration::from_millis(1) + ROUNDING);
        fs::create_dir(root.path().join(CLASS).join("ptp3/device")).unwrap();
        fs::write(root.path().join(CLASS).join("ptp3/device/phc_error_bound"), "23000\n").unwrap();
        assert_eq!(phc.ask(&ALL, 0).unwrap().root_distance, Duration::from_micros(23) + ROUNDING);
    }

    #[test]
    fn atomic_time_is_utc_only_where_the_leap_seconds_are_known() {
        let (_root, phc) = phc("Virtio PTP type 1/variant 0");
        let atomic = FakeClock { ahead: 37_000_000_000, ..ALL };
        assert!(matches!(phc.ask(&atomic, 0), Err(PhcError::NoLeapSeconds { .. })));
        assert_eq!(phc.ask(&atomic, 37).unwrap().offset, Offset::ZERO);
    }

    #[test]
    fn a_clock_that_counts_from_its_own_beginning_is_not_used() {
        let (_root, phc) = phc("hyperv");
        let young = FakeClock { ahead: -realtime().as_nanos() + 5_000_000_000, ..ALL };
        assert!(matches!(phc.ask(&young, 0), Err(PhcError::Implausible { .. })));
        assert!(matches!(phc.measure(), Err(PhcError::Unopened { .. })));
    }
}
