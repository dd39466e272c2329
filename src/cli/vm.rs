//! `clockgate vm`: the hypervisor's side of the vsock port. It notifies a guest's agent of what happens to the guest, and of the time
//! while the guest proves its clock.

use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use crate::cli::notify::sentence;
use crate::cli::{CliError, print_line, time_value};
use crate::decision::{Boottime, Gate, Realtime, counted, forward};
use crate::disruption::notice::NoticeKind;
use crate::disruption::vm::vsock::host::{GuestError, converse, through};
use crate::disruption::vm::vsock::protocol::{PORT, Request, TimeAnswer};
use crate::duration;
use crate::error_chain;
use crate::exit::Exit;
use crate::page::{self, Page};
use crate::publish::bus::client::Outcome;
use crate::sys::clock::{boottime, realtime};
use crate::sys::{adjtimex, nap, output, vsock};

mod guests;
mod many;

use guests::VmGuest;
use many::GuestAnswer;

/// An agent that waits as long as it may answers a little later.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// Between two attempts to reach a guest.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub struct VmArgs {
    #[command(subcommand)]
    verb: VmVerb,
}

#[derive(Debug, clap::Subcommand)]
enum VmVerb {
    /// Notify the agents in guests of a suspend, resume, snapshot or restore
    Notify(Notify),
}

#[derive(Debug, clap::Args)]
struct Notify {
    /// The event
    #[arg(value_parser = PossibleValuesParser::new(NoticeKind::ALL.map(NoticeKind::name)))]
    what: String,
    #[command(flatten)]
    which: Which,
    /// The vsock port of the guest's agent
    #[arg(long, value_name = "P", default_value_t = PORT)]
    port: u32,
    /// Wait until the gate is shut (suspend, pre-snapshot), or until the clock is proven again (resume, post-restore)
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, for all of them together
    #[arg(long, value_name = "D", value_parser = duration::parse, default_value = "60s")]
    timeout: Duration,
    /// Write what the guests answered to PATH, for node_exporter's textfile collector
    #[arg(long, value_name = "PATH")]
    textfile: Option<PathBuf>,
    /// Supply the time as well, and wait: `now`, or the time at the start of this command, 2026-11-24T12:00:00.25Z or
    /// @1795521600.25
    #[arg(long, value_name = "T")]
    time: Option<When>,
    /// The bound of that time [default, for `now`: the bound of this host's gate or kernel clock]
    #[arg(long, value_name = "B", value_parser = duration::parse, requires = "time")]
    bound: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn cids() -> Range<i64> {
    guests::CIDS.start.into()..guests::CIDS.end.into()
}

/// The guests; at least one is named.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// The vsock CIDs of the guests
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(cids()))]
    cid: Vec<u32>,
    /// The Unix sockets of Firecracker or Cloud Hypervisor for their vsock
    #[arg(long, value_name = "PATH")]
    uds: Vec<PathBuf>,
    /// A list of them, a CID or an absolute path a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    guests: Option<PathBuf>,
    /// All that run by libvirt and have a vsock, as virsh says
    #[arg(long)]
    virsh: bool,
}

impl Which {
    /// Each guest once, in the order they were named.
    fn all(self, until: Boottime) -> Result<Vec<VmGuest>, CliError> {
        let named = self.cid.into_iter().map(VmGuest::Cid).chain(self.uds.into_iter().map(VmGuest::Socket));
        let mut all: Vec<VmGuest> = named.collect();
        if let Some(path) = &self.guests {
            all.extend(guests::listed(path)?);
        }
        if self.virsh {
            let (found, without) = guests::of_libvirt(until)?;
            for name in without {
                output::say(&format!("clockgate: {name} of libvirt has no vsock, and is not notified\n"));
            }
            all.extend(found);
        }
        let mut each: Vec<VmGuest> = vec![];
        for guest in all {
            if !each.contains(&guest) {
                each.push(guest);
            }
        }
        Ok(each)
    }

    /// One guest that was named by itself is answered for by itself.
    const fn is_one(&self) -> bool {
        self.guests.is_none() && !self.virsh && self.cid.len() + self.uds.len() == 1
    }
}

impl VmArgs {
    /// Performs the verb: 0 when the guest's agent took it, and when what was waited for has come.
    pub fn run(self, began: Boottime) -> Result<Exit, CliError> {
        match self.verb {
            VmVerb::Notify(notify) => notify.run(began),
        }
    }
}

