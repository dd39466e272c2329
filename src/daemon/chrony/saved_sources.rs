//! What chronyd said of its authenticated sources, kept on disk: a chronyd that is stopped, restarting or silent at a disruption
//! costs no authentication. Only ever what it said; never what was assumed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::decision::Boottime;

/// Below the root.
const FILE: &str = "var/lib/clockgate/authenticated";
/// The version of what is written; another one is not read.
const VERSION: u64 = 2;
/// Our file has some hundred bytes.
const LONGEST: u64 = 64 * 1024;

/// What chronyd said, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its authenticated sources, by name.
    pub sources: Vec<String>,
    /// The day in UTC, `2026-11-01`.
    pub day: String,
    /// Since when its process has not been there, in this boot; none while it is.
    absent_since: Option<Boottime>,
}

/// The file.
#[derive(Debug)]
pub struct Memory {
    root: PathBuf,
}

impl Memory {
    /// The memory of the host whose root this is.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What chronyd reported on this machine; nothing where that file is missing or invalid. One of another machine, as from a
    /// golden image, is deleted.
    pub fn read(&self) -> Option<Remembered> {
        let path = self.path();
        let is_small = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
        let text = is_small.then(|| fs::read_to_string(&path).ok()).flatten()?;
        let parsed: Value = serde_json::from_str(&text).ok()?;
        if parsed["version"] != VERSION {
            return None;
        }
        if parsed["machine_id"].as_str() != Some(self.machine_id()?.as_str()) {
            drop(self.delete());
            return None;
        }
        let sources = parsed["sources"].as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned));
        let this_boot = parsed["boot_id"].is_string() && parsed["boot_id"].as_str() == self.boot_id().as_deref();
        Some(Remembered {
            sources: sources.collect(),
            day: parsed["date"].as_str()?.to_owned(),
            absent_since: parsed["gone_since_ns"].as_u64().filter(|_| this_boot).map(Boottime::from_nanos),
        })
    }

    /// Keeps what chronyd says on `day`; written only if that is news.
    ///
    /// # Errors
    /// What the file system said.
    pub fn note(&self, sources: &[String], day: String) -> io::Result<()> {
        let now = Remembered { sources: sources.to_vec(), day, absent_since: None };
        if self.read().as_ref() == Some(&now) { Ok(()) } else { self.write(&now) }
    }

    /// How long chronyd has been absent at `now`, from the first time that this was asked; kept over our restarts, not over a boot.
    ///
    /// # Errors
    /// What the file system said.
    pub fn absent_for(&self, remembered: &Remembered, now: Boottime) -> io::Result<Duration> {
        match remembered.absent_since {
            Some(since) => Ok(now.since(since)),
            None => self.write(&Remembered { absent_since: Some(now), ..remembered.clone() }).map(|()| Duration::ZERO),
        }
    }

    /// chronyd was seen again: its next absence counts anew.
    ///
    /// # Errors
    /// What the file system said.
    pub fn is_back(&self, remembered: &Remembered) -> io::Result<()> {
        match remembered.absent_since {
            Some(_) => self.write(&Remembered { absent_since: None, ..remembered.clone() }),
            None => Ok(()),
        }
    }

    /// Whether anything is remembered, good or not.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Chronyd reports otherwise, or the configuration replaces it.
    ///
    /// # Errors
    /// What the file system said; a file that is not there is no error.
    pub fn delete(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn write(&self, remembered: &Remembered) -> io::Result<()> {
        // Without one this machine cannot be distinguished from its copies.
        let Some(machine_id) = self.machine_id() else { return Ok(()) };
        let text = json!({
            "version": VERSION,
            "machine_id": machine_id,
            "date": remembered.day,
            "daemon": super::NAME,
            "sources": remembered.sources,
            "boot_id": remembered.absent_since.and_then(|_| self.boot_id()),
            "gone_since_ns": remembered.absent_since.map(Boottime::as_nanos),
        });
        let path = self.path();
        let new = path.with_extension("new");
        fs::write(&new, format!("{text}\n")).and_then(|()| fs::rename(&new, &path))
    }

    fn path(&self) -> PathBuf {
        self.root.join(FILE)
    }

    /// None where the machine has none yet: machine-id(5) has it empty or `uninitialized` then.
    fn machine_id(&self) -> Option<String> {
        line(&self.root.join("etc/machine-id")).filter(|id| id != "uninitialized")
    }

    fn boot_id(&self) -> Option<String> {
        line(&self.root.join("proc/sys/kernel/random/boot_id"))
    }
}

fn line(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "2026-11-25";

    fn host() -> (tempfile::TempDir, Memory) {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/lib/clockgate", "proc/sys/kernel/random"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        fs::write(root.path().join("proc/sys/kernel/random/boot_id"), "one\n").unwrap();
        let memory = Memory::new(root.path().to_owned());
        (root, memory)
    }

    fn at(secs: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn what_chronyd_said_is_remembered_with_its_day_until_it_is_deleted() {
        let (_root, memory) = host();
        assert_eq!(memory.read(), None);
        memory.note(&["time.example".to_owned()], DAY.to_owned()).unwrap();
        let known = memory.read().unwrap();
        assert_eq!((known.sources.as_slice(), known.day.as_str()), (&["time.example".to_owned()][..], DAY));
        memory.delete().unwrap();
        memory.delete().unwrap();
        assert_eq!(memory.read(), None);
    }

    #[test]
    fn the_memory_of_a_golden_image_is_deleted_by_its_copies() {
        let (root, memory) = host();
        memory.note(&["time.example".to_owned()], DAY.to_owned()).unwrap();
        fs::write(root.path().join("etc/machine-id"), "fedcba9876543210fedcba9876543210\n").unwrap();
        assert_eq!(memory.read(), None);
        assert!(!memory.path().exists());
        for absent in ["", "uninitialized\n"] {
            fs::write(root.path().join("etc/machine-id"), absent).unwrap();
            memory.note(&["time.example".to_owned()], DAY.to_owned()).unwrap();
            assert!(!memory.path().exists(), "an image that will be copied remembers nothing");
        }
    }

    #[test]
    fn the_absence_of_a_daemon_is_counted_in_one_boot_and_from_the_last_time_that_it_was_seen() {
        let (root, memory) = host();
        memory.note(&["time.example".to_owned()], DAY.to_owned()).unwrap();
        let absent_for = |secs| memory.absent_for(&memory.read().unwrap(), at(secs)).unwrap().as_secs();
        assert_eq!((absent_for(100), absent_for(131)), (0, 31));
        fs::write(root.path().join("proc/sys/kernel/random/boot_id"), "two\n").unwrap();
        assert_eq!((absent_for(3), absent_for(13)), (0, 10), "a boot begins anew");
        memory.is_back(&memory.read().unwrap()).unwrap();
        assert_eq!(absent_for(50), 0);
    }

    #[test]
    fn rubbish_is_nothing() {
        let (_root, memory) = host();
        for rubbish in ["", "{", "[1]", r#"{"version":2}"#, r#"{"version":1,"sources":[]}"#, "\0\0"] {
            fs::write(memory.path(), rubbish).unwrap();
            assert_eq!(memory.read(), None, "{rubbish}");
        }
    }
}
