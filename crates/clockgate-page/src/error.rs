//! Why there is no page to read.

use std::path::PathBuf;
use std::{error, fmt, io};

use crate::layout::VERSION;

/// Why there is no page to read.
#[derive(Debug)]
pub enum Error {
    /// No agent has been here, or its folder is not mounted.
    Absent(PathBuf),
    /// It is of another boot, or this is a sandbox with a kernel of its own (Kata, gVisor) that has the host's folder mounted.
    OtherKernel(PathBuf),
    /// It is there and cannot be read.
    Unreadable {
        /// The page.
        path: PathBuf,
        /// What open(2), fstat(2) or mmap(2) said.
        source: io::Error,
    },
    /// Not a gate page, or of an unknown version.
    Foreign {
        /// The page.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
}

impl Error {
    /// Whether no agent of this machine has been here; else there is something that we do not understand.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        match self {
            Self::Absent(_) | Self::OtherKernel(_) => true,
            Self::Unreadable { .. } | Self::Foreign { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(path) => {
                let path = path.display();
                write!(f, "there is no gate page at {path}: no clockgate agent runs here, or its folder is not mounted")
            }
            Self::OtherKernel(path) => {
                let path = path.display();
                write!(
                    f,
                    "{path} is the page of another kernel: of an earlier boot, or of the host of this virtual machine"
                )
            }
            Self::Unreadable { path, source: _ } => write!(f, "cannot map the gate page {}", path.display()),
            Self::Foreign { path, found } => {
                write!(f, "{} is not a gate page of version {VERSION}: {found}", path.display())
            }
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreadable { path: _, source } => Some(source),
            Self::Absent(_) | Self::OtherKernel(_) | Self::Foreign { .. } => None,
        }
    }
}
