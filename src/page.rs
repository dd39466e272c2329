//! The gate page: its layout, and the reader that any program, in any container, may be.
//!
//! `docs/interfaces.md` is the layout in words; a test holds the two together. All numbers are in the machine's own byte
//! order: a page never leaves its host. Times are `CLOCK_BOOTTIME` in nanoseconds.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::{Boottime, Cause, Gate, Offset, State};
use crate::sys::mapping::{LEN, Mapping};
use crate::sys::{clock, futex};

/// The folder that holds the page, and the only one to mount into a container.
pub const DIRECTORY: &str = "/run/clockgate/public";
/// The page's name in its folder.
pub const FILE: &str = "gate";
/// The first eight bytes of every version.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"CLKGATE\0");
/// The version of the layout below; fields may be added behind the last one without a new version.
pub const VERSION: u32 = 1;
/// The number that stands for "not known" in `offset` (as bits) and `bound`.
pub const UNKNOWN: u64 = u64::MAX;
/// Room for the reason, bytes of UTF-8 padded with zeros.
pub const WHY_LEN: usize = 256;

/// Where each field begins.
pub mod at {
    /// u64, [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// u32, [`super::VERSION`].
    pub const VERSION: usize = 8;
    /// u32, how many bytes of the page are used.
    pub const SIZE: usize = 12;
    /// 16 bytes, the boot id in the order that its text has.
    pub const BOOT_ID: usize = 16;
    /// u32, the gate and the futex: 0 shut, 1 proven, 2 unproven.
    pub const GATE: usize = 32;
    /// u32, the sequence lock: odd while the fields below change.
    pub const SEQUENCE: usize = 36;
    /// u64, the count of disruptions.
    pub const EPOCH: usize = 40;
    /// u32, see [`crate::decision::State::code`].
    pub const STATE: usize = 48;
    /// u32, see [`crate::decision::Cause::code`].
    pub const CAUSE: usize = 52;
    /// i64 nanoseconds, reference minus local at `as_of`.
    pub const OFFSET: usize = 56;
    /// u64 nanoseconds, the most the clock was wrong at `as_of`.
    pub const BOUND: usize = 64;
    /// u64 nanoseconds since boot, when the last question was asked.
    pub const AS_OF: usize = 72;
    /// u64 nanoseconds, the bound under which the gate opens.
    pub const THRESHOLD: usize = 80;
    /// u64 nanoseconds since boot, when the proof ends; zero without one.
    pub const VALID_UNTIL: usize = 88;
    /// u64 nanoseconds since boot, when the epoch began.
    pub const SINCE: usize = 96;
    /// u64 nanoseconds since boot, when the policy for failures applies; zero when nothing waits for it.
    pub const DEADLINE: usize = 104;
    /// u32, parts per million that the bound grows by.
    pub const MAX_DRIFT: usize = 112;
    /// 256 bytes, why the gate is not open on a proof.
    pub const WHY: usize = 120;
    /// Behind the last field.
    pub const END: usize = WHY + super::WHY_LEN;
}

/// Why there is no page to read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No agent has been here, or its folder is not mounted.
    #[error("there is no gate page at {path}: no clockgate agent runs here, or its folder is not mounted", path = .0.display())]
    Absent(PathBuf),
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

/// A page that is mapped and of our version.
#[derive(Debug)]
pub struct Page {
    mapping: Mapping,
}

/// What the page said at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The gate; shut where a proof has expired, whatever the word said.
    pub gate: Gate,
    /// The word, for sleeping on it.
    pub word: u32,
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
    /// Why the gate is not open on a proof.
    pub why: String,
}

