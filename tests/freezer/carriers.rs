//! Containers that carry the host's network, thawed while the others stay frozen.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clockgate::decision::Awake;
use clockgate::workload::{FreezeSettings, Waves, Workloads};
use libtest_mimic::{Failed, Trial};

use crate::cgroups::{Cgroups, id};
use crate::killed::{Agent, MOMENTS, Moments, THAWED_WITHIN};
use crate::support::{Outcome, expect, lacks_root, needing, until};
use crate::{LIMIT, counts, names, report};

/// CAP_NET_ADMIN of linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
    eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
const DEFAULT_ROUTE: &str = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let lacks = lacks.clone().or_else(lacks_root).or_else(lacks_capability);
    let trial = |name: &str, test: fn() -> Outcome| needing(lacks.clone(), name, test);
    vec![
        trial("who_carries_the_network_is_thawed_out_of_a_frozen_folder_and_nobody_else_runs", out_of_a_folder),
        trial("out_of_pods_the_others_stay_frozen_as_coarsely_as_they_can", out_of_pods),
        trial("where_each_is_frozen_by_itself_no_other_mark_is_touched", one_by_one),
        trial("who_cannot_change_the_host_s_network_does_not_carry_it", who_carries_nothing),
        trial("without_a_route_out_nobody_is_thawed", without_a_route),
        trial("the_guard_thaws_at_its_time_what_the_carriers_left_frozen", the_guard),
        trial("thawed_by_hand_beside_the_carriers_everything_runs", by_hand),
        trial("an_agent_killed_while_it_thaws_carriers_leaves_nothing_frozen", killed),
    ]
}

fn lacks_capability() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    (mask.unwrap_or(0) >> CAP_NET_ADMIN & 1 == 0).then(|| "CAP_NET_ADMIN".to_owned())
}

fn docker(n: usize) -> String {
    format!("docker/{}", id(n))
}

fn scope(n: usize) -> String {
    format!("system.slice/docker-{}.scope", id(n))
}

/// A host with a network of which the test says where it leads.
struct Host {
    world: Cgroups,
}

impl Host {
    fn new() -> Result<Self, Failed> {
        Ok(Self { world: Cgroups::new()? })
    }

    /// A container with the host's network and every capability of ours.
    fn carrier(&mut self, path: &str) -> Outcome {
        self.world.container(path)
    }

    /// The same without CAP_NET_ADMIN.
    fn plain(&mut self, path: &str) -> Outcome {
        self.within(path, "setpriv", &["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"])
    }

    fn within(&mut self, path: &str, program: &str, args: &[&str]) -> Outcome {
        self.world.run_as(path, Command::new(program).args(args).args(["sleep", "1000"]), OsStr::new("sleep"))
    }

    /// The machine's `/proc`, as far as it is there now, with routes of its own.
    fn proc_root(&self, routes: &str) -> Result<PathBuf, Failed> {
        let proc_root = self.world.scratch.path().join("proc");
        let ours = proc_root.join("self");
        fs::create_dir_all(ours.join("net"))?;
        let real = Path::new("/proc").join(std::process::id().to_string());
        for name in ["mountinfo", "cgroup", "ns", "uid_map"] {
            symlink(real.join(name), ours.join(name))?;
        }
        fs::write(ours.join("net/route"), format!("{ROUTES}{routes}"))?;
        for entry in fs::read_dir("/proc")?.flatten().filter(|entry| entry.file_name() != "self") {
            symlink(entry.path(), proc_root.join(entry.file_name()))?;
        }
        Ok(proc_root)
    }

    fn settings(&self, routes: &str) -> Result<FreezeSettings, Failed> {
        Ok(FreezeSettings { proc_root: self.proc_root(routes)?, ..self.world.settings() })
    }

    fn workloads(&self) -> Result<Workloads, Failed> {
        Ok(Workloads::new(self.settings(DEFAULT_ROUTE)?))
    }

    /// Who is frozen of these.
    fn frozen(&self, paths: &[String]) -> Vec<bool> {
        paths.iter().map(|path| self.world.is_frozen(path)).collect()
    }
}

/// `docker 000000000000`, where nobody gave it a name.
fn unnamed(number: usize) -> String {
    format!("docker {}", &id(number)[..12])
}

