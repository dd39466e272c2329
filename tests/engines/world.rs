//! A corner of this machine in which real container engines are installed: namespaces, folders and a cgroup of their own. All of it
//! ends with this process, however that ends, and the machine outside sees none of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::dockerd::Dockerd;
use crate::support::{self, Ours, Outcome, harmless, laboratory, until};
use crate::wrapper::Wrapper;

pub const OCI: &str = env!("CARGO_BIN_EXE_clockgate-oci");
pub const NRI: &str = env!("CARGO_BIN_EXE_clockgate-nri");
/// How long anything may take that has nothing to wait for. Shared machines are slow.
pub const SOON: Duration = Duration::from_secs(60);

/// A trial's name, the settings of its wrapper, and what is tried; the last argument is the name of its runtime.
pub type Trial = (&'static str, &'static str, fn(&World, &Wrapper, &str) -> Outcome);

/// A node's configuration of containerd, as a machine allows where root is not all of root.
pub const NODE: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"] # a node's\n  restrict_oom_score_adj = true\n  \
                        sandbox_image = \"docker.io/library/pause:latest\"\n";

/// How the engines of a world see the machine's cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As the machine has them.
    AsHere,
    /// As a machine has them that knows cgroup2 alone.
    Unified,
}

/// /usr with the laboratory's programs in it; /etc, /usr and /var/lib that can be written; an empty /run
/// and /dev/shm.
const ENTER: &str = r#"set -e
world=$1 lab=$2 view=$3
overlay() {
    mkdir -p "$world/$2" "$world/work-$2"
    mount -t overlay -o "lowerdir=$1,upperdir=$world/$2,workdir=$world/work-$2" clockgate-test "$3"
}
overlay "$lab/compose/usr:$lab/engines/usr:/usr" usr /usr
overlay "$lab/engines/etc:/etc" etc /etc
overlay /var/lib var-lib /var/lib
mount -t tmpfs clockgate-test /run
mount -t tmpfs clockgate-test /dev/shm
for engine in docker containers containerd; do
    mkdir -p "$world/$engine" "/var/lib/$engine"
    mount --bind "$world/$engine" "/var/lib/$engine"
done
if [ "$view" = Unified ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 clockgate-test /sys/fs/cgroup
fi
: >"$world/ready"
exec sleep infinity
"#;

/// What keeps real engines from running here.
pub fn lacks_engines() -> Option<String> {
    let has_cgroups = || fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(" cgroup"));
    support::lacks_root()
        .or_else(|| laboratory::missing(&["engines", "compose", "dockerds"]))
        .or_else(|| (!has_cgroups()).then(|| "mounted cgroups".to_owned()))
}

/// By these flags a dockerd leaves the machine's network alone and needs no systemd.
pub const DOCKERD: [&str; 4] = ["--exec-opt", "native.cgroupdriver=cgroupfs", "--iptables=false", "--bridge=none"];

pub struct World {
    folder: tempfile::TempDir,
    anchor: Ours,
    /// Process 1 of the namespaces, by its number outside.
    first: u32,
    /// Below the root of every hierarchy.
    pub cgroup: String,
    daemons: Mutex<Vec<Ours>>,
}

impl World {
    /// To be called by the thread that lives longest: the kernel ends the namespaces together with it.
    pub fn new(view: View) -> Result<Self, Failed> {
        let name = format!("clockgate-engines-{}-{view:?}", std::process::id());
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let lab = fs::canonicalize(laboratory::folder())?;
        let mut anchor = harmless("setpriv");
        anchor.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        anchor.args(["sh", "-c", ENTER, "sh"]).arg(folder.path()).arg(lab).arg(format!("{view:?}"));
        let anchor = Ours::spawn(&mut anchor)?;
        until("the namespaces", SOON, || folder.path().join("ready").exists())?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", anchor.0.id()))?;
        let first = children.trim().parse().map_err(|_| "process 1 has no number")?;
        let world = Self { folder, anchor, first, cgroup: format!("/{name}"), daemons: Mutex::default() };
        world.install_wrapper()?;
        world.make_image()?;
        Ok(world)
    }

