//! The gate page: its layout, and the reader that any program, in any container, may be.
//!
//! `docs/interfaces.md` is the layout in words; a test holds the two together. All numbers are in the machine's own byte
//! order: a page never leaves its host. Times are `CLOCK_BOOTTIME` in nanoseconds.

mod agent;
mod judge;
mod layout;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::decision::{Boottime, Cause, Clocks, Differences, Gate, LeapSecond, Offset, State, drift, forward};
use crate::sys::mapping::{LEN, Mapping};
use crate::sys::time_namespace::{self, Shift};
use crate::sys::{clock, foreign, futex};

pub use agent::Agent;
pub use layout::*;

use judge::{Doubt, Proof};

/// Why there is no page to read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No agent has been here, or its folder is not mounted.
    #[error("there is no gate page at {path}: no clockgate agent runs here, or its folder is not mounted", path = .0.display())]
    Absent(PathBuf),
    /// It is of another boot, or this is a sandbox with a kernel of its own (Kata, gVisor) that has the host's folder mounted.
    #[error("{path} is the page of another kernel: of an earlier boot, or of the host of this virtual machine", path = .0.display())]
    OtherKernel(PathBuf),
    /// It is there and cannot be read.
    #[error("cannot map the gate page {path}", path = path.display())]
    Unreadable {
        /// The page.
        path: PathBuf,
        /// What open(2), fstat(2) or mmap(2) said.
        source: io::Error,
    },
    /// It is no page of ours, or of a version that we do not know.
    #[error("{path} is no gate page of version {VERSION}: {found}", path = path.display())]
    Foreign {
        /// The page.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
}

impl Error {
    /// Whether no agent of this machine has been here; else there is something that we do not understand.
    #[must_use]
    pub const fn is_absence(&self) -> bool {
        match self {
            Self::Absent(_) | Self::OtherKernel(_) => true,
            Self::Unreadable { .. } | Self::Foreign { .. } => false,
        }
    }
}

/// A page that is mapped and of our version.
#[derive(Debug)]
pub struct Page {
    file: File,
    mapping: Mapping,
    boot_id: [u8; 16],
    /// Of our time namespace; none where it cannot be known.
    shift: Mutex<Option<Shift>>,
}

/// What the page said at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The gate; shut where the proof is none by our own clocks, whatever the word said.
    pub gate: Gate,
    /// The word, for sleeping on it.
    pub word: u32,
    /// The moment of this look, on the host's `CLOCK_BOOTTIME` as all times of the page are.
    pub now: Boottime,
    /// Whether there is an agent behind it.
    pub agent: Agent,
    /// The count of disruptions.
    pub epoch: u64,
    /// The state's number.
    pub state: u32,
    /// The cause's number.
    pub cause: u32,
    /// Reference minus local at `as_of`.
    pub offset: Option<Offset>,
    /// The most the clock was wrong at `as_of`.
    pub bound: Option<Duration>,
    /// The most that it is wrong now: grown, and moved by what was seen of steps and slews where there is a proof.
    pub bound_now: Option<Duration>,
    /// When the last question was asked.
    pub as_of: Boottime,
    /// The bound under which the gate opens.
    pub threshold: Duration,
    /// When the proof ends.
    pub valid_until: Boottime,
    /// When the epoch began.
    pub since: Boottime,
    /// When the policy for failures applies.
    pub deadline: Boottime,
    /// Parts per million that the bound grows by.
    pub max_drift_ppm: u32,
    /// How the clocks stood to one another at the proof; none on the page of an agent that does not say.
    pub differences: Option<Differences>,
    /// The leap second that the clock is to make.
    pub leap_second: Option<LeapSecond>,
    /// Why the gate is not open on a proof.
    pub why: String,
}