impl Page {
    /// Maps the page in `directory`.
    ///
    /// # Errors
    /// [`Error`]. A page of another boot is [`Error::Absent`]: its agent is gone with that boot.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let unreadable = |source: io::Error| {
            let path = path.clone();
            if source.kind() == io::ErrorKind::NotFound {
                Error::Absent(path)
            } else if source.kind() == io::ErrorKind::UnexpectedEof {
                Error::Foreign { path, found: format!("it is shorter than {LEN} bytes") }
            } else {
                Error::Unreadable { path, source }
            }
        };
        let file = File::open(&path).map_err(unreadable)?;
        // The file is made, then laid, then written into, and its first words last: until then no agent has been here.
        if file.metadata().map_err(unreadable)?.len() == 0 {
            return Err(Error::Absent(path));
        }
        let page = Self { mapping: Mapping::new(&file).map_err(unreadable)? };
        match (page.mapping.load_u64(at::MAGIC), page.mapping.load_u32(at::VERSION)) {
            (MAGIC, VERSION) => {}
            (0, _) => return Err(Error::Absent(path)),
            (MAGIC, version) => return Err(Error::Foreign { path, found: format!("its version is {version}") }),
            _ => return Err(Error::Foreign { path, found: "it does not begin with CLKGATE".to_owned() }),
        }
        // Without /proc, in an empty root, nobody can tell; /run does not outlive a boot.
        if boot_id().is_some_and(|id| id != page.boot_id()) {
            return Err(Error::Absent(path));
        }
        Ok(page)
    }

    /// What the page says now: a few loads while the agent is not writing.
    #[must_use]
    pub fn read(&self) -> View {
        let mut view = self.read_fields();
        // A writer takes a microsecond. One killed inside the lock leaves it odd, and its successor repairs it: until then
        // the gate is what the word says about shut, and shut otherwise.
        for _ in 0..1000 {
            if let Some(stable) = view {
                return stable;
            }
            std::hint::spin_loop();
            view = self.read_fields();
        }
        let mut torn = self.fields();
        torn.gate = Gate::Shut;
        "the agent died while it wrote the page".clone_into(&mut torn.why);
        torn
    }

    /// Sleeps until the word is no longer that of `view`, or about `timeout`.
    pub fn wait(&self, view: &View, timeout: Duration) {
        futex::wait(&self.mapping, at::GATE, view.word, timeout);
    }

    fn read_fields(&self) -> Option<View> {
        let before = self.mapping.load_u32(at::SEQUENCE);
        if !before.is_multiple_of(2) {
            return None;
        }
        let view = self.fields();
        (self.mapping.load_u32(at::SEQUENCE) == before).then_some(view)
    }

    fn fields(&self) -> View {
        let (u32_at, u64_at) = (|at| self.mapping.load_u32(at), |at| self.mapping.load_u64(at));
        let time_at = |at| Boottime::from_nanos(self.mapping.load_u64(at));
        let word = u32_at(at::GATE);
        let valid_until = time_at(at::VALID_UNTIL);
        let bound = u64_at(at::BOUND);
        let expired = Gate::from_word(word) == Gate::Proven && clock::boottime() >= valid_until;
        View {
            gate: if expired { Gate::Shut } else { Gate::from_word(word) },
            word,
            epoch: u64_at(at::EPOCH),
            state: u32_at(at::STATE),
            cause: u32_at(at::CAUSE),
            offset: (bound != UNKNOWN).then(|| Offset::from_nanos(u64_at(at::OFFSET).cast_signed())),
            bound: (bound != UNKNOWN).then(|| Duration::from_nanos(bound)),
            as_of: time_at(at::AS_OF),
            threshold: Duration::from_nanos(u64_at(at::THRESHOLD)),
            valid_until,
            since: time_at(at::SINCE),
            deadline: time_at(at::DEADLINE),
            max_drift_ppm: u32_at(at::MAX_DRIFT),
            why: if expired { "the proof has expired and the agent has not renewed it".to_owned() } else { self.why() },
        }
    }

    fn why(&self) -> String {
        let bytes: Vec<u8> = self.bytes(at::WHY, WHY_LEN).take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn boot_id(&self) -> [u8; 16] {
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
}

/// The id of this boot; none where /proc is not mounted.
#[must_use]
pub fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}
