//! What was proven in this boot, kept for the next program in it: an agent that is started again, `clockgate sync`. Without
//! it each start would be the first proof since boot, which may go a year forward on one reference.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::decision::{Boottime, Clocks, Evidence, Realtime, Reckoning, nanos_u64};
use crate::page::boot_id;

/// The file, beside the folder of the page: out of reach of those who have that mounted.
pub const FILE: &str = "proof.json";
/// The version of what is written; another one is not read.
const VERSION: u64 = 2;
/// Our file has some hundred bytes.
const LONGEST: u64 = 64 * 1024;

/// The file that outlives an agent, and not a boot.
#[derive(Debug)]
pub struct ProofFile {
    path: PathBuf,
    written: Option<Evidence>,
}

impl ProofFile {
    /// The file that belongs to the folder of a gate page.
    #[must_use]
    pub fn beside(page: &Path) -> Self {
        Self { path: page.with_file_name(FILE), written: None }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was proven in this boot; nothing where there is no such file, or an invalid one.
    #[must_use]
    pub fn read(&self) -> Evidence {
        let is_small = fs::metadata(&self.path).is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
        let text = if is_small { fs::read_to_string(&self.path).unwrap_or_default() } else { String::new() };
        let parsed: Value = serde_json::from_str(&text).unwrap_or_default();
        if parsed["version"] != VERSION || parsed["boot_id"].as_str() != this_boot().as_deref() {
            return Evidence::default();
        }
        Evidence {
            last: reckoning(&parsed["last"]),
            anchor: reckoning(&parsed["anchor"]),
            restored: parsed["restored"].as_bool().unwrap_or(true),
            ..Evidence::default()
        }
    }

    /// Writes what changed, whole or not at all.
    ///
    /// # Errors
    /// What the file system said; a host without the folder keeps nothing, which is no error.
    pub fn note(&mut self, evidence: &Evidence) -> io::Result<()> {
        let now = Evidence { rtc: None, hint: None, may_pause: false, ..evidence.clone() };
        if self.written.as_ref() == Some(&now) {
            return Ok(());
        }
        let text = json!({
            "version": VERSION,
            "boot_id": this_boot(),
            "last": now.last.as_ref().map(written),
            "anchor": now.anchor.as_ref().map(written),
            "restored": now.restored,
        });
        let new = self.path.with_extension("new");
        let outcome = write(&new, &format!("{text}\n")).and_then(|()| fs::rename(&new, &self.path));
        self.written = Some(now);
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}

/// For us alone, whatever our umask is.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn this_boot() -> Option<String> {
    boot_id().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn written(known: &Reckoning) -> Value {
    json!({
        "boottime_ns": known.at.boot.as_nanos(),
        "monotonic_raw_ns": nanos_u64(known.at.raw),
        "suspended_ns": nanos_u64(known.at.asleep),
        "realtime_ns": known.truth.as_nanos(),
        "uncertainty_ns": nanos_u64(known.width),
        "suspends": known.sleeps,
    })
}

fn reckoning(value: &Value) -> Option<Reckoning> {
    let number = |name: &str| value[name].as_u64();
    let truth = Realtime::from_nanos(value["realtime_ns"].as_i64()?);
    Some(Reckoning {
        at: Clocks {
            boot: Boottime::from_nanos(number("boottime_ns")?),
            raw: Duration::from_nanos(number("monotonic_raw_ns")?),
            asleep: Duration::from_nanos(number("suspended_ns")?),
            real: truth,
        },
        truth,
        width: Duration::from_nanos(number("uncertainty_ns")?),
        sleeps: u32::try_from(number("suspends")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn proven() -> Evidence {
        let truth = Realtime::from_secs(1_800_000_000);
        let at =
            Clocks { boot: Boottime::from_nanos(9), raw: Duration::from_nanos(7), real: truth, ..Clocks::default() };
        let known = Reckoning { at, truth, width: Duration::from_millis(3), sleeps: 2 };
        Evidence { last: Some(known), anchor: Some(known), restored: true, ..Evidence::default() }
    }

    #[test]
    fn what_is_written_is_read_and_another_boots_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut known = ProofFile::beside(&folder.path().join("public"));
        assert_eq!(known.read(), Evidence::default());
        known.note(&proven()).unwrap();
        assert_eq!(known.read(), proven());
        assert_eq!(fs::metadata(known.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(known.path()).unwrap();
        fs::write(known.path(), text.replace(&this_boot().unwrap(), "00")).unwrap();
        assert_eq!(known.read(), Evidence::default());
    }

    #[test]
    fn rubbish_is_nothing_and_a_missing_folder_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let known = ProofFile::beside(&folder.path().join("public"));
        for rubbish in ["", "{", "[1]", r#"{"version":2,"boot_id":null}"#, r#"{"version":"2"}"#] {
            fs::write(known.path(), rubbish).unwrap();
            assert_eq!(known.read(), Evidence::default(), "{rubbish}");
        }
        assert!(ProofFile::beside(Path::new("/nonexistent/run/public")).note(&proven()).is_ok());
    }
}
