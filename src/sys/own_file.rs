//! A file that a user names for output: written whole and renamed, and never in place of what is another's or no file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Writes the file; what was there stays where that does not succeed. A link is not followed.
///
/// # Errors
/// What the file system or `content` said, and where something is there that is not a regular file of this user.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mode = match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("what is there is not a regular file")),
        Ok(found) if found.uid() != geteuid().as_raw() => {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "the file that is there is another user's"));
        }
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path has no file name"))?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let (file, beside) = create(beside)?;
    let mut writer = BufWriter::new(&file);
    content(&mut writer)?;
    writer.flush()?;
    drop(writer);
    mode.map_or(Ok(()), |mode| file.set_permissions(mode))?;
    file.sync_all()?;
    fs::rename(&beside.0, path)?;
    std::mem::forget(beside);
    Ok(())
}

/// Removed where the new file does not take the place of the old one.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed is named by the error that is on its way.
        let _ = fs::remove_file(&self.0);
    }
}

fn create(path: PathBuf) -> io::Result<(File, Unfinished)> {
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
    Ok((file, Unfinished(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn put(path: &Path, text: &str) -> io::Result<()> {
        write(path, |to| to.write_all(text.as_bytes()))
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_stays_where_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        put(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        put(&path, "two").unwrap();
        let failed = write(&path, |to| {
            to.write_all(b"three")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_a_folder_and_a_device_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "mine").unwrap();
        symlink(&path, &link).unwrap();
        for refused in [link.as_path(), folder.path(), Path::new("/dev/null")] {
            assert!(put(refused, "x").is_err(), "{}", refused.display());
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert!(put(&folder.path().join("missing/file"), "x").is_err());
    }
}
