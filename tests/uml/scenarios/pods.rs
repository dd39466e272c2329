//! The gate of pods under the systemd of a machine: its unit as it is shipped, and a real containerd.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, folder, until};

pub const SCENARIOS: &[Listed] =
    &[("pods::the_plugin_is_connected_out_of_its_sandbox_and_hooks_list_says_so", connected)];

const LONG: Duration = Duration::from_secs(120);

/// The guest's kernel has no overlay for a snapshotter, and no pod is made.
const CONFIG: &str = "version = 2\nroot = \"/run/containerd-root\"\n[plugins.\"io.containerd.nri.v1.nri\"]\n  disable = false\n\
                      [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n";

fn connected(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    let programs = std::fs::canonicalize(folder().join("dockerds"))?;
    guest.sh(&format!("mkdir -p /run/dockerds; mount -t hostfs -o {} none /run/dockerds", programs.display()))?;
    guest.put("/run/containerd.toml", CONFIG)?;

    guest.sh_within("clockgate hooks install nri && systemctl daemon-reload && systemctl start clockgate-nri", LONG)?;
    let listed = guest.sh("clockgate hooks list")?;
    ensure(listed.contains("nri: note: the socket /run/nri/nri.sock does not exist"), listed)?;
    let start =
        "systemd-run --quiet --unit lab-containerd /run/dockerds/trixie/containerd --config /run/containerd.toml";
    for time in 0..2 {
        guest.sh(start)?;
        let journal = "journalctl --no-pager -o cat -n 40 -u clockgate-nri -u lab-containerd";
        let says = |wanted: &str| {
            let listed = || Ok(guest.sh("clockgate hooks list")?.contains(wanted).then_some(()));
            until(wanted, LONG, listed).map_err(|_| guest.sh(journal).unwrap_or_default())
        };
        if let Err(said) = says("nri: note: connected to containerd ") {
            return fail(format!("start {time}: {said}"));
        }
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

    guest.sh_within("clockgate hooks remove nri && systemctl daemon-reload && systemctl stop clockgate-nri", LONG)?;
    guest.sh("umount /run/dockerds; rm -rf /run/nri /run/containerd-root /run/containerd.toml")?;
    night::over(guest)?;
    let words: Vec<&str> = status.split_whitespace().collect();
    let wanted = ["CapEff:", "0000000000000000", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"];
    ensure(words == wanted && restarts == "0", format!("{status}; {restarts} restarts"))
}
