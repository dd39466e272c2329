//! A real container engine in the guest: Podman under systemd's cgroup driver, with crun, as `tests/setup` unpacked them.

use std::time::Duration;

use super::guest::Guest;
use super::{Outcome, folder};

/// In software everything that is written in Go takes its second.
const SLOW: Duration = Duration::from_secs(60);

/// Puts the engine over the guest's /usr, and makes it [`ready`].
pub fn install(guest: &Guest) -> Outcome {
    if guest.run("test -d /run/laid/podman")?.code == 0 {
        return Ok(());
    }
    let podman = std::fs::canonicalize(folder().join("podman"))?;
    let script = format!(
        "set -e
         mkdir -p /run/laid/podman /run/usr/upper /run/usr/work
         mount -t hostfs -o {} none /run/laid/podman
         mount -t overlay none /usr -o lowerdir=/run/laid/podman/usr:/usr,upperdir=/run/usr/upper,workdir=/run/usr/work",
        podman.display()
    );
    guest.sh_within(&script, SLOW)?;
    ready(guest)
}

/// Configures the engine that is in the guest, and makes an image with nothing in it but a place for our own part, which is static.
pub fn ready(guest: &Guest) -> Outcome {
    configure(guest)?;
    guest.sh_within("mkdir -p /run/image/lab; tar -C /run/image -c . | podman import --quiet - localhost/box", SLOW)?;
    Ok(())
}

/// What it stores goes to the guest's memory, and what it says to files: this Podman may know no journal.
pub fn configure(guest: &Guest) -> Outcome {
    guest.put("/etc/containers/policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    guest.put(
        "/etc/containers/containers.conf",
        "[containers]\nlog_driver = \"k8s-file\"\n\
         [engine]\nruntime = \"crun\"\ncgroup_manager = \"systemd\"\nevents_logger = \"file\"\n",
    )?;
    guest.put(
        "/etc/containers/storage.conf",
        "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n",
    )?;
    guest.sh("mkdir -p /var/lib/containers && mount -t tmpfs none /var/lib/containers").map(drop)
}
/// Starts containers that run our part with `verb`, and print to `/run/NAME`: as podman does it in units, with nobody in between,
/// who would take half of this machine's only processor. None of them does anything before all of them are there.
pub fn run(guest: &Guest, names: &[String], verb: &str) -> Outcome {
    let script = format!(
        "set -e
         for name in {}; do
             rm -f /run/$name.id
             podman run --detach --cidfile /run/$name.id --network none --log-driver passthrough \
                 --volume /usr/lib/lab:/lab:ro localhost/box /lab/part {verb} >/run/$name 2>/run/$name.err </dev/null
             echo 1 >/sys/fs/cgroup/machine.slice/libpod-$(cat /run/$name.id).scope/cgroup.freeze
         done
         for scope in {SCOPES}; do echo 0 >$scope/cgroup.freeze; done",
        names.join(" ")
    );
    guest.sh_within(&script, SLOW * 3).map(drop)
}

/// The cgroups of all containers, as a pattern of the shell's; their monitors' are called `libpod-conmon-ID.scope`.
pub const SCOPES: &str = "/sys/fs/cgroup/machine.slice/libpod-[0-9a-f][0-9a-f]*.scope";

/// Ends all containers at once. Their monitors go first: each would call the engine once more.
pub fn end(guest: &Guest) -> Outcome {
    let script = format!(
        "kill -9 $(cat /run/containers/storage/overlay-containers/*/userdata/conmon.pid)
         for scope in {SCOPES}; do echo 1 >$scope/cgroup.kill; done
         while ls -d {SCOPES} 2>/dev/null; do sleep 0.1; done"
    );
    guest.sh(&script).map(drop)
}
