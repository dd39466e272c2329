//! A host whose clock and servers are data: the machine and the recorder of the agent, driven through a night or ten years in no time, and
//! the lines that they write.

use std::collections::VecDeque;
use std::time::Duration;

use clockgate::decision::{
    Action, Boottime, Cause, Clocks, ContainerList, DaemonVerdict, Epoch, Event, Failure, Forgotten, FreezeOutcome,
    Leap, Machine, Measurement, Notifier, Offset, Policy, Reading, Realtime, ReferenceKind, Voice,
};
use clockgate::history;
use clockgate::transition::{Recorder, Transition, Walked};

/// A server: its name, by how much its time is wrong, and how far away it is.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedServer {
    pub name: &'static str,
    pub wrong: Offset,
    pub root_distance: Duration,
}

/// How long it takes until servers answer, and until anything else is done.
const ANSWERED_AFTER: Duration = Duration::from_millis(20);
const DONE_AFTER: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub struct SimulatedHost {
    machine: Machine,
    recorder: Recorder,
    boot: String,
    now: Boottime,
    asleep: Duration,
    /// The true time at boot, were nothing lost since.
    base: Realtime,
    /// Reference minus local.
    behind: Offset,
    policy: Policy,
    orders: VecDeque<Action>,
    /// Those that answer.
    pub servers: Vec<SimulatedServer>,
    /// The containers there are to freeze.
    pub containers: ContainerList,
    /// The containers whose start a shut gate holds, each with one waiter.
    pub starts: ContainerList,
    /// What was written.
    pub lines: Vec<String>,
    /// The true time of each line.
    pub written_at: Vec<Realtime>,
}

impl SimulatedHost {
    /// A host that boots at that time, with a clock that is so far behind.
    pub fn boot(base: Realtime, behind: Offset, servers: &[SimulatedServer]) -> Self {
        let policy = Policy { freeze: Some(Duration::from_secs(600)), ..Policy::default() };
        Self {
            machine: Machine::new(policy.clone(), Epoch::default()),
            recorder: Recorder::default(),
            boot: format!("{:032x}", base.as_nanos()),
            now: Boottime::from_nanos(4_000_000_000),
            asleep: Duration::ZERO,
            base,
            behind,
            policy,
            orders: VecDeque::new(),
            servers: servers.to_vec(),
            containers: ContainerList::default(),
            starts: ContainerList::default(),
            lines: vec![],
            written_at: vec![],
        }
    }

    /// The true time.
    pub fn truth(&self) -> Realtime {
        self.base + forward(self.now.since(Boottime::default()))
    }

    /// Reference minus local.
    pub const fn behind(&self) -> Offset {
        self.behind
    }

    /// What was done since boot on this host, and the next boot of it.
    pub fn reboot(&mut self, off: Duration, behind: Offset) {
        let mut next = Self::boot(self.truth() + forward(off), behind, &self.servers);
        next.lines = std::mem::take(&mut self.lines);
        next.written_at = std::mem::take(&mut self.written_at);
        (next.containers, next.starts) = (self.containers.clone(), self.starts.clone());
        *self = next;
    }

    /// An agent begins.
    pub fn start(&mut self) {
        self.take(Event::Started);
    }

    /// The agent ends in good order.
    pub fn end(&mut self) {
        let happened = self.recorder.end(&self.machine, self.clocks());
        self.write(&happened);
        self.forget();
    }

    /// The agent is killed.
    pub fn forget(&mut self) {
        self.machine = Machine::new(self.policy.clone(), self.machine.epoch());
        self.recorder = Recorder::default();
        self.orders.clear();
    }

    /// Time passes without an agent.
    pub fn pass_without_agent(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    /// The machine sleeps, and its clocks miss so much of it.
    pub fn sleep(&mut self, length: Duration, missed: Duration) {
        self.take(Event::Sleeping(Notifier::Logind));
        self.work();
        let slept = length.saturating_sub(missed);
        self.now = self.now + slept;
        self.asleep += slept;
        self.base = self.base + forward(missed);
        self.behind = self.behind + forward(missed);
        self.take(Event::Disrupted(Cause::Resume { slept }));
        self.take(Event::Woken(Notifier::Logind));
    }

    /// The machine is paused or restored: every clock of it misses that.
    pub fn pause(&mut self, lost: Duration, cause: Cause) {
        self.base = self.base + forward(lost);
        self.behind = self.behind + forward(lost);
        self.take(Event::Disrupted(cause));
    }

    /// Another program sets the clock back by so much.
    pub fn set_back(&mut self, by: Offset) {
        self.behind = self.behind + by;
        self.take(Event::Disrupted(Cause::ForeignStep { change: -by }));
    }

    /// An operator asks for a fresh proof.
    pub fn request(&mut self) {
        self.take(Event::Disrupted(Cause::Requested));
    }

    /// Time passes, and what is due is done.
    pub fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        self.work();
        while self.machine.alarm() <= end {
            self.now = self.now.max(self.machine.alarm());
            self.take(Event::Alarm);
            self.work();
        }
        self.now = self.now.max(end);
    }

