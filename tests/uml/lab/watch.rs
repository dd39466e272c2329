//! Somebody in the guest who watches the gate and the clocks, and is no part of what is tested: what the page says, and what
//! time a process would read at the same moment. The host, which knows the true time, judges it afterwards.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clockgate::decision::{Gate, Offset, Realtime, forward, nanos_u64};
use clockgate::page::{DIRECTORY, Page, View};
use clockgate::sys::{clock, nap};

use super::guest::Guest;
use super::{Outcome, fail};

/// The first argument that makes this program watch without end: a line whenever something changed.
pub const VERB: &str = "watch";
/// The first argument that makes this program print one [`Moment`].
pub const VERB_ONCE: &str = "moment";

/// The first argument that makes this program print one every half second, without end.
pub const VERB_OFTEN: &str = "moments";

/// The first argument that makes this program watch the state of PID 1 without end: a line whenever it has changed, and now and then
/// without that, with the time since boot, how often it was looked at, and the state (proc_pid_stat(5)).
pub const VERB_STATES: &str = "watch-pid-1";

/// How often the gate is looked at.
const EVERY: Duration = Duration::from_millis(3);
/// How far the time of day may have crept since the last line without being worth another.
const CREPT: Duration = Duration::from_millis(5);
/// Two readings of one moment may differ by so much; a sleep or a step in between is more.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What a reader makes of a page that is being written. Run before everybody else, the watcher takes the processor from the
/// agent in the middle of that; it is dead only if it does not go on when it has it back.
const TORN: &str = "the agent died while it wrote the page";
const TORN_LOOKS: u32 = 20;

/// What a process in the guest sees of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// MONOTONIC_RAW, nanoseconds: the hardware's rate, not bent by who slews, and standing still in a sleep.
    pub raw: u64,
    /// BOOTTIME − MONOTONIC, nanoseconds: tells before which sleep and after which.
    pub asleep: u64,
    /// BOOTTIME, nanoseconds.
    pub boot: u64,
    /// REALTIME, nanoseconds: right or wrong.
    pub real: i64,
}

/// What the gate said at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    pub at: Moment,
    /// As a waiter reads it.
    pub gate: Gate,
    pub state: u32,
    pub cause: u32,
    pub epoch: u64,
    /// BOOTTIME of the event that the epoch began with, nanoseconds.
    pub since: u64,
    /// The longest time between two looks since the line before, nanoseconds of RAW: how well this was seen at all.
    pub unseen: u64,
}

/// Watches until it is ended.
pub fn watch() {
    let mut said: Option<Sight> = None;
    let (mut unseen, mut looked) = (0, clock::monotonic_raw_nanos());
    loop {
        if let Ok(page) = Page::open(Path::new(DIRECTORY)) {
            loop {
                let sight = Sight::now(&page);
                unseen = unseen.max(sight.at.raw.saturating_sub(looked));
                looked = sight.at.raw;
                if said.is_none_or(|said| sight.differs(&said)) {
                    println!("{}", Sight { unseen, ..sight });
                    said = Some(sight);
                    unseen = 0;
                }
                nap(EVERY);
            }
        }
        nap(EVERY);
    }
}

/// Works until it is ended.
pub fn work_often() {
    loop {
        println!("{}", Moment::now());
        nap(Duration::from_millis(500));
    }
}

/// Watches PID 1 until it is ended.
pub fn watch_pid1() -> io::Result<()> {
    let (mut said, mut looks) = (None, 0_u64);
    loop {
        let stat = std::fs::read_to_string("/proc/1/stat")?;
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        looks += 1;
        if state != said || looks % 64 == 0 {
            println!("{} {looks} {}", clock::boottime().as_nanos(), state.unwrap_or('?'));
            said = state;
        }
        nap(EVERY);
    }
}

impl Moment {
    /// Reads the clocks as if at once. Few calls: each costs this guest's kernel two changes of context on the host.
    pub fn now() -> Self {
        loop {
            let before = clock::monotonic_raw_nanos();
            let real = clock::realtime().as_nanos();
            let raw = clock::monotonic_raw_nanos();
            let (mono, boot) = (clock::monotonic_nanos(), clock::boottime().as_nanos());
            let after = clock::monotonic_raw_nanos();
            let moment = Self { raw, asleep: boot.saturating_sub(mono), boot, real };
            if after - before < nanos_u64(AT_ONCE) {
                return moment;
            }
        }
    }

    /// How the time of day stands to a clock that nobody sets: changed by a step, a slew and a sleep.
    pub fn standing(&self) -> i64 {
        self.real.saturating_sub_unsigned(self.raw)
    }