fn out_of_a_folder() -> Outcome {
    let mut host = Host::new()?;
    let log = host.world.scratch.path().join("log");
    let count = || fs::metadata(&log).map(|meta| meta.len()).unwrap_or_default();
    host.carrier(&docker(1))?;
    // What it does would be seen, were it thawed for a moment.
    let busy = "while :; do echo >> \"$0\"; done";
    let mut shell = Command::new("setpriv");
    shell.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--", "sh", "-c", busy]).arg(&log);
    host.world.run_as(&docker(2), &mut shell, OsStr::new("sh"))?;
    until("it runs", LIMIT, || count() > 0)?;
    host.plain(&docker(3))?;
    host.carrier(&docker(4))?;
    host.carrier(&docker(5))?;
    host.world.lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(1)), r#"{"Name": "/vpn"}"#)?;
    // Paused by their user, one of them only while the folder was frozen.
    host.world.mark(&docker(3), "1")?;
    host.world.mark(&docker(4), "1")?;
    let workloads = host.workloads()?;
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(5));
    let done = count();
    host.world.mark(&docker(5), "1")?;
    host.plain(&docker(6))?;
    until("what starts below waits", LIMIT, || host.world.is_frozen(&docker(6)))?;

    assert_eq!(names(&workloads.thaw_carriers()?), [format!("vpn ({})", unnamed(1))]);
    let all: Vec<String> = (1..=6).map(docker).collect();
    assert_eq!(host.frozen(&all), [false, true, true, true, true, true]);
    let marked: Vec<bool> = all.iter().map(|path| host.world.is_marked(path)).collect();
    assert_eq!(marked, [false, true, true, true, true, true]);
    assert!(!host.world.is_marked("docker"));
    assert_eq!(count(), done, "it had not a moment");
    assert_eq!(names(&workloads.thaw_carriers()?), [""; 0], "they run already");

    let thawed = workloads.thaw()?.thawed;
    assert_eq!(thawed.len(), 2, "the others' marks are their users': {thawed:?}");
    assert_eq!(host.frozen(&all), [false, false, true, true, true, false]);
    until("it goes on", LIMIT, || count() > done)?;
    assert_eq!(fs::metadata(host.world.ledger())?.len(), 0);
    // The next freeze is one of the whole folder again.
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(6));
    assert!(host.world.is_marked("docker") && host.world.is_frozen(&docker(1)) && !host.world.is_marked(&docker(2)));
    workloads.thaw()?;
    Ok(())
}

fn out_of_pods() -> Outcome {
    let mut host = Host::new()?;
    let pod = |pod: &str, n| format!("kubepods/{pod}/{}", id(n));
    host.carrier(&pod("burstable/podA", 1))?;
    for (name, n) in [("burstable/podA", 2), ("burstable/podB", 3), ("burstable/podB", 4), ("podC", 5)] {
        host.plain(&pod(name, n))?;
    }
    let workloads = host.workloads()?;
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(5));
    assert_eq!(names(&workloads.thaw_carriers()?), [format!("kubernetes {}", &id(1)[..12])]);
    for path in ["kubepods", "kubepods/burstable", "kubepods/burstable/podA", &pod("burstable/podA", 1)] {
        assert!(!host.world.is_marked(path) && !host.world.is_frozen(path), "{path}");
    }
    for path in [&pod("burstable/podA", 2), "kubepods/burstable/podB", "kubepods/podC"] {
        assert!(host.world.is_marked(path) && host.world.is_frozen(path), "{path}");
    }
    assert_eq!(workloads.thaw()?.thawed.len(), 3);
    assert!(!host.world.is_frozen(&pod("burstable/podB", 4)));
    Ok(())
}

fn one_by_one() -> Outcome {
    let mut host = Host::new()?;
    host.carrier(&scope(1))?;
    host.plain(&scope(2))?;
    host.carrier(&docker(3))?;
    host.plain(&docker(4))?;
    let waves = Some(Waves { size: 2, pause: Duration::ZERO });
    let workloads = Workloads::new(FreezeSettings { waves, ..host.settings(DEFAULT_ROUTE)? });
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(4));
    let mut run = names(&workloads.thaw_carriers()?);
    run.sort();
    assert_eq!(run, [unnamed(1), unnamed(3)]);
    assert_eq!(host.frozen(&[scope(1), scope(2), docker(3), docker(4)]), [false, true, false, true]);
    assert_eq!(workloads.thaw()?.thawed.len(), 2);
    assert_eq!(host.frozen(&[scope(2), docker(4)]), [false, false]);
    Ok(())
}

fn who_carries_nothing() -> Outcome {
    let mut host = Host::new()?;
    host.plain(&docker(1))?;
    host.within(&docker(2), "unshare", &["--net"])?;
    // All capabilities, and none of them reaches the host's network.
    host.within(&docker(3), "unshare", &["--user", "--map-root-user"])?;
    let workloads = host.workloads()?;
    assert_eq!(names(&workloads.thaw_carriers()?), [""; 0], "nothing is frozen");
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(3));
    let noted = fs::metadata(host.world.ledger())?.len();
    assert_eq!(names(&workloads.thaw_carriers()?), [""; 0]);
    assert!(host.world.is_marked("docker") && !host.world.is_marked(&docker(1)));
    assert_eq!(fs::metadata(host.world.ledger())?.len(), noted);
    workloads.thaw()?;
    Ok(())
}

