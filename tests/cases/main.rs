//! The machine as folders: `config.yaml` (may be absent), `events.txt`, `expected.txt`. Adding a case needs no Rust.
//!
//! A line of `events.txt` is a boottime in seconds and an event; `expected.txt` says for each what became of the gate and
//! what was ordered, and which tolerance is served meanwhile; `last good?` asks whether the proof raises the last good time. `CLOCKGATE_BLESS=1` writes the latter anew, to be read before it is committed.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clockgate::decision::{
    Action, Authority, AwaitedSource, Awake, Boottime, Cause, Clocks, ContainerList, DaemonVerdict, Epoch, Event,
    Failure, Fix, Floor, FloorFile, Forgotten, FreezeOutcome, HttpDate, Leap, Machine, Measurement, NamedContainer,
    Notifier, Offset, OrderId, PeerCheck, Policy, Reading, Realtime, ReferenceKind, RestoreSign, Round, StepBy,
    StepError, Upstream, Voice,
};
use libtest_mimic::{Arguments, Failed, Trial};
use support::expected::is_as_written;
use support::{Outcome, folders};

/// What the clock says at boot in every case: 2027-01-15 08:00:00 UTC.
const LOCAL_AT_BOOT: i64 = 1_800_000_000;

fn main() -> std::process::ExitCode {
    let trials = folders::of("cases").into_iter().map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || case(&folder))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn case(folder: &Path) -> Outcome {
    let config = folder.join("config.yaml");
    let policy = if config.exists() { configured(&config)? } else { Policy::default() };
    let events = std::fs::read_to_string(folder.join("events.txt"))?;
    let machine = Machine::new(policy.clone(), Epoch::default());
    let mut world = World { machine, policy, moved: Offset::ZERO, asleep: Duration::ZERO, orders: vec![] };
    let mut became = String::new();
    for line in events.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let told = world.tell(line).map_err(|why| format!("{}: {line}: {why}", folder.display()))?;
        writeln!(became, "{line}\n    {told}")?;
    }
    is_as_written(&folder.join("expected.txt"), &became)
}

fn configured(file: &Path) -> Result<Policy, Failed> {
    let config = clockgate::config::load_file(file)?.config;
    Ok(Policy { freeze: config.freeze.policy(), ..config.policy })
}

struct World {
    machine: Machine,
    policy: Policy,
    /// How far steps and strangers moved the clock.
    moved: Offset,
    /// How long the machine has slept, as the kernel counts it.
    asleep: Duration,
    /// Freezes and thaws that were ordered.
    orders: Vec<Action>,
}

impl World {
    fn tell(&mut self, line: &str) -> Result<String, String> {
        let (at, what) = line.split_once(' ').ok_or("a time and an event are wanted")?;
        let now = Boottime::from_nanos(nanos(at)?.unsigned_abs());
        if let Some(rest) = what.strip_prefix("policy ") {
            return self.rule(rest, now);
        }
        if what == "last good?" {
            let raises = self.machine.snapshot().is_supported;
            return Ok(if raises { "the last good time is raised" } else { "it stays" }.to_owned());
        }
        let event = self.event(what.trim(), now)?;
        let actions = self.machine.step(event, self.clocks(now));
        let snapshot = self.machine.snapshot();
        let ordered: Vec<String> = actions.iter().map(|action| order(action, self.clocks(now))).collect();
        self.orders.extend(actions);
        let mut told = format!("{} {}, epoch {}", self.machine.state(), snapshot.gate, snapshot.epoch);
        if let (Some(offset), Some(bound)) = (snapshot.offset, snapshot.bound) {
            write!(told, ", offset {offset}, bound {} ms", bound.as_millis()).map_err(|e| e.to_string())?;
        }
        // As readers of the page have it.
        if let Some(measured) = snapshot.measured.filter(|measured| now < measured.valid_until) {
            write!(told, ", serves a tolerance of {} ms", measured.bound.as_millis()).map_err(|e| e.to_string())?;
        }
        for order in ordered {
            write!(told, "; {order}").map_err(|e| e.to_string())?;
        }
        if let Some(first) = snapshot.repeats {
            write!(told, ", of the same disruption as epoch {first}").map_err(|e| e.to_string())?;
        }
        if !snapshot.why.is_empty() {
            write!(told, " ({})", snapshot.why).map_err(|e| e.to_string())?;
        }
        Ok(told)
    }

