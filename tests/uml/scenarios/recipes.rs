//! The recipes of docs/recipes.md, as the page has them: units, jobs, what hypervisors call, and cloud-init.

use std::time::Duration;

use super::{Listed, gate, night, packed, sleep};
use crate::lab::guest::Guest;
use crate::lab::told::off_by;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, podman, until};
use crate::support::recipes::{Recipe, recipe};

pub const SCENARIOS: &[Listed] = &[
    ("recipes::units_timers_and_jobs_of_the_page_wait_at_a_shut_gate", jobs),
    ("recipes::what_a_hypervisor_calls_has_the_clock_proven", hypervisors),
    ("recipes::cloud_init_proves_the_clock_and_starts_the_agent", cloud_init),
];

/// Where clockgate is not installed.
pub const PACKAGES: &[Listed] =
    &[("recipes::cloud_init_installs_the_package_which_gates_without_another_step", cloud_init_by_packages)];

/// On the next Debian, whose Podman has Quadlet.
pub const QUADLET: &[Listed] = &[("recipes::a_container_of_quadlet_starts_when_the_gate_opens", quadlet)];

const SOON: Duration = Duration::from_secs(120);
/// Python starts slowly here, for each stage of cloud-init.
const SLOW: Duration = Duration::from_secs(300);
/// Nobody is there to ask (RFC 5737), and the policy is to hold.
const ALONE: &str = "servers: [192.0.2.1]\nmeasure-timeout: 100ms\nat-deadline: {unreachable: hold}\n";
/// What stands for the workloads of the page: unit and program.
const UNITS: [(&str, &str); 3] = [
    ("web", "/usr/local/bin/web"),
    ("gitlab-runner", "/usr/local/bin/gitlab-runner"),
    ("actions.runner.acme-site.host1", "/usr/local/bin/runsvc"),
];
/// What each of them writes, when it runs: who it is, and what time it is then.
const RAN: &str = "/run/lab-ran";
/// The waiters, as processes.
const WAITERS: &str = "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f 2>/dev/null; echo; done |
    grep -c '^\\(/usr/bin/\\)\\?clockgate \\(wait\\|run\\) ' || true";

fn jobs(guest: &Guest, world: &World) -> Outcome {
    let titles = ["A unit", "A user's unit", "A timer", "A cron job", "GitHub Actions runner", "GitLab runner"];
    gate::start(guest, world)?;
    guest.sh(&format!("useradd --create-home --shell /bin/sh ada; : >{RAN}; chmod 666 {RAN}"))?;
    for (unit, program) in UNITS {
        guest.put(&format!("/etc/systemd/system/{unit}.service"), &format!("[Service]\nExecStart={program}\n"))?;
        job(guest, program, "exec sleep 1000")?;
    }
    // As GitHub's runner does it, before each job.
    job(guest, "/usr/local/bin/runsvc", "exec sleep 1000")?;
    guest.sh("sed -i '2i bash -e \"$ACTIONS_RUNNER_HOOK_JOB_STARTED\" || exit 1' /usr/local/bin/runsvc")?;
    job(guest, "/usr/local/bin/upload", "exec sleep 1000")?;
    job(guest, "/usr/local/bin/report", "")?;
    job(guest, "/usr/local/bin/cron-report", "")?;
    let recipes = titles.map(recipe);
    let [unit, user, timer, cron, github, gitlab] = recipes;
    for recipe in [&unit?, &timer?, &github?, &gitlab?] {
        lay(guest, recipe)?;
        guest.sh(&recipe.commands())?;
    }
    // Both jobs of the page have one program; here they are told apart.
    for (path, text) in cron?.files() {
        guest.put(path, &text.replace("/usr/local/bin/report", "/usr/local/bin/cron-report"))?;
    }
    let user = user?;
    lay(guest, &user)?;
    guest.sh("chown -R ada: /home/ada; loginctl enable-linger ada")?;
    until("the user's manager", SOON, || {
        Ok(guest.sh("ls /run/user/*/systemd/private 2>/dev/null || true")?.contains("private").then_some(()))
    })?;

    // The clock is set to just before the hour of the cron job, then behind that of the timer, and no server answers.
    guest.put("/etc/clockgate/config.yaml", ALONE)?;
    guest.sh("systemctl reload clockgate && date -u -s 'tomorrow 03:16:57' && systemctl start cron")?;
    gate::when(guest, "the gate is shut", |now| now.gate == "shut")?;
    held(guest, 1)?;
    guest.sh("date -u -s \"$(date -u +%F) 03:18:30\"")?;
    held(guest, 2)?;
    guest.sh(&format!(
        "systemctl daemon-reload; systemctl start --no-block {}",
        UNITS.map(|(unit, _)| format!("{unit}.service")).join(" ")
    ))?;
    guest.sh(&format!(
        "su ada -c 'export XDG_RUNTIME_DIR=/run/user/$(id -u); {}'",
        user.commands().trim().replace('\n', " && ")
    ))?;
    held(guest, 6)?;
    let early = guest.sh(&format!("cat {RAN}"))?;
    ensure(early.is_empty(), format!("at a shut gate ran: {early}"))?;

    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))?;
    guest.sh("systemctl reload clockgate")?;
    let ran = until("all have run", SOON, || {
        let ran = guest.sh(&format!("cat {RAN}"))?;
        Ok((ran.lines().count() >= 6).then_some(ran))
    });
    let ran = match ran {
        Ok(ran) => ran,
        Err(_) => return fail(format!("ran: {}; {:?}", guest.sh(&format!("cat {RAN}"))?, gate::read(guest)?)),
    };
    let truth = guest.sh("date -u +%s")?.parse::<i64>()?;
    let off = off_by(guest)?;
    guest.sh("systemctl stop cron report.timer web gitlab-runner actions.runner.acme-site.host1; loginctl terminate-user ada")?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_secs(5), format!("off by {off}"))?;
    let wrong: Vec<&str> = ran
        .lines()
        .filter(|line| {
            let at = line.split(' ').nth(1).and_then(|at| at.parse::<i64>().ok());
            at.is_none_or(|at| (truth - at).abs() > 600)
        })
        .collect();
    ensure(wrong.is_empty(), format!("on a wrong clock ran: {wrong:?}"))
}

