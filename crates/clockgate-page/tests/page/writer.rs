//! A page as an agent writes it, field by field.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate_page::sys::clock::{boottime, clocks_of_the_host};
use clockgate_page::sys::mapping::{LEN, WritableMapping};
use clockgate_page::sys::{futex, time_namespace::Shift};
use clockgate_page::time::{Boottime, Differences, Offset, nanos_u64};
use clockgate_page::{ClockMeasurement, FILE, Gate, LeapSecond, MAGIC, Page, UNKNOWN, VERSION, at, boot_id};
use libtest_mimic::Failed;

/// A page in a folder of its own.
pub struct Writer {
    pub folder: tempfile::TempDir,
    pub mapping: WritableMapping,
    sequence: u32,
}

/// A proof of this moment, of a clock that is a millisecond behind and at most three wrong.
#[derive(Clone, Copy)]
pub struct Proof {
    pub gate: u32,
    pub state: u32,
    pub offset: Offset,
    pub as_of: Boottime,
    pub valid_until: Boottime,
    pub alive_until: Boottime,
    pub differences: Differences,
    pub leap_second: Option<LeapSecond>,
    /// What two exchanges measured, and the epoch that they are said to be of.
    pub measured: Option<(ClockMeasurement, u64)>,
}

impl Proof {
    pub fn now() -> Self {
        let now = boottime();
        Self {
            gate: Gate::Proven as u32,
            state: 4,
            offset: Offset::from_nanos(1_000_000),
            as_of: now,
            valid_until: now + Duration::from_secs(300),
            alive_until: now + Duration::from_secs(60),
            differences: standing(),
            leap_second: None,
            measured: None,
        }
    }

    pub fn shut() -> Self {
        Self { gate: Gate::Shut as u32, ..Self::now() }
    }
}

/// How the clocks stand to one another now.
pub fn standing() -> Differences {
    clocks_of_the_host(Shift::default()).0.differences()
}

impl Writer {
    /// A page that is whole and shut.
    pub fn new() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(FILE), [0; LEN])?;
        let mapping = WritableMapping::new(&File::options().read(true).write(true).open(folder.path().join(FILE))?)?;
        let mut writer = Self { folder, mapping, sequence: 0 };
        writer.write(&Proof::shut());
        writer.store(at::BOOT_ID, &boot_id().unwrap_or_default());
        writer.mapping.store_u32(at::SIZE, u32::try_from(at::END)?);
        writer.mapping.store_u32(at::VERSION, VERSION);
        writer.mapping.store_u64(at::MAGIC, MAGIC);
        Ok(writer)
    }

    pub fn with(proof: &Proof) -> Result<(Self, Page), Failed> {
        let mut writer = Self::new()?;
        writer.write(proof);
        let page = Page::open(writer.folder.path())?;
        Ok((writer, page))
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Writes inside the sequence lock.
    pub fn locked(&mut self, change: impl FnOnce(&WritableMapping)) {
        self.mapping.store_u32(at::SEQUENCE, self.sequence + 1);
        change(&self.mapping);
        self.sequence += 2;
        self.mapping.store_u32(at::SEQUENCE, self.sequence);
    }

    pub fn write(&mut self, proof: &Proof) {
        let none = LeapSecond { at: Boottime::default(), change: Offset::ZERO };
        let LeapSecond { at: leap_at, change } = proof.leap_second.unwrap_or(none);
        self.locked(|page| {
            page.store_u32(at::GATE, proof.gate);
            page.store_u64(at::EPOCH, 7);
            page.store_u32(at::STATE, proof.state);
            page.store_u32(at::CAUSE, 2);
            page.store_u64(at::OFFSET, proof.offset.as_nanos().cast_unsigned());
            page.store_u64(at::BOUND, 3_000_000);
            page.store_u64(at::AS_OF, proof.as_of.as_nanos());
            page.store_u64(at::THRESHOLD, 200_000_000);
            page.store_u64(at::VALID_UNTIL, proof.valid_until.as_nanos());
            page.store_u64(at::SINCE, 1);
            page.store_u64(at::DEADLINE, 0);
            page.store_u32(at::MAX_DRIFT, 500);
            page.store_u64(at::ALIVE_UNTIL, proof.alive_until.as_nanos());
            page.store_u64(at::REAL_MINUS_BOOT, proof.differences.real_minus_boot.as_nanos().cast_unsigned());
            page.store_u64(at::BOOT_MINUS_MONO, nanos_u64(proof.differences.boot_minus_mono));
            page.store_u64(at::MONO_MINUS_RAW, proof.differences.mono_minus_raw.as_nanos().cast_unsigned());
            page.store_u64(at::LEAP_AT, leap_at.as_nanos());
            page.store_u64(at::LEAP, change.as_nanos().cast_unsigned());
            page.store_u64(at::NEXT, 2);
            page.store_u64(at::MEASURED_BOUND, UNKNOWN);
            if let Some((measured, epoch)) = &proof.measured {
                store_measured(page, measured, *epoch);
            }
        });
    }

    /// Writes bytes, a multiple of eight of them.
    pub fn store(&self, at: usize, bytes: &[u8]) {
        for (i, chunk) in bytes.chunks_exact(8).enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mapping.store_u64(at + i * 8, u64::from_ne_bytes(word));
        }
    }

    pub fn wake(&self) -> Result<u64, Failed> {
        Ok(futex::wake_all(&self.mapping, at::GATE)?)
    }
}

fn store_measured(page: &WritableMapping, measured: &ClockMeasurement, epoch: u64) {
    let differences = measured.differences.unwrap_or_default();
    page.store_u64(at::MEASURED_OFFSET, measured.offset.as_nanos().cast_unsigned());
    page.store_u64(at::MEASURED_BOUND, nanos_u64(measured.bound));
    page.store_u64(at::MEASURED_AS_OF, measured.as_of.as_nanos());
    page.store_u64(at::MEASURED_UNTIL, measured.valid_until.as_nanos());
    page.store_u64(at::MEASURED_EPOCH, epoch);
    page.store_u64(at::MEASURED_REAL_MINUS_BOOT, differences.real_minus_boot.as_nanos().cast_unsigned());
    page.store_u64(at::MEASURED_BOOT_MINUS_MONO, nanos_u64(differences.boot_minus_mono));
    page.store_u64(at::MEASURED_MONO_MINUS_RAW, differences.mono_minus_raw.as_nanos().cast_unsigned());
    page.store_u32(at::MEASURED_MAX_DRIFT, measured.max_drift_ppm);
}

/// Replaces the file at `path` by another one of these bytes.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes)?;
    Ok(std::fs::rename(beside, path)?)
}