    /// A path that is the same inside and outside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path inside, as it is reached from outside.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// A program inside. One that waits in vain ends all the same.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.enter();
        command.args(["timeout", "--kill-after=5", "120"]).arg(program);
        command
    }

    /// A program inside that runs until the world ends.
    pub fn daemon(&self, program: &str) -> Command {
        let mut daemon = self.enter();
        daemon.arg(program);
        daemon
    }

    fn enter(&self) -> Command {
        let mut enter = harmless("nsenter");
        enter.arg(format!("--target={}", self.first)).args(["--mount", "--pid", "--"]);
        enter.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/run").env_remove("DOCKER_HOST");
        enter.stdin(Stdio::null());
        enter
    }

    /// Our part of the machine's cgroup2 hierarchy, where the engines' containers are on every kind of host.
    pub fn hierarchy(&self) -> Result<PathBuf, Failed> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = fields.find(|fields| fields.get(2) == Some(&"cgroup2")).ok_or("no cgroup2")?;
        Ok(Path::new(mount[1]).join(self.cgroup.trim_start_matches('/')))
    }

    /// As `make install` puts it.
    fn install_wrapper(&self) -> Outcome {
        let folder = self.inside("/usr/lib/clockgate");
        fs::create_dir_all(&folder)?;
        for (name, to) in
            [("clockgate-oci", OCI), ("clockgate-runc", "clockgate-oci"), ("clockgate-crun", "clockgate-oci")]
        {
            std::os::unix::fs::symlink(to, folder.join(name))?;
        }
        Ok(())
    }

    /// An image's whole content: busybox, its links, and a daemon that keeps no time.
    fn make_image(&self) -> Outcome {
        let bin = self.path("image/bin");
        fs::create_dir_all(&bin)?;
        fs::copy(laboratory::folder().join("engines/bin/busybox"), bin.join("busybox"))?;
        for name in ["sh", "sleep", "echo", "true", "cat"] {
            std::os::unix::fs::symlink("busybox", bin.join(name))?;
        }
        fs::write(bin.join("chronyd"), "#!/bin/sh\nexec echo \"$@\"\n")?;
        fs::set_permissions(bin.join("chronyd"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        self.pack("image").map(drop)
    }

    /// An image with the static program in it, and nothing else but the links by which a /usr is found that is mounted.
    pub fn make_empty_image(&self) -> Result<PathBuf, Failed> {
        let folder = self.path("empty");
        fs::create_dir(&folder)?;
        for library in ["lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{library}"), folder.join(library))?;
        }
        done(Command::new("strip").arg("-o").arg(folder.join("clockgate")).arg(support::CLOCKGATE))?;
        self.pack("empty")
    }

    fn pack(&self, folder: &str) -> Result<PathBuf, Failed> {
        let tar = self.path(&format!("{folder}.tar"));
        done(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(self.path(folder)).arg("."))?;
        Ok(tar)
    }

    /// Starts dockerd with these runtimes and waits until it answers.
    pub fn start_docker(&self, runtimes: &BTreeMap<String, PathBuf>) -> Outcome {
        let runtimes: serde_json::Map<_, _> =
            runtimes.iter().map(|(name, path)| (name.clone(), serde_json::json!({ "path": path }))).collect();
        let config = serde_json::json!({ "runtimes": runtimes, "cgroup-parent": self.cgroup });
        fs::create_dir_all(self.inside("/etc/docker"))?;
        fs::write(self.inside("/etc/docker/daemon.json"), format!("{config:#}\n"))?;
        let log = fs::File::create(self.path("dockerd.log"))?;
        let mut dockerd = self.daemon("dockerd");
        dockerd.args(DOCKERD).stdout(log.try_clone()?).stderr(log);
        self.daemons.lock().map_err(|_| "daemons")?.push(Ours(dockerd.spawn()?));
        until("dockerd answers", SOON, || self.docker(&["info"]).output().is_ok_and(|output| output.status.success()))?;
        done(self.docker(&["import", "-", "bb"]).stdin(fs::File::open(self.path("image.tar"))?))
    }

    /// Has dockerd read its file again, as `systemctl reload docker` does.
    pub fn reload_docker(&self) -> Outcome {
        done(self.command("sh").args(["-c", "kill -HUP $(cat /run/docker.pid)"]))
    }

    /// The default runtime of a second dockerd, which is started for the question.
    pub fn default_of_a_fresh_docker(&self) -> Result<String, Failed> {
        let mut dockerd = Dockerd::new(self, "fresh", &[])?;
        dockerd.start()?;
        let output = dockerd.docker(&["info", "--format", "{{.DefaultRuntime}}"]).output()?;
        dockerd.stop()?;
        Ok(support::texts(&output).0.trim().to_owned())
    }

    /// Docker's command line.
    pub fn docker(&self, args: &[&str]) -> Command {
        let mut docker = self.command("docker");
        docker.args(args);
        docker
    }

    /// The command line of the containerd that dockerd started.
    pub fn ctr(&self, args: &[&str]) -> Command {
        let mut ctr = self.command("ctr");
        ctr.args(["--address", "/run/docker/containerd/containerd.sock"]).args(args);
        ctr
    }

    /// A call of a kubelet's, to the containerd with this state, for a pod whose cgroups are made below this one.
    pub fn cri(&self, state: &Path, cgroup: &str, name: &str, call: &[&str]) -> Command {
        let mut cri = self.command("/usr/bin/python3");
        cri.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/cri.py"));
        cri.arg(state.join("containerd.sock")).args([cgroup, name]).args(call);
        cri
    }

    /// Starts a containerd as a node has it, with a pause image that was made here.
    pub fn start_kubernetes_containerd(&self, config: &Path, state: &Path) -> Outcome {
        self.start_a_kubernetes_containerd("containerd", config, state)
    }

    /// The same by another containerd than the machine's; its process is in `state` with `.pid` behind it, as the world counts.
    pub fn start_a_kubernetes_containerd(&self, program: &str, config: &Path, state: &Path) -> Outcome {
        let name = state.file_name().unwrap_or_default().display();
        let (root, socket) = (self.path(&format!("node-{name}")), state.join("containerd.sock"));
        let log = fs::File::options().create(true).append(true).open(root.with_extension("log"))?;
        let mut containerd = self.daemon("sh");
        containerd
            .args(["-c", "echo $$ >\"$1\"; shift; exec \"$@\"", "sh"])
            .arg(state.with_extension("pid"))
            .arg(program);
        containerd.arg("--config").arg(config).arg("--state").arg(state).arg("--root").arg(&root);
        containerd.arg("--address").arg(&socket).stdout(log.try_clone()?).stderr(log);
        self.daemons.lock().map_err(|_| "daemons")?.push(Ours(containerd.spawn()?));
        let ctr = |args: &[&str]| {
            let mut ctr = self.command("ctr");
            ctr.arg("--address").arg(&socket).args(["--namespace", "k8s.io"]).args(args);
            ctr
        };
        until("containerd answers", SOON, || ctr(&["version"]).output().is_ok_and(|output| output.status.success()))?;
        let (image, tar) = (self.path("image.tar"), root.with_extension("tar").display().to_string());
        let import = ["import", "--change", "CMD [\"/bin/sleep\", \"1000\"]", "-", "pause"];
        done(self.docker(&import).stdin(fs::File::open(image)?))?;
        done(&mut self.docker(&["save", "--output", &tar, "pause"]))?;
        done(&mut ctr(&["images", "import", &tar]))
    }

    /// Has a daemon run inside that writes what it says to this file.
    pub fn run(&self, daemon: &mut Command, log: &Path) -> Outcome {
        let log = fs::File::create(log)?;
        self.daemons.lock().map_err(|_| "daemons")?.push(Ours(daemon.stdout(log.try_clone()?).stderr(log).spawn()?));
        Ok(())
    }

    /// Configures podman and makes its image. Each of `runtimes` is a name and its program; `plain` is a runtime that nobody wraps.
    pub fn start_podman(&self, runtimes: &BTreeMap<String, PathBuf>) -> Outcome {
        let containers = self.inside("/etc/containers");
        fs::create_dir_all(&containers)?;
        fs::write(containers.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
        // As a machine allows where root is not all of root.
        let mut config = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nruntime = \"runc\"\n\
                          cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n[engine.runtimes]\nplain = [\"/usr/sbin/runc\"]\n"
            .to_owned();
        for (name, path) in runtimes {
            config += &format!("{name} = [\"{}\"]\n", path.display());
        }
        fs::write(containers.join("containers.conf"), config)?;
        done(self.podman(&["import", "-", "localhost/bb:latest"]).stdin(fs::File::open(self.path("image.tar"))?))
    }

    /// Podman's command line.
    pub fn podman(&self, args: &[&str]) -> Command {
        let mut podman = self.command("podman");
        podman.args(args);
        podman
    }
}

