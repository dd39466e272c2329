//! Freezing and thawing on the machine's real cgroup2 hierarchy, below a folder of the test's own: the kernel's freezer, real
//! processes, a real guard that is the built program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "what a test times is itself")]

#[path = "../support/mod.rs"]
mod support;

mod carriers;
mod cgroups;
mod discovery;
mod killed;
mod lines;
mod stuck;
mod thawing;
mod tolerant;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use cgroups::{Cgroups, id};
use clockgate::decision::{Awake, ContainerList, FreezeOutcome, NamedContainer};
use clockgate::sys::clock::monotonic_nanos;
use clockgate::workload::{Engine, FreezeSettings, Thoroughness, Waves, WorkloadError, Workloads};
use libtest_mimic::Arguments;
use support::{Outcome, needing, until};

/// Far more than any freeze here takes, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> std::process::ExitCode {
    // As the agent that is killed.
    if let Some(role) = std::env::args().nth(1).filter(|arg| arg == killed::ROLE) {
        return killed::agent(&role);
    }
    cgroups::sweep();
    let lacks = cgroups::lacks();
    let on_cgroups = |name: &str, test: fn() -> Outcome| needing(lacks.clone(), name, test);
    let mut trials = vec![
        on_cgroups("one_container_and_a_hundred_are_frozen_and_run_again", one_and_a_hundred),
        on_cgroups("what_is_frozen_does_nothing_until_it_is_thawed", does_nothing),
        on_cgroups("a_pause_of_the_user_s_own_survives", a_users_pause),
        on_cgroups("a_folder_that_was_frozen_before_stays_frozen", a_folder_frozen_before),
        on_cgroups("what_is_excluded_runs_on_and_the_others_do_not", exclusions),
        on_cgroups("freezing_again_takes_what_has_come_since", again),
        on_cgroups("a_start_below_a_frozen_folder_waits", a_start_below),
        on_cgroups("a_cgroup_that_took_another_s_place_is_not_thawed", replaced),
        on_cgroups("waves_thaw_one_part_after_the_other_the_last_frozen_first", waves),
        on_cgroups("without_a_guard_or_a_ledger_nothing_is_frozen", without),
        on_cgroups("one_agent_freezes_at_a_time", one_agent),
        on_cgroups("where_nothing_could_be_frozen_there_is_neither_a_guard_nor_a_ledger", nothing_to_freeze),
        on_cgroups("other_settings_hold_from_the_next_freeze_on_and_for_the_next_guard", other_settings),
        on_cgroups("the_guard_stays_as_long_as_anything_is_frozen", the_guard_stays),
    ];
    trials.extend(stuck::trials(&lacks));
    trials.extend(thawing::trials(&lacks));
    trials.extend(killed::trials(&lacks));
    trials.extend(carriers::trials(&lacks));
    trials.extend(tolerant::trials(&lacks));
    trials.extend(discovery::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// So much later, if the machine stays awake.
fn awake_in(time: Duration) -> Awake {
    Awake::from_nanos(monotonic_nanos()) + time
}

/// How many are frozen, and of how many; nothing is stuck.
fn report(frozen: usize) -> (usize, usize, usize) {
    (frozen, frozen, 0)
}

fn counts(outcome: &FreezeOutcome) -> (usize, usize, usize) {
    (outcome.frozen.count(), outcome.of, outcome.stuck.len())
}

/// As a text names them.
fn names(containers: &ContainerList) -> Vec<String> {
    containers.first().iter().map(ToString::to_string).collect()
}

fn one_and_a_hundred() -> Outcome {
    for count in [1, 100] {
        let mut world = Cgroups::new()?;
        let name = |n: usize| match n % 3 {
            0 => format!("docker/{}", id(n)),
            1 => format!("system.slice/docker-{}.scope", id(n)),
            _ => format!("machine.slice/libpod-{}.scope", id(n)),
        };
        for n in 0..count {
            world.container(&name(n))?;
        }
        let workloads = world.workloads();
        for _ in 0..3 {
            let outcome = workloads.freeze(LIMIT, Awake::NEVER)?;
            assert_eq!(counts(&outcome), report(count));
            for n in 0..count {
                let engine = if n % 3 == 2 { "podman" } else { "docker" };
                assert!(
                    outcome.frozen.first().contains(&NamedContainer::new(engine, &id(n), None)),
                    "{n}: {outcome:?}"
                );
            }
            assert!((0..count).all(|n| world.is_frozen(&name(n))));
            assert!(!world.is_marked(&name(0)), "the folder holds the mark");
            let thawed = workloads.thaw()?;
            assert_eq!((thawed.thawed.len(), thawed.gone.len()), (1 + count - count.div_ceil(3), 0), "{thawed:?}");
            assert!(!(0..count).any(|n| world.is_frozen(&name(n))));
            assert_eq!(fs::metadata(world.ledger())?.len(), 0);
        }
        assert_eq!(workloads.thaw()?.thawed.len(), 0, "there is nothing left to thaw");
    }
    Ok(())
}

fn does_nothing() -> Outcome {
    let mut world = Cgroups::new()?;
    let log = world.scratch.path().join("log");
    let count = || fs::metadata(&log).map(|meta| meta.len()).unwrap_or_default();
    world.run(
        &format!("system.slice/docker-{}.scope", id(1)),
        Command::new("sh").arg("-c").arg("while :; do echo >> \"$0\"; sleep 0.005; done").arg(&log),
    )?;
    let runs = || {
        let before = count();
        until("it runs", LIMIT, || count() > before + 3)
    };
    runs()?;
    let workloads = world.workloads();
    // The shell and its sleep stop together, and none of its children starts anew.
    workloads.freeze(LIMIT, Awake::NEVER)?;
    let frozen = count();
    std::thread::park_timeout(Duration::from_millis(100));
    assert_eq!(count(), frozen);
    workloads.thaw()?;
    runs()
}

fn a_users_pause() -> Outcome {
    let mut world = Cgroups::new()?;
    let (below, other) = (format!("docker/{}", id(1)), format!("docker/{}", id(2)));
    let scope = format!("system.slice/docker-{}.scope", id(3));
    for path in [&below, &other, &scope] {
        world.container(path)?;
    }
    world.mark(&below, "1")?;
    world.mark(&scope, "1")?;
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
    // One more while everything is frozen.
    world.mark(&other, "1")?;
    assert_eq!(workloads.thaw()?.thawed, [std::path::Path::new("docker")]);
    for path in [&below, &other, &scope] {
        assert!(world.is_marked(path) && world.is_frozen(path), "{path}");
        world.mark(path, "0")?;
        until("the user's own thaw thaws", LIMIT, || !world.is_frozen(path))?;
    }
    Ok(())
}

fn a_folder_frozen_before() -> Outcome {
    let mut world = Cgroups::new()?;
    let (below, scope) = (format!("docker/{}", id(1)), format!("machine.slice/libpod-{}.scope", id(2)));
    world.container(&below)?;
    world.container(&scope)?;
    world.mark("docker", "1")?;
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(2));
    assert_eq!(workloads.thaw()?.thawed, [std::path::Path::new(&scope)]);
    assert!(world.is_frozen(&below) && !world.is_frozen(&scope));
    Ok(())
}

