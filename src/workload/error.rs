//! What can go wrong with containers, and what to tell about it.

use std::io;
use std::path::{Path, PathBuf};

use super::freezer::Thawed;

/// Why containers could not be found, frozen or thawed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that is needed is not there.
    #[error("there is no {0} ({path})", path = .1.display())]
    Absent(String, PathBuf),
    /// We may not.
    #[error("not permitted to {what} {path}", path = path.display())]
    NotPermitted {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {what} {path}", path = path.display())]
    Broken {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another agent freezes.
    #[error("another agent holds {path}", path = .0.display())]
    Held(PathBuf),
    /// Nothing is frozen without a guard.
    #[error("cannot post the guard {program}", program = program.display())]
    Guard {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// These are frozen still; everything else was thawed.
    #[error("still frozen: {}", failed.iter().map(chain).collect::<Vec<_>>().join("; "))]
    StillFrozen {
        /// What was thawed.
        thawed: Thawed,
        /// What was not, and why.
        failed: Vec<Error>,
    },
}

impl Error {
    /// By what the kernel said: not there, not allowed, or broken.
    pub fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT) => Self::Absent(format!("such thing to {what}"), path),
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Self::NotPermitted { what, path, source },
            _ => Self::Broken { what, path, source },
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
