//! Which engines have started nothing since they were told to start through the wrapper: a file for each, which the first start takes
//! away.

use std::fs;
use std::path::{Path, PathBuf};

/// Beside what `clockgate hooks install` keeps.
const FOLDER: &str = "/var/lib/clockgate/hooks";

/// The file for what was installed under this name.
#[must_use]
pub fn file(target: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{target}.unused"))
}

/// Whether nothing has come by since.
#[must_use]
pub fn is_waited_for(target: &str) -> bool {
    file(target).exists()
}

/// Something came by. Where the file cannot be removed, that is known to nobody, and no reason to fail.
pub fn came_by(target: &str) {
    let _ = fs::remove_file(file(target));
}
