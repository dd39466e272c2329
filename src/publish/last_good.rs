//! The last good time: a file whose modification time says that the true time was at least this, over a reboot without a
//! battery clock too. systemd-timesyncd keeps `/var/lib/systemd/timesync/clock` in the same way.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::{Boottime, Gate, LAST_GOOD_FILE, Snapshot};

/// A floor is for telling years apart; the disk is spared the rest.
const EVERY: Duration = Duration::from_secs(3600);

/// Writes the last good time now and then.
#[derive(Debug)]
pub struct LastGood {
    path: PathBuf,
    written: Option<Boottime>,
}

impl LastGood {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { path: root.join(LAST_GOOD_FILE), written: None }
    }

    /// Notes the proven time, at most once an hour.
    ///
    /// # Errors
    /// What the file system said; a host without the folder has no state to keep, which is no error.
    pub fn note(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let due = self.written.is_none_or(|at| snapshot.as_of.since(at) >= EVERY);
        // The time of one plain reference, without a second one, does not raise the floor under which no single reference may go.
        if snapshot.gate != Gate::Proven || !snapshot.is_supported || !due {
            return Ok(());
        }
        self.written = Some(snapshot.as_of);
        match File::create(&self.path) {
            // Created or cut, the file is stamped with the clock that was just proven.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
