//! The known night: a laptop that sleeps and wakes up an hour behind, a clock that another program sets, a restore, an evening without a
//! network, an agent that is killed, a reboot. Its history is committed, and what a report has to say of it is known.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::decision::{Cause, ContainerList, NamedContainer, Offset, Realtime, RestoreSign};
use serde_json::Value;

use crate::simulated::{SimulatedHost, SimulatedServer};
use crate::support::expected::is_as_written;
use crate::support::{Outcome, ensure};

/// 2026-11-23 18:00 UTC.
pub const EVENING: i64 = 1_795_456_800;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// One thing that was done to the host.
#[derive(Clone, Copy, Debug)]
pub struct KnownDisruption {
    pub cause: &'static str,
    pub time: Realtime,
    /// Reference minus local just after it.
    pub offset: Offset,
}

/// The folder of the case.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/01-a-known-night")
}

/// The file is what the machine and the recorder write.
pub fn is_committed() -> Outcome {
    let (lines, _) = lived();
    is_as_written(&folder().join("history/events.jsonl"), &lines.concat())
}

/// Cause, true time and offset of each disruption, and nothing else.
pub fn is_reported() -> Outcome {
    let host = crate::cases::host(&folder().join("history"))?;
    let json: Value = serde_json::from_slice(&crate::cases::report(&host, "UTC", &["--json"])?.stdout)?;
    let reported = json["disruptions"].as_array().ok_or("no disruptions")?;
    let known = lived().1;
    ensure(reported.len() == known.len(), format!("{} of {} are reported", reported.len(), known.len()))?;
    for (one, known) in reported.iter().zip(known) {
        let number = |name: &str| one[name].as_i64().ok_or_else(|| format!("no {name} in {one}"));
        ensure(one["cause"] == known.cause && one["dated_by"] == "proof", format!("{known:?}: {one}"))?;
        let late = (number("time_ns")? - known.time.as_nanos()).unsigned_abs();
        ensure(late <= 10_000_000, format!("{known:?} is reported {late} ns away: {one}"))?;
        let wrong = (number("offset_ns")? - known.offset.as_nanos()).abs();
        ensure(wrong <= number("root_distance_ns")?, format!("{known:?} is beyond its bound: {one}"))?;
    }
    ensure(json["worst"] == 3, "an hour is the worst")?;
    ensure(reported[3]["asleep_ns"].as_u64().is_some_and(|asleep| asleep / 1_000_000_000 == 18_000), "five hours")?;
    ensure(reported[4]["agent_before"] == "killed" && reported[6]["agent_before"] == "other-boot", "agents")
}

/// The lines of its history, and what happened.
pub fn lived() -> (Vec<String>, Vec<KnownDisruption>) {
    let mut known = vec![];
    let mut host = SimulatedHost::boot(Realtime::from_secs(EVENING), Offset::from_nanos(-2_300_000_000), &servers());
    (host.containers, host.starts) = (containers(), starts());
    let mut note =
        |cause, host: &SimulatedHost, offset| known.push(KnownDisruption { cause, time: host.truth(), offset });

    note("started", &host, Offset::from_nanos(-2_300_000_000));
    host.start();
    host.pass(50 * MINUTE);

    note("foreign-step", &host, Offset::from_secs(90));
    host.set_back(Offset::from_secs(90));
    host.pass(70 * MINUTE);

    host.servers.clear();
    note("requested", &host, Offset::ZERO);
    host.request();
    host.pass(35 * MINUTE);
    host.servers = servers();
    host.pass(25 * MINUTE);

    host.sleep(5 * HOUR, HOUR);
    note("resume", &host, Offset::from_secs(3600));
    host.pass(40 * MINUTE);

    host.forget();
    host.pass_without_agent(20 * MINUTE);
    note("started", &host, Offset::ZERO);
    host.start();
    host.pass(30 * MINUTE);

    host.pause(12 * MINUTE, Cause::Restore(RestoreSign::Notice));
    note("restore", &host, Offset::from_secs(720));
    host.pass(30 * MINUTE);
    host.end();

    host.reboot(45 * MINUTE, Offset::from_nanos(-31_000_000));
    note("started", &host, Offset::from_nanos(-31_000_000));
    host.start();
    host.pass(75 * MINUTE);
    (host.lines, known)
}

fn servers() -> Vec<SimulatedServer> {
    let server = |name, wrong, millis| SimulatedServer {
        name,
        wrong: Offset::from_nanos(wrong),
        root_distance: Duration::from_millis(millis),
    };
    vec![
        server("ntp1.example", 300_000, 4),
        server("ntp2.example", -200_000, 6),
        server("ntp3.example", 100_000, 9),
        server("broken.example", 40_000_000_000, 5),
    ]
}

pub fn containers() -> ContainerList {
    let all = [
        ("docker", "4f1c5e3a9b7d2f60", Some("web")),
        ("podman", "9d2e00aa41c3b877", Some("db")),
        ("docker", "77aa01bc5566dd00", None),
    ];
    ContainerList::new(&all, |(engine, id, name)| NamedContainer::new(engine, id, *name))
}

pub fn starts() -> ContainerList {
    NamedContainer::new("docker", "1b3d5f7a9c0e2468", Some("worker-1")).into()
}
