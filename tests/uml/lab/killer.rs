//! Somebody in the guest who kills the agent again and again while it freezes or thaws, with PID 1 frozen all the while: nobody
//! but the agent's guard can be what thaws.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use clockgate::decision::{Boottime, Gate};
use clockgate::page::{DIRECTORY, Page, View};
use clockgate::sys::clock::boottime;

/// The first argument that makes this program the killer; the number that its moments come from follows.
pub const VERB: &str = "kill-agents";
/// How often.
pub const MOMENTS: usize = 20;
/// How long a machine without mercy may take to freeze, thaw or prove anything.
const SOON: Duration = Duration::from_secs(20);
/// Short beside what a freeze of all of them takes.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// In three places, as engines lay them; of the scopes each is a freeze of its own.
const CONTAINERS: usize = 60;
const TREE: &str = "/sys/fs/cgroup";
const PID1: &str = "/sys/fs/cgroup/init.scope";

/// What became of one moment; a line of the killer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `freeze` or `thaw`.
    pub during: String,
    /// How many were frozen when the agent died.
    pub caught: usize,
    /// How many there are that nobody paused.
    pub of: usize,
    /// From the kill until everything ran that nobody had paused.
    pub thawed_after: Duration,
    /// How many of those that a user paused were still paused then, and how many he did pause.
    pub paused: (usize, usize),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split(' ').collect();
        let [during, caught, of, micros, paused, of_paused] = words[..] else { return Err(line.to_owned()) };
        let number = |word: &str| word.parse::<usize>().map_err(|_| line.to_owned());
        let thawed_after = Duration::from_micros(number(micros)? as u64);
        let (during, paused) = (during.to_owned(), (number(paused)?, number(of_paused)?));
        Ok(Self { during, caught: number(caught)?, of: number(of)?, thawed_after, paused })
    }
}

/// Kills [`MOMENTS`] agents and prints what became of each.
pub fn kill_agents(seed: u64) -> io::Result<()> {
    let host = Host::new()?;
    let _still = Still::new()?;
    let (mut random, mut epoch) = (Random(seed), 0);
    for moment in 0..MOMENTS {
        let mut agent = clockgate(&["agent"])?;
        until("the agent has proven the clock", || {
            page().filter(|view| view.gate == Gate::Proven && view.epoch > epoch).map(drop)
        })?;
        // A container whose turn comes at a random time, and a while after that.
        let turn = &host.running[random.below(host.running.len())];
        let while_after = Duration::from_micros(random.below(3_000) as u64);
        let during = if moment % 2 == 0 { "freeze" } else { "thaw" };
        let _first = clockgate(&["notify", "pre-snapshot"])?;
        let _second = if during == "freeze" {
            until("its turn to be frozen", || is_frozen(turn).then_some(()))?;
            None
        } else {
            until("all are frozen", || host.running.iter().all(|one| is_frozen(one)).then_some(()))?;
            let told = clockgate(&["notify", "post-restore"])?;
            until("its turn to be thawed", || (!is_frozen(turn)).then_some(()))?;
            Some(told)
        };
        std::thread::park_timeout(while_after);
        let killed = boottime();
        agent.end()?;
        epoch = epoch.max(page().map_or(0, |view| view.epoch));
        let caught = host.frozen();
        until("everything is thawed that nobody paused", || {
            (!host.running.iter().any(|one| is_frozen(one))).then_some(())
        })?;
        let micros = boottime().since(killed).as_micros();
        let (of, paused) = (host.running.len(), host.still_paused());
        println!("{during} {caught} {of} {micros} {paused} {}", host.paused.len());
    }
    Ok(())
}

/// Many containers, as the tree of cgroups shows them; the user has paused some.
struct Host {
    running: Vec<PathBuf>,
    paused: Vec<PathBuf>,
    sleepers: Vec<Ours>,
}

impl Host {
    fn new() -> io::Result<Self> {
        let mut host = Self { running: vec![], paused: vec![], sleepers: vec![] };
        for n in 0..CONTAINERS {
            let cgroup = Path::new(TREE).join(match n % 6 {
                0 => format!("docker/{n:064x}"),
                1 => format!("libpod_parent/libpod-{n:064x}"),
                _ => format!("system.slice/docker-{n:064x}.scope"),
            });
            fs::create_dir_all(&cgroup)?;
            let sleeper = Ours(Command::new("/bin/sleep").arg("infinity").stdout(Stdio::null()).spawn()?);
            fs::write(cgroup.join("cgroup.procs"), sleeper.0.id().to_string())?;
            host.sleepers.push(sleeper);
            if n % 20 < 3 {
                fs::write(cgroup.join("cgroup.freeze"), "1")?;
                host.paused.push(cgroup);
            } else {
                host.running.push(cgroup);
            }
        }
        Ok(host)
    }

    /// How many are frozen that nobody paused.
    fn frozen(&self) -> usize {
        self.running.iter().filter(|cgroup| is_frozen(cgroup)).count()
    }

    fn still_paused(&self) -> usize {
        let has_mark = |cgroup: &Path| fs::read(cgroup.join("cgroup.freeze")).is_ok_and(|mark| mark == b"1\n");
        self.paused.iter().filter(|cgroup| has_mark(cgroup) && is_frozen(cgroup)).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.sleepers.clear();
        for cgroup in self.running.iter().chain(&self.paused) {
            let _ = until("it is empty", || fs::remove_dir(cgroup).ok());
        }
        for folder in ["docker", "libpod_parent"] {
            let _ = fs::remove_dir(Path::new(TREE).join(folder));
        }
    }
}

/// PID 1, frozen: SIGSTOP does nothing to it, its cgroup's freezer does.
struct Still;

impl Still {
    fn new() -> io::Result<Self> {
        fs::write(Path::new(PID1).join("cgroup.freeze"), "1")?;
        let still = Self;
        until("PID 1 is frozen", || is_frozen(Path::new(PID1)).then_some(()))?;
        Ok(still)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = fs::write(Path::new(PID1).join("cgroup.freeze"), "0");
    }
}

/// A process that ends with its owner.
struct Ours(Child);

impl Ours {
    fn end(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// We run before everybody else, to be there when the moment comes; whom we start does not.
fn clockgate(args: &[&str]) -> io::Result<Ours> {
    let log = File::options().create(true).append(true).open("/run/killer.log")?;
    let mut command = Command::new("nice");
    command.args(["-n", "20", "/usr/bin/clockgate"]).args(args).stdout(Stdio::null()).stderr(log);
    Ok(Ours(command.spawn()?))
}

fn page() -> Option<View> {
    Some(Page::open(Path::new(DIRECTORY)).ok()?.read())
}

fn is_frozen(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> io::Result<T> {
    let deadline: Boottime = boottime() + SOON;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if boottime() > deadline {
            return Err(io::Error::other(format!("waited {SOON:?} in vain: {what}")));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or_default()
    }
}
