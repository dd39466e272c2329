//! Which containers are held now: by the processes that hold them, so that nobody has to keep a list that could be wrong.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::call::{Call, Engine};

/// A container that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The process that holds it.
    pub pid: u32,
    /// Whose container it is.
    pub engine: Engine,
    /// The container.
    pub id: String,
}

/// Those that wrappers hold. What a hook holds is in nobody's arguments.
#[must_use]
pub fn waiting(proc: &Path) -> Vec<Waiting> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut waiting: Vec<_> = processes.filter_map(|entry| look(&entry.path())).collect();
    waiting.sort_by_key(|held| held.pid);
    waiting
}

fn look(process: &Path) -> Option<Waiting> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    // The name of the file that was executed; a wrapper that let go is its runtime by then.
    if !fs::read(process.join("comm")).ok()?.starts_with(b"clockgate-") {
        return None;
    }
    let line = fs::read(process.join("cmdline")).ok()?;
    let words: Vec<OsString> = line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let call = Call::parse(words.get(1..words.len().checked_sub(1)?)?);
    call.start.as_ref()?;
    Some(Waiting { pid, engine: call.engine(), id: call.id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_that_hold_are_found_among_processes() {
        let proc = tempfile::tempdir().unwrap();
        let place = |pid: &str, comm: &str, line: &str| {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("comm"), comm).unwrap();
            fs::write(proc.path().join(pid).join("cmdline"), line.replace(' ', "\0")).unwrap();
        };
        place("7", "clockgate-runc\n", "/w/clockgate-runc --root /r/runtime-runc/moby create --bundle /b ab ");
        place("5", "clockgate-crun\n", "/w/clockgate-crun create --bundle /o/cd/userdata cd ");
        place("8", "clockgate-runc\n", "/w/clockgate-runc kill ab ");
        place("9", "runc\n", "/usr/bin/runc create ab ");
        place("10", "clockgate-runc\n", "");
        place("self", "clockgate-runc\n", "/w/clockgate-runc create ab ");
        let held: Vec<_> = waiting(proc.path()).into_iter().map(|held| (held.pid, held.engine, held.id)).collect();
        assert_eq!(held, [(5, Engine::Podman, "cd".to_owned()), (7, Engine::Docker, "ab".to_owned())]);
    }
}
