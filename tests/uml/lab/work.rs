//! Workloads in the guest: each does a little work over and over, and stamps it with the time it believes it is.

use std::time::Duration;

use clockgate::decision::{Boottime, Offset, Realtime};
use clockgate::sys::{clock, nap};

use super::guest::Guest;
use super::{Outcome, fail, podman, until};

/// The first argument that makes this program do one piece of work: print the clocks and end.
pub const VERB: &str = "stamp";

/// The first argument that makes this program work without end, a piece every 10 ms.
pub const VERB_FOR_EVER: &str = "stamps";

/// This program in the guest.
pub const PART: &str = "/usr/lib/lab/part";

/// Works until it is ended.
pub fn stamp_for_ever() {
    loop {
        stamp();
        nap(Duration::from_millis(10));
    }
}

/// Does one piece of work.
pub fn stamp() {
    // Both at one moment: whoever loses the processor in between reads them once more.
    let (boot, real) = loop {
        let (boot, real) = (clock::boottime(), clock::realtime());
        if clock::boottime().since(boot) < Duration::from_millis(5) {
            break (boot, real);
        }
    };
    println!("{} {}", boot.as_nanos(), real.as_nanos());
}

/// A piece of work as it was done.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// When, on the guest's clock that nobody sets.
    pub at: Boottime,
    /// How wrong the time was that it saw: truth minus that.
    pub off: Offset,
    /// What its clock said.
    pub said: Realtime,
}

impl Stamp {
    /// How wrong its time was on a machine whose true time minus its time since boot has become `truth`: it stood still since
    /// the workload was started.
    pub fn off_by(&self, truth: Offset) -> Offset {
        Realtime::from_nanos(i64::try_from(self.at.as_nanos()).unwrap_or(i64::MAX)) + truth - self.said
    }
}

/// The id of a container of that name.
pub fn container_id(name: &str) -> String {
    format!("{:064x}", name.bytes().fold(0_u128, |id, byte| (id << 8) | u128::from(byte)))
}

/// Starts a command in a scope as Docker makes them; what it prints goes to `/run/NAME`.
pub fn scope(guest: &Guest, name: &str, command: &str) -> Outcome {
    let id = container_id(name);
    let script = format!(
        "setsid systemd-run -q --scope --unit=docker-{id}.scope --slice=system.slice {command} \
         >/run/{name} 2>/run/{name}.err </dev/null &"
    );
    guest.sh(&script).map(drop)
}

/// A workload that runs.
#[derive(Debug)]
pub struct Work {
    name: String,
    /// True time minus the guest's time since boot.
    truth: Offset,
}

impl Work {
    /// Starts a workload that asks at the gate before each piece of work.
    pub fn behind_the_gate(guest: &Guest, name: &str) -> Outcome<Self> {
        Self::over_and_over(guest, name, &format!("clockgate run --max-wait infinity -- {PART} {VERB}"))
    }

    /// Starts a workload that does not ask.
    pub fn careless(guest: &Guest, name: &str) -> Outcome<Self> {
        Self::over_and_over(guest, name, &format!("{PART} {VERB}"))
    }

    /// Starts a workload that does not ask and hardly rests.
    pub fn restless(guest: &Guest, name: &str) -> Outcome<Self> {
        Self::start(guest, name, &format!("{PART} {VERB_FOR_EVER}"))
    }

    /// Starts so many workloads that do not ask, each in a container of Podman's; [`podman::end`] ends them.
    pub fn contained(guest: &Guest, count: usize) -> Outcome<Vec<Self>> {
        let truth = guest.truth()?;
        let names: Vec<String> = (0..count).map(|n| format!("box-{n}")).collect();
        podman::run(guest, &names, VERB_FOR_EVER)?;
        let works: Vec<Self> = names.into_iter().map(|name| Self { name, truth }).collect();
        for work in &works {
            until("the container works", Duration::from_secs(10), || {
                Ok((!work.stamps(guest)?.is_empty()).then_some(()))
            })?;
        }
        Ok(works)
    }

    /// Starts a workload that does not ask, in a scope as Docker makes them under systemd's cgroup driver, for a machine that has
    /// no engine; like Docker's it may not change the network.
    pub fn in_a_scope(guest: &Guest, name: &str) -> Outcome<Self> {
        let truth = guest.truth()?;
        scope(guest, name, &format!("setpriv --bounding-set=-net_admin --inh-caps=-net_admin {PART} {VERB_FOR_EVER}"))?;
        let work = Self { name: name.into(), truth };
        until("the scope works", Duration::from_secs(10), || Ok((!work.stamps(guest)?.is_empty()).then_some(())))?;
        Ok(work)
    }

    /// Starts a workload that runs a command again and again; the command prints a stamp each time.
    pub fn over_and_over(guest: &Guest, name: &str, command: &str) -> Outcome<Self> {
        Self::start(guest, name, &format!("sh -c 'while sleep 0.2; do {command}; done'"))
    }

    fn start(guest: &Guest, name: &str, command: &str) -> Outcome<Self> {
        let truth = guest.truth()?;
        guest.sh(&format!(
            ": >/run/{name}; systemd-run -q --unit={name} --property=StandardOutput=append:/run/{name} \
             --property=StandardError=journal {command}"
        ))?;
        let work = Self { name: name.into(), truth };
        until("the workload works", Duration::from_secs(10), || Ok((!work.stamps(guest)?.is_empty()).then_some(())))?;
        Ok(work)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that was done so far.
    pub fn stamps(&self, guest: &Guest) -> Outcome<Vec<Stamp>> {
        self.stamps_after(guest, Boottime::default())
    }

    /// What was done after `at`.
    pub fn stamps_after(&self, guest: &Guest, at: Boottime) -> Outcome<Vec<Stamp>> {
        // Whoever is ended in the middle of a line leaves half of it.
        let text = guest.sh(&format!("awk '$1 > {}' /run/{}", at.as_nanos(), self.name))?;
        let whole = text.lines().filter(|line| line.split(' ').all(|number| number.len() > 8) && line.contains(' '));
        whole.map(|line| self.read(line)).collect()
    }

    /// Waits for work that was done after `at`; the first piece of it.
    pub fn first_after(&self, guest: &Guest, at: Boottime) -> Outcome<Stamp> {
        until("the workload goes on", Duration::from_secs(30), || Ok(self.stamps_after(guest, at)?.into_iter().next()))
    }

    fn read(&self, line: &str) -> Outcome<Stamp> {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let (Some(Ok(boot)), Some(Ok(real))) = (numbers.next(), numbers.next()) else {
            return fail(format!("not a stamp: {line:?}"));
        };
        let truth = Realtime::from_nanos(i64::try_from(boot)?) + self.truth;
        let said = Realtime::from_nanos(i64::try_from(real)?);
        Ok(Stamp { at: Boottime::from_nanos(boot), off: truth - said, said })
    }

    /// Ends the workload; what it did.
    pub fn end(self, guest: &Guest) -> Outcome<Vec<Stamp>> {
        guest.sh(&format!("systemctl stop {}", self.name))?;
        self.stamps(guest)
    }
}
