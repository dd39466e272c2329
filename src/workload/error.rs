//! What can go wrong with containers, and the messages about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::decision::ContainerText;
use crate::error_chain::in_full;
use crate::sys::foreign::shown_path;

/// What was thawed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thawed {
    /// Cgroups that run again, the last frozen first; relative to the hierarchy.
    pub thawed: Vec<PathBuf>,
    /// Cgroups that were removed, or replaced by others of the same name.
    pub gone: Vec<PathBuf>,
    /// Lines of the ledger that could not be read.
    pub damaged: usize,
    /// Lines of the ledger that a later version wrote.
    pub later: usize,
}

/// Why containers could not be found, frozen or thawed.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// No cgroup2 hierarchy is mounted: nothing can be frozen on this host.
    #[error("no cgroup2 hierarchy is mounted according to {path}; containers cannot be frozen", path = shown_path(.0))]
    NoHierarchy(PathBuf),
    /// A file that is needed is not there.
    #[error("cannot {what} {path}: it is not there", path = shown_path(path))]
    Absent {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// We may not.
    #[error("not permitted to {what} {path}", path = shown_path(path))]
    NotPermitted {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {what} {path}", path = shown_path(path))]
    Broken {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another agent freezes.
    #[error("another agent holds {path}", path = shown_path(.0))]
    Held(PathBuf),
    /// Nothing is frozen without a guard.
    #[error("cannot start the guard {program}", program = program.display())]
    Guard {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A later version has frozen something, and only that knows what; everything else was thawed.
    #[error("{count} line(s) of {path} are of a later version of clockgate, which alone can thaw what they name", count = thawed.later, path = path.display())]
    LaterLedger {
        /// The ledger.
        path: PathBuf,
        /// What was thawed.
        thawed: Thawed,
    },
    /// These are frozen still; everything else was thawed.
    #[error("still frozen: {}", failed.iter().map(|error| in_full(error)).collect::<Vec<_>>().join("; "))]
    StillFrozen {
        /// What was thawed.
        thawed: Thawed,
        /// What was not, and why.
        failed: Vec<WorkloadError>,
    },
}

impl WorkloadError {
    /// By what the kernel said: not there, not allowed, or broken.
    pub fn from_io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error() {
            Some(libc::ENOENT) => Self::Absent { what, path },
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Self::NotPermitted { what, path, source },
            _ => Self::Broken { what, path, source },
        }
    }

    /// The same with its causes, with every path apart from the words: that of a cgroup names a container.
    #[must_use]
    pub fn text(&self) -> ContainerText {
        let text = |tried: &str, what: &'static str, path: &Path| {
            let path_of = if Self::OF_CGROUPS.contains(&what) { "a cgroup" } else { "a file" };
            ContainerText::from(format!("{tried} {what} ")).private(shown_path(path), path_of)
        };
        match self {
            Self::Absent { what, path } => text("cannot", what, path).words(": it is not there"),
            Self::NotPermitted { what, path, source } => {
                text("not permitted to", what, path).words(format!(": {source}"))
            }
            Self::Broken { what, path, source } => text("cannot", what, path).words(format!(": {source}")),
            Self::StillFrozen { thawed: _, failed } => {
                let each = failed.iter().enumerate();
                each.fold(ContainerText::from("still frozen: "), |all, (i, error)| {
                    all.words(if i > 0 { "; " } else { "" }).then(error.text())
                })
            }
            Self::NoHierarchy(_) | Self::Held(_) | Self::LaterLedger { .. } | Self::Guard { .. } => {
                in_full(self).into()
            }
        }
    }

    /// What is tried on cgroups alone.
    const OF_CGROUPS: [&'static str; 3] = ["freeze", "thaw", "look at"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::ContainerNaming;

    #[test]
    fn not_there_not_allowed_and_broken_are_different_errors_that_name_the_file() {
        let said = |errno| {
            let error = WorkloadError::from_io("freeze", Path::new("/docker"), io::Error::from_raw_os_error(errno));
            let kind = match &error {
                WorkloadError::Absent { .. } => "absent",
                WorkloadError::NotPermitted { .. } => "not permitted",
                WorkloadError::Broken { .. } => "broken",
                WorkloadError::NoHierarchy(_)
                | WorkloadError::Held(_)
                | WorkloadError::LaterLedger { .. }
                | WorkloadError::Guard { .. }
                | WorkloadError::StillFrozen { .. } => "other",
            };
            (kind, in_full(&error))
        };
        assert_eq!(said(libc::ENOENT), ("absent", "cannot freeze /docker: it is not there".to_owned()));
        let denied = "not permitted to freeze /docker: Permission denied (os error 13)";
        assert_eq!(said(libc::EACCES), ("not permitted", denied.to_owned()));
        assert_eq!(said(libc::EIO), ("broken", "cannot freeze /docker: Input/output error (os error 5)".to_owned()));
        let forged = WorkloadError::from_io(
            "freeze",
            Path::new("/a\nstill frozen: /b"),
            io::Error::from_raw_os_error(libc::ENOENT),
        );
        assert_eq!(in_full(&forged), "cannot freeze /a\\nstill frozen: /b: it is not there");
        let failed = vec![WorkloadError::from_io("thaw", Path::new("/a"), io::Error::from_raw_os_error(libc::EIO))];
        let still = in_full(&WorkloadError::StillFrozen { thawed: Thawed::default(), failed });
        assert_eq!(still, "still frozen: cannot thaw /a: Input/output error (os error 5)");
    }

    #[test]
    fn a_text_is_the_error_with_its_causes_and_can_do_without_the_path_of_a_cgroup() {
        let error =
            |what, errno| WorkloadError::from_io(what, Path::new("/cg/lxc/web"), io::Error::from_raw_os_error(errno));
        let failed = vec![error("thaw", libc::EIO), error("thaw", libc::EACCES), error("write", libc::ENOENT)];
        let guard = WorkloadError::Guard { program: "/x".into(), source: io::Error::from_raw_os_error(libc::EIO) };
        let still = WorkloadError::StillFrozen { thawed: Thawed::default(), failed };
        for error in [error("freeze", libc::ENOENT), error("freeze", libc::EPERM), error("read", libc::EIO), guard] {
            assert_eq!(error.text().to_string(), in_full(&error));
            assert!(!error.text().naming(ContainerNaming::None).to_string().contains("web"));
        }
        assert_eq!(still.text().to_string(), in_full(&still));
        let unnamed = "still frozen: cannot thaw a cgroup: Input/output error (os error 5); not permitted to thaw a cgroup: \
                       Permission denied (os error 13); cannot write a file: it is not there";
        assert_eq!(still.text().naming(ContainerNaming::Ids).to_string(), unnamed);
    }
}
