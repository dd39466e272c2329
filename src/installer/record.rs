//! What was written for a target, and what was there before: kept whole, so that it can be put back to the byte.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Change, Host, InstallerError, Plan, Target};
use crate::container::unused_engines::{self, FOLDER};

/// The version of a record; another one is neither read nor written over.
const VERSION: u64 = 1;

/// What every version has.
#[derive(Debug, Deserialize)]
struct AnyRecord {
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u64,
    changes: Vec<Change>,
    /// Folders that were not there before, the outer ones first.
    folders: Vec<PathBuf>,
}

/// The state of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of it was written by us.
    Absent,
    /// Not written by us, and there all the same: the package brought it.
    Packaged(Vec<Change>),
    /// Everything is as it was written.
    Installed(Vec<Change>),
    /// A user changed a file since.
    Edited {
        /// Which.
        path: PathBuf,
        /// What of it is ours, in words; none where nothing is left.
        ours: Option<String>,
        /// What was written.
        changes: Vec<Change>,
    },
}

/// Looks at what was written for a target.
///
/// # Errors
/// [`InstallerError::File`].
pub fn standing(host: &Host, target: Target) -> Result<Standing, InstallerError> {
    let Some(record) = load(host, target)? else {
        // What cannot be planned is not there either; why, `install` says.
        let plan = target.plan(host).unwrap_or_default();
        let is_there =
            |change: &Change| matches!(change, Change::File { before: Some(before), after, .. } if before == after);
        let is_packaged = plan.changes.iter().any(is_there) && plan.changes.iter().all(|change| change.is_done(host));
        return Ok(if is_packaged { Standing::Packaged(plan.changes) } else { Standing::Absent });
    };
    let edited = record.changes.iter().filter(|change| !change.is_as_known(host));
    // One that still contains our changes comes first: those have to be removed.
    let edited =
        edited.map(|change| (change.path().to_owned(), change.ours(host))).max_by_key(|(_, ours)| ours.is_some());
    Ok(match edited {
        Some((path, ours)) => Standing::Edited { path, ours, changes: record.changes },
        None => Standing::Installed(record.changes),
    })
}

