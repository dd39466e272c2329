//! An agent that is killed, or hangs, while things are frozen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clockgate::decision::Awake;
use clockgate::sys::clock::boottime;
use clockgate::workload::{Engine, FreezeSettings, Thoroughness, Workloads};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LIMIT;
use crate::cgroups::{Cgroups, id};
use crate::lines::Lines;
use crate::support::{CLOCKGATE, Ours, Outcome, copy_program, expect, harmless, needing, texts, until};

/// The first argument of an agent of ours; the folder, the ledger and the longest freeze in milliseconds follow, and where it
/// thaws what carries the network first, its `/proc`.
pub const ROLE: &str = "as-the-agent";
/// Ten times what is promised, which the scenario of the guest measures: this machine may be busy.
pub const THAWED_WITHIN: Duration = Duration::from_secs(20);
pub const MOMENTS: usize = 20;
/// Far more than it takes to freeze and thaw once, on a busy machine too; an agent that hangs ends the test.
const SAID_WITHIN: Duration = Duration::from_secs(60);

pub fn trials(lacks: &Option<String>) -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Outcome| needing(lacks.clone(), name, test);
    vec![
        trial("an_agent_killed_at_twenty_random_moments_leaves_nothing_frozen", at_random_moments),
        trial("an_agent_that_hangs_is_not_waited_for_for_ever", hangs),
        trial("what_agent_and_guard_left_is_thawed_by_hand", by_hand),
        trial("a_restarted_agent_thaws_what_the_one_before_it_left", restarted),
        trial("a_guard_that_was_killed_is_replaced", guard_killed),
        trial("thawing_by_hand_without_the_right_to_is_no_success", not_permitted),
    ]
}

/// Freezes and thaws for ever.
pub fn agent(_role: &str) -> ExitCode {
    let mut args = std::env::args().skip(2);
    let (folder, ledger): (PathBuf, PathBuf) = (args.next().unwrap().into(), args.next().unwrap().into());
    let max = Duration::from_millis(args.next().unwrap().parse().unwrap());
    let proc_root = args.next();
    let workloads = Workloads::new(FreezeSettings {
        engines: Engine::ALL.to_vec(),
        proc_root: proc_root.as_deref().unwrap_or("/proc").into(),
        cgroup: Some(folder),
        ledger,
        guard: crate::support::CLOCKGATE.into(),
        root: "/nonexistent".into(),
        ..FreezeSettings::default()
    });
    workloads.thaw_at_once().unwrap();
    loop {
        let report = workloads.freeze(LIMIT, crate::awake_in(max)).unwrap();
        println!("frozen {} of {}", report.frozen.count(), report.of);
        if proc_root.is_some() {
            println!("carriers: {}", workloads.thaw_carriers().unwrap().count());
        }
        workloads.thaw().unwrap();
        println!("thawed");
    }
}

pub struct Agent {
    process: Ours,
    lines: Lines,
}

impl Agent {
    pub fn start(world: &Cgroups, max: Duration) -> Result<Self, Failed> {
        Self::start_with(world, max, None)
    }

    pub fn start_with(world: &Cgroups, max: Duration, proc_root: Option<&Path>) -> Result<Self, Failed> {
        let this = std::env::current_exe()?;
        let mut command = harmless(this);
        command.arg(ROLE).arg(&world.folder).arg(world.ledger()).arg(max.as_millis().to_string());
        command.args(proc_root);
        let mut process = Ours(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let lines = Lines::of(process.0.stdout.take())?;
        Ok(Self { process, lines })
    }

    pub fn await_line(&mut self, beginning: &str) -> Outcome {
        let end = boottime() + SAID_WITHIN;
        loop {
            let line = self.lines.next(end.since(boottime()));
            if line.map_err(|failed| format!("`{beginning}`: {failed:?}"))?.starts_with(beginning) {
                return Ok(());
            }
        }
    }

    pub fn kill(mut self) -> Outcome {
        self.process.0.kill()?;
        self.process.0.wait()?;
        Ok(())
    }
}

/// A host with containers in two folders and in scopes, of which the user has paused three.
struct Host {
    world: Cgroups,
    running: Vec<String>,
    paused: Vec<String>,
}

impl Host {
    fn new() -> Result<Self, Failed> {
        let mut world = Cgroups::new()?;
        let (mut running, mut paused) = (vec![], vec![]);
        for n in 0..30 {
            let path = match n % 3 {
                0 => format!("docker/{}", id(n)),
                1 => format!("libpod_parent/libpod-{}", id(n)),
                _ => format!("system.slice/docker-{}.scope", id(n)),
            };
            world.container(&path)?;
            if n < 3 { paused.push(path) } else { running.push(path) }
        }
        for path in &paused {
            world.mark(path, "1")?;
        }
        Ok(Self { world, running, paused })
    }

    fn is_as_before(&self) -> bool {
        !self.running.iter().any(|path| self.world.is_frozen(path))
            && !["docker", "libpod_parent"].iter().any(|path| self.world.is_marked(path))
            && self.paused.iter().all(|path| self.world.is_marked(path) && self.world.is_frozen(path))
    }