fn without_a_route() -> Outcome {
    let mut host = Host::new()?;
    host.carrier(&docker(1))?;
    let workloads = Workloads::new(host.settings("")?);
    assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(1));
    assert_eq!(names(&workloads.thaw_carriers()?), [""; 0]);
    assert!(host.world.is_marked("docker") && host.world.is_frozen(&docker(1)));
    fs::write(host.world.scratch.path().join("proc/self/net/route"), DEFAULT_ROUTE)?;
    assert_eq!(names(&workloads.thaw_carriers()?), [unnamed(1)], "as soon as there is one");
    workloads.thaw()?;
    Ok(())
}

fn the_guard() -> Outcome {
    let mut host = Host::new()?;
    host.carrier(&docker(1))?;
    host.plain(&docker(2))?;
    let workloads = Workloads::new(host.settings(DEFAULT_ROUTE)?);
    assert_eq!(counts(&workloads.freeze(LIMIT, crate::awake_in(Duration::from_secs(1)))?), report(2));
    let guards = host.world.guards();
    assert_eq!(workloads.thaw_carriers()?.count(), 1);
    assert!(host.world.is_frozen(&docker(2)));
    until("the guard thaws at its time", LIMIT, || !host.world.is_frozen(&docker(2)))?;
    assert_eq!(host.world.guards(), guards, "the one that was posted");
    // It writes that down behind the thaw.
    let noted = |verb: &str| fs::read_to_string(host.world.ledger()).unwrap_or_default().matches(verb).count();
    until("what the guard thawed is written down", LIMIT, || noted(" thaw ") == noted(" freeze "))?;
    assert_eq!((workloads.thaw_carriers()?.count(), workloads.thaw()?.thawed.len()), (0, 0));
    Ok(())
}

fn by_hand() -> Outcome {
    let mut host = Host::new()?;
    host.carrier(&docker(1))?;
    host.plain(&docker(2))?;
    let workloads = host.workloads()?;
    for carriers_first in [true, false] {
        assert_eq!(counts(&workloads.freeze(LIMIT, Awake::NEVER)?), report(2));
        if carriers_first {
            assert_eq!(workloads.thaw_carriers()?.count(), 1);
        }
        let output = host.world.thaw_command().output()?;
        expect(output.status.success(), &output)?;
        assert_eq!(host.frozen(&[docker(1), docker(2)]), [false, false]);
        assert_eq!((workloads.thaw_carriers()?.count(), workloads.thaw()?.thawed.len()), (0, 0));
        assert!(!host.world.is_marked(&docker(2)));
    }
    Ok(())
}

fn killed() -> Outcome {
    let mut moments = Moments::new();
    let seed = moments.0;
    let mut host = Host::new()?;
    let paths: Vec<String> = (0..12).map(|n| if n % 4 == 3 { scope(n) } else { docker(n) }).collect();
    for (n, path) in paths.iter().enumerate() {
        if n < 2 || n == 3 { host.carrier(path)? } else { host.plain(path)? }
    }
    let paused = &paths[4];
    host.world.mark(paused, "1")?;
    let proc_root = host.proc_root(DEFAULT_ROUTE)?;
    let is_as_before = || {
        let others = || paths.iter().filter(|path| *path != paused);
        !others().any(|path| host.world.is_frozen(path) || host.world.is_marked(path))
            && !host.world.is_marked("docker")
            && host.world.is_marked(paused)
            && host.world.is_frozen(paused)
    };
    let mut caught = 0;
    for moment in 0..MOMENTS {
        let mut agent = Agent::start_with(&host.world, Duration::from_secs(30), Some(&proc_root))?;
        agent.await_line("carriers: 3")?;
        agent.await_line("thawed")?;
        moments.await_next();
        agent.kill()?;
        caught += usize::from(fs::metadata(host.world.ledger())?.len() > 0);
        until("everything is thawed but what the user paused", THAWED_WITHIN, is_as_before)
            .map_err(|why| format!("moment {moment}, seed {seed}: {}", why.message().unwrap_or_default()))?;
        until("the guard ends when it is done", LIMIT, || host.world.guards().is_empty())?;
        assert!(is_as_before());
    }
    println!("{caught} of {MOMENTS} were killed between the first line of the ledger and the last thaw");
    assert!(caught > 0, "not one of these moments shows anything");
    Ok(())
}