fn exclusions() -> Outcome {
    let mut world = Cgroups::new()?;
    let docker = |n| format!("docker/{}", id(n));
    for n in 1..=5 {
        world.container(&docker(n))?;
    }
    let scope = format!("machine.slice/libpod-{}.scope", id(6));
    world.container(&scope)?;
    let file = |n, text: &str| world.lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(n)), text);
    file(1, r#"{"Name": "/vpn", "Config": {"Labels": {}}}"#)?;
    file(2, r#"{"Name": "/a", "Config": {"Labels": {"clockgate.exempt": "true"}}}"#)?;
    file(3, r#"{"Name": "/b", "Config": {"Labels": {"tier": "infra"}}}"#)?;
    // A program of this name that may set the clock; it is sleep(1).
    let keeper = world.scratch.path().join("gpsd");
    support::copy_program("/bin/sleep".as_ref(), &keeper)?;
    world.run(&docker(4), Command::new(&keeper).arg("1000"))?;
    let exclude = ["vpn", "tier=infra"].map(|text| text.parse().unwrap()).to_vec();
    let workloads = Workloads::new(FreezeSettings { exclude, ..world.settings() });

    let known = workloads.known()?;
    let why = |n| known.iter().find(|known| known.container.id == id(n)).and_then(|known| known.runs_on.clone());
    let reasons = [why(1), why(2), why(3), why(4), why(5)].map(Option::unwrap_or_default);
    let wanted = ["freeze.exclude has vpn", "its label clockgate.exempt=true", "freeze.exclude has tier=infra"];
    assert_eq!(reasons[..3], wanted);
    assert_eq!(reasons[3..], ["gpsd runs in it", ""]);

    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(2));
    assert!(!world.is_marked("docker"));
    assert_eq!((1..=5).map(|n| world.is_frozen(&docker(n))).collect::<Vec<_>>(), [false, false, false, false, true]);
    assert!(world.is_frozen(&scope));
    workloads.thaw()?;
    assert!(!world.is_frozen(&docker(5)) && !world.is_frozen(&scope));

    let only = Workloads::new(FreezeSettings {
        engines: vec![Engine::Podman],
        ledger: world.scratch.path().join("other"),
        ..world.settings()
    });
    assert_eq!(counts(&only.freeze(LIMIT, Awake::NEVER)?), report(1));
    assert!(!world.is_frozen(&docker(5)) && world.is_frozen(&scope));
    only.thaw()?;
    Ok(())
}

fn again() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = |n| format!("system.slice/docker-{}.scope", id(n));
    world.container(&scope(1))?;
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    world.container(&scope(2))?;
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(2));
    world.remove(&scope(1))?;
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    let thawed = workloads.thaw()?;
    assert_eq!(thawed.thawed, [std::path::PathBuf::from(scope(2))]);
    assert_eq!(thawed.gone, [std::path::PathBuf::from(scope(1))]);
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    workloads.thaw()?;
    assert_eq!(world.guards().len(), 1, "one guard for all of it");
    drop(workloads);
    assert_eq!(world.guards(), [0; 0], "it ends with its agent");
    Ok(())
}

