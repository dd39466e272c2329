//! The wrapper around an OCI runtime: holds a container's start at the gate, lets everything else pass at once, and becomes
//! the real runtime. It starts every container of the host, so nothing in it may fail for want of an agent.
//!
//! As an OCI hook (`clockgate-oci hook`, stage createRuntime) it holds in the same way, and says by its exit code whether the
//! runtime may go on.

mod call;
pub(super) mod hold;
mod hook;
pub(super) mod log;
mod refused;
mod runtime;
mod settings;
mod waiting;

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::{Caller, Metadata, exemption, tolerance, unused_engines};
use crate::error_chain::in_full;
use crate::exit::Exit;
use crate::sys::foreign::shown;
use crate::sys::output::Priority;
use crate::sys::signals;
use crate::waiter::Ground;

pub use call::Call;
pub use hook::hook;
pub use refused::{RefusedBy, RefusedStarts, counted as refused};
pub use settings::{FILE, OciSettings};
pub use waiting::{Waiting, waiting};

use hold::{GateWatch, HeldContainer, Refused, Released};

/// How often the log repeats that a container is still held.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// Why no container was made.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The gate was shut for longer than the engine can be made to wait.
    #[error("refusing to {what} {subject}: after {waited} s {why}", waited = waited.as_secs())]
    Refused {
        /// `create`, `run`, `restore`, or `start` for a hook.
        what: String,
        /// The container.
        subject: String,
        /// How long it was held.
        waited: Duration,
        /// Why.
        why: String,
    },
    /// There is nothing to become.
    #[error("no container runtime")]
    Runtime(#[source] runtime::RuntimeError),
}

impl OciError {
    /// How the process ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. } => Exit::StillShut,
            Self::Runtime(runtime::RuntimeError::Absent { .. }) => Exit::NotFound,
            Self::Runtime(runtime::RuntimeError::Exec { .. }) => Exit::CannotExecute,
        }
    }
}

/// Does what the runtime was called for: waits at the gate where that is a container's start, and becomes the real one.
///
/// # Errors
/// [`OciError`]; there is no other way to return.
pub fn run(argv0: &OsStr, args: Vec<OsString>) -> Result<Infallible, OciError> {
    let call = Call::parse(&args);
    hold_and_become(&call, argv0, args).inspect_err(|error| {
        survive_the_answer();
        log::answer_engine(&call, &format!("clockgate: {}", in_full(error)));
    })
}

/// A caller that does not read the reason finds it in the exit code. Not sooner: a runtime that we become has the signals that we had.
fn survive_the_answer() {
    let _ = signals::outlive_readers();
}

fn hold_and_become(call: &Call, argv0: &OsStr, args: Vec<OsString>) -> Result<Infallible, OciError> {
    // Settings are looked for under the name we were called by, and only where they can matter.
    let settings = OciSettings::of(Path::new(argv0));
    if let Some(what) = &call.start {
        let bundle = call.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
        unused_engines::came_by(call.caller(), &bundle);
        Start::new(what, &call.id, call.caller(), &|| Metadata::of_bundle(&bundle), &settings)
            .hold()
            .inspect_err(|_| count_refusal(&settings, RefusedBy::Wrapper))?;
    }
    let runtime = match settings.runtime {
        Some(runtime) => runtime,
        None => runtime::find(argv0).map_err(OciError::Runtime)?,
    };
    runtime::become_it(runtime, args).map_err(OciError::Runtime)
}

pub(super) fn count_refusal(settings: &OciSettings, by: RefusedBy) {
    // A number is no reason to do anything else.
    let _ = refused::count(&settings.page, by);
}

/// A container about to start, and what was found out about it.
struct Start<'a> {
    what: &'a str,
    id: &'a str,
    caller: Caller,
    /// Looked up only where the gate is shut.
    look_up: &'a dyn Fn() -> Metadata,
    metadata: Metadata,
    exempt_by: Option<String>,
    told: Option<Duration>,
    settings: &'a OciSettings,
}

impl<'a> Start<'a> {
    fn new(
        what: &'a str,
        id: &'a str,
        caller: Caller,
        look_up: &'a dyn Fn() -> Metadata,
        settings: &'a OciSettings,
    ) -> Self {
        Self { what, id, caller, look_up, metadata: Metadata::default(), exempt_by: None, told: None, settings }
    }

    fn hold(mut self) -> Result<(), OciError> {
        match GateWatch::new(self.settings).hold(&mut self) {
            Ok(Released::Exempt) => {
                let rule = self.exempt_by.as_deref().unwrap_or_default();
                self.log(Priority::Info, &format!("not held at the shut gate: exempt by {rule}"));
            }
            // A gate that was open on a proof needs no line in the log; every other release has one.
            Ok(Released::On(Ground::Proven(_))) if self.told.is_none() => {}
            Ok(Released::On(ground @ (Ground::Proven(_) | Ground::Tolerated { .. }))) => {
                self.log(Priority::Info, &format!("released: {ground}"))
            }
            Ok(Released::On(ground)) => self.log(Priority::Warning, &format!("released: {ground}")),
            Err(Refused { waited, why }) => {
                let refused = OciError::Refused { what: self.what.to_owned(), subject: self.subject(), waited, why };
                self.log(Priority::Warning, &refused.to_string());
                return Err(refused);
            }
        }
        Ok(())
    }

    fn subject(&self) -> String {
        let id = shown(self.id.get(..12).unwrap_or(self.id));
        let title = self.metadata.title().map(shown);
        title.map_or_else(|| format!("container {id}"), |title| format!("container {id} ({title})"))
    }

    fn log(&self, priority: Priority, text: &str) {
        log::log(&self.settings.syslog, priority, &format!("{}: {}: {text}", self.caller, self.subject()));
    }
}

impl HeldContainer for Start<'_> {
    fn is_exempt(&mut self) -> bool {
        self.metadata = (self.look_up)();
        self.caller = Caller::named_in(&self.metadata).unwrap_or(self.caller);
        self.exempt_by = exemption::find(&self.metadata, &self.settings.exempt).map(|exemption| exemption.to_string());
        self.exempt_by.is_some()
    }

    fn tolerance(&mut self) -> Option<Duration> {
        match tolerance::of(&self.metadata)? {
            Ok(tolerance) => Some(tolerance),
            Err(why) => {
                self.log(Priority::Warning, &format!("{} is ignored: {}", tolerance::LABEL, shown(&why)));
                None
            }
        }
    }

    fn patience(&mut self, _epoch: Option<u64>) -> Option<Duration> {
        self.settings.patience(self.caller)
    }

    fn waits(&mut self, waited: Duration, why: &str) {
        if self.told.is_none_or(|told| waited >= told + REMIND_EVERY) {
            let so_far = if self.told.is_some() { format!(" for {} s", waited.as_secs()) } else { String::new() };
            self.told = Some(waited);
            self.log(Priority::Info, &format!("held{so_far}: {why}"));
        }
    }
}