impl Notify {
    fn run(self, began: Boottime) -> Result<Exit, CliError> {
        let what = NoticeKind::named(&self.what);
        let what = what.ok_or_else(|| CliError::new(Exit::Usage, format!("unknown notification `{}`", self.what)))?;
        let given = GivenTime { when: self.time.unwrap_or(When::Now), bound: self.bound, began };
        // An unsynchronised clock is found out before the guest is notified.
        if self.time.is_some() {
            given.answer(0)?;
        }
        let waits = self.wait || self.time.is_some();
        let until = began + if waits { self.timeout.max(Duration::from_millis(1)) } else { Duration::ZERO };
        let notice = GuestNotice { what, port: self.port, waits, has_time: self.time.is_some(), until, given };
        let is_one = self.which.is_one();
        let guests = self.which.all(began + self.timeout)?;
        let answers = if is_one {
            // What went wrong ends the command as it is.
            guests.iter().map(|guest| notice.give(guest).map(GuestAnswer::Agent)).collect::<Result<_, _>>()?
        } else {
            let guests: Arc<[VmGuest]> = guests.clone().into();
            let ask = move |guest: &VmGuest| notice.give(guest).map_err(|error| error_chain::in_full(&error));
            many::ask_all(&guests, began + self.timeout + ANSWERS_WITHIN, ask)?
        };
        if let Some(path) = &self.textfile {
            many::write_metrics(path, &answers)?;
        }
        match (is_one, answers.as_slice()) {
            (true, [GuestAnswer::Agent(answer)]) => told_of_one(what, answer, self.json, waits),
            _ => told_of_many(what, &guests, &answers, self.json, waits),
        }
    }
}

/// What is said to each guest.
#[derive(Clone, Copy, Debug)]
struct GuestNotice {
    what: NoticeKind,
    port: u32,
    waits: bool,
    has_time: bool,
    /// When the guest is to have answered.
    until: Boottime,
    given: GivenTime,
}

impl GuestNotice {
    fn give(&self, guest: &VmGuest) -> Result<Value, CliError> {
        let stream = self.reach(guest)?;
        let wait = if self.waits { self.until.since(boottime()).max(Duration::from_millis(1)) } else { Duration::ZERO };
        let request = Request { what: self.what, wait, has_time: self.has_time };
        converse(stream, request, |nonce| self.given.answer(nonce)).map_err(not_answered)?
    }

    /// Connects to the guest's agent. A guest that is only just being restored answers a little later.
    fn reach(&self, guest: &VmGuest) -> Result<UnixStream, CliError> {
        loop {
            let connected = match guest {
                VmGuest::Socket(path) => through(path, self.port).map_err(not_answered),
                VmGuest::Cid(cid) => vsock::connect(*cid, self.port).map_err(|e| {
                    CliError::caused(Exit::NoAgent, format!("cannot reach port {} of guest {cid}", self.port), e)
                }),
            };
            if connected.is_ok() || boottime() + AGAIN_AFTER >= self.until {
                return connected;
            }
            nap(AGAIN_AFTER);
        }
    }
}

fn told_of_one(what: NoticeKind, answer: &Value, is_json: bool, waits: bool) -> Result<Exit, CliError> {
    let outcome = outcome(answer);
    if is_json {
        print_line(json!({"version": 2, "notified": what.name(), "agent": answer}));
    } else if waits {
        print_line(sentence(&outcome));
    }
    let waited_in_vain = waits && !what.begins() && outcome.gate != "open";
    if waited_in_vain {
        return Err(CliError::still_shut(
            "the guest's clock is not proven",
            "`clockgate status` in the guest says why",
        ));
    }
    Ok(Exit::Ok)
}

/// Those that are not as they should be have a line each.
fn told_of_many(
    what: NoticeKind,
    guests: &[VmGuest],
    answers: &[GuestAnswer],
    is_json: bool,
    waits: bool,
) -> Result<Exit, CliError> {
    let is_done = |answer: &GuestAnswer| match answer {
        GuestAnswer::Agent(answer) => !waits || what.begins() || answer["gate"] == "open",
        GuestAnswer::Failed(_) | GuestAnswer::Silent => false,
    };
    let left = answers.iter().filter(|answer| !is_done(answer)).count();
    if is_json {
        let each: Vec<Value> = guests.iter().zip(answers).map(|(guest, answer)| answer.json(guest)).collect();
        print_line(json!({"version": 2, "notified": what.name(), "guests": each, "done": left == 0}));
    } else {
        for (guest, answer) in guests.iter().zip(answers).filter(|(_, answer)| !is_done(answer)) {
            print_line(match answer {
                GuestAnswer::Agent(answer) => format!("{guest}: {}", sentence(&outcome(answer))),
                GuestAnswer::Failed(why) => format!("{guest}: {why}"),
                GuestAnswer::Silent => format!("{guest}: no answer in time"),
            });
        }
        let of_each = if guests.is_empty() { "none".to_owned() } else { many::counted(answers) };
        print_line(format!("{}: {of_each}", counted(guests.len() as u64, "guest")));
    }
    if left > 0 {
        let what = format!("{left} of {} did not take it in time", counted(guests.len() as u64, "guest"));
        return Err(CliError::still_shut(what, "`clockgate status` in each of them says why"));
    }
    Ok(Exit::Ok)
}

