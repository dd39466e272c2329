//! Times that have certainly passed, and times that have passed as far as a file can be trusted.

use super::time::Realtime;

/// The file, below the host's root, whose modification time is the last good time: the true time was at least this.
pub const LAST_GOOD_FILE: &str = "var/lib/clockgate/clock";

/// What the clock cannot be before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// The release of this program: the clock is never set to a time before it.
    pub release: Realtime,
    /// A file whose modification time says that it is later: systemd's clock epoch, the last good time. A majority or an
    /// authenticated source knows better, for such a file can have been written by a clock that was wrong.
    pub file: Option<FloorFile>,
}

/// A file that says how late it is at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorFile {
    /// Its path.
    pub path: String,
    /// Its modification time.
    pub time: Realtime,
}

impl Floor {
    /// The later of the two.
    #[must_use]
    pub fn highest(&self) -> Realtime {
        self.file.as_ref().map_or(self.release, |file| file.time.max(self.release))
    }

    /// What the later of the two is based on, in words.
    #[must_use]
    pub fn name(&self) -> String {
        match self.file.as_ref().filter(|file| file.time > self.release) {
            Some(file) => format!("the date of {} ({})", file.path, file.time.minute()),
            None => format!("the release of this program ({})", self.release.date()),
        }
    }
}
