//! A real containerd in the guest, by itself: with a container that runs and does not ask, and starts that the gate holds.

use std::time::Duration;

use super::guest::Guest;
use super::{Outcome, folder, until};

/// In a guest everything that is written in Go takes its second.
const SLOW: Duration = Duration::from_secs(60);
const CTR: &str = "/run/dockerds/trixie/usr/bin/ctr";
/// How a container is started: through the gate by this name of the wrapper, or by runc itself.
const RUN: &str = "--runtime io.containerd.runc.v2 --cpu-shares 0 \
     --mount type=bind,src=/usr/lib/lab,dst=/lab,options=rbind:ro --rootfs";

/// Its state is where it usually is, in a file system of its own: `/run` is full now and then.
const CONFIG: &str = r#"version = 2
root = "/var/tmp/engine/root"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
"#;

/// Starts the engine, and the container that prints to `/var/tmp/NAME` what `verb` says.
pub fn start(guest: &Guest, name: &str, verb: &str) -> Outcome {
    for part in ["dockerds", "engines"] {
        let programs = std::fs::canonicalize(folder().join(part))?;
        guest.sh(&format!("mkdir -p /run/{part}; mount -t hostfs -o {} none /run/{part}", programs.display()))?;
    }
    guest.put("/var/tmp/engine/config.toml", CONFIG)?;
    guest.sh(
        "mkdir -p /var/tmp/engine/box/lab /run/containerd; mount -t tmpfs -o size=16m,mode=711 none /run/containerd
         ln -sf /usr/lib/clockgate/clockgate-oci /var/tmp/engine/clockgate-runc; ln -sf /run/engines/usr/sbin/runc /var/tmp/engine/runc
         systemd-run -q --unit=soak-engine --property=Restart=always --property=RestartSec=100ms --property=StartLimitBurst=1000 \
             --property=KillMode=process --setenv=PATH=/run/dockerds/trixie/usr/bin:/usr/sbin:/usr/bin \
             /run/dockerds/trixie/containerd --config /var/tmp/engine/config.toml",
    )?;
    answers(guest)?;
    let run = format!("{CTR} run --detach --log-uri file:///var/tmp/{name} --runc-binary /var/tmp/engine/runc {RUN}");
    guest.sh_within(&format!("{run} /var/tmp/engine/box {name} /lab/part {verb}"), SLOW).map(drop)
}

fn answers(guest: &Guest) -> Outcome {
    until("the engine answers", SLOW, || Ok((guest.run(&format!("{CTR} version"))?.code == 0).then_some(())))
}

/// Has a container started through the gate, kills the engine under it, and waits until it answers again. Who wants the container has
/// it started again until it has run: it prints to `/var/tmp/NAME`.
pub fn restart(guest: &Guest, name: &str, verb: &str) -> Outcome {
    let run = format!("{CTR} run --rm --runc-binary /var/tmp/engine/clockgate-runc {RUN} /var/tmp/engine/box {name}");
    guest.put_program(
        "/var/tmp/engine/held",
        &format!(
            "#!/bin/sh\nuntil {run} /lab/part {verb}; do\n{CTR} task delete --force {name}; {CTR} container delete {name}; sleep 0.2\ndone\n"
        ),
    )?;
    guest.sh(&format!(
        "systemctl stop {name}; systemctl reset-failed {name}
         systemd-run -q --unit={name} --property=StandardOutput=append:/var/tmp/{name} \
             --property=StandardError=journal /var/tmp/engine/held
         sleep 0.3; systemctl kill --kill-whom=main -s KILL soak-engine; true"
    ))?;
    answers(guest)
}

/// Waits until the start that was held has been let go and is over.
pub fn is_answered(guest: &Guest, name: &str) -> Outcome {
    let over = format!("systemctl is-active {name} || true");
    until("the start that was held is over", SLOW, || {
        Ok((!matches!(guest.sh(&over)?.as_str(), "active" | "activating" | "deactivating")).then_some(()))
    })
}

/// Ends all of it.
pub fn end(guest: &Guest) -> Outcome {
    let script = "systemctl stop soak-engine
         for container in /sys/fs/cgroup/default /sys/fs/cgroup/default/*; do [ ! -e $container/cgroup.kill ] || echo 1 >$container/cgroup.kill; done
         while [ -n \"$(cat /sys/fs/cgroup/default/*/cgroup.procs 2>/dev/null)\" ]; do sleep 0.1; done
         shims=/sys/fs/cgroup/system.slice/soak-engine.service; [ ! -e $shims ] || echo 1 >$shims/cgroup.kill
         rmdir /sys/fs/cgroup/default/* /sys/fs/cgroup/default
         sed -n 's|^[^ ]* \\(/run/containerd[^ ]*\\) .*|\\1|p' /proc/mounts | sort -r | xargs -r umount
         while ! umount /run/dockerds /run/engines 2>/dev/null && grep -q ' /run/dockerds ' /proc/mounts; do sleep 0.1; done
         rm -rf /var/tmp/engine; true";
    guest.sh_within(script, SLOW).map(drop)
}
