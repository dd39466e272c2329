//! The laboratory that `tests/setup` lays out: each part of it is a link to its version in a cache that checkouts share.

use std::path::{Path, PathBuf};

/// Its folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab")
}

/// The first of these parts that is not there, and what to do.
pub fn missing(parts: &[&str]) -> Option<String> {
    let absent = parts.iter().map(|part| folder().join(part)).find(|path| !path.exists())?;
    Some(format!("{} is not there: run tests/setup", absent.display()))
}
