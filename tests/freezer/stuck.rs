//! What the kernel does not call frozen: a task that waits for a FUSE file system which never answers, in uninterruptible sleep;
//! and one that was paused by the freezer of version 1, which engines use on a hybrid host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clockgate::decision::{Awake, ContainerNaming};
use libtest_mimic::{Failed, Trial};

use crate::LIMIT;
use crate::cgroups::{Cgroups, id};
use crate::lines::Lines;
use crate::support::{Ours, Outcome, needing, until};

const OLD_FREEZER: &str = "/sys/fs/cgroup/freezer/cgroup.procs";
const OLD_ROOT: &str = "/sys/fs/cgroup/freezer";

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let fuse = lacks.clone().or_else(|| (!Path::new("/dev/fuse").exists()).then(|| "/dev/fuse".to_owned()));
    let old = lacks.clone().or_else(|| (!Path::new(OLD_FREEZER).exists()).then(|| "a freezer of version 1".to_owned()));
    vec![
        needing(fuse, "a_task_that_does_not_stop_is_named_at_the_limit", named_at_the_limit),
        needing(old, "a_pause_by_the_freezer_of_version_1_survives_and_is_not_waited_for", paused_by_the_old_freezer),
    ]
}

/// The mount is in a namespace of its own. The shell alone holds the file system's end: when it goes, the wait ends.
const SCRIPT: &str = r#"
exec 3<>/dev/fuse
mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none "$1"
(echo 0 > "$2/cgroup.procs"; exec cat "$1/x" 3<&-) &
echo $!
read -r _
"#;

fn named_at_the_limit() -> Outcome {
    let mut world = Cgroups::new()?;
    let (well, stuck) = (format!("docker/{}", id(1)), format!("docker/{}", id(2)));
    world.container(&well)?;
    world.container(&stuck)?;
    world.container(&format!("machine.slice/libpod-{}.scope", id(3)))?;
    world.lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(2)), r#"{"Name": "/backup"}"#)?;
    let mount = world.scratch.path().join("mount");
    fs::create_dir(&mount)?;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", SCRIPT, "sh"]).arg(&mount).arg(world.folder.join(&stuck));
    let mut server = Ours(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let pid = Lines::of(server.0.stdout.take())?.next(LIMIT)?;
    let pid = pid.trim();
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until("it sleeps uninterruptibly", LIMIT, || state().contains("(cat) D"))?;

    let workloads = world.workloads();
    let limit = Duration::from_millis(300);
    let started = Instant::now();
    let report = workloads.freeze(limit, Awake::NEVER)?;
    assert!(started.elapsed() >= limit);
    assert_eq!((report.frozen.count(), report.of), (2, 3), "{report:?}");
    assert_eq!(report.frozen.to_string(), format!("docker {}, podman {}", &id(1)[..12], &id(3)[..12]));
    let short = &id(2)[..12];
    let wanted = format!("backup (docker {short}) has not stopped: uninterruptible sleep of process {pid} (cat)");
    let [said] = &report.stuck[..] else { return Err(format!("{report:?}").into()) };
    assert_eq!(said.to_string(), wanted);
    let unnamed = [ContainerNaming::Ids, ContainerNaming::None].map(|naming| said.naming(naming).to_string());
    let by_id = format!("docker {short} has not stopped: uninterruptible sleep of a process");
    assert_eq!(unnamed, [by_id.as_str(), "1 container has not stopped: uninterruptible sleep of a process"]);
    // The mark stays: it stops when it comes back.
    assert!(world.is_marked("docker") && world.is_frozen(&well));
    let thawed = workloads.thaw()?;
    assert_eq!(thawed.thawed.len(), 2);
    assert!(!world.is_frozen(&well));
    Ok::<(), Failed>(())
}

/// A cgroup of version 1 of our own. What is frozen in it cannot be killed, so it is thawed first, however the test ends.
struct OldCgroup(PathBuf);

impl OldCgroup {
    fn pause(name: &str, pids: &str) -> Result<Self, Failed> {
        let ours = Self(Path::new(OLD_ROOT).join(name));
        fs::create_dir(&ours.0)?;
        for pid in pids.lines() {
            fs::write(ours.0.join("cgroup.procs"), pid)?;
        }
        fs::write(ours.0.join("freezer.state"), "FROZEN")?;
        until("it is paused", LIMIT, || ours.state() == "FROZEN\n")?;
        Ok(ours)
    }

    fn state(&self) -> String {
        fs::read_to_string(self.0.join("freezer.state")).unwrap_or_default()
    }
}

impl Drop for OldCgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(Path::new(OLD_ROOT).join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

fn paused_by_the_old_freezer() -> Outcome {
    let mut world = Cgroups::new()?;
    let (paused, other) = (format!("docker/{}", id(1)), format!("docker/{}", id(2)));
    let scope = format!("machine.slice/libpod-{}.scope", id(3));
    for path in [&paused, &other, &scope] {
        world.container(path)?;
    }
    let name = world.folder.file_name().and_then(|name| name.to_str()).ok_or("name")?.to_owned();
    let pids = |path: &str| fs::read_to_string(world.folder.join(path).join("cgroup.procs"));
    let below = OldCgroup::pause(&name, &pids(&paused)?)?;
    let paused_scope = OldCgroup::pause(&format!("{name}-scope"), &pids(&scope)?)?;
    let workloads = world.workloads();
    let known = workloads.known()?;
    let frozen: Vec<bool> =
        [1, 2, 3].map(|n| known.iter().any(|known| known.container.id == id(n) && known.is_frozen)).to_vec();
    assert_eq!(frozen, [true, false, true]);
    let started = Instant::now();
    let report = workloads.freeze(Duration::from_secs(60), Awake::NEVER)?;
    assert_eq!((report.frozen.count(), report.of, report.stuck.len()), (3, 3, 0), "{report:?}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(world.is_frozen(&other));
    workloads.thaw()?;
    assert!(!world.is_frozen(&other) && !world.is_marked(&scope));
    assert_eq!([below.state(), paused_scope.state()], ["FROZEN\n", "FROZEN\n"]);
    Ok(())
}
