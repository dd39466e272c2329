//! A host that is a folder, with the files that a test puts there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::outcome::Outcome;

/// What `--root` names; gone with what is dropped.
#[derive(Debug)]
pub struct HostFolder(tempfile::TempDir);

impl HostFolder {
    /// With these files.
    pub fn new(files: &[(&str, &str)]) -> Outcome<Self> {
        let host = Self(tempfile::tempdir()?);
        files.iter().try_for_each(|(path, text)| host.put(path, text))?;
        Ok(host)
    }

    /// In memory, where a file that is synchronised costs nothing.
    pub fn in_memory(files: &[(&str, &str)]) -> Outcome<Self> {
        let host = Self(tempfile::tempdir_in("/dev/shm")?);
        files.iter().try_for_each(|(path, text)| host.put(path, text))?;
        Ok(host)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path of the host, as it is reached from here.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file and makes the folders above it.
    pub fn put(&self, path: &str, text: &str) -> Outcome {
        let path = self.at(path);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// The same for a file that can be executed.
    pub fn put_program(&self, path: &str, text: &str) -> Outcome {
        self.put(path, text)?;
        Ok(fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755))?)
    }
}
