//! The gate of pods under the systemd of a machine: its unit as it is shipped, and a real containerd.

use std::process::{Command, Output};
use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, folder, podman, until};

pub const SCENARIOS: &[Listed] = &[
    ("pods::the_plugin_is_connected_out_of_its_sandbox_and_hooks_list_says_so", connected),
    ("pods::a_pod_that_is_refused_out_of_the_sandbox_is_counted_by_the_agent", counted),
];

const LONG: Duration = Duration::from_secs(120);

/// The guest's kernel has no overlay for a snapshotter. A kubelet of the host's calls by TCP.
const CONFIG: &str = r#"version = 2
root = "/run/containerd-root"
[grpc]
  tcp_address = "0.0.0.0:4242"
[plugins."io.containerd.nri.v1.nri"]
  disable = false
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = false
  sandbox_image = "docker.io/library/pause:latest"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "/run/dockerds/trixie/usr/bin/containerd-shim-runc-v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "/run/engines/usr/sbin/runc"
"#;

/// Lays out containerd, and starts the plugin by its unit.
fn install(guest: &Guest) -> Outcome {
    for part in ["dockerds", "engines"] {
        let programs = std::fs::canonicalize(folder().join(part))?;
        guest.sh(&format!("mkdir -p /run/{part}; mount -t hostfs -o {} none /run/{part}", programs.display()))?;
    }
    guest.put("/run/containerd.toml", CONFIG)?;
    guest.sh_within("clockgate hooks install nri && systemctl daemon-reload && systemctl start clockgate-nri", LONG)?;
    Ok(())
}

/// Starts containerd, and waits until the plugin is connected to it.
fn connect(guest: &Guest) -> Outcome {
    guest.sh(
        "systemd-run --quiet --unit lab-containerd /run/dockerds/trixie/containerd --config /run/containerd.toml",
    )?;
    let wanted = "nri: note: connected to containerd ";
    until(wanted, LONG, || Ok(guest.sh("clockgate hooks list")?.contains(wanted).then_some(())))
        .map_err(|_| said(guest).into())
}

fn said(guest: &Guest) -> String {
    guest.sh("journalctl --no-pager -o cat -n 40 -u clockgate-nri -u lab-containerd").unwrap_or_default()
}

/// Ends all of it.
fn remove(guest: &Guest) -> Outcome {
    let script = "clockgate hooks remove nri && systemctl daemon-reload && systemctl stop clockgate-nri
         systemctl stop lab-containerd; systemctl reset-failed lab-containerd
         for pod in /sys/fs/cgroup/kubepods; do [ ! -d $pod ] || echo 1 >$pod/cgroup.kill; done
         sed -n 's|^[^ ]* \\(/run/containerd[^ ]*\\) .*|\\1|p' /proc/mounts | sort -r | xargs -r umount
         umount /run/dockerds /run/engines; rm -rf /run/nri /run/containerd-root /run/containerd.toml";
    guest.sh_within(script, LONG).map(drop)
}

fn connected(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    install(guest)?;
    let listed = guest.sh("clockgate hooks list")?;
    ensure(listed.contains("nri: note: the socket /run/nri/nri.sock does not exist"), listed)?;
    for _ in 0..2 {
        connect(guest)?;
        // Everybody may read the list, though the unit's umask is 0077, and it holds nobody back.
        let list = guest.sh("stat -c '%a %U' /run/clockgate/nri; head -c 12 /run/clockgate/nri")?;
        ensure(list == "644 root\n1 containerd", list)?;
        guest.sh("systemctl kill --signal=KILL lab-containerd")?;
        until("the connection is gone", LONG, || {
            Ok(guest.sh("clockgate hooks list")?.contains("nri: note: not connected").then_some(()))
        })?;
        guest.sh("systemctl reset-failed lab-containerd; true")?;
    }
    let pid = guest.sh("systemctl show -P MainPID clockgate-nri")?;
    let status = guest.sh(&format!("grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/{pid}/status"))?;
    let restarts = guest.sh("systemctl show -P NRestarts clockgate-nri")?;

    remove(guest)?;
    night::over(guest)?;
    let words: Vec<&str> = status.split_whitespace().collect();
    let wanted = ["CapEff:", "0000000000000000", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"];
    ensure(words == wanted && restarts == "0", format!("{status}; {restarts} restarts"))
}

/// A pod of a real containerd is refused by the units as they are shipped, and the number of it is the agent's.
fn counted(guest: &Guest, world: &World) -> Outcome {
    gate::start_with(guest, &format!("servers: [{}]\ndeadline: 10min\n", world.truth.address()))?;
    gate::proven(guest)?;
    podman::install(guest)?;
    install(guest)?;
    connect(guest)?;
    guest.sh_within(IMAGE, LONG)?;
    let refused = || -> Outcome<String> {
        let metrics = guest.sh("clockgate status --format openmetrics; true")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("clockgate_starts_refused_total{by=\"nri\"} "));
        Ok(line.ok_or("the count is not there")?.to_owned())
    };
    is_equal(&refused()?, "0")?;
    let sandbox = done(guest, &kubelet(world, &["sandbox"])?)?;
    world.truth.silence()?;
    guest.sh("clockgate notify resume")?;
    gate::when(guest, "the gate shuts", |now| now.gate == "shut")?;
    for times in ["1", "2"] {
        let output = kubelet(world, &["container", &sandbox])?;
        let why = String::from_utf8_lossy(&output.stderr);
        let words = "clockgate: refusing to create container web of pod default/web: the gate is shut: resume";
        ensure(!output.status.success() && why.contains(words), format!("{output:?}; {}", said(guest)))?;
        is_equal(&refused()?, times)?;
    }
    world.truth.speak()?;
    gate::proven(guest)?;
    done(guest, &kubelet(world, &["container", &sandbox])?)?;
    is_equal(&refused()?, "2")?;
    remove(guest)?;
    night::over(guest)
}

/// An image with one program, which sleeps; and the files of a host that a pod gets copies of.
const IMAGE: &str = r#"set -e
    touch /etc/hosts /etc/resolv.conf
    export TMPDIR=/run
    tar -C / -ch bin/sleep lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 |
        podman import --quiet --change 'CMD ["/bin/sleep", "1000"]' - docker.io/library/pause:latest
    podman save --quiet --output /run/pause.tar docker.io/library/pause:latest
    /run/dockerds/trixie/usr/bin/ctr --namespace k8s.io images import --snapshotter native /run/pause.tar
    rm /run/pause.tar"#;

/// What a kubelet on the host is answered by the guest's containerd.
fn kubelet(world: &World, call: &[&str]) -> Outcome<Output> {
    let engines = std::fs::canonicalize(folder().join("engines/usr/lib"))?;
    let mut cri = Command::new("/usr/bin/python3");
    cri.env("PYTHONPATH", engines.join("python3/dist-packages"));
    cri.env("LD_LIBRARY_PATH", engines.join(format!("{}-linux-gnu", std::env::consts::ARCH)));
    cri.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines/cri.py"));
    Ok(cri.arg(format!("{}:4242", world.guest_address())).args(["/kubepods/pod1", "web"]).args(call).output()?)
}

/// What a call that has to succeed prints.
fn done(guest: &Guest, output: &Output) -> Outcome<String> {
    ensure(output.status.success(), format!("{output:?}; {}", said(guest)))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_equal(found: &str, wanted: &str) -> Outcome {
    ensure(found == wanted, format!("{found} starts are counted, not {wanted}"))
}
