//! The real runtime behind the wrapper: by the wrapper's own name, so that nothing has to be read that could be wrong.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::execv;

use crate::container::{PROGRAM_FOLDERS, WRAPPER_PREFIX};

/// Why there is no runtime to become.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// None of its name.
    #[error("there is no runtime `{name}`, neither beside {wrapper} nor in PATH", wrapper = wrapper.display())]
    Absent {
        /// The name that was looked for.
        name: String,
        /// The name that we were called by.
        wrapper: PathBuf,
    },
    /// It is there and the kernel does not take it.
    #[error("cannot execute the runtime {runtime}", runtime = runtime.display())]
    Exec {
        /// The runtime.
        runtime: PathBuf,
        /// What execve(2) said.
        source: Errno,
    },
}

/// Finds the runtime that the wrapper called `argv0` wraps: `clockgate-runc` wraps the `runc` beside it, else the
/// one in PATH. By any other name than a wrapper's (`clockgate oci`) it is runc, else crun.
///
/// # Errors
/// [`RuntimeError::Absent`].
pub fn find(argv0: &OsStr) -> Result<PathBuf, RuntimeError> {
    let wrapper = Path::new(argv0);
    let called = wrapper.file_name().unwrap_or_default().as_bytes();
    let name = called.strip_prefix(WRAPPER_PREFIX.as_bytes()).unwrap_or(called);
    let names = if matches!(name, b"oci" | b"clockgate") {
        vec!["runc".as_ref(), "crun".as_ref()]
    } else {
        vec![OsStr::from_bytes(name)]
    };
    // An engine may hand down no PATH.
    let path = std::env::var_os("PATH").unwrap_or_else(|| PROGRAM_FOLDERS.join(":").into());
    let beside = wrapper.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned);
    let folders: Vec<PathBuf> = beside.into_iter().chain(std::env::split_paths(&path)).collect();
    let ours = fs::metadata("/proc/self/exe").ok().map(|meta| (meta.dev(), meta.ino()));
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| {
        // A wrapper in the runtime's own place must not find itself.
        file.is_absolute()
            && fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0 && Some((meta.dev(), meta.ino())) != ours)
    });
    found.ok_or_else(|| RuntimeError::Absent {
        name: names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join("` or `"),
        wrapper: wrapper.to_owned(),
    })
}

/// Becomes the runtime: the same process, environment, descriptors and working directory, and the arguments as they came.
///
/// # Errors
/// [`RuntimeError::Exec`]; there is no other way to return.
pub fn become_it(runtime: PathBuf, args: Vec<OsString>) -> Result<Infallible, RuntimeError> {
    // An argument came to us through execve(2), so it holds no zero byte.
    let words = std::iter::once(runtime.clone().into_os_string()).chain(args);
    let words: Vec<CString> = words.filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let failed = |source| RuntimeError::Exec { runtime: runtime.clone(), source };
    let file = words.first().ok_or_else(|| failed(Errno::ENOENT))?;
    execv(file, &words).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_name_decides_and_a_file_beside_it_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, mode: u32| {
            let file = folder.path().join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            file
        };
        let (sh, _) = (place("sh", 0o755), place("sleep", 0o644));
        let find = |name: &str| find(folder.path().join(name).as_os_str());
        assert_eq!(find("clockgate-sh").unwrap(), sh);
        assert_eq!(find("sh").unwrap(), sh);
        // Not executable, so the one in PATH is meant.
        assert!(find("clockgate-sleep").unwrap().ends_with("bin/sleep"));
        let said = find("clockgate-no-such-runtime").unwrap_err().to_string();
        assert!(said.starts_with("there is no runtime `no-such-runtime`, neither beside /"), "{said}");
    }

    #[test]
    fn a_wrapper_does_not_find_itself() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("clockgate-itself");
        std::os::unix::fs::symlink("/proc/self/exe", folder.path().join("itself")).unwrap();
        assert!(find(link.as_os_str()).is_err());
    }
}
