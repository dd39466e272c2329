//! The name by which a wrapper knows its runtime: `clockgate-runc` beside the wrapper's program wraps the runc in PATH. For any other
//! program there are two links of its own: `/etc/clockgate/oci/ENGINE/clockgate-NAME` to the wrapper, and `NAME` beside it to the
//! program.
//!
//! None of them is ever removed. A container that runs is stopped, entered and deleted through the path it was started by, which its
//! shim keeps; without that path it could not be stopped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Change, Host, InstallerError};
use crate::container::WRAPPER_PREFIX;

/// Below it each engine has its folder.
const FOLDER: &str = "/etc/clockgate/oci";

/// A runtime of an engine, as the engine's configuration names it.
pub struct EngineRuntime {
    /// The folder for its links, below the folder of all.
    pub folder: String,
    /// Its file name, or its path.
    pub program: PathBuf,
}

impl EngineRuntime {
    /// The wrapper's path for the engine, and the links that it takes.
    ///
    /// # Errors
    /// [`InstallerError`] where the wrapper or the runtime is missing.
    pub fn wrap(&self, host: &Host) -> Result<(PathBuf, Vec<Change>), InstallerError> {
        let wrapper = host.wrapper()?;
        let name = self.program.file_name().unwrap_or_default();
        let in_path = host.program(&name.to_string_lossy());
        let is_custom =
            self.program.is_absolute() && !in_path.as_ref().is_some_and(|path| host.is_same(path, &self.program));
        if !host.has(&self.program) && (is_custom || in_path.is_none()) {
            return Err(InstallerError::Wrong(format!("there is no runtime {} on this host", self.program.display())));
        }
        let mut alias = OsString::from(WRAPPER_PREFIX);
        alias.push(name);
        let beside = wrapper.with_file_name(&alias);
        if !is_custom && host.is_same(&beside, &wrapper) {
            return Ok((beside, vec![]));
        }
        let folder = Path::new(FOLDER).join(&self.folder);
        let link = folder.join(&alias);
        let mut changes = vec![Change::link(host, &link, &wrapper)?];
        if is_custom {
            changes.push(Change::link(host, &folder.join(name), &self.program)?);
        }
        Ok((link, changes))
    }
}

/// The program that a wrapper wraps, as the engine's configuration had it.
pub fn program_of(host: &Host, wrapper: &Path) -> PathBuf {
    let name = wrapper.file_name().unwrap_or_default().to_string_lossy();
    let name = PathBuf::from(name.trim_start_matches(WRAPPER_PREFIX));
    std::fs::read_link(host.at(wrapper.with_file_name(&name)))
        .ok()
        .filter(|_| wrapper.starts_with(FOLDER))
        .unwrap_or(name)
}

/// Whether a path is that of a wrapper already.
pub fn is_wrapper(path: &str) -> bool {
    Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with(WRAPPER_PREFIX))
}
