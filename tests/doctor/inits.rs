//! Every host of a folder once more, as one whose services OpenRC, runit or another starts: what mends it names no command of systemd's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clockgate::doctor::{Detail, Diagnosis, text};
use clockgate::sys::service_manager::ServiceManager;
use libtest_mimic::{Failed, Trial};

use super::{facts_of, support};

/// What is there with systemd alone.
const SYSTEMDS: [&str; 4] = ["systemctl", "journalctl", "timedatectl", "systemd-firstboot"];

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("what_mends_a_host_is_a_command_of_the_init_that_runs_there", mended)]
}

fn mended() -> Result<(), Failed> {
    // Those checks that name a command of systemd's somewhere are the family.
    let family = asked(None)?;
    for id in
        ["own.agent", "own.outdated", "daemon.none", "daemon.exit-limit", "daemon.denied", "rtc.local", "clock.zone"]
    {
        assert!(family.contains(id), "no case has systemd's command for {id}: {family:?}");
    }
    for (first, manager, words) in [
        ("openrc-init", ServiceManager::Openrc, "rc-service"),
        ("runit", ServiceManager::Runit, "sv restart"),
        ("dinit", ServiceManager::Other, "by this host's init"),
    ] {
        let left = asked(Some((first, manager, words)))?;
        assert!(left.is_empty(), "{first}: a command of systemd's for {left:?}");
    }
    Ok(())
}

/// The checks and causes that name a command of systemd's, over all hosts that run, with this as the first process.
fn asked(init: Option<(&str, ServiceManager, &str)>) -> Result<BTreeSet<&'static str>, Failed> {
    let (mut found, mut is_named) = (BTreeSet::new(), false);
    for folder in support::folders::of("doctor").into_iter().filter(|folder| folder.join("root/proc/1").exists()) {
        let scratch = tempfile::tempdir()?;
        let root = scratch.path().join("root");
        let copied = Command::new("cp").arg("-a").arg(folder.join("root")).arg(scratch.path()).status()?;
        assert!(copied.success(), "{}", folder.display());
        if let Some((first, _, _)) = init {
            fs::write(root.join("proc/1/comm"), format!("{first}\n"))?;
            for state in
                ["run/systemd/system", "run/openrc"].map(|state| root.join(state)).iter().filter(|state| state.exists())
            {
                fs::remove_dir_all(state)?;
            }
            services(&root)?;
        }
        let facts = facts_of(&folder, &root)?;
        assert!(init.is_none_or(|(_, manager, _)| facts.daemon.manager == manager), "{}", folder.display());
        let diagnosis = Diagnosis::of(&facts, &[], &[]);
        let is_systemds =
            |fix: &Option<String>| fix.as_ref().is_some_and(|fix| SYSTEMDS.iter().any(|program| fix.contains(program)));
        found.extend(diagnosis.checks.iter().filter(|check| is_systemds(&check.verdict.fix)).map(|check| check.id));
        found.extend(diagnosis.causes.iter().filter(|cause| is_systemds(&cause.command)).map(|cause| cause.id));
        is_named |= init.is_some_and(|(_, _, words)| text(&diagnosis, Detail::Evidence).contains(words));
    }
    assert!(init.is_none() || is_named, "{init:?} is never named");
    Ok(found)
}

/// What the units of this root are under OpenRC and runit.
fn services(root: &Path) -> Result<(), Failed> {
    for name in ["chronyd", "ntpsec", "ntpd-rs", "openntpd", "connman"] {
        let unit = if name == "chronyd" { "chrony" } else { name };
        let folders = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];
        if !folders.iter().any(|folder| root.join(folder).join(format!("{unit}.service")).symlink_metadata().is_ok()) {
            continue;
        }
        for file in ["etc/init.d/", "etc/runlevels/default/"].map(|folder| format!("{folder}{name}")) {
            put(&root.join(file))?;
        }
        for file in ["etc/sv", "etc/service"].map(|folder| format!("{folder}/{name}/run")) {
            put(&root.join(file))?;
        }
    }
    Ok(())
}

fn put(path: &Path) -> Result<(), Failed> {
    fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    Ok(fs::write(path, "#!/bin/sh\n")?)
}
