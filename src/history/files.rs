//! The files: one that is written to, and a few older ones. A line is written in one piece; what a crash left torn is ended and skipped.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, fchown};

use super::{FOLDER, HistoryRecord};

/// When the file is set aside, bytes; all files together have four times as much at most.
pub const LARGEST: u64 = 1 << 20;
/// The file that is written to, and those set aside, the latest first.
const NAMES: [&str; 4] = ["events.jsonl", "events.1.jsonl", "events.2.jsonl", "events.3.jsonl"];
/// Our lines are far shorter; a longer one is skipped.
const LONGEST_LINE: u64 = 1 << 18;

/// The files of a host.
#[derive(Clone, Debug)]
pub struct HistoryFiles {
    folder: PathBuf,
}

/// The lines of all files.
#[derive(Clone, Debug, Default)]
pub struct HistoryText(String);

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct ReadHistory<'a> {
    /// The records, in the order of their writing.
    pub records: Vec<HistoryRecord<'a>>,
    /// Lines that were torn, or written by a later version.
    pub skipped: usize,
}

impl HistoryText {
    /// The records of these lines.
    #[must_use]
    pub fn records(&self) -> ReadHistory<'_> {
        let mut read = ReadHistory::default();
        for line in self.0.lines() {
            match HistoryRecord::parse(line) {
                Some(record) => read.records.push(record),
                None => read.skipped += 1,
            }
        }
        read
    }
}

impl HistoryFiles {
    /// Those of the host at `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { folder: root.join(FOLDER) }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends a line in one piece, readable by root and `group`. A host without a state directory keeps nothing, which is no error.
    ///
    /// # Errors
    /// What the file system said; the line is not there, or torn.
    pub fn append(&self, line: &str, group: Option<Gid>) -> io::Result<()> {
        if !self.folder.parent().is_some_and(Path::is_dir) {
            return Ok(());
        }
        let (mut file, length) = self.open(group)?;
        if length > 0 && length + line.len() as u64 >= LARGEST {
            self.set_aside()?;
            return write_whole(&mut self.open(group)?.0, line);
        }
        let is_torn = length > 0 && !ends_line(&file, length)?;
        if is_torn {
            return write_whole(&mut file, &format!("\n{line}"));
        }
        write_whole(&mut file, line)
    }

    fn open(&self, group: Option<Gid>) -> io::Result<(File, u64)> {
        match DirBuilder::new().mode(0o750).create(&self.folder) {
            // Readable, whichever umask we have.
            Ok(()) => {
                let folder = File::open(&self.folder)?;
                folder.set_permissions(Permissions::from_mode(0o750))?;
                // Without the group root alone reads it.
                let _ = fchown(&folder, None, group);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let path = self.folder.join(NAMES[0]);
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        if is_new {
            file.set_permissions(Permissions::from_mode(0o640))?;
            let _ = fchown(&file, None, group);
        }
        let length = regular(&file)?.len();
        Ok((file, length))
    }

    /// The oldest goes, every other one is a step older.
    fn set_aside(&self) -> io::Result<()> {
        for pair in NAMES.windows(2).rev() {
            let [younger, older] = pair else { continue };
            match fs::rename(self.folder.join(younger), self.folder.join(older)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads every line, the oldest first; nothing where there is no history yet.
    ///
    /// # Errors
    /// What the file system said.
    pub fn read(&self) -> io::Result<HistoryText> {
        let mut text = String::new();
        self.each_line(|line| {
            text.push_str(line.trim_end());
            text.push('\n');
        })?;
        Ok(HistoryText(text))
    }

    /// Hands every line over, the oldest first, and keeps none.
    ///
    /// # Errors
    /// What the file system said.
    pub fn each_line(&self, each: impl FnMut(&str)) -> io::Result<()> {
        self.read_lines(&NAMES, each)
    }

    /// The lines of the two latest files alone, which are read in a moment.
    ///
    /// # Errors
    /// What the file system said.
    pub fn each_of_the_latest_lines(&self, each: impl FnMut(&str)) -> io::Result<()> {
        self.read_lines(&NAMES[..2], each)
    }

    fn read_lines(&self, names: &[&str], mut each: impl FnMut(&str)) -> io::Result<()> {
        let (mut files, mut seen) = (vec![], BTreeSet::new());
        // The latest is opened first: one that is set aside meanwhile is met again, and known by its inode.
        for name in names {
            match open_regular(&self.folder.join(name)) {
                Ok((file, found)) => {
                    if seen.insert(found.ino()) {
                        files.push(file);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.into_iter().rev().try_for_each(|file| lines(file, &mut each))
    }
}

/// A FIFO or a device in the place of a file has no end, and some wait for a writer.
fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = regular(&file)?;
    Ok((file, found))
}

fn regular(file: &File) -> io::Result<Metadata> {
    let found = file.metadata()?;
    if found.is_file() {
        return Ok(found);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "a file of it is not a regular file"))
}

fn lines(file: File, each: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = vec![];
    loop {
        line.clear();
        if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // As a rule it is text, which is found out faster than what is not.
        let text = str::from_utf8(&line).map_or_else(|_| String::from_utf8_lossy(&line), Cow::Borrowed);
        if !text.trim().is_empty() {
            each(&text);
        }
    }
}

fn ends_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

/// One write: who reads meanwhile sees all of it or nothing. What a full disk took half of is torn, and ended by the next.
fn write_whole(file: &mut File, text: &str) -> io::Result<()> {
    let written = file.write(text.as_bytes())?;
    if written < text.len() {
        return Err(io::Error::new(ErrorKind::StorageFull, "the disk is full"));
    }
    file.sync_data()
}
