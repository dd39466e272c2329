//! An idle agent beside an idle chronyd, over the same minutes: memory, and how often each was woken.

use std::collections::BTreeMap;
use std::fs::{read_dir, read_to_string};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clockgate::decision::Boottime;

use crate::daemons::Daemons;
use crate::report::machine::value;
use crate::report::{Table, met};
use crate::support::{Outcome, until};

/// Long enough for a proof to be renewed once, two minutes after the last.
const WATCHED: Duration = Duration::from_secs(135);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Who was not woken for so long has settled.
const SETTLED: Duration = Duration::from_secs(5);
/// What a renewal wakes, it wakes within this.
const RENEWAL: Duration = Duration::from_secs(12);
/// Half of what the unit's `WatchdogSec=` is.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Watches both from its making until its report.
pub struct Idle<'a> {
    daemons: &'a Daemons,
    began: Instant,
    over: Sender<()>,
    watcher: JoinHandle<Vec<Look>>,
}

/// What was seen at one moment.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    agent: u64,
    chronyd: u64,
    /// When the agent's last proof was asked for.
    as_of: Boottime,
}

impl<'a> Idle<'a> {
    /// Begins to watch, once the agent has settled: what it asked at its start was answered. It keeps the threads that waited for it.
    pub fn watch(daemons: &'a Daemons) -> Outcome<Self> {
        let (agent, chronyd, folder) = (daemons.agent.0.id(), daemons.chronyd.0.id(), daemons.public());
        let mut wakings = Wakings::of(agent);
        let mut last = (wakings.count(), Instant::now());
        until("the agent is idle", Duration::from_secs(60), || {
            let count = wakings.count();
            if count != last.0 {
                last = (count, Instant::now());
            }
            last.1.elapsed() >= SETTLED
        })?;
        let (over, ended) = channel();
        let began = Instant::now();
        let watcher = std::thread::spawn(move || {
            let (mut agent, mut chronyd) = (Wakings::of(agent), Wakings::of(chronyd));
            let mut looks = vec![];
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let as_of = clockgate::page::Page::open(&folder).map(|page| page.read().as_of).unwrap_or_default();
                looks.push(Look { at: Instant::now(), agent: agent.count(), chronyd: chronyd.count(), as_of });
            }
            looks
        });
        Ok(Self { daemons, began, over, watcher })
    }

    /// The table, once there is enough of it.
    pub fn report(self) -> Outcome<Table> {
        std::thread::sleep(WATCHED.saturating_sub(self.began.elapsed()));
        let (agent, chronyd) = (memory(self.daemons.agent.0.id())?, memory(self.daemons.chronyd.0.id())?);
        self.over.send(())?;
        let looks = self.watcher.join().map_err(|_| "the watcher panicked")?;
        let mut table = Table::new(&["what", "the agent", "chronyd", "goal"]);
        for (key, what) in MEMORY {
            let (agent, chronyd) = (value(&agent, key), value(&chronyd, key));
            let goal = format!("no more: {}", met(agent <= chronyd));
            table.row(&[&what, &format!("{agent} KiB"), &format!("{chronyd} KiB"), &goal]);
        }
        let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return Err("nothing was seen".into()) };
        let watched = last.at - first.at;
        let seconds = watched.as_secs();
        let (agent, chronyd) = (last.agent - first.agent, last.chronyd - first.chronyd);
        table.row(&[&format!("wake-ups in {seconds} s, all threads"), &agent, &chronyd, &"none set"]);
        let (renewals, unexplained) = beside_renewals(&looks);
        let beats = watched.as_secs() / WATCHDOG.as_secs() + 1;
        let goal = format!("the watchdog's, {} s apart: {}", WATCHDOG.as_secs(), met(unexplained <= beats));
        table.row(&[&format!("of them beside the {renewals} renewal(s) of the proof"), &unexplained, &"-", &goal]);
        Ok(table)
    }
}

/// Which numbers of /proc/PID/smaps_rollup, and what they mean (proc_pid_smaps(5)).
const MEMORY: [(&str, &str); 3] = [
    ("Private_Dirty:", "memory of its own, in no file"),
    ("Rss:", "memory mapped, the pages of its files with it"),
    ("Pss:", "the same, what is shared counted in parts"),
];

fn memory(pid: u32) -> Outcome<String> {
    read_to_string(format!("/proc/{pid}/smaps_rollup")).map_err(|e| format!("process {pid} cannot be seen: {e}").into())
}

/// How often the proof was renewed, and how often the agent was woken at other times.
fn beside_renewals(looks: &[Look]) -> (usize, u64) {
    let pairs = || looks.iter().zip(looks.iter().skip(1));
    let renewals: Vec<Instant> =
        pairs().filter(|(before, after)| before.as_of != after.as_of).map(|(_, after)| after.at).collect();
    let belongs = |at: Instant| renewals.iter().any(|renewal| at + LOOK_EVERY >= *renewal && at <= *renewal + RENEWAL);
    let unexplained = pairs().filter(|(_, after)| !belongs(after.at)).map(|(a, b)| b.agent - a.agent).sum();
    (renewals.len(), unexplained)
}

/// Counts how often the threads of a process were woken: each time they had gone to sleep by themselves.
struct Wakings {
    pid: u32,
    threads: BTreeMap<String, u64>,
    ended: u64,
}

impl Wakings {
    fn of(pid: u32) -> Self {
        Self { pid, threads: BTreeMap::new(), ended: 0 }
    }

    fn count(&mut self) -> u64 {
        let now = self.threads();
        // Who has ended was woken once more to do so.
        self.ended += self.threads.iter().filter(|(id, _)| !now.contains_key(*id)).map(|(_, n)| n + 1).sum::<u64>();
        self.threads = now;
        self.ended + self.threads.values().sum::<u64>()
    }

    fn threads(&self) -> BTreeMap<String, u64> {
        let Ok(tasks) = read_dir(format!("/proc/{}/task", self.pid)) else { return BTreeMap::new() };
        let ids = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
        let switches = |id: &str| {
            let status = read_to_string(format!("/proc/{}/task/{id}/status", self.pid)).ok()?;
            Some(value(&status, "voluntary_ctxt_switches:"))
        };
        ids.filter_map(|id| switches(&id).map(|n| (id, n))).collect()
    }
}
