//! The hooks and the scripts for hypervisors: short, without logic of their own, and saying what they should. What they call is
//! faked here: programs that write down how they were called.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod guests;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::until;

/// A folder with hooks that call fakes, and what those were called with.
struct Fakes {
    folder: tempfile::TempDir,
    /// A program that another thread is still writing while this one forks could not be executed.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Fakes {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let fakes = Self { folder: tempfile::tempdir().unwrap(), _alone: alone };
        for program in ["clockgate", "curl", "qm", "socat", "virsh"] {
            // The text of a call, its arguments divided by spaces, and what it is fed.
            let text = format!("#!/bin/sh\necho \"{program} $*\" >>{0}\ncat >>{0}\n", fakes.calls().display());
            fakes.write(program, &text);
        }
        fakes
    }

    fn calls(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Runs a hook and returns the calls that it made.
    fn run(&self, hook: &str, arguments: &[&str], input: &str) -> Vec<String> {
        let text = fs::read_to_string(folder().join(hook)).unwrap();
        let fake = self.folder.path().join("clockgate");
        let script = self.write("hook", &text.replace("/usr/bin/clockgate", fake.to_str().unwrap()));
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let _ = fs::remove_file(self.calls());
        fs::write(self.folder.path().join("input"), input).unwrap();
        let input = fs::File::open(self.folder.path().join("input")).unwrap();
        let output = Command::new(script).args(arguments).env("PATH", path).stdin(input).output().unwrap();
        assert!(output.status.success(), "{hook}: {output:?}");
        self.called()
    }

    fn called(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.calls()).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks")
}

#[test]
fn no_hook_is_longer_than_fifteen_lines() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 15 && text.starts_with("#!/bin/sh\n"), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0o111, "{}", path.display());
    }
}

#[test]
fn the_guests_own_agents_tell_of_both_ends_of_a_snapshot() {
    let fakes = Fakes::new();
    for (hook, begins, ends) in [("qemu-ga", "freeze", "thaw"), ("open-vm-tools", "suspend-vm", "resume-vm")] {
        let before = fakes.run(hook, &[begins], "");
        assert_eq!(before, ["clockgate notify pre-snapshot --wait --timeout 5s"], "{hook}");
        assert_eq!(fakes.run(hook, &[ends], ""), ["clockgate notify post-restore"], "{hook}");
        assert!(fakes.run(hook, &["something-else"], "").is_empty(), "{hook}");
    }
}

#[test]
fn libvirts_hook_finds_the_guest_in_the_xml() {
    let fakes = Fakes::new();
    let xml = "<domain><devices><vsock model='virtio'>\n  <cid auto='yes' address='7'/>\n</vsock></devices></domain>";
    assert!(fakes.run("libvirt-qemu", &["guest", "prepare", "begin", "-"], xml).is_empty());
    // It ends at once, and says it in the background.
    fakes.run("libvirt-qemu", &["guest", "started", "begin", "-"], xml);
    until("the hook calls", Duration::from_secs(20), || !fakes.called().is_empty()).unwrap();
    assert_eq!(fakes.called(), ["clockgate vm notify post-restore --cid 7 --time now"]);
}

#[test]
fn proxmoxs_hook_finds_the_guest_in_its_configuration() {
    let fakes = Fakes::new();
    fakes.write("qm", "#!/bin/sh\n[ \"$*\" = 'config 100' ] && echo 'agent: 1' && echo 'args: -device vhost-vsock-pci,guest-cid=7 -s'\n");
    for phase in ["pre-start", "pre-stop", "post-stop"] {
        assert!(fakes.run("proxmox", &["100", phase], "").is_empty(), "{phase}");
    }
    fakes.run("proxmox", &["100", "post-start"], "");
    until("the hook calls", Duration::from_secs(20), || !fakes.called().is_empty()).unwrap();
    assert_eq!(fakes.called(), ["clockgate vm notify post-restore --cid 7 --time now"]);
}

/// As the runner calls it.
#[test]
fn a_job_of_github_waits_at_the_gate() {
    assert_eq!(Fakes::new().run("github-job.sh", &[], ""), ["clockgate wait --max-wait 10min"]);
}

#[test]
fn the_scripts_restore_first_and_tell_then() {
    let fakes = Fakes::new();
    let told = "clockgate vm notify post-restore --cid 7 --time now";
    let virsh = fakes.run("virsh-revert", &["guest", "s1", "7"], "");
    assert_eq!(virsh, ["virsh snapshot-revert guest s1 --running", told]);

    let qmp = fakes.run("vm-restore", &["/run/qmp", "s1", "7"], "");
    assert_eq!(qmp.first().map(String::as_str), Some("socat -t 60 - UNIX-CONNECT:/run/qmp"));
    let commands: Vec<serde_json::Value> = qmp[1..4].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(commands[1]["arguments"]["command-line"], "loadvm s1");
    assert_eq!((&commands[2]["execute"], qmp.last().unwrap().as_str()), (&"cont".into(), told));
}

#[test]
fn firecrackers_scripts_speak_its_api() {
    let fakes = Fakes::new();
    // As docs/recipes.md has them.
    let typed = support::recipes::recipe("Firecracker").unwrap().commands();
    let lines: Vec<Vec<&str>> = typed.lines().map(|line| line.split(' ').collect()).collect();
    let run = |line: &[&str]| {
        let hook = line[0].strip_prefix("/usr/lib/clockgate/").unwrap();
        fakes.run(hook, &line[1..], "").join("\n")
    };
    let taken = run(&lines[0]);
    let steps =
        ["pre-snapshot --uds /run/vsock.sock --wait", "Paused", "PUT http://localhost/snapshot/create", "Resumed"];
    let mut rest = taken.as_str();
    for step in steps.iter().chain(&["post-restore --uds /run/vsock.sock --time now"]) {
        let (_, after) = rest.split_once(step).unwrap_or_else(|| panic!("{step} is not in {rest}"));
        rest = after;
    }
    assert!(taken.contains("--unix-socket /run/api.sock"), "{taken}");
    let files = r#"{"snapshot_path": "/var/lib/vm/state", "mem_file_path": "/var/lib/vm/memory"}"#;
    assert!(taken.contains(files), "{taken}");

    let loaded = run(&lines[1]);
    let (_, body) = loaded.split_once("-d ").unwrap();
    let body: serde_json::Value = serde_json::from_str(body.rsplit_once("\nclockgate").unwrap().0).unwrap();
    assert_eq!(
        (&body["resume_vm"], &body["mem_backend"]["backend_path"]),
        (&true.into(), &"/var/lib/vm/memory".into())
    );
}
