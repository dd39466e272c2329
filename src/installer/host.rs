//! The host whose files are changed: `/`, or another root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Change, InstallerError};
use crate::container::files::SIZE_MAX;
use crate::container::{PROGRAM_FOLDERS, Root};
use crate::sys::service_manager::ServiceManager;

/// Where a package or `make install` puts the wrapper.
const WRAPPERS: [&str; 4] = [
    "/usr/lib/clockgate/clockgate-oci",
    "/usr/local/lib/clockgate/clockgate-oci",
    "/usr/bin/clockgate-oci",
    "/usr/local/bin/clockgate-oci",
];
/// Where NixOS and Guix keep what they built; only they write there.
const BUILT: [&str; 2] = ["/nix/store", "/gnu/store"];

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
    oci: Option<PathBuf>,
    /// Files that are looked at as they were before us.
    before: BTreeMap<PathBuf, Option<String>>,
}

impl Host {
    /// The host below `root`, with `clockgate-oci` where it is said to be, or else where it usually is.
    #[must_use]
    pub fn new(root: &Path, oci: Option<PathBuf>) -> Self {
        Self { root: root.to_owned(), oci, before: BTreeMap::new() }
    }

    /// What starts its services.
    #[must_use]
    pub fn services(&self) -> ServiceManager {
        ServiceManager::find(&self.root)
    }

    /// The same host as if these changes had not been made.
    #[must_use]
    pub fn without(&self, changes: &[Change]) -> Self {
        let mut host = self.clone();
        for change in changes {
            match change {
                Change::File { path, before, .. } => drop(host.before.insert(path.clone(), before.clone())),
                // A program that looks for the link finds it complete.
                Change::Link { .. } => {}
            }
        }
        host
    }

    /// The host's files as its engines see them.
    #[must_use]
    pub fn files(&self) -> Root {
        let root = Root::new(&self.root);
        self.before.iter().fold(root, |root, (path, text)| root.with(path, text.clone()))
    }

    /// A path of the host as we reach it.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The wrapper, as the host's engines will call it.
    ///
    /// # Errors
    /// [`InstallerError::Wrong`] where it is not there: an engine whose runtime is missing starts nothing at all.
    pub fn wrapper(&self) -> Result<PathBuf, InstallerError> {
        if let Some(oci) = &self.oci {
            let there = is_program(oci) || is_program(&self.at(oci));
            return if there && oci.is_absolute() {
                Ok(oci.clone())
            } else {
                Err(InstallerError::Wrong(format!("{} is not a program that an engine can start", oci.display())))
            };
        }
        let beside = || {
            let exe = std::env::current_exe().ok().filter(|_| self.root == Path::new("/"))?;
            Some(exe.with_file_name("clockgate-oci")).filter(|path| is_program(path))
        };
        let usual = WRAPPERS.iter().map(PathBuf::from).find(|path| is_program(&self.at(path)));
        usual.or_else(beside).ok_or_else(|| {
            let places = WRAPPERS.join(", ");
            InstallerError::Wrong(format!(
                "clockgate-oci is not installed (looked for {places}); give its path with --oci"
            ))
        })
    }

    /// clockgate's own program.
    #[must_use]
    pub fn clockgate(&self) -> PathBuf {
        self.program("clockgate").unwrap_or_else(|| "/usr/bin/clockgate".into())
    }

    /// A program of the host by its name.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        PROGRAM_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| is_program(&self.at(path)))
    }

    /// Whether this is a program of the host.
    #[must_use]
    pub fn has(&self, program: &Path) -> bool {
        is_program(&self.files().at(program))
    }

    /// Whether two paths are the same file.
    #[must_use]
    pub fn is_same(&self, a: &Path, b: &Path) -> bool {
        let identity = |path: &Path| self.at(path).metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        identity(a).is_some() && identity(a) == identity(b)
    }

    /// That a file is no system builder's, which would put another one in its place.
    ///
    /// # Errors
    /// [`InstallerError::File`] where it is.
    pub fn is_ours_to_write(&self, path: &Path) -> Result<(), InstallerError> {
        let files = self.files();
        let there = Path::new("/").join(files.at(path).strip_prefix(&self.root).unwrap_or(path));
        if BUILT.iter().any(|store| there.starts_with(store)) {
            let what = "is made by the system's own configuration (NixOS, Guix): set it there";
            return Err(InstallerError::refused(there, what));
        }
        Ok(())
    }

    /// The text of a file; none where it is not there.
    ///
    /// # Errors
    /// [`InstallerError`] where it is no plain file of text.
    pub fn read(&self, path: &Path) -> Result<Option<String>, InstallerError> {
        if let Some(before) = self.before.get(path) {
            return Ok(before.clone());
        }
        let file = self.at(path);
        let meta = match file.symlink_metadata() {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(InstallerError::io("look at", path)(error)),
        };
        if meta.is_symlink() {
            // Another tool makes it, and would make it again.
            return Err(InstallerError::refused(path, "is a symbolic link: change what it points to, by what made it"));
        }
        if !meta.is_file() {
            return Err(InstallerError::refused(path, "is not a regular file"));
        }
        if meta.size() > SIZE_MAX {
            return Err(InstallerError::refused(path, "is too large for a configuration"));
        }
        let mut text = String::new();
        let read = fs::File::open(&file).and_then(|mut file| file.read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(InstallerError::refused(path, "is not UTF-8 text"))
            }
            Err(error) => Err(InstallerError::io("read", path)(error)),
        }
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}