    fn clocks(&self) -> Clocks {
        let raw = self.now.since(Boottime::default()).saturating_sub(self.asleep);
        Clocks { boot: self.now, raw, asleep: self.asleep, real: self.truth() + -self.behind }
    }

    fn work(&mut self) {
        while let Some(action) = self.orders.pop_front() {
            if let Some(event) = self.perform(action) {
                self.take(event);
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        let after = if matches!(action, Action::Measure(..)) { ANSWERED_AFTER } else { DONE_AFTER };
        self.now = self.now + after;
        Some(match action {
            Action::ResetDaemon(epoch, _) => {
                Event::Forgotten(epoch, Forgotten { daemon: Some("chronyd".into()), ..Forgotten::default() })
            }
            Action::Measure(epoch, round, _) => Event::Measured(epoch, round, self.measure()),
            Action::Step { order, offset, .. } => {
                self.behind = self.behind - offset;
                Event::Stepped(order, Ok(offset))
            }
            Action::ResyncDaemon(epoch) => Event::HandedOver(epoch, Ok(())),
            Action::AskDaemon(epoch) => Event::DaemonAsked(epoch, DaemonVerdict::Agrees { offset: Offset::ZERO }),
            Action::Freeze(order, _) => Event::Frozen(
                order,
                FreezeOutcome {
                    frozen: self.containers.clone(),
                    of: self.containers.count(),
                    ..FreezeOutcome::default()
                },
            ),
            Action::Thaw(order) => Event::Thawed(order, Ok(())),
            Action::ThawTolerant(order, _) => Event::TolerantThawed(order, Ok(ContainerList::default())),
            Action::ThawCarriers(order) => Event::CarriersThawed(order, Ok(ContainerList::default())),
            Action::Prolong(..) | Action::AllowSleep | Action::Warn(_) => return None,
        })
    }

    fn measure(&self) -> Measurement {
        let mut measurement = Measurement::default();
        let (now, true_offset) = (self.clocks(), self.behind);
        let reading = |server: &SimulatedServer| Reading {
            source: server.name.to_owned(),
            voice: Voice::server(server.name),
            kind: ReferenceKind::Ntp,
            as_of: now.boot,
            local: now.real,
            offset: true_offset + server.wrong,
            root_distance: server.root_distance,
            authenticated: false,
            leap: Leap::None,
            stratum: Some(2),
            delay: None,
            upstream: None,
        };
        measurement.readings = self.servers.iter().map(reading).collect();
        if measurement.readings.is_empty() {
            let voice = Some(Voice::server("ntp1.example"));
            measurement.failures.push(Failure { voice, ..Failure::remark("ntp1.example", "no answer") });
        }
        measurement
    }

    fn take(&mut self, event: Event) {
        self.recorder.receive(&event);
        let before = self.machine.snapshot();
        let at = self.clocks();
        let actions = self.machine.step(event.clone(), at);
        let after = self.machine.snapshot();
        let is_opened = before.gate != after.gate && after.gate != clockgate::decision::Gate::Shut;
        let woken = if is_opened { self.starts.count() as u64 } else { 0 };
        let held =
            if before.gate == clockgate::decision::Gate::Shut { self.starts.clone() } else { ContainerList::default() };
        let walked = Walked {
            before: &before,
            after: &after,
            machine: &self.machine,
            actions: &actions,
            at,
            woken,
            held: &held,
        };
        let records = self.recorder.record(&event, &walked);
        records.iter().filter(|happened| happened.is_kept()).for_each(|happened| self.write(happened));
        self.orders.extend(actions);
        self.now = self.now + Duration::from_micros(1);
    }

    fn write(&mut self, happened: &Transition) {
        self.lines.push(history::line(happened, &self.boot, 0));
        self.written_at.push(self.truth());
    }
}

pub fn forward(length: Duration) -> Offset {
    Offset::from_nanos(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
}
