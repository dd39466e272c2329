//! Which containers are held now: by the processes that hold them, so that no stored list can be wrong.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::call::Call;
use crate::container::{Caller, Metadata, WRAPPER_PREFIX};
use crate::decision::NamedContainer;
use crate::sys::clock::boottime;
use crate::sys::foreign;

/// How long it is looked for them.
const LONGEST: Duration = Duration::from_secs(2);
/// Longer than a name (TASK_COMM_LEN) and than a runtime's command line are.
const NAME_MAX: u64 = 64;
const LINE_MAX: u64 = 64 * 1024;
/// The most that are looked at, and the longest text that is kept of each: any user can imitate one.
const MOST: usize = 4096;
const TEXT_MAX: usize = 255;

/// A container that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The process that holds it.
    pub pid: u32,
    /// Whose container it is.
    pub engine: Caller,
    /// The container.
    pub id: String,
    /// Its name; none where it has none, or where we may not read its bundle.
    pub name: Option<String>,
    /// What it is called beside that: its name, else its image or command. None where we may not read its bundle.
    pub title: Option<String>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: container {}", self.engine, foreign::shown(&self.id))?;
        if let Some(title) = &self.title {
            write!(f, " ({})", foreign::shown(title))?;
        }
        write!(f, " (process {})", self.pid)
    }
}

impl Waiting {
    /// As records have it.
    #[must_use]
    pub fn named(&self) -> NamedContainer {
        let name = self.name.as_deref().map(foreign::shown);
        NamedContainer::new(self.engine.name(), &foreign::shown(&self.id), name.as_deref())
    }

    /// As our JSON has it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let Self { pid, engine, id, name: _, title } = self;
        serde_json::json!({ "pid": pid, "engine": engine.to_string(), "id": id, "title": title })
    }
}

/// Those that wrappers hold, and for root those that hooks hold; as many as are found within two seconds.
#[must_use]
pub fn waiting(proc: &Path) -> Vec<Waiting> {
    let (found, finds) = mpsc::channel();
    let proc = proc.to_owned();
    // A process can have its words and its bundle on a file system that never answers: then only this thread waits.
    let search = move || {
        let processes = fs::read_dir(proc).into_iter().flatten().flatten();
        let mut held = processes.filter_map(|entry| look(&entry.path())).take(MOST);
        // The receiver may no longer listen.
        let _ = held.try_for_each(|held| found.send(held));
    };
    // Where no thread can be started, none is found.
    drop(std::thread::Builder::new().name("held-starts".to_owned()).spawn(search));
    let until = boottime() + LONGEST;
    let mut waiting: Vec<_> = std::iter::from_fn(|| finds.recv_timeout(until.since(boottime())).ok()).collect();
    waiting.sort_by_key(|held| held.pid);
    waiting
}

fn look(process: &Path) -> Option<Waiting> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    // The name of the file that was executed; a wrapper that has released its container is its runtime by then.
    if !foreign::read(&process.join("comm"), NAME_MAX).ok()?.starts_with(WRAPPER_PREFIX.as_bytes()) {
        return None;
    }
    let line = foreign::read(&process.join("cmdline"), LINE_MAX).ok()?;
    let words: Vec<OsString> = line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let args = words.get(1..words.len().checked_sub(1)?)?;
    if args == ["hook"] {
        return at_hook(pid, process);
    }
    let call = Call::parse(args);
    call.start.as_ref()?;
    // The path of the bundle is relative to the root of that process.
    let bundle = match call.bundle.as_deref().map(|bundle| (bundle, bundle.strip_prefix("/"))) {
        Some((_, Ok(below))) => process.join("root").join(below),
        Some((bundle, Err(_))) => process.join("cwd").join(bundle),
        None => process.join("cwd"),
    };
    let metadata = Metadata::of_bundle(&bundle);
    let engine = Caller::named_in(&metadata).unwrap_or_else(|| call.caller());
    Some(waiting_container((pid, engine), call.id, metadata))
}

/// A hook gets its container's state on standard input; but runtimes start it in the bundle, which is in the container's folder.
fn at_hook(pid: u32, process: &Path) -> Option<Waiting> {
    let bundle = fs::read_link(process.join("cwd")).ok()?;
    let id = bundle.parent()?.file_name()?.to_str()?.to_owned();
    let metadata = Metadata::of_bundle(&process.join("cwd"));
    let engine = Caller::named_in(&metadata).unwrap_or(Caller::Podman);
    Some(waiting_container((pid, engine), id, metadata))
}

fn waiting_container((pid, engine): (u32, Caller), id: String, metadata: Metadata) -> Waiting {
    let cut = |text: &str| text.chars().take(TEXT_MAX).collect::<String>();
    Waiting { pid, engine, id: cut(&id), title: metadata.title().map(cut), name: metadata.name.as_deref().map(cut) }
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
        let bundle = |path: &str, text: &str| {
            fs::create_dir_all(proc.path().join(path)).unwrap();
            fs::write(proc.path().join(path).join("config.json"), text).unwrap();
        };
        bundle("5/root/o/cd/userdata", r#"{"annotations": {"io.container.manager": "cri-o"}}"#);
        place("11", "clockgate-runc\n", "/w/clockgate-runc create ef ");
        bundle("11/cwd", r#"{"process": {"args": ["/bin/sleep", "9"]}}"#);
        bundle("o/gh/userdata", "{}");
        // A stranger's, who means to keep us waiting and to write on our terminal.
        place("13", "clockgate-runc\n", "/w/clockgate-runc create \u{1b}[2J ");
        fs::create_dir(proc.path().join("13/cwd")).unwrap();
        nix::unistd::mkfifo(&proc.path().join("13/cwd/config.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        place("12", "clockgate-oci\n", "clockgate-oci hook ");
        std::os::unix::fs::symlink(proc.path().join("o/gh/userdata"), proc.path().join("12/cwd")).unwrap();
        let held: Vec<String> = waiting(proc.path()).iter().map(ToString::to_string).collect();
        let wanted = [
            "cri-o: container cd (process 5)",
            "docker: container ab (process 7)",
            "runtime: container ef (sleep) (process 11)",
            "podman: container gh (process 12)",
            "runtime: container \\u{1b}[2J (process 13)",
        ];
        assert_eq!(held, wanted);
        // Another stranger's, who means to fill our memory.
        place("14", "clockgate-runc\n", &format!("/w/clockgate-runc create {} ", "x".repeat(50_000)));
        assert_eq!(waiting(proc.path()).last().map(|held| held.id.len()), Some(TEXT_MAX));
        assert_eq!(
            waiting(proc.path())[2].json(),
            serde_json::json!({ "pid": 11, "engine": "runtime", "id": "ef", "title": "sleep" })
        );
    }
}