    /// Whether no sleep lies between the two.
    pub fn same_waking(&self, other: &Self) -> bool {
        self.asleep.abs_diff(other.asleep) < nanos_u64(CREPT)
    }
}

impl Sight {
    /// Page and clock of one moment: neither a step nor a sleep came between the looks at both.
    fn now(page: &Page) -> Self {
        let mut torn = 0;
        loop {
            let before = Moment::now();
            let view = page.read();
            let at = Moment::now();
            if view.why == TORN && torn < TORN_LOOKS {
                torn += 1;
                nap(AT_ONCE);
            } else if before.standing().abs_diff(at.standing()) < nanos_u64(AT_ONCE) && before.same_waking(&at) {
                return Self::of(at, &view);
            }
        }
    }

    fn of(at: Moment, view: &View) -> Self {
        let (state, cause, epoch) = (view.state, view.cause, view.epoch);
        Self { at, gate: view.gate, state, cause, epoch, since: view.since.as_nanos(), unseen: 0 }
    }

    fn differs(&self, other: &Self) -> bool {
        (self.gate, self.state, self.cause, self.epoch) != (other.gate, other.state, other.cause, other.epoch)
            || self.at.standing().abs_diff(other.at.standing()) > nanos_u64(CREPT)
            || !self.at.same_waking(&other.at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.raw, self.asleep, self.boot, self.real)
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, gate, state, cause, epoch, since, unseen } = self;
        write!(f, "{at} {} {state} {cause} {epoch} {since} {unseen}", *gate as u32)
    }
}

impl FromStr for Moment {
    type Err = std::num::ParseIntError;
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or_default();
        Ok(Self { raw: next().parse()?, asleep: next().parse()?, boot: next().parse()?, real: next().parse()? })
    }
}

impl FromStr for Sight {
    type Err = std::num::ParseIntError;
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.split(' ').skip(4);
        let mut next = || words.next().unwrap_or_default();
        Ok(Self {
            at: line.parse()?,
            gate: Gate::from_word(next().parse()?),
            state: next().parse()?,
            cause: next().parse()?,
            epoch: next().parse()?,
            since: next().parse()?,
            unseen: next().parse()?,
        })
    }
}

/// A file in the guest that grows by lines.
#[derive(Debug)]
pub struct Tail {
    path: String,
    from: u64,
}

impl Tail {
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), from: 0 }
    }

    /// The lines that came since the last call.
    pub fn news<T: FromStr>(&mut self, guest: &Guest) -> Outcome<Vec<T>> {
        let text = guest.lines(&self.path, self.from)?;
        self.from += u64::try_from(text.len())?;
        let parse = |line: &str| line.parse().or_else(|_| fail(format!("{}: not a line of ours: {line:?}", self.path)));
        text.lines().map(parse).collect()
    }
}

/// The true time by the guest's RAW clock, from one sleep to the next: no step, slew or miscounted sleep spoils it.
#[derive(Debug, Default)]
pub struct Truths(Vec<Calibration>);

#[derive(Clone, Copy, Debug)]
struct Calibration {
    asleep: u64,
    /// True time − RAW.
    truth: Offset,
    /// How far off that may be.
    distance: Duration,
}

impl Truths {
    /// Compares the guest's clocks with the true time; once in every waking is needed, a quicker answer is better.
    pub fn calibrate(&mut self, guest: &Guest) -> Outcome {
        let (truth, clocks, distance) = guest.compare()?;
        let truth = truth - Realtime::from_nanos(i64::try_from(clocks.raw)?);
        let new = Calibration { asleep: clocks.asleep, truth, distance };
        match self.0.iter_mut().find(|old| old.asleep.abs_diff(new.asleep) < nanos_u64(CREPT)) {
            Some(old) if old.distance > new.distance => *old = new,
            Some(_) => {}
            None => self.0.push(new),
        }
        Ok(())
    }

    /// True time minus what the guest believed: positive, the guest is behind.
    pub fn off(&self, at: &Moment) -> Outcome<Offset> {
        let fits = |known: &&Calibration| known.asleep.abs_diff(at.asleep) < nanos_u64(CREPT);
        let Some(known) = self.0.iter().find(fits) else {
            return fail(format!("nobody compared the clocks between the sleeps around {at:?}"));
        };
        let truth = forward(Duration::from_nanos(at.raw)) + known.truth;
        Ok(truth - Offset::from_nanos(at.real))
    }
}
