//! Containers that ask to be thawed by their own tolerance, thawed while the others stay frozen: by the freezer, and by an agent whose
//! clock is off.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use clockgate::container::tolerance::{LABEL, THAW_LABEL};
use clockgate::decision::{Awake, Gate, Offset};
use clockgate::page::Page;
use libtest_mimic::{Failed, Trial};

use crate::cgroups::{Cgroups, id};
use crate::support::liar::Liar;
use crate::support::{Ours, Outcome, clockgate, expect, needing, until};
use crate::{LIMIT, counts, names, report};

/// Far more than an agent needs to measure twice.
const SOON: Duration = Duration::from_secs(60);

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Outcome| needing(lacks.clone(), name, test);
    vec![
        trial("who_asks_for_it_is_thawed_by_its_tolerance_and_nobody_else_runs", who_asks),
        trial("an_agent_whose_clock_is_off_thaws_who_tolerates_that_and_asked_for_it", by_an_agent),
    ]
}

/// Containers of docker in one folder, the first of which tolerate so much and ask to be thawed by that, or do not.
struct Host {
    world: Cgroups,
}

impl Host {
    fn new(labels: &[&[(&str, &str)]]) -> Result<Self, Failed> {
        let mut world = Cgroups::new()?;
        for (n, labels) in (1..).zip(labels) {
            let labels: serde_json::Map<_, _> =
                labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
            let config = serde_json::json!({ "Name": format!("/c{n}"), "Config": { "Labels": labels } });
            world.lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(n)), &config.to_string())?;
            world.container(&docker(n))?;
        }
        Ok(Self { world })
    }

    fn frozen(&self) -> Vec<bool> {
        (1..=4).map(|n| self.world.is_frozen(&docker(n))).collect()
    }
}

fn docker(n: usize) -> String {
    format!("docker/{}", id(n))
}

fn named(n: usize) -> String {
    format!("c{n} (docker {})", &id(n)[..12])
}

fn who_asks() -> Outcome {
    let asks = |tolerance| [(LABEL, tolerance), (THAW_LABEL, "true")];
    let host = Host::new(&[&asks("60s"), &[(LABEL, "60s")], &asks("sigv4"), &[(THAW_LABEL, "true")]])?;
    let workloads = host.world.workloads();
    let outcome = workloads.freeze(LIMIT, Awake::NEVER)?;
    assert_eq!((counts(&outcome), outcome.tolerances), (report(4), vec![minutes(1), minutes(5)]));
    assert_eq!(names(&workloads.thaw_tolerant(minutes(10))?), [""; 0], "nobody tolerates so much");
    assert_eq!(host.frozen(), [true; 4]);
    assert_eq!(names(&workloads.thaw_tolerant(minutes(2))?), [named(3)]);
    assert_eq!(host.frozen(), [true, true, false, true]);
    assert_eq!(names(&workloads.thaw_tolerant(minutes(1))?), [named(1)], "the other one runs already");
    assert_eq!(host.frozen(), [false, true, false, true]);
    // The next freeze takes them with all others, and a thaw leaves nothing.
    let again = workloads.freeze(LIMIT, Awake::NEVER)?;
    assert_eq!((again.frozen.count(), host.frozen()), (4, vec![true; 4]));
    workloads.thaw()?;
    assert_eq!(host.frozen(), [false; 4]);
    assert_eq!(fs::metadata(host.world.ledger())?.len(), 0);
    Ok(())
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// The clock is 20 s off by what the server says, and nothing may correct it. The cgroup2 hierarchy that this agent sees is the
/// folder of the test.
fn by_an_agent() -> Outcome {
    let asks = |tolerance| [(LABEL, tolerance), (THAW_LABEL, "true")];
    let host = Host::new(&[&asks("60s"), &[(LABEL, "60s")], &asks("10s"), &[]])?;
    let liar = Liar::here(Offset::from_secs(20))?;
    let at = host.world.scratch.path().join("root");
    let mount = format!("1 1 0:1 / {} rw - cgroup2 cgroup2 rw\n", host.world.folder.display());
    host.world.lay("proc/self/mountinfo", &mount)?;
    host.world.lay("proc/self/cgroup", "0::/elsewhere\n")?;
    symlink("/proc/sys", at.join("proc/sys"))?;
    let config = format!(
        "servers: ['{}']\ncorrection: none\ndeadline: 10min\nfreeze: {{engines: [docker], max: 10min}}\n",
        liar.address()
    );
    host.world.lay("etc/clockgate/config.yaml", &config)?;
    let mut agent = clockgate();
    let log = fs::File::create(host.world.scratch.path().join("log"))?;
    let agent = Ours::spawn(agent.args(["agent", "--root"]).arg(&at).stdout(Stdio::null()).stderr(log))?;
    let said = || fs::read_to_string(host.world.scratch.path().join("log")).unwrap_or_default();
    let bus = at.join("run/clockgate/bus");
    until("the agent starts", SOON, || bus.exists()).map_err(|failed| format!("{failed:?}: {}", said()))?;
    let notify = |what: &str| {
        let told = clockgate().args(["notify", what, "--bus"]).arg(&bus).output()?;
        // The clock is not proven, and is not to be.
        expect(told.status.success() || what == "resume", &told)
    };
    notify("suspend")?;
    until("all are frozen", SOON, || host.frozen() == [true; 4]).map_err(|failed| format!("{failed:?}: {}", said()))?;
    notify("resume")?;
    let is_thawed = || host.frozen() == [false, true, true, true];
    until("who tolerates it and asked for it runs", SOON, is_thawed)
        .map_err(|failed| format!("{failed:?}: {:?}: {}", host.frozen(), said()))?;
    let view = Page::open(&at.join("run/clockgate/public"))?.read();
    assert_eq!(view.gate, Gate::Shut, "for all others");
    assert!(view.served_tolerance().is_some_and(|served| served > Duration::from_secs(20)), "{view:?}");
    until("it is said", SOON, || said().contains("thawed the containers that asked for it"))
        .map_err(|failed| format!("{failed:?}: {}", said()))?;
    assert!(said().contains(&named(1)) && host.frozen() == [false, true, true, true], "{}", said());
    // An agent that ends leaves nothing frozen.
    nix::sys::signal::kill(agent.pid(), nix::sys::signal::Signal::SIGTERM)?;
    until("all run", SOON, || host.frozen() == [false; 4])
}
