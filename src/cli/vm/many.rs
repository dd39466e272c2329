//! Many guests at once: each is asked by a thread of its own, up to [`AT_ONCE`] of them, and all of it ends at one moment, however
//! many are silent.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::guests::VmGuest;
use crate::cli::CliError;
use crate::decision::Boottime;
use crate::exit::Exit;
use crate::sys::clock::{boottime, realtime};
use crate::sys::own_file;

/// Fewer than the files that a process may have open by default (1024).
const AT_ONCE: usize = 500;
/// One conversation needs little.
const STACK: usize = 256 * 1024;
/// How long is waited before the clock is looked at: a channel's time-out does not advance while this host sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came of one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestAnswer {
    /// Its agent answered.
    Agent(Value),
    /// It could not be reached, or its agent refused, and why.
    Failed(String),
    /// Nothing came in time.
    Silent,
}

/// Asks all of them, and takes what has come by `until`; in the order of `guests`.
///
/// # Errors
/// [`CliError`] where no thread can be started.
pub fn ask_all(
    guests: &Arc<[VmGuest]>,
    until: Boottime,
    ask: impl Fn(&VmGuest) -> Result<Value, String> + Send + Sync + 'static,
) -> Result<Vec<GuestAnswer>, CliError> {
    let (tell, told) = mpsc::channel();
    let (ask, next) = (Arc::new(ask), Arc::new(AtomicUsize::new(0)));
    for started in 0..guests.len().min(AT_ONCE) {
        let (guests, tell, ask, next) = (Arc::clone(guests), tell.clone(), Arc::clone(&ask), Arc::clone(&next));
        let work = move || {
            while let Some((at, guest)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, guests.get(at)?)))
            {
                // After the end it goes nowhere, and then this process ends too.
                let _ = tell.send((at, ask(guest)));
            }
        };
        match thread::Builder::new().name("guest".to_owned()).stack_size(STACK).spawn(work) {
            Ok(_) => {}
            // The others take over what this one would have asked.
            Err(_) if started > 0 => break,
            Err(error) => return Err(CliError::caused(Exit::Bug, "cannot start a thread", error)),
        }
    }
    drop(tell);
    let mut answers = vec![GuestAnswer::Silent; guests.len()];
    loop {
        let left = until.since(boottime());
        match told.recv_timeout(left.min(LOOK_EVERY)) {
            Ok((at, Ok(answer))) => answers[at] = GuestAnswer::Agent(answer),
            Ok((at, Err(why))) => answers[at] = GuestAnswer::Failed(why),
            Err(mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => return Ok(answers),
        }
    }
}

impl GuestAnswer {
    /// By what it is counted: the gate of its agent, `failed` or `silent`.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Agent(answer) => match answer["gate"].as_str() {
                Some("open") => "open",
                Some("unproven") => "unproven",
                Some(_) | None => "shut",
            },
            Self::Failed(_) => "failed",
            Self::Silent => "silent",
        }
    }

    /// As JSON has it.
    pub fn json(&self, guest: &VmGuest) -> Value {
        let (cid, socket) = match guest {
            VmGuest::Cid(cid) => (json!(cid), Value::Null),
            VmGuest::Socket(path) => (Value::Null, json!(path)),
        };
        let (agent, why) = match self {
            Self::Agent(answer) => (answer.clone(), Value::Null),
            Self::Failed(why) => (Value::Null, json!(why)),
            Self::Silent => (Value::Null, json!("no answer in time")),
        };
        let fields = [("cid", cid), ("uds", socket), ("agent", agent), ("why", why)];
        fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The classes of [`GuestAnswer::class`].
pub const CLASSES: [&str; 5] = ["open", "unproven", "shut", "failed", "silent"];

/// How many there are of each class, in words; those of none are left out.
pub fn counted(answers: &[GuestAnswer]) -> String {
    let count = |class: &str| answers.iter().filter(|answer| answer.class() == class).count();
    let words = CLASSES.map(|class| (class, count(class))).into_iter().filter(|(_, count)| *count > 0);
    words.map(|(class, count)| format!("{count} {class}")).collect::<Vec<_>>().join(", ")
}

/// Writes what they answered for node_exporter's textfile collector.
///
/// # Errors
/// [`CliError`] where the file cannot be written.
pub fn write_metrics(path: &Path, answers: &[GuestAnswer]) -> Result<(), CliError> {
    let at = realtime().as_nanos() / 1_000_000_000;
    let write = |to: &mut dyn Write| -> io::Result<()> {
        writeln!(to, "# HELP clockgate_vm_guests Guests of the last `clockgate vm notify`, by what they answered.")?;
        writeln!(to, "# TYPE clockgate_vm_guests gauge")?;
        for class in CLASSES {
            let count = answers.iter().filter(|answer| answer.class() == class).count();
            writeln!(to, "clockgate_vm_guests{{answer=\"{class}\"}} {count}")?;
        }
        writeln!(to, "# HELP clockgate_vm_notified_timestamp_seconds When it ended.")?;
        writeln!(to, "# TYPE clockgate_vm_notified_timestamp_seconds gauge")?;
        writeln!(to, "clockgate_vm_notified_timestamp_seconds {at}")
    };
    own_file::write(path, write)
        .map_err(|error| CliError::caused(Exit::Usage, format!("cannot write {}", path.display()), error))
}
