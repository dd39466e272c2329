//! The floor: the latest time that has certainly passed, below which no reference is believed.
//!
//! systemd-timesyncd's own file (/var/lib/systemd/timesync/clock) is left out on purpose: it is touched every minute with the time of
//! the system clock, so one wrong `date -s` would raise the floor above the truth, and the gate would stay shut for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::decision::{Floor, FloorFile, LAST_GOOD_FILE, Realtime};

/// The month of this release, seconds since 1970 (2026-11-01): a constant, so that builds stay reproducible.
const RELEASED: i64 = 1_793_491_200;
/// systemd's clock epoch: distributions set the file's time when they build an image (systemd(1)).
const CLOCK_EPOCH: &str = "usr/lib/clock-epoch";

/// The release, and the later of systemd's clock epoch and our last good time, where one is later than the release.
#[must_use]
pub fn find(root: &Path) -> Floor {
    let release = Realtime::from_secs(RELEASED);
    let dated = |file: PathBuf| {
        let time = fs::metadata(&file).and_then(|meta| meta.modified()).ok().and_then(realtime)?;
        (time > release).then(|| FloorFile { path: file.display().to_string(), time })
    };
    let files = [CLOCK_EPOCH, LAST_GOOD_FILE].map(|file| dated(root.join(file)));
    Floor { release, file: files.into_iter().flatten().max_by_key(|file| file.time) }
}

fn realtime(time: SystemTime) -> Option<Realtime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok().map(Realtime::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn without_any_file_the_floor_is_the_release() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(root.path()), Floor { release: Realtime::from_secs(RELEASED), file: None });
    }

    #[test]
    fn the_latest_one_counts_and_one_before_the_release_does_not() {
        let root = tempfile::tempdir().unwrap();
        let stamp = |file: &str, seconds: i64| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
            File::create(&file).unwrap().set_modified(time).unwrap();
        };
        let named = || find(root.path()).file.map(|file| PathBuf::from(file.path));
        stamp(CLOCK_EPOCH, 1);
        assert_eq!(find(root.path()).file, None);
        stamp(CLOCK_EPOCH, RELEASED + 9);
        assert_eq!(named(), Some(root.path().join(CLOCK_EPOCH)));
        stamp(LAST_GOOD_FILE, RELEASED + 10);
        assert_eq!(named(), Some(root.path().join(LAST_GOOD_FILE)));
        assert_eq!(find(root.path()).highest(), Realtime::from_secs(RELEASED + 10));
    }
}