    /// What a configuration file does not say: `policy release=-10d`, `policy file=+36000s`, from the clock as it is; `policy may-pause`.
    fn rule(&mut self, text: &str, now: Boottime) -> Result<String, String> {
        let from_now = |ahead: &str| Ok::<_, String>(self.local(now) + Offset::from_nanos(nanos(ahead)?));
        let mut policy = self.policy.clone();
        for word in text.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("release", ahead) => policy.floor = Floor { release: from_now(ahead)?, ..policy.floor },
                ("file", ahead) => {
                    let file = FloorFile { path: "/var/lib/clockgate/clock".to_owned(), time: from_now(ahead)? };
                    policy.floor.file = Some(file);
                }
                ("may-pause", _) => policy.may_pause = true,
                _ => return Err(format!("no rule `{word}`")),
            }
        }
        self.policy = policy.clone();
        // As at a start, when the floor is found.
        if self.machine.epoch() == Epoch::default() {
            self.machine = Machine::new(policy, Epoch::default());
        } else {
            self.machine.set_policy(policy);
        }
        Ok("so be it".to_owned())
    }

    /// The clocks at a moment: MONOTONIC_RAW counts time awake, REALTIME goes as it was set.
    fn clocks(&self, boot: Boottime) -> Clocks {
        let raw = boot.since(Boottime::default()).saturating_sub(self.asleep);
        Clocks { boot, raw, asleep: self.asleep, real: self.local(boot) }
    }

    fn local(&self, at: Boottime) -> Realtime {
        Realtime::from_secs(LOCAL_AT_BOOT) + Offset::from_nanos(at.as_nanos().cast_signed()) + self.moved
    }

    fn event(&mut self, what: &str, now: Boottime) -> Result<Event, String> {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        // `@2 measured ...` answers a question of epoch 2.
        let (epoch, word, rest) = match word.strip_prefix('@') {
            Some(number) => {
                let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                (Epoch::new(number.parse().map_err(|_| "no epoch")?), word, rest)
            }
            None => (self.machine.epoch(), word, rest),
        };
        Ok(match word {
            "started" => Event::Started,
            "sleeping" => Event::Sleeping(notifier(rest)?),
            "woken" => Event::Woken(notifier(rest)?),
            "resume" => {
                let slept = Duration::from_nanos(nanos(rest)?.unsigned_abs());
                self.asleep += slept;
                Event::Disrupted(Cause::Resume { slept })
            }
            "pause" => Event::Disrupted(Cause::Pause { lost: Duration::from_nanos(nanos(rest)?.unsigned_abs()) }),
            "foreign-step" => {
                let change = Offset::from_nanos(nanos(rest)?);
                self.moved = self.moved + change;
                Event::Disrupted(Cause::ForeignStep { change })
            }
            "kernel-flagged" => Event::KernelFlagged(if rest == "insert" { Leap::Insert } else { Leap::None }),
            "snapshot" => Event::Disrupted(Cause::Snapshot),
            "restore" => Event::Disrupted(Cause::Restore(restore_sign(rest)?)),
            "requested" => Event::Disrupted(Cause::Requested),
            "carriers-thawed" => Event::CarriersThawed(self.freeze_of(what), Ok(carrier(rest))),
            "tolerant-thawed" => {
                let thawed = rest.strip_prefix("not ").map_or_else(|| Ok(carrier(rest)), |why| Err(why.into()));
                Event::TolerantThawed(self.freeze_of(what), thawed)
            }
            "network-changed" => Event::NetworkChanged,
            "source-lost" => Event::SourceLost("logind"),
            "unseen" => Event::Unseen("vmgenid"),
            "alarm" => Event::Alarm,
            "accepted" => Event::Accepted,
            "reckon" => Event::Reckon,
            "step-by-date" => Event::StepByDate(self.http_date(rest, now)?),
            "dated" => Event::Dated(epoch, self.http_date(rest, now)?),
            "forgotten" => Event::Forgotten(epoch, self.forgotten(rest, now)?),
            "measured" => Event::Measured(epoch, self.machine.round(), self.measurement(rest, now)?),
            // To the question before the one that is under way.
            "late" => Event::Measured(epoch, Round::default(), self.measurement(rest, now)?),
            "stepped" => Event::Stepped(self.step_of(what, 0), self.stepped(rest)?),
            // By the step before the one that is under way.
            "stepped-late" => Event::Stepped(self.step_of(what, 1), self.stepped(rest)?),
            // `frozen 60s 10m`: these ask to be thawed by their tolerances.
            "frozen" => {
                let asked = rest.split_whitespace().map(|word| Ok(Duration::from_nanos(nanos(word)?.unsigned_abs())));
                let tolerances = asked.collect::<Result<_, String>>()?;
                Event::Frozen(self.freeze_of(what), FreezeOutcome { tolerances, ..FreezeOutcome::default() })
            }
            "thawed" => Event::Thawed(self.thaw_of(what), if rest.is_empty() { Ok(()) } else { Err(rest.into()) }),
            "handed-over" => Event::HandedOver(epoch, if rest.is_empty() { Ok(()) } else { Err(rest.to_owned()) }),
            "daemon" => Event::DaemonAsked(epoch, verdict(rest)?),
            _ => return Err(format!("no event `{word}`")),
        })
    }

    /// The last step that was ordered, or one of those before it; of the epoch that `@2 stepped` names.
    fn step_of(&self, what: &str, before: usize) -> OrderId {
        let step = |action: &Action| if let Action::Step { order, .. } = action { Some(*order) } else { None };
        wanted(self.orders.iter().rev().filter_map(step).skip(before), what)
    }

    /// The last freeze that was ordered; of the epoch that `@2 frozen` names.
    fn freeze_of(&self, what: &str) -> OrderId {
        let freeze = |action: &Action| if let Action::Freeze(order, _) = action { Some(*order) } else { None };
        wanted(self.orders.iter().rev().filter_map(freeze), what)
    }

    /// The last thaw that was ordered; of the epoch that `@2 thawed` names.
    fn thaw_of(&self, what: &str) -> OrderId {
        let thaw = |action: &Action| if let Action::Thaw(order) = action { Some(*order) } else { None };
        wanted(self.orders.iter().rev().filter_map(thaw), what)
    }

    /// `a=+3600s±1ms b=0s±5ms`; nothing is nobody; `a=0s±50ms@12.5` is an answer as of that moment. `c?` may still answer, `d-` did
    /// not, `e/` was not asked. After a comma: `keyed`, `pool=NAME` of which it is an address, `twin=ID` for what it listens to.
    fn measurement(&self, text: &str, now: Boottime) -> Result<Measurement, String> {
        let mut measurement = Measurement::default();
        for word in text.split_whitespace() {
            let voice = |name: &str| Voice::server(name);
            if let Some(name) = word.strip_suffix('?') {
                measurement.waiting.push(AwaitedSource { source: name.to_owned(), voice: voice(name) });
            } else if let Some(name) = word.strip_suffix('-') {
                let silent = Failure { voice: Some(voice(name)), ..Failure::remark(name, "no answer") };
                measurement.failures.push(silent);
            } else if let Some(name) = word.strip_suffix('/') {
                let withheld =
                    Failure { voice: Some(voice(name)), asked: false, ..Failure::remark(name, "asked often") };
                measurement.failures.push(withheld);
            } else {
                measurement.readings.push(self.reading(word, now)?);
            }
        }
        Ok(measurement)
    }

    fn reading(&self, word: &str, now: Boottime) -> Result<Reading, String> {
        let (source, said) = word.split_once('=').ok_or("source=offset±distance is wanted")?;
        let mut said = said.split(',');
        let (offset, distance) = said.next().and_then(|s| s.split_once('±')).ok_or("offset±distance is wanted")?;
        let (distance, as_of) = distance.split_once('@').unwrap_or((distance, ""));
        let as_of = if as_of.is_empty() { now } else { Boottime::from_nanos(nanos(as_of)?.unsigned_abs()) };
        let mut reading = Reading {
            source: source.to_owned(),
            voice: Voice::server(source),
            kind: ReferenceKind::Ntp,
            as_of,
            local: self.local(as_of),
            offset: Offset::from_nanos(nanos(offset)?),
            root_distance: Duration::from_nanos(nanos(distance)?.unsigned_abs()),
            authenticated: false,
            leap: Leap::None,
            stratum: Some(2),
            delay: None,
            upstream: None,
        };
        for more in said {
            match more.split_once('=').unwrap_or((more, "")) {
                ("keyed", _) => reading.authenticated = true,
                ("pool", pool) => reading.voice = Voice::of_pool(source, pool),
                ("name", name) => reading.voice = Voice::server(name),
                ("twin", id) => {
                    reading.upstream = Some(Upstream { id: *b"GPS0", set: id.parse().map_err(|_| "no id")? })
                }
                ("leap", _) => reading.leap = Leap::Insert,
                _ => return Err(format!("no `{more}`")),
            }
        }
        Ok(reading)
    }

    /// `+3600s±100ms`: what the Date of an https server says, and half the width of what was measured.
    fn http_date(&self, text: &str, now: Boottime) -> Result<HttpDate, String> {
        let (offset, measured) = text.split_once('±').ok_or("offset±measured is wanted")?;
        Ok(HttpDate {
            source: "https://sts.example".to_owned(),
            peer: PeerCheck::Verified,
            as_of: now,
            local: self.local(now),
            offset: Offset::from_nanos(nanos(offset)?),
            measured: Duration::from_nanos(nanos(measured)?.unsigned_abs()),
            delay: Duration::from_millis(20),
            answers: 4,
        })
    }

    /// `chronyd authenticated rtc=-40s`: the daemon, whether its sources are, and how far the RTC is ahead of the clock; `alone`:
    /// it has reference clocks, polls them every 16 s, and nobody else is asked; `keys`: references of our own prove who they are.
    fn forgotten(&self, text: &str, now: Boottime) -> Result<Forgotten, String> {
        let mut forgotten = Forgotten::default();
        for word in text.split_whitespace() {
            match word.split_once('=').unwrap_or((word, "")) {
                ("authenticated", _) => {
                    forgotten.authority = Some(Authority { sources: vec!["keyed".to_owned()], ..Authority::default() });
                }
                ("keys", _) => forgotten.has_keys = true,
                ("alone", _) => forgotten.only_source = Some(Duration::from_secs(64)),
                ("rtc", ahead) => {
                    let truth = self.local(now) + Offset::from_nanos(nanos(ahead)?);
                    forgotten.rtc = Some(Fix { at: now, truth, found_right: true });
                }
                (daemon, _) => forgotten.daemon = Some(daemon.to_owned()),
            }
        }
        Ok(forgotten)
    }

    fn stepped(&mut self, text: &str) -> Result<Result<Offset, StepError>, String> {
        if let Some(why) = text.strip_prefix("not-permitted ") {
            return Ok(Err(StepError::NotPermitted(why.to_owned())));
        }
        if let Some(change) = text.strip_prefix("superseded ") {
            return Ok(Err(StepError::Superseded { change: Offset::from_nanos(nanos(change)?) }));
        }
        let offset = Offset::from_nanos(nanos(text)?);
        self.moved = self.moved + offset;
        Ok(Ok(offset))
    }
}

