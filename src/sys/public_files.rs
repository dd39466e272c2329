//! Files and folders that every user may read, whichever umask we have.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Makes a folder, mode 0755, and what is missing above it; one that is there stays as it is.
///
/// # Errors
/// What mkdir(2) or chmod(2) said.
pub fn folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() || folder.as_os_str().is_empty() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        self::folder(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets mode 0644: every user may read the file, and only its owner write it.
///
/// # Errors
/// What fchmod(2) said.
pub fn file(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_is_no_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("run/clockgate/public");
        folder(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o755);
        fs::set_permissions(&deep, Permissions::from_mode(0o711)).unwrap();
        folder(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o711);
        fs::write(root.path().join("file"), "").unwrap();
        assert!(folder(&root.path().join("file/below")).is_err() && folder(&root.path().join("file")).is_err());
    }
}
