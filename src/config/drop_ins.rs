//! Which files, in which order: as systemd reads its own (systemd.unit(5), "drop-in"), so that there is nothing new to learn.
//!
//! The first `config.yaml` of /etc, /run and /usr/lib is read, and the others are not. Then come the files of all three
//! `config.d`, sorted by name wherever they lie; of two with one name, the first of /etc, /run and /usr/lib. An empty file, or a
//! link to /dev/null, masks the files of its name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Fault;

/// Above the usual size by far; a log or a device by mistake is not read into memory.
const SIZE_MAX: u64 = 1 << 20;
/// What the file might be called as well, the manual page's name before all.
const MISTAKEN: [&str; 4] = ["clockgate.yaml", "clockgate.yml", "clockgate.conf", "config.yml"];
/// The stronger first.
const FOLDERS: [&str; 3] = ["etc/clockgate", "run/clockgate", "usr/lib/clockgate"];

/// The files to read, the later ones overriding the earlier ones, and the errors in finding them.
pub fn find(root: &Path) -> (Vec<PathBuf>, Vec<Fault>) {
    let mut faults = vec![];
    let main = FOLDERS.iter().map(|folder| root.join(folder).join("config.yaml")).find(|file| exists(file));
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        for name in MISTAKEN.iter().map(|name| folder.join(name)).filter(|file| exists(file)) {
            faults.push(fault(name, "is not read: the configuration is config.yaml in this folder"));
        }
    }
    let mut dropins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in FOLDERS.map(|folder| root.join(folder).join("config.d")) {
        match names(&folder) {
            Ok(names) => {
                for name in names {
                    let file = folder.join(&name);
                    match file.extension().and_then(|e| e.to_str()) {
                        Some("yaml") => drop(dropins.entry(name).or_insert(file)),
                        Some("yml" | "conf" | "json" | "toml") => {
                            faults.push(fault(file, "is not read: its name has to end in .yaml"))
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => faults.push(fault(folder, format!("cannot be listed: {error}"))),
        }
    }
    let files = main.into_iter().chain(dropins.into_values()).filter(|file| !is_mask(file)).collect();
    (files, faults)
}

/// Reads one file whole.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(file: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    // Looked at before it is opened: opening a fifo would wait for a writer.
    let meta = fs::metadata(file).map_err(cannot)?;
    if !meta.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = vec![];
    fs::File::open(file).and_then(|f| f.take(SIZE_MAX + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(format!("is larger than {} KiB, which is too large for a configuration", SIZE_MAX / 1024));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("is not UTF-8 text (line {line})")
    })
}

fn exists(file: &Path) -> bool {
    // A dangling link is there, and wrong: it is reported, not skipped.
    file.symlink_metadata().is_ok()
}

fn is_mask(file: &Path) -> bool {
    let empty = || fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    fs::read_link(file).is_ok_and(|target| target == Path::new("/dev/null")) || empty()
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.file_name())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error),
    }
}

fn fault(file: PathBuf, what: impl Into<String>) -> Fault {
    Fault { file, line: None, key: None, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Root(tempfile::TempDir);

    impl Root {
        fn with(files: &[(&str, &str)]) -> Self {
            let root = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                let path = root.0.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            root
        }

        fn found(&self) -> Vec<String> {
            let (files, faults) = find(self.0.path());
            assert!(faults.is_empty(), "{faults:?}");
            files.iter().map(|f| f.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned()).collect()
        }
    }

    #[test]
    fn no_file_at_all_is_fine() {
        assert!(Root::with(&[]).found().is_empty());
    }

    #[test]
    fn one_main_file_counts_and_all_drop_ins_by_name() {
        let root = Root::with(&[
            ("etc/clockgate/config.yaml", "a: 1"),
            ("usr/lib/clockgate/config.yaml", "a: 2"),
            ("usr/lib/clockgate/config.d/50-b.yaml", "a: 1"),
            ("etc/clockgate/config.d/20-a.yaml", "a: 1"),
            ("run/clockgate/config.d/90-c.yaml", "a: 1"),
            ("etc/clockgate/config.d/90-c.yaml", "a: 1"),
            ("etc/clockgate/config.d/README", "no yaml"),
            ("etc/clockgate/config.d/20-a.yaml.dpkg-old", "old"),
        ]);
        assert_eq!(
            root.found(),
            [
                "etc/clockgate/config.yaml",
                "etc/clockgate/config.d/20-a.yaml",
                "usr/lib/clockgate/config.d/50-b.yaml",
                "etc/clockgate/config.d/90-c.yaml"
            ]
        );
    }

    #[test]
    fn an_empty_file_and_a_link_to_nowhere_mask_their_names() {
        let root = Root::with(&[
            ("usr/lib/clockgate/config.d/10-a.yaml", "a: 1"),
            ("usr/lib/clockgate/config.d/20-b.yaml", "a: 1"),
            ("usr/lib/clockgate/config.yaml", "a: 1"),
            ("run/clockgate/config.d/10-a.yaml", ""),
            ("etc/clockgate/config.yaml", ""),
        ]);
        let etc = root.0.path().join("etc/clockgate/config.d");
        fs::create_dir_all(&etc).unwrap();
        symlink("/dev/null", etc.join("20-b.yaml")).unwrap();
        assert!(root.found().is_empty(), "{:?}", root.found());
    }

    #[test]
    fn a_drop_in_that_would_silently_not_be_read_is_a_fault() {
        let root = Root::with(&[("etc/clockgate/config.d/10-a.yml", "a: 1")]);
        assert_eq!(find(root.0.path()).1.len(), 1);
    }

    #[test]
    fn a_folder_a_fifo_and_a_file_that_is_no_text_are_refused_without_waiting() {
        let root = Root::with(&[("latin", "x"), ("big", "x")]);
        let path = |name: &str| root.0.path().join(name);
        fs::write(path("latin"), b"a: 1\nb: \xe9\n").unwrap();
        fs::write(path("big"), vec![b'#'; 1 + usize::try_from(SIZE_MAX).unwrap()]).unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read(&path("latin")), Err("is not UTF-8 text (line 2)".to_owned()));
        assert!(read(&path("big")).unwrap_err().starts_with("is larger than 1024 KiB"));
        assert_eq!(read(&path("fifo")), Err("is not a regular file".to_owned()));
        assert_eq!(read(root.0.path()), Err("is not a regular file".to_owned()));
        assert!(read(&path("gone")).unwrap_err().starts_with("cannot be read"));
    }
}