/// A program that writes down that it runs.
fn job(guest: &Guest, program: &str, then: &str) -> Outcome {
    let name = program.rsplit('/').next().unwrap_or_default();
    guest.put_program(program, &format!("#!/bin/sh\necho \"{name} $(date -u +%s)\" >>{RAN}\n{then}\n"))
}

/// Puts the files of a recipe where they belong; a user's are ada's.
fn lay(guest: &Guest, recipe: &Recipe) -> Outcome {
    for (path, text) in recipe.files() {
        guest.put(&path.replace('~', "/home/ada"), text)?;
    }
    Ok(())
}

fn held(guest: &Guest, number: usize) -> Outcome {
    let mut last = String::new();
    let found = until("so many are held", SOON, || {
        last = guest.sh(WAITERS)?;
        Ok(last.parse::<usize>().is_ok_and(|found| found >= number).then_some(()))
    });
    found.map_err(|_| format!("{last} are held, not {number}").into())
}

/// The loopback of vsock (CID 1) stands for the hypervisor, as in `told`; the programs of each host are ours. A hypervisor sends its time
/// only where that is proven, so this guest's is.
fn hypervisors(guest: &Guest, world: &World) -> Outcome {
    guest.sh("modprobe vsock_loopback")?;
    guest.put_program(
        "/usr/local/bin/qm",
        "#!/bin/sh\ncase $1 in\nset) echo \"$*\" >/run/lab-qm ;;\n\
         config) echo 'args: -device vhost-vsock-pci,guest-cid=1' ;;\nesac\n",
    )?;
    guest.put("/etc/systemd/system/libvirtd.service", "[Service]\nExecStart=/bin/sleep 1000\n")?;
    guest.put("/run/lab.xml", "<domain><vsock model='virtio'>\n<cid auto='yes' address='1'/>\n</vsock></domain>\n")?;
    let servers = format!("servers: [{}]\n", world.truth.address());
    gate::start_with(guest, &format!("threshold: 5s\n{servers}vsock: {{enabled: true, peer-cid: 1}}\n"))?;
    gate::proven(guest)?;
    for recipe in [recipe("libvirt")?, recipe("Proxmox VE")?] {
        guest.sh(&format!("systemctl daemon-reload; set -e; {}", recipe.commands()))?;
    }
    let set = guest.sh("cat /run/lab-qm")?;
    let calls = [
        ("/etc/libvirt/hooks/qemu.d/clockgate guest prepare begin - </run/lab.xml", false),
        ("/etc/libvirt/hooks/qemu.d/clockgate guest started begin - </run/lab.xml", true),
        ("/var/lib/vz/snippets/clockgate 100 pre-start", false),
        ("/var/lib/vz/snippets/clockgate 100 post-start", true),
    ];
    for (call, notifies) in calls {
        let before = gate::read(guest)?;
        guest.sh(call)?;
        if notifies {
            gate::when(guest, call, |now| now.is_proven() && now.epoch > before.epoch && now.cause == "restore")?;
        } else {
            let after = gate::read(guest)?;
            ensure(after.epoch == before.epoch, format!("{call}: {before:?}, {after:?}"))?;
        }
    }
    night::over(guest)?;
    ensure(set.contains("--hookscript local:snippets/clockgate") && set.contains("vhost-vsock-pci"), set)
}