impl Page {
    /// Maps the page in `directory`.
    ///
    /// # Errors
    /// [`Error`]. A page of another boot is [`Error::OtherKernel`]: its agent is gone with that boot.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let unreadable = |source: io::Error| {
            let path = path.clone();
            if source.kind() == io::ErrorKind::NotFound {
                Error::Absent(path)
            } else {
                Error::Unreadable { path, source }
            }
        };
        let foreign = |found: &str| Error::Foreign { path: path.clone(), found: found.to_owned() };
        // A FIFO in its place would wait for a writer.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(foreign("it is no regular file"));
        }
        // The file is made, then laid, then written into, and its first words last: until then no agent has been here. They are
        // not read through a mapping: touching a page that was never written could ask for memory that there is none of.
        let mut header = [0; at::BOOT_ID + 16];
        match (found.len(), file.read_exact_at(&mut header, 0)) {
            (0, _) => return Err(Error::Absent(path)),
            (..MIN_LEN, _) => return Err(foreign(&format!("it is shorter than {LEN} bytes"))),
            (_, read) => read.map_err(unreadable)?,
        }
        match (field(&header, at::MAGIC).map(u64::from_ne_bytes), field(&header, at::VERSION).map(u32::from_ne_bytes)) {
            (Some(MAGIC), Some(VERSION)) => {}
            (Some(0), _) => return Err(Error::Absent(path)),
            (Some(MAGIC), version) => return Err(foreign(&format!("its version is {}", version.unwrap_or_default()))),
            _ => return Err(foreign("it does not begin with CLKGATE")),
        }
        let boot_id = field(&header, at::BOOT_ID).unwrap_or_default();
        // Without /proc, in an empty root, nobody can tell; /run does not outlive a boot.
        if self::boot_id().is_some_and(|ours| ours != boot_id) {
            return Err(Error::OtherKernel(path));
        }
        let mapping = Mapping::new(&file).map_err(unreadable)?;
        Ok(Self { file, mapping, boot_id, shift: Mutex::new(time_namespace::shift()) })
    }

    /// What the page says now, and what our own clocks say of it.
    #[must_use]
    pub fn read(&self) -> View {
        let shift = *self.shift.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, doubt) = self.look(shift);
        if !doubt.is_some_and(Doubt::is_of_our_clocks) {
            return view;
        }
        // We may have been taken into another time namespace since (setns(2), CRIU).
        let shift = time_namespace::shift();
        *self.shift.lock().unwrap_or_else(PoisonError::into_inner) = shift;
        let (mut view, doubt) = self.look(shift);
        if doubt.is_some() && shift.is_none() {
            view.why.push_str("; or this is a time namespace, whose shift cannot be known here");
        }
        view
    }

    /// Sleeps until the word is no longer that of `view`, or about `timeout`.
    pub fn wait(&self, view: &View, timeout: Duration) {
        futex::wait(&self.mapping, at::GATE, view.word, timeout);
    }

    /// One consistent look, and why a word that says proven is none.
    fn look(&self, shift: Option<Shift>) -> (View, Option<Doubt>) {
        let clocks = |()| clock::clocks_of_the_host(shift.unwrap_or_default());
        // Behind the end of a file that was cut short there is nothing to load: the kernel would end us (SIGBUS).
        let is_whole = self.file.metadata().is_ok_and(|found| found.len() >= MIN_LEN && found.nlink() > 0);
        if !is_whole {
            return (View::of_no_page(clocks(()).0.boot), None);
        }
        // A writer takes a microsecond. One killed inside the lock leaves it odd, and its successor repairs it: until then
        // the gate is shut.
        for _ in 0..1000 {
            let before = self.mapping.load_u32(at::SEQUENCE);
            // Between two loads of the page: a step after them is for the next look to see.
            let (now, width) = clocks(());
            let fields = self.fields(now.boot);
            if before.is_multiple_of(2) && self.mapping.load_u32(at::SEQUENCE) == before {
                return fields.judged(&now, width);
            }
            std::hint::spin_loop();
        }
        let torn = self.fields(clocks(()).0.boot);
        (View { gate: Gate::Shut, why: "the agent died while it wrote the page".to_owned(), ..torn }, None)
    }

    fn fields(&self, now: Boottime) -> View {
        let (u32_at, u64_at) = (|at| self.mapping.load_u32(at), |at| self.mapping.load_u64(at));
        let time_at = |at| Boottime::from_nanos(self.mapping.load_u64(at));
        let offset_at = |at| Offset::from_nanos(self.mapping.load_u64(at).cast_signed());
        let (word, state, bound) = (u32_at(at::GATE), u32_at(at::STATE), u64_at(at::BOUND));
        let has = |end: usize| u32_at(at::SIZE) as usize >= end;
        let mut view = View {
            gate: Gate::from_word(word),
            word,
            now,
            agent: if has(at::REAL_MINUS_BOOT) {
                Agent::of(time_at(at::ALIVE_UNTIL), state, now)
            } else {
                Agent::Alive
            },
            epoch: u64_at(at::EPOCH),
            state,
            cause: u32_at(at::CAUSE),
            offset: (bound != UNKNOWN).then(|| offset_at(at::OFFSET)),
            bound: (bound != UNKNOWN).then(|| Duration::from_nanos(bound)),
            bound_now: None,
            as_of: time_at(at::AS_OF),
            threshold: Duration::from_nanos(u64_at(at::THRESHOLD)),
            valid_until: time_at(at::VALID_UNTIL),
            since: time_at(at::SINCE),
            deadline: time_at(at::DEADLINE),
            max_drift_ppm: u32_at(at::MAX_DRIFT),
            differences: has(at::DIFFERENCES_END).then(|| Differences {
                real_minus_boot: offset_at(at::REAL_MINUS_BOOT),
                boot_minus_mono: Duration::from_nanos(u64_at(at::BOOT_MINUS_MONO)),
                mono_minus_raw: offset_at(at::MONO_MINUS_RAW),
            }),
            leap_second: has(at::END)
                .then(|| LeapSecond { at: time_at(at::LEAP_AT), change: offset_at(at::LEAP) })
                .filter(|leap| leap.change != Offset::ZERO),
            why: self.why(),
        };
        view.bound_now = view.bound.map(|bound| bound.saturating_add(drift(now.since(view.as_of), view.max_drift_ppm)));
        if self.boot_id_now() != self.boot_id {
            view.gate = Gate::Shut;
            "it has become the page of another kernel".clone_into(&mut view.why);
        }
        view
    }

    fn why(&self) -> String {
        let bytes: Vec<u8> = self.bytes(at::WHY, WHY_LEN).take_while(|byte| *byte != 0).collect();
        foreign::shown(&String::from_utf8_lossy(&bytes))
    }

    fn boot_id_now(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.iter_mut().zip(self.bytes(at::BOOT_ID, 16)).for_each(|(to, from)| *to = from);
        id
    }

    fn bytes(&self, at: usize, len: usize) -> impl Iterator<Item = u8> {
        (at..at + len).step_by(8).flat_map(|at| self.mapping.load_u64(at).to_ne_bytes())
    }
}