/// What an installed target would hold today and does not: it is planned again, as if we had changed nothing. None where it is held.
#[must_use]
pub fn drift(host: &Host, target: Target, changes: &[Change]) -> Option<String> {
    match target.plan(&host.without(changes)) {
        Ok(plan) => {
            let missing = plan.changes.iter().find(|change| !change.is_done(host))?;
            Some(format!("{} would be written differently now", missing.path().display()))
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Writes what is planned. Where that fails half-way, what was written is taken back.
///
/// # Errors
/// [`InstallerError::File`].
pub fn apply(host: &Host, target: Target, plan: &Plan) -> Result<(), InstallerError> {
    let mut folders: Vec<PathBuf> = vec![];
    let files = plan.changes.iter().filter(|change| matches!(change, Change::File { .. }));
    for change in files {
        let missing = change.path().ancestors().skip(1).take_while(|folder| !host.at(folder).exists());
        let mut missing: Vec<_> = missing.map(Path::to_owned).filter(|folder| !folders.contains(folder)).collect();
        missing.reverse();
        folders.extend(missing);
    }
    let record = Record { version: VERSION, changes: plan.changes.clone(), folders };
    // Before the first change: from here on, every change can be undone.
    save(host, target, &record)?;
    let written = make(host, &record).and_then(|()| await_a_start(host, target));
    if written.is_err() {
        // The reason why it was not written is the one to report.
        drop(undo(host, target));
    }
    written
}

/// Until the wrapper takes the file away.
fn await_a_start(host: &Host, target: Target) -> Result<(), InstallerError> {
    let file = unused_engines::file(target.name());
    match target {
        Target::Nri | Target::SystemdSleep => Ok(()),
        Target::Docker | Target::Podman | Target::PodmanHook | Target::Containerd | Target::Crio | Target::CrioHook => {
            fs::write(host.at(&file), "").map_err(InstallerError::io("write", file))
        }
    }
}

/// Whether an installed target has started nothing since.
#[must_use]
pub fn is_unused(host: &Host, target: Target) -> bool {
    host.at(unused_engines::file(target.name())).exists()
}

fn make(host: &Host, record: &Record) -> Result<(), InstallerError> {
    for folder in &record.folders {
        // The same umask for all would be a user's setting.
        fs::create_dir(host.at(folder)).map_err(InstallerError::io("make", folder))?;
        fs::set_permissions(host.at(folder), PermissionsExt::from_mode(0o755))
            .map_err(InstallerError::io("make", folder))?;
    }
    for change in &record.changes {
        match change {
            Change::File { path, after, mode, .. } => {
                write(&host.at(path), after, *mode).map_err(InstallerError::io("write", path))?
            }
            Change::Link { path, to } if !change.is_done(host) => {
                link(&host.at(path), to).map_err(InstallerError::io("make", path))?
            }
            Change::Link { .. } => {}
        }
    }
    Ok(())
}

/// Puts back what was there before.
///
/// # Errors
/// [`InstallerError::Edited`] where a file was changed since, and then nothing is touched; [`InstallerError::File`].
pub fn undo(host: &Host, target: Target) -> Result<(), InstallerError> {
    let Some(record) = load(host, target)? else {
        return Err(InstallerError::Wrong(format!("{} is not installed", target.name())));
    };
    let (known, edited): (Vec<&Change>, Vec<&Change>) =
        record.changes.iter().partition(|change| change.is_as_known(host));
    if let Some((path, lines)) = edited.iter().find_map(|change| Some((change.path(), change.ours(host)?))) {
        return Err(InstallerError::Edited { path: path.to_owned(), lines, target: target.name() });
    }
    // The other edited files contain none of our changes.
    for change in known.into_iter().rev() {
        let path = host.at(change.path());
        let done = match change {
            Change::File { before: Some(before), .. } if change.is_done(host) => write(&path, before, 0o644),
            Change::File { before: None, .. } => remove(&path),
            // Containers that run may need the links.
            Change::File { .. } | Change::Link { .. } => Ok(()),
        };
        done.map_err(InstallerError::io("restore", change.path()))?;
    }
    let stays = |folder: &&PathBuf| {
        // One into which a user put something belongs to that user by now.
        fs::remove_dir(host.at(folder)).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
    };
    let mut left: Vec<PathBuf> = record.folders.iter().rev().filter(stays).cloned().collect();
    left.reverse();
    forget(host, target)?;
    hand_on(host, left)
}

/// Leaves folders that are in use to another target: whichever is removed last takes them away. A record that we cannot read stays as it is.
fn hand_on(host: &Host, folders: Vec<PathBuf>) -> Result<(), InstallerError> {
    for target in Target::ALL {
        if let Ok(Some(mut record)) = load(host, target) {
            record.folders.splice(0..0, folders);
            return save(host, target, &record);
        }
    }
    Ok(())
}

/// Forgets a target, and leaves its files as they are.
///
/// # Errors
/// [`InstallerError::File`].
pub fn forget(host: &Host, target: Target) -> Result<(), InstallerError> {
    for path in [file(target), unused_engines::file(target.name())] {
        remove(&host.at(&path)).map_err(InstallerError::io("remove", path))?;
    }
    let _ = fs::remove_dir(host.at(FOLDER));
    Ok(())
}

fn file(target: Target) -> PathBuf {
    Path::new(FOLDER).join(format!("{}.json", target.name()))
}

fn load(host: &Host, target: Target) -> Result<Option<Record>, InstallerError> {
    let path = file(target);
    let bytes = match fs::read(host.at(&path)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InstallerError::io("read", path)(error)),
    };
    let parsed = match serde_json::from_slice::<AnyRecord>(&bytes) {
        Ok(AnyRecord { version: VERSION }) => serde_json::from_slice::<Record>(&bytes),
        Ok(AnyRecord { version }) => {
            let what = format!(
                "is a record of version {version}, and this clockgate reads version {VERSION}: run the command by the clockgate that wrote it"
            );
            return Err(InstallerError::refused(path, what));
        }
        Err(error) => Err(error),
    };
    parsed.map(Some).map_err(|error| InstallerError::refused(path, format!("is not a record of clockgate: {error}")))
}

fn save(host: &Host, target: Target, record: &Record) -> Result<(), InstallerError> {
    let path = file(target);
    let failed = || InstallerError::io("write", &path);
    fs::create_dir_all(host.at(FOLDER)).map_err(failed())?;
    let text = serde_json::to_string_pretty(record).map_err(|error| failed()(error.into()))?;
    write(&host.at(&path), &text, 0o600).map_err(failed())
}

/// Writes a file in one piece: a reader finds the old text or the new one. A file that is there keeps its owner and mode.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".clockgate-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let outcome = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        match path.metadata() {
            Ok(old) => {
                chown(&temporary, Some(old.uid()), Some(old.gid()))?;
                file.set_permissions(old.permissions())?;
            }
            Err(_) => file.set_permissions(PermissionsExt::from_mode(mode))?,
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

fn link(path: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
    symlink(to, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

impl Change {
    /// Where it is made.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }

    /// Whether it is as it was written.
    fn is_done(&self, host: &Host) -> bool {
        let path = host.at(self.path());
        match self {
            Self::File { after, .. } => fs::read(path).is_ok_and(|bytes| bytes == after.as_bytes()),
            Self::Link { to, .. } => fs::read_link(path).is_ok_and(|target| target == *to),
        }
    }

    /// The lines of an edited file that are ours, in words; none where there is none.
    fn ours(&self, host: &Host) -> Option<String> {
        let text = String::from_utf8_lossy(&fs::read(host.at(self.path())).ok()?).into_owned();
        let ours = (1..).zip(text.lines()).filter(|(_, line)| line.contains("clockgate"));
        let lines: Vec<String> = ours.map(|(number, line)| format!("line {number}, `{}`", line.trim())).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Whether it is as it was written, or as it was before: every other content is a user's.
    fn is_as_known(&self, host: &Host) -> bool {
        let path = host.at(self.path());
        self.is_done(host)
            || match self {
                Self::File { before: Some(before), .. } => fs::read(path).is_ok_and(|bytes| bytes == before.as_bytes()),
                Self::File { before: None, .. } => path.symlink_metadata().is_err(),
                // Nothing is undone about a link, so no work can be lost.
                Self::Link { .. } => true,
            }
    }
}
