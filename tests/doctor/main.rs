//! Hosts as folders: `root`, `world` (what no folder has: may be absent), `expected`. A new case needs no Rust. Blocked networks are made in
//! namespaces: see `network.rs`.
//!
//! A line of `world` is one of those in [`apply`]; offsets are seconds, positive where our clock is behind. Without any, the root is an
//! image that is not running. `CLOCKGATE_BLESS=1` writes `expected` anew, to be read before it is committed.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod inits;
mod lists;
mod network;
#[path = "../http/site.rs"]
mod site;
mod slow;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clockgate::config::Config;
use clockgate::daemon::inspection::{SourceSummary, vmwares};
use clockgate::decision::{Leap, Offset, Realtime};
use clockgate::doctor::facts::{
    AgentState, DoctorFacts, Examination, FutureFile, MeasuredNow, NetworkUse, RtcPower, SlowFacts, TimerRate, gather,
};
use clockgate::doctor::{CAUSES, Detail, Diagnosis, text};
use clockgate::page::Gate;
use clockgate::sys::adjtimex::KernelClock;
use libtest_mimic::{Arguments, Failed, Trial};

type Outcome = Result<(), Failed>;

fn main() -> std::process::ExitCode {
    let folders = support::folders::of("doctor")
        .into_iter()
        .filter(|folder| folder.join("expected").exists() || folder.join("root").exists());
    let cases = folders.map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || case(&folder))
    });
    let others = [
        Trial::test("every_cause_is_the_first_one_somewhere", causes),
        Trial::test("exit_codes_are_as_documented_and_a_check_that_there_is_not_is_refused", codes),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        cases
            .chain(others)
            .chain(network::trials())
            .chain(inits::trials())
            .chain(lists::trials())
            .chain(slow::trials())
            .collect(),
    )
    .exit_code()
}

/// What a running host of a test says that it is, 2026-11-28 12:00 UTC, but for what its world has.
const NOON: Realtime = Realtime::from_secs(1_795_867_200);

fn case(folder: &Path) -> Outcome {
    let facts = facts_of(folder, &folder.join("root"))?;
    let became = text(&Diagnosis::of(&facts, &[], &[]), Detail::Evidence);
    let became = became.replace(&folder.join("root").display().to_string(), "ROOT");
    let path = folder.join("expected");
    if std::env::var_os("CLOCKGATE_BLESS").is_some() {
        std::fs::write(&path, &became)?;
    }
    let expected = std::fs::read_to_string(&path)?;
    if expected == became { Ok(()) } else { Err(format!("wanted\n{expected}got\n{became}").into()) }
}

/// The facts of this root, in the world of this folder.
fn facts_of(folder: &Path, root: &Path) -> Result<DoctorFacts, Failed> {
    let world = std::fs::read_to_string(folder.join("world")).unwrap_or_default();
    let examination = Examination {
        root: root.to_owned(),
        config: Config::load(root).map_err(|error| error.to_string()),
        servers: vec![],
        network: NetworkUse::Offline,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut facts = runtime.block_on(gather(&examination));
    for line in world.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        apply(&mut facts, &words).ok_or_else(|| format!("{}: {line}", folder.display()))?;
    }
    Ok(facts)
}

