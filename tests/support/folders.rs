//! The cases of a target whose tests are folders.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::path::{Path, PathBuf};

/// The folders of `tests/TARGET`, by name.
pub fn of(target: &str) -> Vec<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(target);
    let paths = std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}
