//! The reader of the page: any program may be one, in any container, as any user.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::agent::Agent;
use crate::error::Error;
use crate::gate::Gate;
use crate::judge::{ClockMeasurement, Doubt};
use crate::layout::{BY_AUTHENTICATED, BY_PLAIN, DIRECTORY, FILE, MAGIC, UNKNOWN, VERSION, WHY_LEN, at};
use crate::leap::LeapSecond;
use crate::protocol;
use crate::sys::mapping::{LEN, Mapping};
use crate::sys::time_namespace::{self, Shift};
use crate::sys::{self, clock, futex};
use crate::text;
use crate::time::{Boottime, Differences, Offset, drift};
use crate::view::View;

/// A page that is mapped and of our version.
#[derive(Debug)]
pub struct Page {
    file: File,
    mapping: Mapping,
    boot_id: [u8; 16],
    /// Of our time namespace; none where it cannot be known.
    shift: Mutex<Option<Shift>>,
}

/// How often to read a page that does not change: a proof ends, a clock is set and an agent is killed, and no futex is woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Page {
    /// Maps the page of this host, `/run/clockgate/public/gate`.
    ///
    /// # Errors
    /// As [`Page::open`].
    pub fn open_default() -> Result<Self, Error> {
        Self::open(Path::new(DIRECTORY))
    }

    /// Maps the page in `directory`, by the name [`FILE`].
    ///
    /// # Errors
    /// [`Error`]. A page of another boot is [`Error::OtherKernel`]: its agent ended with that boot.
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
            return Err(foreign("it is not a regular file"));
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
        // Without /proc, in an empty root, the boot is unknown; /run does not outlive a boot.
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
        // A wide tolerance would not notice another namespace's clocks.
        if !doubt.is_some_and(Doubt::is_of_our_clocks) && view.measured_now.is_none() {
            return view;
        }
        // We may have been taken into another time namespace since (setns(2), CRIU).
        let shift = time_namespace::shift();
        *self.shift.lock().unwrap_or_else(PoisonError::into_inner) = shift;
        let (mut view, doubt) = self.look(shift);
        if shift.is_none() {
            view.measured_now = None;
        }
        if doubt.is_some() && shift.is_none() {
            view.why.push_str("; or this is a time namespace whose offset cannot be read");
        }
        view
    }

    /// Reads until the gate, the agent or the epoch is another than in `seen`, or `at_most` has passed, and returns what was read last.
    ///
    /// Time asleep counts (`CLOCK_BOOTTIME`). A change of the word is seen at once; changes without a wake within a second: a proof
    /// that has ended, a clock that was set, an agent that was killed. A missing page ([`Agent::PageGone`]) never changes
    /// any more: open it again.
    #[must_use]
    pub fn wait_for_change(&self, seen: &View, at_most: Duration) -> View {
        let deadline = clock::boottime() + at_most;
        loop {
            let view = self.read();
            let left = deadline.since(clock::boottime());
            if view.is_news_after(seen) || left.is_zero() {
                return view;
            }
            self.wait(&view, left.min(LOOK_EVERY));
        }
    }

    /// Sleeps until the word is no longer that of `view`, or about `timeout` of time awake; it may return early.
    ///
    /// See [`Page::wait_for_change`] for the changes that come without a wake.
    pub fn wait(&self, view: &View, timeout: Duration) {
        match view.agent {
            // The word of a missing page never changes, and there may be none to sleep on.
            Agent::PageGone => sys::nap(timeout),
            Agent::Alive | Agent::Starting | Agent::Ended { .. } | Agent::Silent { .. } => {
                futex::wait(&self.mapping, at::GATE, view.word, timeout);
            }
        }
    }

    /// Sleeps until the agent has published something since `view`, whether the word changed or not, or about `timeout` of time awake;
    /// it may return early. An agent that does not count its changes ([`View::changes`]) wakes no sleeper.
    pub fn wait_for_publication(&self, view: &View, timeout: Duration) {
        match (view.agent, view.changes) {
            (Agent::PageGone, _) | (_, None) => sys::nap(timeout),
            (Agent::Alive | Agent::Starting | Agent::Ended { .. } | Agent::Silent { .. }, Some(changes)) => {
                futex::wait(&self.mapping, at::CHANGES, changes, timeout);
            }
        }
    }

    /// One consistent look, and why a word that says proven is none.
    fn look(&self, shift: Option<Shift>) -> (View, Option<Doubt>) {
        let clocks = |()| clock::clocks_of_the_host(shift.unwrap_or_default());
        // Behind the end of a file that was cut short there is nothing to load: the kernel would end us (SIGBUS).
        let is_whole = self.file.metadata().is_ok_and(|found| found.len() >= MIN_LEN && found.nlink() > 0);
        if !is_whole {
            return (View::of_no_page(clocks(()).0.boot, "the gate page was removed or truncated"), None);
        }
        // A writer takes a microsecond. One killed inside the lock leaves it odd, and its successor repairs it: until then
        // the gate is shut.
        let found = protocol::look(&self.mapping, 1000, || {
            // Between two loads of the page: a step after them is for the next look to see.
            let (now, width) = clocks(());
            let fields = self.others().map_or_else(|| self.fields(now.boot), |why| View::of_no_page(now.boot, why));
            (fields, now, width)
        });
        if let Some((fields, now, width)) = found {
            return fields.judged(&now, width);
        }
        let torn = self.fields(clocks(()).0.boot);
        (View { gate: Gate::Shut, why: "the agent died while it wrote the page".to_owned(), ..torn }, None)
    }

    /// Whose the page has become, where it is not the one that was opened: an agent of another version, or after CRIU another
    /// kernel's, has the same file.
    fn others(&self) -> Option<&'static str> {
        if self.mapping.load_u64(at::MAGIC) != MAGIC || self.mapping.load_u32(at::VERSION) != VERSION {
            Some("it has become a page of another version")
        } else if self.boot_id_now() != self.boot_id {
            Some("it has become the page of another kernel")
        } else {
            None
        }
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
            changes: has(at::NEXT_END).then(|| u32_at(at::CHANGES)),
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
            next: Some(time_at(at::NEXT)).filter(|next| has(at::NEXT_END) && *next != Boottime::default()),
            alive_until: time_at(at::ALIVE_UNTIL),
            max_drift_ppm: u32_at(at::MAX_DRIFT),
            differences: has(at::DIFFERENCES_END).then(|| Differences {
                real_minus_boot: offset_at(at::REAL_MINUS_BOOT),
                boot_minus_mono: Duration::from_nanos(u64_at(at::BOOT_MINUS_MONO)),
                mono_minus_raw: offset_at(at::MONO_MINUS_RAW),
            }),
            // The agent before wrote zeros here.
            authenticated: match (has(at::END), u32_at(at::PROVEN_BY)) {
                (true, BY_PLAIN) => Some(false),
                (true, BY_AUTHENTICATED) => Some(true),
                (true | false, _) => None,
            },
            leap_second: has(at::LEAP_END)
                .then(|| LeapSecond { at: time_at(at::LEAP_AT), change: offset_at(at::LEAP) })
                .filter(|leap| leap.change != Offset::ZERO),
            measured: has(at::END).then(|| self.measured()).flatten(),
            measured_now: None,
            why: self.why(),
        };
        view.bound_now = view.bound.map(|bound| bound.saturating_add(drift(now.since(view.as_of), view.max_drift_ppm)));
        view
    }

    fn measured(&self) -> Option<ClockMeasurement> {
        let u64_at = |at| self.mapping.load_u64(at);
        let offset_at = |at| Offset::from_nanos(u64_at(at).cast_signed());
        let bound = u64_at(at::MEASURED_BOUND);
        // An earlier epoch's is void.
        let is_there = bound != UNKNOWN && u64_at(at::MEASURED_EPOCH) == u64_at(at::EPOCH);
        is_there.then(|| ClockMeasurement {
            offset: offset_at(at::MEASURED_OFFSET),
            bound: Duration::from_nanos(bound),
            as_of: Boottime::from_nanos(u64_at(at::MEASURED_AS_OF)),
            valid_until: Boottime::from_nanos(u64_at(at::MEASURED_UNTIL)),
            max_drift_ppm: self.mapping.load_u32(at::MEASURED_MAX_DRIFT),
            differences: Some(Differences {
                real_minus_boot: offset_at(at::MEASURED_REAL_MINUS_BOOT),
                boot_minus_mono: Duration::from_nanos(u64_at(at::MEASURED_BOOT_MINUS_MONO)),
                mono_minus_raw: offset_at(at::MEASURED_MONO_MINUS_RAW),
            }),
            leap_second: None,
        })
    }

    fn why(&self) -> String {
        let bytes: Vec<u8> = self.bytes(at::WHY, WHY_LEN).take_while(|byte| *byte != 0).collect();
        text::shown(&String::from_utf8_lossy(&bytes))
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