/// One line of a world.
fn apply(facts: &mut DoctorFacts, words: &[&str]) -> Option<()> {
    let kernel = KernelClock {
        unsynchronised: false,
        max_error: Duration::ZERO,
        estimated_error: Duration::ZERO,
        frequency_ppb: 0,
        tick_us: 10_000,
        phase_ppb: 0,
        tai_offset_secs: 37,
        leap: Leap::None,
    };
    match words {
        ["running"] => {
            facts.is_image = false;
            facts.clock.local = Some(NOON);
            facts.clock.zone.offset_secs = Some(0);
            facts.clock.kernel = Some(kernel);
        }
        // A file that was written so many seconds after what the clock says.
        ["from-the-future", path, secs] => {
            let written = facts.clock.local? + Offset::from_secs(secs.parse().ok()?);
            facts.clock.future.push(FutureFile { path: path.into(), written });
        }
        ["local", secs] => facts.clock.local = Some(Realtime::from_secs(secs.parse().ok()?)),
        ["zone", secs] => facts.clock.zone.offset_secs = Some(secs.parse().ok()?),
        ["now", offset, distance] => {
            let root_distance = Duration::try_from_secs_f64(distance.parse().ok()?).ok()?;
            let secs: f64 = offset.parse().ok()?;
            let size = i64::try_from(Duration::try_from_secs_f64(secs.abs()).ok()?.as_nanos()).ok()?;
            let offset = Offset::from_nanos(if secs < 0.0 { -size } else { size });
            facts.network.measured = Some(Ok(MeasuredNow { offset, root_distance, supporters: 4 }));
        }
        ["synchronized", max_error] => {
            let max_error = Duration::try_from_secs_f64(max_error.parse().ok()?).ok()?;
            facts.clock.kernel = Some(KernelClock { max_error, ..kernel });
        }
        ["unsynchronized"] => {
            facts.clock.kernel =
                Some(KernelClock { unsynchronised: true, max_error: Duration::from_secs(16), ..kernel });
        }
        ["agent", "gone"] => {
            facts.own.agent = AgentState::Gone("the agent was killed or hangs: silent for 12.0 s".to_owned())
        }
        ["agent", gate] => {
            let gate = match *gate {
                "proven" => Gate::Proven,
                "unproven" => Gate::Unproven,
                "shut" => Gate::Shut,
                _ => return None,
            };
            facts.own.agent = AgentState::Runs(gate, "no reference answers".to_owned());
        }
        ["falseticker", name] => facts.network.falsetickers.push((*name).to_owned()),
        ["clocks-of-its-own"] => facts.containers.has_clocks_of_its_own = true,
        // What `vmware-toolbox-cmd timesync status` prints.
        ["vmware-timesync", answer] => {
            *facts.daemon.guest_tools.iter_mut().find(|tools| tools.comm == "vmtoolsd")? =
                vmwares(Some(format!("{answer}\n")));
        }
        ["hardware-sources", count] => sources(facts)?.hardware = count.parse().ok()?,
        ["rtc-power", flags] => facts.hardware.power = Some(RtcPower::Flags(flags.parse().ok()?)),
        ["tick", micros] => facts.clock.kernel = Some(KernelClock { tick_us: micros.parse().ok()?, ..kernel }),
        ["sources", total, reached, offline, follows] => {
            facts.daemon.sources = Some(Ok(SourceSummary {
                total: total.parse().ok()?,
                reached: reached.parse().ok()?,
                offline: offline.parse().ok()?,
                follows_one: *follows == "follows",
                ..SourceSummary::default()
            }));
        }
        ["timer", error, bound] => {
            let (error_ppm, bound_ppm) = (error.parse().ok()?, bound.parse().ok()?);
            let timer = Some(TimerRate { error_ppm, bound_ppm, source: "192.0.2.1:123".to_owned() });
            facts.network.slow = Some(SlowFacts { timer, ..SlowFacts::default() });
        }
        ["too-far", count] => sources(facts)?.too_far = count.parse().ok()?,
        ["unusable", count] => sources(facts)?.unusable = count.parse().ok()?,
        ["outranked", count] => sources(facts)?.outranked = count.parse().ok()?,
        _ => return None,
    }
    Some(())
}

/// Those that a line before has.
fn sources(facts: &mut DoctorFacts) -> Option<&mut SourceSummary> {
    facts.daemon.sources.as_mut()?.as_mut().ok()
}

/// The first cause of each expected list and of each blocked network: there is none that nothing shows.
fn causes() -> Outcome {
    let mut texts: Vec<String> = support::folders::of("doctor")
        .into_iter()
        .filter_map(|folder| std::fs::read_to_string(folder.join("expected")).ok())
        .collect();
    texts.extend(network::EXPECTED.iter().map(|(_, cause)| format!("Cause, most likely: {cause} (")));
    let shown = |words: &str| texts.iter().any(|text| text.contains(&format!("Cause, most likely: {words} (")));
    let missing: Vec<&str> = CAUSES.iter().filter(|cause| !shown(cause.words)).map(|cause| cause.id).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no case shows {missing:?}").into()) }
}

fn codes() -> Outcome {
    let image = tempfile::tempdir()?;
    let code = |arguments: &[&str]| {
        let mut command = Command::new(support::CLOCKGATE);
        let output = command.arg("doctor").args(arguments).arg("--root").arg(image.path()).output().unwrap();
        output.status.code()
    };
    assert_eq!(code(&[]), Some(1), "no time daemon is installed");
    assert_eq!(code(&["--skip", "daemon"]), Some(0));
    std::fs::create_dir_all(image.path().join("etc"))?;
    std::fs::write(image.path().join("etc/adjtime"), "0 0 0\n0\nLOCAL\n")?;
    assert_eq!(code(&["--only", "rtc.local"]), Some(0), "a warning");
    assert_eq!(code(&["--only", "rtc.local", "--strict"]), Some(1));
    assert_eq!(code(&["--only", "rtc.nonsense"]), Some(2));
    assert_eq!(code(&["--frobnicate"]), Some(2));
    Ok(())
}
