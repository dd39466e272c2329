//! A task that the kernel cannot stop: it waits for a FUSE file system that never answers, in uninterruptible sleep.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};

use crate::cgroups::{Cgroups, id};
use crate::lab::{Ours, needing};
use crate::{LIMIT, Outcome};

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let lacks = lacks.clone().or_else(|| (!Path::new("/dev/fuse").exists()).then(|| "/dev/fuse".to_owned()));
    vec![needing(lacks, "a_task_that_does_not_stop_is_named_at_the_limit", named_at_the_limit)]
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
    std::fs::create_dir(&mount)?;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", SCRIPT, "sh"]).arg(&mount).arg(world.folder.join(&stuck));
    let mut server = Ours(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut pid = String::new();
    BufReader::new(server.0.stdout.take().ok_or("no output")?).read_line(&mut pid)?;
    let pid = pid.trim();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    crate::lab::until("it sleeps uninterruptibly", LIMIT, || state().contains("(cat) D"))?;

    let workloads = world.workloads();
    let limit = Duration::from_millis(300);
    let started = Instant::now();
    let report = workloads.freeze(limit)?;
    assert!(started.elapsed() >= limit);
    assert_eq!((report.frozen, report.of), (2, 3), "{report:?}");
    let short = &id(2)[..12];
    let wanted = format!("backup (docker {short}) has not stopped: uninterruptible sleep of process {pid} (cat)");
    assert_eq!(report.stuck, [wanted]);
    // The mark stays: it stops when it comes back.
    assert!(world.is_marked("docker") && world.is_frozen(&well));
    let thawed = workloads.thaw()?;
    assert_eq!(thawed.thawed.len(), 2);
    assert!(!world.is_frozen(&well));
    Ok::<(), Failed>(())
}