    fn comes_back(&self) -> Outcome {
        let what = "everything is thawed but what the user paused";
        until(what, THAWED_WITHIN, || self.is_as_before())
    }
}

/// Moments up to 16 ms away, a few rounds of freezing and thawing.
pub struct Moments(pub u64);

impl Moments {
    pub fn new() -> Self {
        let seed = std::env::var("CLOCKGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
        println!("CLOCKGATE_SEED={seed}");
        Self(seed)
    }

    pub fn await_next(&mut self) {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let until_then = Instant::now() + Duration::from_micros(self.0 % 16_000);
        while Instant::now() < until_then {
            std::hint::spin_loop();
        }
    }
}

fn at_random_moments() -> Outcome {
    let mut moments = Moments::new();
    let seed = moments.0;
    let host = Host::new()?;
    let mut caught = 0;
    for moment in 0..MOMENTS {
        let mut agent = Agent::start(&host.world, Duration::from_secs(30))?;
        agent.await_line("frozen 30 of 30")?;
        agent.await_line("thawed")?;
        moments.await_next();
        agent.kill()?;
        // The agent empties the ledger when everything is thawed; the guard adds to it.
        caught += usize::from(fs::metadata(host.world.ledger())?.len() > 0);
        host.comes_back()
            .map_err(|why| format!("moment {moment}, seed {seed}: {}", why.message().unwrap_or_default()))?;
        until("the guard ends when it is done", LIMIT, || host.world.guards().is_empty())?;
        assert!(host.is_as_before());
    }
    println!("{caught} of {MOMENTS} were killed between the first line of the ledger and the last thaw");
    assert!(caught > 0, "not one of these moments shows anything");
    Ok(())
}

fn hangs() -> Outcome {
    let host = Host::new()?;
    let mut agent = Agent::start(&host.world, Duration::from_millis(800))?;
    agent.await_line("frozen")?;
    let stop = || kill(agent.process.pid(), Signal::SIGSTOP);
    let go_on = || kill(agent.process.pid(), Signal::SIGCONT);
    // Stopped again and again until it is caught with something frozen.
    until("it is caught frozen", LIMIT, || {
        if stop().is_ok() && !host.is_as_before() {
            return true;
        }
        let _ = go_on();
        false
    })?;
    let guards = host.world.guards();
    assert_eq!(guards.len(), 1);
    // A TERM for the whole unit reaches the guard too, and does nothing to it.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGABRT] {
        kill(Pid::from_raw(guards[0]), signal)?;
    }
    until("the guard thaws at its time", LIMIT, || host.is_as_before())?;
    assert_eq!(host.world.guards(), guards, "it stays for the next freeze");
    // Back from the dead, the agent finds in the ledger that there is nothing left to thaw.
    go_on()?;
    agent.await_line("thawed")?;
    agent.kill()?;
    host.comes_back()
}

/// An agent and its guard killed with something frozen.
fn both_killed(host: &Host) -> Outcome {
    let mut agent = Agent::start(&host.world, Duration::from_secs(30))?;
    agent.await_line("frozen")?;
    until("it is caught frozen", LIMIT, || {
        let _ = kill(agent.process.pid(), Signal::SIGSTOP);
        let is_frozen = !host.is_as_before();
        if !is_frozen {
            let _ = kill(agent.process.pid(), Signal::SIGCONT);
        }
        is_frozen
    })?;
    for guard in host.world.guards() {
        kill(Pid::from_raw(guard), Signal::SIGKILL)?;
    }
    agent.kill()?;
    assert!(!host.is_as_before(), "nobody is left to thaw it");
    Ok(())
}

fn by_hand() -> Outcome {
    let host = Host::new()?;
    both_killed(&host)?;
    let output = host.world.thaw_command().arg("--json").output()?;
    expect(output.status.success(), &output)?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&json["version"], &json["done"], &json["damaged_lines"]), (&2.into(), &true.into(), &0.into()));
    assert!(json["thawed"].as_array().is_some_and(|thawed| !thawed.is_empty()), "{json}");
    host.comes_back()?;
    assert_eq!(fs::metadata(host.world.ledger())?.len(), 0, "it is tidied up");
    let again = host.world.thaw_command().output()?;
    assert_eq!(texts(&again).0, "nothing is frozen by clockgate\n");
    expect(again.status.success(), &again)
}

fn restarted() -> Outcome {
    let host = Host::new()?;
    both_killed(&host)?;
    // Half a line, as a full file system would leave it.
    let mut ledger = fs::read(host.world.ledger())?;
    ledger.extend_from_slice(b"0123456789abcdef freeze 1b4e");
    fs::write(host.world.ledger(), ledger)?;
    let workloads = host.world.workloads();
    let thawed = workloads.thaw_at_once()?;
    assert_eq!(thawed.damaged, 1);
    host.comes_back()?;
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?.frozen.count(), 30);
    workloads.thaw()?;
    host.comes_back()
}

fn guard_killed() -> Outcome {
    let host = Host::new()?;
    let workloads = host.world.workloads();
    workloads.prepare(Thoroughness::Anew)?;
    let first = host.world.guards();
    kill(Pid::from_raw(*first.first().ok_or("no guard")?), Signal::SIGKILL)?;
    // A zombie until it is reaped: its command line is empty.
    until("it is gone", LIMIT, || host.world.guards().is_empty())?;
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?.frozen.count(), 30);
    assert!(host.world.guards().len() == 1 && host.world.guards() != first);
    workloads.thaw()?;
    host.comes_back()
}

fn not_permitted() -> Outcome {
    let host = Host::new()?;
    both_killed(&host)?;
    // Whoever may read the ledger and not write the cgroups.
    let thaw = host.world.thaw_command();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--"]);
    let readable = host.world.scratch.path();
    for path in [readable, &readable.join("run"), &host.world.ledger()] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    }
    let program = readable.join("clockgate");
    copy_program(CLOCKGATE.as_ref(), &program)?;
    command.arg(&program).args(thaw.get_args().skip_while(|arg| *arg != "thaw"));
    let output = command.output()?;
    let said = texts(&output).1;
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("still frozen: not permitted to thaw /"), "{said}");
    assert!(!host.is_as_before());
    let output = host.world.thaw_command().output()?;
    expect(output.status.success(), &output)?;
    host.comes_back()
}
