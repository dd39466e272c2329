//! What cannot be thawed, what is thawed in waves, when the guard thaws, and what `clockgate status` says of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clockgate::decision::{Awake, Snapshot};
use clockgate::workload::{FreezeSettings, Thaw, Waves, WorkloadError, Workloads};
use libtest_mimic::{Failed, Trial};
use nix::sched::{CloneFlags, unshare};

use crate::cgroups::{Cgroups, id};
use crate::support::{Outcome, gate_page, needing, texts, until};
use crate::{LIMIT, awake_in, counts, report};

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Outcome| needing(lacks.clone(), name, test);
    vec![
        trial("a_container_that_cannot_be_thawed_keeps_no_other_from_being_thawed_or_frozen_again", cannot_be_thawed),
        trial("a_freeze_between_two_waves_does_not_wait_for_the_next", between_waves),
        trial("the_guard_thaws_at_the_end_that_it_was_told_last", told_last),
        trial("the_guard_waits_for_waves_as_long_as_they_come", guard_and_waves),
        trial("status_names_what_is_frozen_and_since_when_and_no_pause_of_a_users", status),
    ]
}

fn scope(n: usize) -> String {
    format!("system.slice/docker-{}.scope", id(n))
}

/// A file that nobody in this thread's mount namespace, nor whom it starts, can write.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(file: &Path) -> Result<Self, Failed> {
        mount(&["--bind".as_ref(), file.as_os_str(), file.as_os_str()])?;
        let it = Self(file.to_owned());
        mount(&["-o".as_ref(), "remount,bind,ro".as_ref(), file.as_os_str()])?;
        Ok(it)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(args: &[&std::ffi::OsStr]) -> Outcome {
    let output = Command::new("mount").args(args).output()?;
    crate::support::expect(output.status.success(), &output)
}

fn cannot_be_thawed() -> Outcome {
    let test = std::thread::spawn(|| -> Result<(), String> {
        let words = |failed: Failed| failed.message().unwrap_or("failed").to_owned();
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| e.to_string())?;
        mount(&["--make-rprivate".as_ref(), "/".as_ref()]).map_err(words)?;
        in_a_mount_namespace().map_err(words)
    });
    test.join().map_err(|_| "it panicked")?.map_err(Failed::from)
}

fn in_a_mount_namespace() -> Outcome {
    let mut world = Cgroups::new()?;
    for n in 1..=3 {
        world.container(&scope(n))?;
    }
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
    let read_only = ReadOnly::new(&world.folder.join(scope(2)).join("cgroup.freeze"))?;
    let frozen = |world: &Cgroups| [1, 2, 3].map(|n| world.is_frozen(&scope(n)));
    for _ in 0..2 {
        let Err(WorkloadError::StillFrozen { failed, .. }) = workloads.thaw() else {
            return Err("it was thawed".into());
        };
        assert!(failed.len() == 1 && failed[0].to_string().contains(&id(2)), "{failed:?}");
        assert_eq!(frozen(&world), [false, true, false]);
        // Frozen it is, whoever may not write it: it is nothing that has not stopped.
        assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
        assert_eq!(frozen(&world), [true; 3]);
    }
    drop(read_only);
    assert_eq!(workloads.thaw()?.thawed.len(), 3);
    assert_eq!(frozen(&world), [false; 3]);
    Ok(())
}

fn between_waves() -> Outcome {
    let mut world = Cgroups::new()?;
    for n in 1..=3 {
        world.container(&scope(n))?;
    }
    let pause = Duration::from_secs(4);
    let workloads = Workloads::new(FreezeSettings { waves: Some(Waves { size: 1, pause }), ..world.settings() });
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
    let all = |world: &Cgroups| (1..=3).all(|n| world.is_frozen(&scope(n)));
    std::thread::scope(|threads| {
        let thaw = threads.spawn(|| workloads.thaw());
        until("the first wave", LIMIT, || !all(&world))?;
        let started = Instant::now();
        assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
        assert!(started.elapsed() < pause / 2 && all(&world), "{:?}", started.elapsed());
        let _ = thaw.join();
        Ok::<(), Failed>(())
    })?;
    let mut rest = Thaw::default();
    while workloads.thaw_wave(&mut rest)?.is_some() {}
    rest.outcome()?;
    assert!(!(1..=3).any(|n| world.is_frozen(&scope(n))));
    Ok(())
}