fn a_start_below() -> Outcome {
    let mut world = Cgroups::new()?;
    fs::create_dir(world.folder.join("docker"))?;
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(0));
    let started = format!("docker/{}", id(1));
    world.container(&started)?;
    until("what is started below is frozen", LIMIT, || world.is_frozen(&started))?;
    workloads.thaw()?;
    until("and goes on by itself", LIMIT, || !world.is_frozen(&started))
}

fn replaced() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = format!("system.slice/docker-{}.scope", id(1));
    world.container(&scope)?;
    let workloads = world.workloads();
    workloads.freeze(LIMIT, Awake::NEVER)?;
    world.remove(&scope)?;
    world.container(&scope)?;
    world.mark(&scope, "1")?;
    let thawed = workloads.thaw()?;
    assert_eq!((thawed.thawed.len(), thawed.gone.len()), (0, 1), "{thawed:?}");
    assert!(world.is_marked(&scope), "the user paused this one");
    Ok(())
}

fn waves() -> Outcome {
    let mut world = Cgroups::new()?;
    for n in 0..7 {
        world.container(&format!("docker/{}", id(n)))?;
    }
    let pause = Duration::from_millis(30);
    let waves = Some(Waves { size: 3, pause });
    let workloads = Workloads::new(FreezeSettings { waves, ..world.settings() });
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(7));
    assert!(!world.is_marked("docker"));
    let noted = fs::read_to_string(world.ledger())?;
    let order: Vec<&str> = noted.lines().filter_map(|line| line.rsplit(' ').next()).filter(|p| !p.is_empty()).collect();
    let started = Instant::now();
    let thawed = workloads.thaw()?.thawed;
    assert!(started.elapsed() >= pause * 2, "three waves have two pauses");
    let reverse: Vec<&str> = thawed.iter().rev().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(reverse, order);
    Ok(())
}