fn wanted(mut orders: impl Iterator<Item = OrderId>, what: &str) -> OrderId {
    let epoch = what.strip_prefix('@').and_then(|rest| rest.split_once(' ')?.0.parse().ok()).map(Epoch::new);
    orders.find(|order| epoch.is_none_or(|epoch| epoch == order.epoch)).unwrap_or_default()
}

fn order(action: &Action, now: Clocks) -> String {
    let left = |until: &Awake| until.since(now.awake()).as_secs_f64();
    match action {
        Action::ResetDaemon(..) => "forget".to_owned(),
        Action::Measure(_, _, StepBy::Own) => "measure".to_owned(),
        Action::Measure(_, _, StepBy::Daemon) => "let the daemon measure".to_owned(),
        Action::Step { way: StepBy::Own, offset, .. } => format!("step {offset}"),
        Action::Step { way: StepBy::Daemon, offset, .. } => format!("let the daemon step {offset}"),
        Action::ResyncDaemon(_) => "hand over".to_owned(),
        Action::AskDaemon(_) => "ask the daemon".to_owned(),
        Action::Freeze(_, until) => format!("freeze, the guard thaws in {} s", left(until)),
        Action::Prolong(_, until) => format!("the guard thaws in {} s", left(until)),
        Action::ThawCarriers(_) => "thaw what carries the network".to_owned(),
        Action::ThawTolerant(_, tolerance) => format!("thaw who tolerates {} s", tolerance.as_secs()),
        Action::Thaw(_) => "thaw".to_owned(),
        Action::AllowSleep => "let sleep".to_owned(),
        Action::Warn(_) => "complain".to_owned(),
    }
}

