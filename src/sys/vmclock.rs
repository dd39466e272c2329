//! /dev/vmclock0: the page by which a hypervisor says that it moved this machine through time (linux/vmclock-abi.h).
//!
//! The driver's own read(2) takes the sequence lock for us, and poll(2) reports a page that changed since our last read.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the device is, below the root.
pub const DEVICE: &str = "dev/vmclock0";
/// All that version 1 of the page has.
pub const LEN: usize = 112;

/// "VCLK", little-endian like every number of the page.
const MAGIC: u32 = 0x4b4c_4356;
const VERSION: u16 = 1;
/// The page up to and including `flags`; the rest can be absent.
const LEAST: usize = 32;
const TIME_END: usize = 104;

const TAI_OFFSET_VALID: u64 = 1;
const PERIOD_MAXERROR_VALID: u64 = 1 << 4;
const TIME_MAXERROR_VALID: u64 = 1 << 6;
const GENERATION_PRESENT: u64 = 1 << 8;
const NOTIFICATION_PRESENT: u64 = 1 << 9;

/// The driver gives up after 100 ms of a page that is being written; so often we ask it again.
const ATTEMPTS: u32 = 3;

/// Why there is no page to read.
#[derive(Debug, thiserror::Error)]
pub enum VmClockPageError {
    /// This machine has none.
    #[error("there is no {}", path.display())]
    NotThere {
        /// The device.
        path: PathBuf,
    },
    /// It has, for others.
    #[error("may not open {}", path.display())]
    NotAllowed {
        /// The device.
        path: PathBuf,
        /// What open(2) said.
        source: io::Error,
    },
    /// The kernel did not give the page.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The device.
        path: PathBuf,
        /// What open(2) or read(2) said.
        source: io::Error,
    },
    /// A page that is not what we know.
    #[error("{field} of the page is {value:#x}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The hypervisor does not finish writing.
    #[error("the page is being written again and again")]
    Busy,
}

/// The page, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmClockPage {
    /// The sequence lock; even.
    pub sequence: u32,
    /// Changes whenever the counter of this machine was disrupted: a restore, a live migration.
    pub disruption_marker: u64,
    /// Changes whenever this machine was loaded from a snapshot, and not on live migration; none where the hypervisor does not count.
    pub generation: Option<u64>,
    /// Whether poll(2) says when the page changed.
    pub notifies: bool,
    /// The time, where one is published.
    pub time: Option<CounterTime>,
}

/// The relation between the processor's counter and the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterTime {
    /// Which counter: 0 Arm's virtual one, 1 the TSC, 255 none.
    pub counter_id: u8,
    /// 0 UTC, 1 TAI, 2 monotonic, others smeared.
    pub time_type: u8,
    /// 0 unknown, 1 initializing, 2 synchronized, 3 free-running, 4 unreliable.
    pub status: u8,
    /// 0 strict UTC, 1 linear from noon to noon, 2 UTC-SLS: how the world around smears leap seconds. The page never does.
    pub smearing: u8,
    /// TAI minus UTC, seconds, where it is known.
    pub tai_offset_secs: Option<i16>,
    /// 0 none, 1 one will be inserted, 2 one will be deleted, 3 it is being inserted, 4 and 5 it has been.
    pub leap: u8,
    /// A period is so many binary digits finer than 2^-64 s.
    pub period_shift: u8,
    /// The counter at the time below.
    pub counter_value: u64,
    /// The counter's period, 2^-(64 + shift) s.
    pub period: u64,
    /// How wrong the period can be, in the same unit.
    pub period_maxerror: Option<u64>,
    /// Whole seconds since 1970.
    pub secs: u64,
    /// The rest, 2^-64 s.
    pub frac: u64,
    /// How wrong the time can be, nanoseconds.
    pub maxerror_nanos: Option<u64>,
}

/// The device, open.
#[derive(Debug)]
pub struct VmClock {
    file: File,
    path: PathBuf,
}

impl VmClock {
    /// Opens the device below `root`.
    ///
    /// # Errors
    /// [`VmClockPageError`]
    pub fn open(root: &Path) -> Result<Self, VmClockPageError> {
        let path = root.join(DEVICE);
        match File::open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(VmClockPageError::NotThere { path }),
            Err(source) if source.kind() == ErrorKind::PermissionDenied => {
                Err(VmClockPageError::NotAllowed { path, source })
            }
            Err(source) => Err(VmClockPageError::Unreadable { path, source }),
        }
    }

    /// Reads the page, as of one moment; poll(2) waits for the next change from here on.
    ///
    /// # Errors
    /// [`VmClockPageError`]
    pub fn read(&self) -> Result<VmClockPage, VmClockPageError> {
        for _ in 0..ATTEMPTS {
            let mut bytes = [0; LEN];
            match self.file.read_at(&mut bytes, 0) {
                Ok(len) => match parse(&bytes[..len])? {
                    Some(page) => return Ok(page),
                    None => continue,
                },
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(source) => return Err(VmClockPageError::Unreadable { path: self.path.clone(), source }),
            }
        }
        Err(VmClockPageError::Busy)
    }
}