/// Waits until this moment has long passed for the guard too.
fn long_after(end: Awake) -> Outcome {
    let over = end + Duration::from_millis(1800);
    until("its time has passed", LIMIT, || awake_in(Duration::ZERO) >= over)
}

fn told_last() -> Outcome {
    let mut world = Cgroups::new()?;
    world.container(&scope(1))?;
    let workloads = world.workloads();
    let first = awake_in(Duration::from_millis(100));
    workloads.freeze(LIMIT, first)?;
    workloads.prolong(awake_in(Duration::from_secs(600)))?;
    long_after(first)?;
    assert!(world.is_frozen(&scope(1)), "the limit has begun anew");
    // A freeze that was ordered again has the end of the first: it is the machine that counts.
    workloads.freeze(LIMIT, awake_in(Duration::from_millis(100)))?;
    until("the guard thaws it", LIMIT, || !world.is_frozen(&scope(1)))
}

fn guard_and_waves() -> Outcome {
    let mut world = Cgroups::new()?;
    for n in 1..=2 {
        world.container(&scope(n))?;
    }
    let pause = Duration::from_secs(600);
    let workloads = Workloads::new(FreezeSettings { waves: Some(Waves { size: 1, pause }), ..world.settings() });
    let end = awake_in(Duration::from_millis(100));
    workloads.freeze(LIMIT, end)?;
    let mut thaw = Thaw::default();
    assert_eq!(workloads.thaw_wave(&mut thaw)?, Some(pause));
    long_after(end)?;
    let frozen = (1..=2).filter(|n| world.is_frozen(&scope(*n))).count();
    assert_eq!(frozen, 1, "the second has its wave to come");
    assert_eq!(workloads.thaw_wave(&mut thaw)?, None);
    assert_eq!(thaw.outcome()?.thawed.len(), 2);
    Ok(())
}

fn status() -> Outcome {
    let mut world = Cgroups::new()?;
    let docker = |n| format!("docker/{}", id(n));
    for path in [docker(1), docker(2), scope(3)] {
        world.container(&path)?;
    }
    world.mark(&docker(2), "1")?;
    world.lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(1)), r#"{"Name": "/web"}"#)?;
    // Beside the ledger, as an agent's is.
    let run = world.scratch.path().join("run");
    let page = gate_page::public(&run);
    let _gate = gate_page::publish(&run, &Snapshot::default())?;
    let said = |more: &[&str]| -> Result<String, Failed> {
        let mut command = crate::support::clockgate();
        command.arg("status").arg("--page").arg(&page).arg("--cgroup").arg(&world.folder);
        let output = command.arg("--root").arg(world.scratch.path().join("root")).args(more).output()?;
        // With an agent or without one.
        crate::support::expect(matches!(output.status.code(), Some(1 | 69)), &output)?;
        Ok(texts(&output).0)
    };
    let lines = || -> Result<Vec<String>, Failed> {
        Ok(said(&[])?
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("Frozen: "))
            .map(str::to_owned)
            .collect())
    };
    assert_eq!(lines()?, [""; 0]);
    let workloads = world.workloads();
    workloads.freeze(LIMIT, Awake::NEVER)?;
    until("it says that it is so for a second and more", LIMIT, || {
        lines().is_ok_and(|lines| lines.len() == 2 && !lines.iter().any(|line| line.ends_with("for 0 s")))
    })?;
    let lines_then = lines()?;
    let digits = &id(1)[..12];
    assert!(
        lines_then.iter().any(|line| line.starts_with(&format!("docker: container {digits} (web), for "))),
        "{lines_then:?}"
    );
    let json: serde_json::Value = serde_json::from_str(&said(&["--json"])?)?;
    let ids: Vec<&str> =
        json["frozen"].as_array().ok_or("no array")?.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, [id(1), id(3)], "{json}");
    assert_eq!((&json["frozen"][0]["name"], &json["frozen"][1]["name"]), (&"web".into(), &serde_json::Value::Null));
    assert!(json["frozen"][0]["since_boottime_ns"].as_u64() < json["now_boottime_ns"].as_u64(), "{json}");
    workloads.thaw()?;
    assert_eq!(lines()?, [""; 0]);
    Ok(())
}
