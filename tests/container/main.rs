//! What is known of containers on hosts that are folders: `tests/container/NN-name/` has the engines' files in `host/`, the cgroups and
//! what runs in them in `cgroups.txt`, and in `expected.txt` which containers there are, what they are called, and which of them are
//! frozen and held. In names and texts `ID-x` stands for 64 times that digit, and `ROOT` for the host's folder. A new layout needs no
//! Rust; `CLOCKGATE_BLESS=1` writes what came out, to be read before it is committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clockgate::container::{Metadata, exemption};
use clockgate::workload::{ContainerStatus, Engine, FreezeSettings, Workloads};
use libtest_mimic::{Arguments, Failed, Trial};
use support::expected::is_as_written;
use support::{Outcome, folders};

/// The user namespace of the host.
const HOST_MAP: &str = "0 0 4294967295\n";

fn main() -> ExitCode {
    let trial = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        Trial::test(name, move || known(&folder))
    };
    libtest_mimic::run(&Arguments::from_args(), folders::of("container").into_iter().map(trial).collect()).exit_code()
}

fn known(case: &Path) -> Outcome {
    let root = tempfile::tempdir()?;
    let host = Host(root.path());
    host.copy(&case.join("host"), root.path())?;
    host.cgroups(&fs::read_to_string(case.join("cgroups.txt"))?)?;
    let workloads = Workloads::new(FreezeSettings {
        engines: Engine::ALL.to_vec(),
        ledger: root.path().join("ledger"),
        cgroup: Some(root.path().join("cgroup")),
        proc_root: root.path().join("proc"),
        root: root.path().to_owned(),
        ..FreezeSettings::default()
    });
    let mut lines: Vec<String> = workloads.known()?.iter().map(|known| host.line(known)).collect::<Result<_, _>>()?;
    lines.sort();
    let found: String = lines.iter().map(|line| format!("{line}\n")).collect();
    is_as_written(&case.join("expected.txt"), &found)
}

struct Host<'a>(&'a Path);

impl Host<'_> {
    fn full(&self, text: &str) -> String {
        let mut parts =
            text.replace("ROOT", self.0.to_str().unwrap()).split("ID-").map(str::to_owned).collect::<Vec<_>>();
        for part in parts.iter_mut().skip(1) {
            let (digit, rest) = part.split_at(1);
            *part = format!("{}{rest}", digit.repeat(64));
        }
        parts.concat()
    }

    fn copy(&self, from: &Path, to: &Path) -> Outcome {
        for entry in fs::read_dir(from).into_iter().flatten() {
            let entry = entry?;
            let to = to.join(self.full(&entry.file_name().to_string_lossy()));
            if entry.file_type()?.is_dir() {
                fs::create_dir_all(&to)?;
                self.copy(&entry.path(), &to)?;
            } else if entry.file_type()?.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, to)?;
            } else {
                fs::write(to, self.full(&fs::read_to_string(entry.path())?))?;
            }
        }
        Ok(())
    }

    /// Makes each line's cgroup, and behind a colon the process that runs in it: its name, and what it may or did.
    fn cgroups(&self, text: &str) -> Outcome {
        self.put("proc/self/mountinfo", "30 24 0:26 / /nowhere rw - cgroup2 cgroup2 rw\n")?;
        self.put("proc/self/cgroup", "0::/system.slice/clockgate.service\n")?;
        self.put("proc/self/uid_map", HOST_MAP)?;
        for (pid, line) in (100..).zip(text.lines().filter(|line| !line.starts_with('#'))) {
            let (cgroup, process) = line.split_once(": ").unwrap_or((line, "sleep"));
            let cgroup = self.full(cgroup);
            self.put(&format!("cgroup/{cgroup}/cgroup.freeze"), "0\n")?;
            self.put(&format!("cgroup/{cgroup}/cgroup.events"), "populated 1\nfrozen 0\n")?;
            let (comm, words) = process.split_once(' ').unwrap_or((process, ""));
            let has = |word: &str| words.split(' ').any(|given| given == word);
            let capabilities = u64::from(has("CAP_NET_ADMIN")) << 12 | u64::from(has("CAP_SYS_TIME")) << 25;
            let ticks = u8::from(has("guest"));
            self.put(&format!("proc/{pid}/comm"), &format!("{comm}\n"))?;
            self.put(&format!("proc/{pid}/status"), &format!("CapEff:\t{capabilities:016x}\n"))?;
            self.put(&format!("proc/{pid}/stat"), &format!("{pid} ({comm}) S{} {ticks} 0\n", " 0".repeat(39)))?;
            self.put(&format!("proc/{pid}/uid_map"), HOST_MAP)?;
            self.put(&format!("proc/{pid}/cgroup"), &format!("0::/{cgroup}\n"))?;
        }
        Ok(())
    }

    fn put(&self, path: &str, text: &str) -> std::io::Result<()> {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, text)
    }

    fn line(&self, known: &ContainerStatus) -> Result<String, Failed> {
        let (container, name) = (&known.container, known.name.as_deref().unwrap_or("-"));
        let id = &container.id;
        let is_long = id.len() == 64 && id.bytes().all(|byte| Some(&byte) == id.as_bytes().first());
        let id = if is_long { format!("ID-{}", &id[..1]) } else { id.clone() };
        let mut line = format!("{} {id} {name}: ", container.engine);
        line += &known.runs_on.as_ref().map_or("is frozen".to_owned(), |why| format!("runs on: {why}"));
        let Some(bundle) = bundle(self.0, &container.id) else { return Ok(line) };
        let rules = exemption::built_in();
        match exemption::find(&Metadata::of_bundle(&bundle), &rules) {
            Some(_) if known.runs_on.is_none() => return Err(format!("{line}, and starts at a shut gate").into()),
            Some(exemption) => write!(line, "; starts: {exemption}")?,
            None => line += "; waits at a shut gate",
        }
        Ok(line)
    }
}

/// The bundle that the runtime was given.
fn bundle(folder: &Path, id: &str) -> Option<PathBuf> {
    let entries =
        fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    folders.into_iter().find_map(|path| {
        let own = path.file_name().is_some_and(|name| name == id);
        let here = [path.clone(), path.join("userdata")];
        let here = here.into_iter().find(|bundle| own && bundle.join("config.json").is_file());
        here.or_else(|| bundle(&path, id))
    })
}