impl AsRawFd for VmClock {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// The page in these bytes; none while it is being written.
///
/// # Errors
/// [`VmClockPageError::Unknown`]
pub fn parse(bytes: &[u8]) -> Result<Option<VmClockPage>, VmClockPageError> {
    let page = Bytes(bytes);
    let expect =
        |field, value: u64, right: bool| if right { Ok(()) } else { Err(VmClockPageError::Unknown { field, value }) };
    expect("the length", bytes.len() as u64, bytes.len() >= LEAST)?;
    expect("the magic number", page.u32(0).into(), page.u32(0) == MAGIC)?;
    expect("the version", page.u16(8).into(), page.u16(8) == VERSION)?;
    let size = usize::try_from(page.u32(4)).unwrap_or(usize::MAX);
    expect("the size", page.u32(4).into(), size >= LEAST)?;
    let sequence = page.u32(12);
    if sequence % 2 == 1 {
        return Ok(None);
    }
    let there = size.min(bytes.len());
    let flags = page.u64(24);
    Ok(Some(VmClockPage {
        sequence,
        disruption_marker: page.u64(16),
        generation: (there >= LEN && flags & GENERATION_PRESENT != 0).then(|| page.u64(104)),
        notifies: flags & NOTIFICATION_PRESENT != 0,
        time: (there >= TIME_END).then(|| page.time(flags)),
    }))
}

/// Little-endian numbers; those behind the end are zero and have no reader.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn u8(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.at(at))
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.at(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.at(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.at(at))
    }

    fn time(&self, flags: u64) -> CounterTime {
        CounterTime {
            counter_id: self.u8(10),
            time_type: self.u8(11),
            status: self.u8(34),
            smearing: self.u8(35),
            tai_offset_secs: (flags & TAI_OFFSET_VALID != 0).then(|| self.u16(36).cast_signed()),
            leap: self.u8(38),
            period_shift: self.u8(39),
            counter_value: self.u64(40),
            period: self.u64(48),
            period_maxerror: (flags & PERIOD_MAXERROR_VALID != 0).then(|| self.u64(64)),
            secs: self.u64(72),
            frac: self.u64(80),
            maxerror_nanos: (flags & TIME_MAXERROR_VALID != 0).then(|| self.u64(96)),
        }
    }
}

/// A page file instead of the device where there is none.
#[cfg(test)]
pub(crate) mod fake {
    use super::{CounterTime, LEN};
    use std::path::Path;

    /// What the fake publishes.
    #[derive(Clone, Copy, Debug)]
    pub struct FakePage {
        pub sequence: u32,
        pub marker: u64,
        pub generation: Option<u64>,
        pub time: Option<CounterTime>,
    }

    impl FakePage {
        pub fn new(marker: u64) -> Self {
            Self { sequence: 2, marker, generation: None, time: None }
        }

        /// Writes it below `root`, in one piece.
        pub fn write(&self, root: &Path) {
            let path = root.join(super::DEVICE);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // In place: a reader that has the device open reads on.
            let file = std::fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &self.bytes(), 0).unwrap();
        }

        pub fn bytes(&self) -> [u8; LEN] {
            let mut bytes = [0; LEN];
            let mut put = |at: usize, number: &[u8]| bytes[at..at + number.len()].copy_from_slice(number);
            put(0, b"VCLK");
            put(4, &4096_u32.to_le_bytes());
            put(8, &1_u16.to_le_bytes());
            put(10, &[0xff]);
            put(12, &self.sequence.to_le_bytes());
            put(16, &self.marker.to_le_bytes());
            let mut flags = self.generation.map_or(0, |_| super::GENERATION_PRESENT);
            put(104, &self.generation.unwrap_or(0).to_le_bytes());
            if let Some(time) = self.time {
                flags |= time.tai_offset_secs.map_or(0, |_| super::TAI_OFFSET_VALID);
                flags |= time.period_maxerror.map_or(0, |_| super::PERIOD_MAXERROR_VALID);
                flags |= time.maxerror_nanos.map_or(0, |_| super::TIME_MAXERROR_VALID);
                put(10, &[time.counter_id, time.time_type]);
                put(34, &[time.status, time.smearing]);
                put(36, &time.tai_offset_secs.unwrap_or(0).to_le_bytes());
                put(38, &[time.leap, time.period_shift]);
                put(40, &time.counter_value.to_le_bytes());
                put(48, &time.period.to_le_bytes());
                put(64, &time.period_maxerror.unwrap_or(0).to_le_bytes());
                put(72, &time.secs.to_le_bytes());
                put(80, &time.frac.to_le_bytes());
                put(96, &time.maxerror_nanos.unwrap_or(0).to_le_bytes());
            }
            put(24, &flags.to_le_bytes());
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::FakePage;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_without_time_and_generation_has_its_marker() {
        let page = parse(&FakePage::new(7).bytes()).unwrap().unwrap();
        assert_eq!((page.disruption_marker, page.generation, page.notifies), (7, None, false));
        let counted = FakePage { generation: Some(9), ..FakePage::new(7) };
        assert_eq!(parse(&counted.bytes()).unwrap().unwrap().generation, Some(9));
    }

    #[test]
    fn a_page_being_written_is_none_and_a_strange_one_names_the_field() {
        let busy = FakePage { sequence: 3, ..FakePage::new(7) };
        assert!(parse(&busy.bytes()).unwrap().is_none());
        let mut strange = FakePage::new(7).bytes();
        strange[8] = 2;
        assert_eq!(parse(&strange).unwrap_err().to_string(), "the version of the page is 0x2");
        strange[0] = 0;
        assert!(parse(&strange).unwrap_err().to_string().starts_with("the magic number"));
    }

    #[test]
    fn a_missing_device_and_an_unreadable_one_are_different_errors() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(VmClock::open(root.path()), Err(VmClockPageError::NotThere { .. })));
        std::fs::create_dir_all(root.path().join(DEVICE)).unwrap();
        let folder = VmClock::open(root.path()).unwrap();
        assert!(matches!(folder.read(), Err(VmClockPageError::Unreadable { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_page_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            let _ = parse(&bytes);
            bytes.splice(0..bytes.len().min(12), *b"VCLK\x70\0\0\0\x01\0\x01\0");
            let _ = parse(&bytes);
        }
    }
}
