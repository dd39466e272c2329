//! The floor: the latest time that has certainly passed, below which no reference is believed.
//!
//! systemd-timesyncd's own file (/var/lib/systemd/timesync/clock) is left out on purpose: it is touched every minute with what the
//! system clock says, so one wrong `date -s` would raise the floor above the truth and keep the gate shut for ever.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::decision::Realtime;

/// The month of this release, seconds since 1970 (2026-11-01): a constant, so that builds stay reproducible.
const RELEASED: i64 = 1_793_491_200;
/// systemd's clock epoch: distributions set the file's time when they build an image (systemd(1)).
const CLOCK_EPOCH: &str = "usr/lib/clock-epoch";
/// Our last good time, in the file's own time.
const LAST_GOOD: &str = "var/lib/clockgate/clock";

/// A floor and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The time that has certainly passed.
    pub time: Realtime,
    /// The file whose modification time it is; none for the release of clockgate itself.
    pub file: Option<PathBuf>,
}

/// The latest of release, systemd's clock epoch and our last good time.
#[must_use]
pub fn find(root: &Path) -> Floor {
    let mut floor = Floor { time: Realtime::from_secs(RELEASED), file: None };
    for file in [CLOCK_EPOCH, LAST_GOOD].map(|file| root.join(file)) {
        let Some(time) = fs::metadata(&file).and_then(|meta| meta.modified()).ok().and_then(realtime) else { continue };
        if time > floor.time {
            floor = Floor { time, file: Some(file) };
        }
    }
    floor
}

/// Keeps a proven time for the next start, as the modification time of a file: nothing is written, so nothing tears.
///
/// # Errors
/// What creating the file or setting its time said.
pub fn remember(root: &Path, truth: Realtime) -> io::Result<()> {
    let file = root.join(LAST_GOOD);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let time = UNIX_EPOCH + Duration::from_nanos(u64::try_from(truth.as_nanos()).unwrap_or(0));
    File::options().create(true).append(true).open(&file)?.set_modified(time)
}

fn realtime(time: SystemTime) -> Option<Realtime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok().map(Realtime::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_any_file_the_floor_is_the_release() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()), Floor { time: Realtime::from_secs(RELEASED), file: None });
    }

    #[test]
    fn the_last_good_time_is_remembered_and_may_be_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let later = Realtime::from_secs(RELEASED + 1_000_000);
        remember(root.path(), later).unwrap();
        assert_eq!(find(root.path()).time, later);
        assert_eq!(find(root.path()).file, Some(root.path().join(LAST_GOOD)));
        remember(root.path(), Realtime::from_secs(RELEASED + 5)).unwrap();
        assert_eq!(find(root.path()).time, Realtime::from_secs(RELEASED + 5));
    }

    #[test]
    fn the_latest_one_counts_and_one_before_the_release_does_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        let epoch = File::create(root.path().join(CLOCK_EPOCH)).unwrap();
        epoch.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        assert_eq!(find(root.path()).file, None);
        epoch.set_modified(UNIX_EPOCH + Duration::from_secs(u64::try_from(RELEASED).unwrap() + 9)).unwrap();
        assert_eq!(find(root.path()).file, Some(root.path().join(CLOCK_EPOCH)));
    }
}
