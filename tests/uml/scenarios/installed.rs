//! A Debian that has never heard of clockgate: the README's lines, as an ordinary user with sudo, and everything taken away again.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::stage::succeed;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, folder, podman, until};

pub const SCENARIOS: &[Listed] = &[(
    "installed::a_fresh_debian_by_the_readme_ends_with_a_gated_container_and_uninstall_leaves_nothing",
    by_the_readme,
)];

const SOON: Duration = Duration::from_secs(60);

/// What is nobody's package: the kernel's, what runs keeps there, and the copies that the tools for groups make.
const NOT_OURS: &[&str] = &[
    "-path /proc",
    "-path /sys",
    "-path /dev",
    "-path /tmp",
    "-path /home",
    "-path /mnt",
    "-path /var/log",
    "-path /var/lib/containers",
    // The laboratory's own folders and the daemons' sockets come and go; ours is looked at.
    "-path '/run/*' -a -not -path '/run/clockgate*'",
    "-path /var/lib/chrony",
    "-path /var/lib/systemd",
    "-path /var/lib/sudo",
    "-name '*-'",
    "-name .pwd.lock",
];

fn by_the_readme(guest: &Guest, world: &World) -> Outcome {
    podman::install(guest)?;
    a_user_with_the_source(guest, world)?;
    night::chronyd(guest, world)?;
    // Nobody's agent but the laboratory's has this.
    guest.sh("rm -r /etc/systemd/system/clockgate.service.d")?;
    // As golang-github-containers-common has it on every Debian with podman.
    guest.put(
        "/usr/share/containers/containers.conf",
        "[engine]\n#runtime = \"crun\"\n[engine.runtimes]\n#crun = []\n",
    )?;
    let before = files(guest)?;

    for line in lines_of_the_readme()? {
        as_ada(guest, &line)?;
    }
    gate::proven(guest)?;
    let said = guest.sh("journalctl -u clockgate -o cat PRIORITY=6")?;
    let is_plain = said.lines().any(|line| line.starts_with("gate open ")) && !said.contains("INFO");
    ensure(is_plain, format!("no priorities, or two stamps: {said}"))?;
    let group = guest.sh("stat -c %G /run/clockgate/bus")?;
    ensure(group == "clockgate", format!("the bus is {group}'s"))?;

    as_ada(guest, "sudo clockgate hooks install podman")?;
    as_ada(guest, "sudo clockgate notify suspend --wait")?;
    guest.sh("setsid podman run --rm --network none --volume /usr/lib/lab:/lab:ro localhost/box /lab/part stamp \
         >/run/boxed 2>&1 </dev/null &")?;
    until("the container is held", SOON, || {
        Ok(guest.sh("clockgate hooks list")?.contains("held now: ").then_some(()))
    })?;
    ensure(guest.sh("cat /run/boxed")?.is_empty(), "it ran at a shut gate")?;
    as_ada(guest, "sudo clockgate notify resume")?;
    until("the container has run", SOON, || {
        Ok(guest.sh("cat /run/boxed")?.split(' ').all(|number| number.len() > 8).then_some(()))
    })?;

    // An upgrade is the same again; the agent that runs is named.
    let again = as_ada(guest, "sudo make install PREFIX=/usr")?;
    ensure(again.contains("systemctl restart clockgate.service"), again)?;
    as_ada(guest, "sudo systemctl restart clockgate.service")?;
    gate::proven(guest)?;

    let said = as_ada(guest, "sudo make uninstall")?;
    ensure(said.ends_with("Uninstalled."), said)?;
    let after = files(guest)?;
    let [before, after] = [&before, &after].map(|files| files.lines().collect::<BTreeSet<_>>());
    let (left, gone): (Vec<_>, Vec<_>) = (after.difference(&before).collect(), before.difference(&after).collect());
    ensure(left.is_empty() && gone.is_empty(), format!("left: {left:?}; gone: {gone:?}"))?;
    ensure(guest.run("getent group clockgate")?.code == 2, "the group is left")?;
    let units = guest
        .sh("systemctl list-units --all --no-legend 'clockgate*'; grep -ls clockgate /proc/[0-9]*/comm || true")?;
    ensure(units.is_empty(), format!("left: {units}"))?;
    let run =
        guest.run("podman run --rm --network none --volume /usr/lib/lab:/lab:ro localhost/box /lab/part stamp")?;
    ensure(run.code == 0, format!("podman without us: {}", run.err))
}

/// What the README's first screen has for somebody who has read no further, up to what each line is for; to look and to play comes after.
fn lines_of_the_readme() -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let first_screen = text.split("## ").next().unwrap_or_default();
    let typed = first_screen.lines().filter_map(|line| line.strip_prefix("    ")?.split("  ").next());
    let lines: Vec<String> = typed.filter(|line| line.contains("sudo ")).map(str::to_owned).collect();
    if lines.len() == 2 {
        Ok(lines)
    } else {
        fail(format!("README.md does not say in two lines how to install: {lines:?}"))
    }
}

fn as_ada(guest: &Guest, line: &str) -> Outcome<String> {
    guest.sh_within(&format!("su --login ada --command 'cd clockgate && {line}'"), SOON)
}

/// Everything that lies in the file system, but for what others write meanwhile.
fn files(guest: &Guest) -> Outcome<String> {
    guest.sh_within(&format!("find / \\( {} \\) -prune -o -print", NOT_OURS.join(" -o ")), SOON)
}

/// An ordinary user who may use sudo, has Debian's make, a clone of the project, and a cargo that only he has. What it builds was built
/// on the host.
fn a_user_with_the_source(guest: &Guest, world: &World) -> Outcome {
    let project = std::fs::canonicalize(env!("CARGO_MANIFEST_DIR"))?;
    let hands = std::fs::canonicalize(folder().join("hands/tree"))?;
    let built = std::fs::canonicalize(world.run())?.join("built");
    std::fs::create_dir(&built)?;
    for program in
        [env!("CARGO_BIN_EXE_clockgate"), env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")]
    {
        // As the release profile has it; the guest's memory is small.
        succeed(
            Command::new("strip")
                .arg("-o")
                .args([&built.join(Path::new(program).file_name().unwrap_or_default()), Path::new(program)]),
        )?;
    }
    guest.sh_within(
        &format!(
            "set -e
             mkdir -p /run/hands /run/source /run/built
             mount -t hostfs -o {} none /run/hands
             mount -t hostfs -o {} none /run/source
             mount -t hostfs -o {} none /run/built
             tar -C /run/hands -c . | tar -C / --no-overwrite-dir -x
             useradd --create-home --shell /bin/bash ada
             echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada
             mkdir -p /home/ada/clockgate /home/ada/.cargo/bin
             cd /run/source
             cp -r Makefile Cargo.toml packaging hooks docs crates README.md /home/ada/clockgate",
            hands.display(),
            project.display(),
            built.display()
        ),
        SOON,
    )?;
    guest.put_program(
        "/home/ada/.cargo/bin/cargo",
        "#!/bin/sh\nset -e\ncase \"$*\" in\n-V) echo 'cargo 1.99.0' ;;\n'build --release')\n\
         to=target/x86_64-unknown-linux-gnu/release\nmkdir -p $to\nln -s /run/built/clockgate /run/built/clockgate-oci /run/built/clockgate-nri $to ;;\n\
         *) exit 1 ;;\nesac\n",
    )?;
    guest.put("/home/ada/.bash_profile", "PATH=$HOME/.cargo/bin:$PATH\n")?;
    guest.sh("chown -R ada: /home/ada").map(drop)
}