fn not_answered(error: GuestError) -> CliError {
    CliError::new(Exit::NoAgent, error_chain::in_full(&error))
}

fn outcome(answer: &Value) -> Outcome {
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    Outcome {
        state: text("state"),
        gate: text("gate"),
        epoch: answer["epoch"].as_u64().unwrap_or_default(),
        offset_ns: answer["offset_ns"].as_i64(),
        bound_ns: answer["bound_ns"].as_u64(),
        why: text("why"),
    }
}

/// Which time is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// This host's clock at the time of the question.
    Now,
    /// This, when the command began.
    At(Realtime),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" { Ok(Self::Now) } else { time_value::parse(text).map(Self::At) }
    }
}

/// A time to send, and how wrong it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GivenTime {
    when: When,
    /// None: what this host knows of its own clock.
    bound: Option<Duration>,
    began: Boottime,
}

impl GivenTime {
    fn answer(self, nonce: u64) -> Result<TimeAnswer, CliError> {
        let bound = match (self.bound, self.when) {
            (Some(bound), _) => bound,
            (None, When::Now) => own_bound(Path::new(page::DIRECTORY))?,
            (None, When::At(_)) => {
                return Err(CliError::new(Exit::Usage, "--time needs --bound, as in --bound 50ms"));
            }
        };
        let at = match self.when {
            When::Now => realtime(),
            When::At(at) => at + forward(boottime().since(self.began)),
        };
        Ok(TimeAnswer { nonce, at, bound })
    }
}

/// How wrong this host's clock may be: by its own gate, or where it has none, by the claim of its time daemon.
fn own_bound(directory: &Path) -> Result<Duration, CliError> {
    const ADVICE: &str = "give its bound, as in --time now --bound 50ms";
    let unproven = |why: String| CliError::new(Exit::StillShut, format!("{why}: {ADVICE}"));
    match Page::open(directory).map(|page| page.read()) {
        Ok(view) if view.gate == Gate::Proven => {
            view.bound_now.ok_or_else(|| unproven("this host's clock has no bound".to_owned()))
        }
        Ok(view) => Err(unproven(format!("this host's own gate is {}", view.gate))),
        Err(error) if error.is_absence() => match adjtimex::read() {
            Ok(clock) => clock.claim().ok_or_else(|| unproven("this host's clock is not synchronised".to_owned())),
            Err(error) => Err(CliError::caused(Exit::Bug, "cannot read the kernel's clock status", error)),
        },
        Err(error) => Err(CliError::caused(Exit::StillShut, "cannot read this host's own gate", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;

    #[test]
    fn a_time_is_now_or_a_moment_and_a_moment_has_its_bound() {
        assert_eq!("now".parse(), Ok(When::Now));
        assert_eq!("@1793491200.25".parse(), Ok(When::At(Realtime::from_nanos(1_793_491_200_250_000_000))));
        assert!("then".parse::<When>().is_err());
        let given = GivenTime { when: When::At(Realtime::default()), bound: None, began: boottime() };
        let error = given.answer(0).unwrap_err();
        assert!(error.exit == Exit::Usage && error.to_string().contains("--bound"), "{error}");
    }

    #[test]
    fn a_time_that_was_named_goes_on() {
        let began = Boottime::from_nanos(boottime().as_nanos() - 2_000_000_000);
        let at = Realtime::from_secs(1_793_491_200);
        let given = GivenTime { when: When::At(at), bound: Some(Duration::from_millis(1)), began };
        let answer = given.answer(7).unwrap();
        let passed = answer.at - at;
        assert!(passed >= Offset::from_secs(2) && passed < Offset::from_secs(12), "{passed}");
        assert_eq!((answer.nonce, answer.bound), (7, Duration::from_millis(1)));
    }
}