fn carrier(name: &str) -> ContainerList {
    NamedContainer::new("docker", "3f2a8c01d9e2", Some(name)).into()
}

fn notifier(text: &str) -> Result<Notifier, String> {
    match text {
        "logind" => Ok(Notifier::Logind),
        "notify" => Ok(Notifier::Notify),
        _ => Err("logind or notify is wanted".to_owned()),
    }
}

fn restore_sign(text: &str) -> Result<RestoreSign, String> {
    match text {
        "" => Ok(RestoreSign::Notice),
        "kernel-line" => Ok(RestoreSign::KernelLine),
        "marker" => Ok(RestoreSign::Marker),
        _ => Err(format!("no sign `{text}`")),
    }
}

fn verdict(text: &str) -> Result<DaemonVerdict, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "not-yet" => DaemonVerdict::NotYet,
        "agrees" => DaemonVerdict::Agrees { offset: Offset::from_nanos(nanos(rest)?) },
        "disagrees" => DaemonVerdict::Disagrees { offset: Offset::from_nanos(nanos(rest)?) },
        "silent" => DaemonVerdict::Silent(rest.to_owned()),
        _ => return Err(format!("no verdict `{word}`")),
    })
}

/// `12.5`, `+3600s`, `-1.5ms`: seconds unless it says otherwise.
fn nanos(text: &str) -> Result<i64, String> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let scale = match unit {
        "" | "s" => 1e9,
        "ms" => 1e6,
        "us" => 1e3,
        _ => return Err(format!("no unit `{unit}`")),
    };
    let number: f64 = number.parse().map_err(|_| format!("no number `{number}`"))?;
    Ok((number * scale).round() as i64)
}