/// Whether a container that had to say hello did so and ended well.
pub fn hello(output: &Output) -> Outcome {
    support::expect(output.status.success() && support::texts(output).0 == "hello\n", output)
}

/// What is done to a container that runs, its end last; none of it is a start.
pub fn no_starts(container: &str) -> [Vec<&str>; 7] {
    [
        vec!["exec", container, "echo", "in"],
        vec!["pause", container],
        vec!["unpause", container],
        vec!["inspect", container],
        vec!["kill", "--signal", "CONT", container],
        vec!["stop", "--time", "0", container],
        vec!["rm", container],
    ]
}

/// Runs to a good end.
pub fn done(command: &mut Command) -> Outcome {
    let output = command.output()?;
    support::expect(output.status.success(), &output)
}

impl Drop for World {
    fn drop(&mut self) {
        let ours = cgroups(self.cgroup.trim_start_matches('/'));
        ours.iter().for_each(|cgroup| thaw(cgroup));
        // With process 1 all of the namespaces ends, and their mounts with it; its cgroups are empty a moment later.
        let _ = self.anchor.0.kill();
        let _ = self.anchor.0.wait();
        for ours in ours {
            let _ = until("an empty cgroup", Duration::from_secs(10), || !ours.exists() || remove(&ours).is_ok());
        }
    }
}

/// The cgroups of this name, in each hierarchy.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name)).filter(|path| path.is_dir()).collect()
}

/// Removes what test processes left that were killed: nothing runs in their cgroups any more, once it is thawed.
pub fn sweep() {
    let temp = std::env::temp_dir();
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"].map(Path::new);
    for entry in places.iter().copied().chain([temp.as_path()]).flat_map(fs::read_dir).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("clockgate-engines-").and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            for left in cgroups(&name) {
                thaw(&left);
                let _ = until("an empty cgroup", Duration::from_secs(10), || remove(&left).is_ok());
            }
            let _ = fs::remove_dir_all(temp.join(&name));
        }
    }
}

fn remove(cgroup: &Path) -> std::io::Result<()> {
    below(cgroup).try_for_each(|cgroup| remove(&cgroup))?;
    fs::remove_dir(cgroup)
}

/// What the freezer of version 1 holds cannot even be killed.
fn thaw(cgroup: &Path) {
    below(cgroup).for_each(|cgroup| thaw(&cgroup));
    // Each hierarchy has the one file or the other, or none.
    let _ = fs::write(cgroup.join("freezer.state"), "THAWED");
    let _ = fs::write(cgroup.join("cgroup.freeze"), "0");
}

fn below(cgroup: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}