impl View {
    /// The state's name.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        State::name_of(self.state)
    }

    /// The cause's name.
    #[must_use]
    pub const fn cause_name(&self) -> &'static str {
        Cause::name_of(self.cause)
    }

    /// What is to be said of an agent that is gone; none while there is one.
    #[must_use]
    pub fn absence(&self) -> Option<String> {
        let ago = |at: Boottime| forward(self.now.since(at)).size_in_words();
        match self.agent {
            Agent::Alive | Agent::Starting => None,
            Agent::Ended { at } => Some(format!("{} ({} ago)", self.why, ago(at))),
            Agent::Silent { since } => Some(format!("the agent was killed or hangs: silent for {}", ago(since))),
            Agent::PageGone => Some(self.why.clone()),
        }
    }

    /// The same by our own clocks: a proof is looked at, and what was opened without one is the word of an agent that lives.
    fn judged(mut self, now: &Clocks, width: Duration) -> (Self, Option<Doubt>) {
        match (self.gate, self.absence()) {
            (Gate::Proven, _) => {}
            (Gate::Unproven, Some(absence)) => {
                self.gate = Gate::Shut;
                self.why = format!("{}, and {absence}", self.why);
                return (self, None);
            }
            (Gate::Unproven, None) | (Gate::Shut, _) => return (self, None),
        }
        let proof = Proof {
            offset: self.offset.unwrap_or_default(),
            bound: self.bound.unwrap_or(Duration::MAX),
            as_of: self.as_of,
            threshold: self.threshold,
            valid_until: self.valid_until,
            max_drift_ppm: self.max_drift_ppm,
            differences: self.differences,
            leap_second: self.leap_second,
        };
        match proof.judge(now, width) {
            Ok(bound) => {
                self.bound_now = Some(bound);
                (self, None)
            }
            Err(doubt) => {
                self.gate = Gate::Shut;
                self.why = doubt.to_string();
                (self, Some(doubt))
            }
        }
    }

    /// What is to be seen of a page that was cut short or taken away.
    fn of_no_page(now: Boottime) -> Self {
        Self {
            gate: Gate::Shut,
            word: 0,
            now,
            agent: Agent::PageGone,
            epoch: 0,
            state: 0,
            cause: 0,
            offset: None,
            bound: None,
            bound_now: None,
            as_of: Boottime::default(),
            threshold: Duration::ZERO,
            valid_until: Boottime::default(),
            since: Boottime::default(),
            deadline: Boottime::default(),
            max_drift_ppm: 0,
            differences: None,
            leap_second: None,
            why: "the gate page was taken away or cut short".to_owned(),
        }
    }
}

/// The shortest file that has a page.
const MIN_LEN: u64 = LEN as u64;

fn field<const N: usize>(header: &[u8], at: usize) -> Option<[u8; N]> {
    header.get(at..at + N)?.try_into().ok()
}

/// The id of this boot; none where /proc is not mounted.
#[must_use]
pub fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}