fn without() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = format!("system.slice/docker-{}.scope", id(1));
    world.container(&scope)?;
    let gone = Workloads::new(FreezeSettings { guard: "/no/such/program".into(), ..world.settings() });
    assert!(matches!(gone.freeze(LIMIT, Awake::NEVER), Err(WorkloadError::Guard { .. })));
    let false_one = Workloads::new(FreezeSettings {
        guard: "/bin/false".into(),
        ledger: world.scratch.path().join("second"),
        ..world.settings()
    });
    assert!(matches!(false_one.freeze(LIMIT, Awake::NEVER), Err(WorkloadError::Guard { .. })));
    let ledger = Workloads::new(FreezeSettings { ledger: "/proc/no/ledger".into(), ..world.settings() });
    assert!(ledger.freeze(LIMIT, Awake::NEVER).is_err());
    assert!(!world.is_marked(&scope) && !world.is_frozen(&scope));
    Ok(())
}

fn one_agent() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = format!("system.slice/docker-{}.scope", id(1));
    world.container(&scope)?;
    let (first, second) = (world.workloads(), world.workloads());
    first.freeze(LIMIT, Awake::NEVER)?;
    assert!(matches!(second.freeze(LIMIT, Awake::NEVER), Err(WorkloadError::Held(_))));
    assert!(matches!(second.thaw_at_once(), Err(WorkloadError::Held(_))));
    assert!(world.is_frozen(&scope));
    first.thaw()?;
    drop(first);
    assert_eq!(counts(&second.freeze(LIMIT, Awake::NEVER)?), report(1));
    drop(second);
    until("the guard thaws what an agent leaves frozen that ends", LIMIT, || !world.is_frozen(&scope))
}

fn nothing_to_freeze() -> Outcome {
    let mut world = Cgroups::new()?;
    world.container("system.slice/web.service")?;
    let excluded = format!("system.slice/docker-{}.scope", id(1));
    world.container(&excluded)?;
    let exclude = vec![format!("/{excluded}").parse()?];
    let workloads = Workloads::new(FreezeSettings { exclude, ..world.settings() });
    workloads.prepare(Thoroughness::Anew)?;
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?, FreezeOutcome::default());
    workloads.thaw()?;
    assert!(world.guards().is_empty() && !world.ledger().exists());

    let scope = format!("machine.slice/libpod-{}.scope", id(2));
    for look in [Some(Thoroughness::WhatIsNew), None] {
        world.container(&scope)?;
        if let Some(look) = look {
            workloads.prepare(look)?;
            assert_eq!(world.guards().len(), 1, "posted ahead of the freeze");
        }
        assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
        assert_eq!(world.guards().len(), 1);
        workloads.thaw()?;
        world.remove(&scope)?;
        workloads.prepare(Thoroughness::WhatIsNew)?;
        assert_eq!(world.guards(), [0; 0], "it is not needed any more");
    }
    Ok(())
}

/// What a reload does: nobody's containers at first, then Docker's, then nobody's again.
fn other_settings() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = format!("system.slice/docker-{}.scope", id(1));
    world.container(&scope)?;
    let nobodys = FreezeSettings { engines: vec![], ..world.settings() };
    let mut workloads = Workloads::new(nobodys.clone());
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?, FreezeOutcome::default());
    workloads.set(world.settings());
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    let guard = world.guards();
    workloads.set(nobodys);
    assert!(world.is_frozen(&scope) && world.guards() == guard, "what is frozen stays under its guard");
    workloads.thaw()?;
    assert!(!world.is_frozen(&scope));
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?, FreezeOutcome::default());
    Ok(())
}

fn the_guard_stays() -> Outcome {
    let mut world = Cgroups::new()?;
    let scope = format!("system.slice/docker-{}.scope", id(1));
    world.container(&scope)?;
    let workloads = world.workloads();
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    // From now on it would not be frozen.
    let keeper = world.scratch.path().join("gpsd");
    support::copy_program("/bin/sleep".as_ref(), &keeper)?;
    world.run(&scope, Command::new(&keeper).arg("1000"))?;
    workloads.prepare(Thoroughness::WhatIsNew)?;
    assert_eq!((workloads.freeze(LIMIT, Awake::NEVER)?, world.guards().len()), (FreezeOutcome::default(), 1));
    drop(workloads);
    until("the guard thaws what its agent left", LIMIT, || !world.is_frozen(&scope))
}