/// Of the modules only those that the recipe has run: the others would set up a machine.
fn cloud_init(guest: &Guest, world: &World) -> Outcome {
    let modules =
        "cloud_init_modules: [bootcmd]\ncloud_config_modules: [runcmd]\ncloud_final_modules: [scripts-user]\n";
    seed(guest, &recipe("A cloud instance")?.commands(), modules)?;
    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))?;
    guest.sh("systemctl stop clockgate; date -u -s '1 hour ago'")?;
    stage(guest, "init --local")?;
    stage(guest, "init")?;
    // After `bootcmd`, before anything else.
    let off = off_by(guest)?;
    let agent = guest.run("systemctl is-active clockgate.service")?;
    stage(guest, "modules --mode=config")?;
    stage(guest, "modules --mode=final")?;
    let gate = gate::proven(guest)?;
    let enabled = guest.sh("systemctl is-enabled clockgate.service clockgate-wait.service")?;
    let passed = guest.sh("systemctl is-active clockgate-wait.service")?;
    let said = guest.sh("cat /run/lab-cloud")?;
    guest.sh("systemctl stop clockgate-wait")?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_secs(1) && agent.code != 0, format!("off by {off}; {agent:?}\n{said}"))?;
    ensure(enabled == "enabled\nenabled" && passed == "active", format!("{enabled}, {passed}, {gate:?}\n{said}"))
}

/// A seed of NoCloud for the real program.
fn seed(guest: &Guest, user_data: &str, modules: &str) -> Outcome {
    let seed = "/var/lib/cloud/seed/nocloud";
    guest.put(&format!("{seed}/user-data"), user_data)?;
    guest.put(&format!("{seed}/meta-data"), "instance-id: lab-1\n")?;
    let settings = format!("datasource_list: [NoCloud]\nnetwork: {{config: disabled}}\n{modules}");
    guest.put("/etc/cloud/cloud.cfg.d/99-lab.cfg", &settings)
}

fn stage(guest: &Guest, stage: &str) -> Outcome {
    let script = format!("cloud-init {stage} >>/run/lab-cloud 2>&1 || {{ cat /run/lab-cloud >&2; exit 1; }}");
    guest.sh_within(&script, SLOW).map(drop)
}

/// The repository is a folder of the deb's; the others cannot be reached from here.
fn cloud_init_by_packages(guest: &Guest, world: &World) -> Outcome {
    let repository = packed::repository(guest, world)?;
    let theirs = "deb [signed-by=/etc/apt/keyrings/acme.asc] https://packages.acme.example ./";
    let user_data = recipe("A cloud instance by packages")?.commands();
    ensure(user_data.contains(theirs), format!("the recipe has another repository: {user_data}"))?;
    let modules = "cloud_init_modules: []\ncloud_config_modules: [apt-configure, runcmd]\n\
         cloud_final_modules: [package-update-upgrade-install, scripts-user]\n";
    seed(guest, &user_data.replace(theirs, &repository), modules)?;
    guest.put("/etc/apt/sources.list", "")?;
    night::chronyd(guest, world)?;
    for name in ["init --local", "init", "modules --mode=config", "modules --mode=final"] {
        stage(guest, name)?;
    }
    packed::installed(guest)?;
    // The recipe waits by itself, so the unit that it enables has no more to do.
    let passed = guest.sh("systemctl is-enabled clockgate-wait && systemctl is-active clockgate-wait")?;
    ensure(passed == "enabled\nactive", format!("{passed}: {}", guest.sh("cat /run/lab-cloud")?))?;
    sleep::stale_sleep_lets_nothing_through(guest, &gate::read(guest)?)
}

/// By the real generator and the real Podman. What is added is an image, and what the guest lacks: a network.
fn quadlet(guest: &Guest, world: &World) -> Outcome {
    podman::configure(guest)?;
    // A shell, what it is linked with, and a program by the name of the recipe's.
    guest.put_program("/run/image/usr/bin/python3", "#!/usr/bin/dash\nexec sleep 1000\n")?;
    guest.sh_within(
        "set -e
         cp --parents $(ldd /usr/bin/dash /usr/bin/sleep | grep -o '/[^ :]*' | sort -u) /run/image/
         cp /usr/bin/dash /usr/bin/sleep /run/image/usr/bin/
         tar -C /run/image -c . | podman import --quiet - docker.io/library/python:3-slim",
        SLOW,
    )?;
    let recipe = recipe("Quadlet")?;
    lay(guest, &recipe)?;
    guest.put("/etc/containers/systemd/app.container.d/lab.conf", "[Container]\nNetwork=none\n")?;
    gate::start_with(guest, ALONE)?;
    guest.sh("systemctl daemon-reload")?;
    guest.sh("systemctl start --no-block app.service")?;
    held(guest, 1)?;
    let early = guest.sh_within("podman ps --quiet", SLOW)?;
    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))?;
    guest.sh("systemctl reload clockgate")?;
    let runs = until("the container runs", SLOW, || {
        Ok(guest.sh_within("podman ps --format '{{.Names}} {{.Image}}'", SLOW)?.contains("systemd-app").then_some(()))
    });
    let said = guest.sh("journalctl -u app --no-pager -o cat -n 30")?;
    let state = guest.sh("systemctl show -P ActiveState app")?;
    guest.sh_within("systemctl stop app", SLOW)?;
    night::over(guest)?;
    ensure(early.is_empty(), format!("at a shut gate ran: {early}"))?;
    ensure(runs.is_ok() && state == "active", format!("{state}: {said}"))
}
