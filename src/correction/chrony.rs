//! chronyd: made to forget, to measure, to step. Everything here blocks, for less than its deadline.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::debug;

use crate::chrony::{Address, Authentication, Client, Error, Mode, Problem, SourceData, Status, Tracking};
use crate::decision::{Boottime, Kind, Leap, Offset, Reading, Realtime, StepError, Voice, forward, nanos_u64};
use crate::sys::clock::{boottime, realtime, standing};
use crate::sys::step::{NOISE, SystemClock};

/// Its name in texts and readings.
pub const NAME: &str = "chronyd";
/// An order on the way from event to proof: chronyd answers within 20 µs, or something is wrong with it.
const ORDER: Duration = Duration::from_secs(1);
/// A look over UDP, where a firewall can swallow the question.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// Three samples make chronyd sure; a fourth is asked for, and four may be lost.
const BURST: (u32, u32) = (4, 8);
/// One more sample, to a daemon that has some.
const FRESHEN: (u32, u32) = (1, 2);
/// What a step may differ from what was announced a moment before: chronyd goes on slewing, by 8 % at most.
const STEP_SLACK: Duration = Duration::from_millis(20);

/// Where chronyd is to be found.
#[derive(Clone, Debug)]
pub struct Chronyd {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Its UDP port, for reading where the socket is closed to us.
    pub udp: Option<SocketAddr>,
}

/// What came of making it forget.
#[derive(Debug, PartialEq, Eq)]
pub enum Forgot {
    /// It knows nothing any more.
    Done { authenticated: bool, trouble: Option<String> },
    /// It is there, and still knows what it knew.
    Not(String),
    /// It does not run; or, with words, nobody can tell.
    Absent(Option<String>),
}

/// What the source that chronyd follows has been heard saying, to tell a new sample from an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    source: Address,
    /// Its good packets; reference clocks have none.
    valid: u32,
    /// When its newest sample was taken, at the earliest.
    newest: Boottime,
    /// When we asked.
    as_of: Boottime,
}

impl Heard {
    /// Whether a sample came after `before` was taken.
    fn is_newer(&self, before: &Self) -> bool {
        (self.source == before.source && self.valid > before.valid) || self.newest > before.as_of
    }
}

impl Chronyd {
    pub(super) fn client(&self, patience: Duration) -> Client {
        Client::unix(&self.socket, boottime() + patience)
    }

    /// Reads what it believes, by UDP where the socket is closed to us.
    fn belief(&self) -> Result<Option<(Tracking, Leap)>, Error> {
        let over_socket = belief(&mut self.client(LOOK));
        match (over_socket, self.udp) {
            (Err(error), Some(udp)) => belief(&mut Client::udp(udp, boottime() + LOOK)).map_err(|_| error),
            (outcome, _) => outcome,
        }
    }

    /// Throws away every sample and any slew in progress.
    pub fn forget(&self) -> Forgot {
        let mut client = self.client(ORDER);
        // A reset clears the sources' reachability, so this comes first; it takes microseconds.
        let authenticated = match client.sources().and_then(|sources| authenticated(&mut client, sources)) {
            Err(error) if error.is_silent() => return Forgot::Not(error.to_string()),
            outcome => outcome,
        };
        let error = match client.reset_sources() {
            Ok(()) => return done(authenticated),
            Err(error) => error,
        };
        if error.is_too_old() {
            return Forgot::Not(format!(
                "{error}; it is older than 4.0 and keeps the samples and the slew it had. The clock is measured and stepped all the same"
            ));
        }
        let unsure = error.is_absent() || matches!(error.problem, Problem::Closed | Problem::OwnSocket { .. });
        if !unsure {
            return Forgot::Not(error.to_string());
        }
        match self.udp.map(|udp| (udp, Client::udp(udp, boottime() + LOOK).tracking())) {
            Some((udp, Ok(_))) => Forgot::Not(format!(
                "{error}. It answers on UDP {udp}, which is for reading only: it can neither be made to forget nor \
                 tell whether its sources are authenticated"
            )),
            Some((_, Err(_))) | None if error.is_absent() => Forgot::Absent(None),
            Some((_, Err(_))) | None => Forgot::Absent(Some(error.to_string())),
        }
    }

    /// After a step: what straddled it is thrown away, and it measures anew.
    ///
    /// # Errors
    /// In words.
    pub fn hand_over(&self) -> Result<(), String> {
        let mut client = self.client(ORDER);
        match client.reset_sources() {
            // Its samples from before the disruption fit the clock again, now that it is right.
            Err(error) if error.is_too_old() => debug!(%error, "chronyd keeps what it knew"),
            outcome => outcome.map_err(|e| e.to_string())?,
        }
        stir(&mut client, BURST).map_err(|e| e.to_string())
    }

    /// Has it measure: in earnest when it knows nothing, once when it does.
    ///
    /// # Errors
    /// [`Error`].
    pub fn freshen(&self) -> Result<(), Error> {
        let mut client = self.client(ORDER);
        let synchronised = client.tracking()?.synchronised().is_some();
        let knows = belief(&mut client)?.is_some();
        if synchronised && !knows {
            // Its samples contradict one another: those it took last would fight the others for minutes.
            client.reset_sources()?;
        }
        stir(&mut client, if knows { FRESHEN } else { BURST })
    }

    /// What it says, if that rests on a sample newer than `before`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn look(&self, before: Option<Heard>) -> Result<Option<(Reading, Heard)>, Error> {
        let mut client = self.client(ORDER);
        let Some(heard) = heard(&mut client)?.filter(|heard| before.is_none_or(|before| heard.is_newer(&before)))
        else {
            return Ok(None);
        };
        let (as_of, local) = (boottime(), realtime());
        let Some((tracking, leap)) = belief(&mut client)? else { return Ok(None) };
        let sources = client.sources()?;
        let authenticated = authenticated(&mut client, sources)?;
        Ok(Some((reading(&tracking, leap, (as_of, local), authenticated), heard)))
    }

    /// What it says just now, however old its samples are; by UDP where the socket is closed to us.
    #[must_use]
    pub fn describe(&self) -> Option<Reading> {
        let (as_of, local) = (boottime(), realtime());
        let (tracking, leap) = self.belief().ok()??;
        let mut client = self.client(LOOK);
        let authenticated = client.sources().and_then(|sources| authenticated(&mut client, sources));
        Some(reading(&tracking, leap, (as_of, local), authenticated.unwrap_or(false)))
    }

    /// What it means to correct; none while it does not know, and then it is told to measure.
    ///
    /// It was told so when it was handed the clock. But a burst that was under way then, as in the seconds after its start, is
    /// not begun anew: what is left of it can be too few samples, and the next come a minute apart.
    ///
    /// # Errors
    /// [`Error`].
    pub fn correction_or_burst(&self) -> Result<Option<Offset>, Error> {
        let offset = self.belief()?.map(|(tracking, _)| tracking.offset);
        if offset.is_none() {
            stir(&mut self.client(ORDER), BURST)?;
        }
        Ok(offset)
    }

    /// Lets it step, by what it has measured since it forgot.
    ///
    /// # Errors
    /// [`StepError`]; after `Superseded` the clock is as it was.
    pub fn step(
        &self,
        clock: &SystemClock,
        offset: Offset,
        local: Realtime,
        as_of: Boottime,
    ) -> Result<Offset, StepError> {
        let failed = |error: Error| StepError::Failed(error.to_string());
        let now = standing().real_minus_boot;
        let change = now - (local - Realtime::from_nanos(i64::try_from(as_of.as_nanos()).unwrap_or(i64::MAX)));
        if change.abs() > NOISE {
            return Err(StepError::Superseded { change });
        }
        let mut client = self.client(ORDER);
        let Some((tracking, _)) = belief(&mut client).map_err(failed)? else {
            let why = format!("{NAME} no longer knows the time and would step by nothing: it measures again");
            return Err(StepError::Failed(why));
        };
        // The guards let `offset` pass and nothing else.
        let aside = tracking.offset - offset;
        if aside.abs() > tracking.root_distance() + slewed(boottime().since(as_of)) + STEP_SLACK {
            return Err(StepError::Superseded { change: aside });
        }
        let (outcome, moved) = clock.by_other_hands(|| client.makestep());
        let astray = (moved - tracking.offset).abs() > STEP_SLACK;
        if outcome.is_err() || astray {
            // Seen with 4.3: a step that failed leaves chronyd saying that nothing is left to correct.
            drop(client.reset_sources());
        }
        match outcome {
            Ok(()) if astray => Err(StepError::Failed(format!(
                "{NAME} said that it stepped by {}, and the clock moved by {moved}",
                tracking.offset
            ))),
            Ok(()) => Ok(moved),
            Err(error) if matches!(error.problem, Problem::Refused(Status::Failed)) => {
                Err(StepError::NotPermitted(format!(
                    "the clock is off by {offset} and {NAME} cannot step it: it runs with `-x` or without CAP_SYS_TIME. \
                     Let it, or set `correction: clockgate`"
                )))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn done(authenticated: Result<bool, Error>) -> Forgot {
    match authenticated {
        Ok(authenticated) => Forgot::Done { authenticated, trouble: None },
        // Nothing unauthenticated takes the place of what may be authenticated.
        Err(error) => Forgot::Done {
            authenticated: true,
            trouble: Some(format!("{error}; its sources are taken for authenticated, and the step is left to it")),
        },
    }
}

/// Whether every server that it hears is authenticated, or every one it has where it hears none.
///
/// chronyd does not tell which of its sources are offline; those are not heard.
fn authenticated(client: &mut Client, mut servers: Vec<SourceData>) -> Result<bool, Error> {
    servers.retain(|s| s.mode != Mode::RefClock);
    if servers.iter().any(|s| s.reach != 0) {
        servers.retain(|s| s.reach != 0);
    }
    for server in &servers {
        match client.authentication(server) {
            Ok(Authentication::None) => return Ok(false),
            Ok(Authentication::SymmetricKey | Authentication::Nts) => {}
            // Before 4.0 it does not say, and keys are all there is.
            Err(error) if error.is_too_old() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(!servers.is_empty())
}

fn heard(client: &mut Client) -> Result<Option<Heard>, Error> {
    let as_of = boottime();
    let Some(source) = client.sources()?.into_iter().find(|source| source.selected) else { return Ok(None) };
    // Whole seconds, rounded: the sample may be up to one older.
    let age = source.since_sample_secs.map_or(Duration::MAX, |secs| Duration::from_secs(u64::from(secs) + 1));
    let newest = Boottime::from_nanos(as_of.as_nanos().saturating_sub(nanos_u64(age)));
    let valid = match source.mode {
        Mode::RefClock => 0,
        Mode::Client | Mode::Peer => client.ntp_data(source.address)?.valid,
    };
    Ok(Some(Heard { source: source.address, valid, newest, as_of }))
}

/// What chronyd believes, if it follows a source.
///
/// `tracking` alone goes on saying what it said, synchronised and all, when a sample contradicts the others so that chronyd can
/// follow none ("Can't synchronise: no selectable sources"): that is how it stands after a pause that nobody noticed (seen with 4.3).
fn belief(client: &mut Client) -> Result<Option<(Tracking, Leap)>, Error> {
    let tracking = client.tracking()?;
    let Some(leap) = tracking.synchronised() else { return Ok(None) };
    let follows = client.sources()?.iter().any(|source| source.selected);
    Ok(follows.then_some((tracking, leap)))
}

/// Has every source polled quickly. Where somebody took some of them offline and left others, those stay as they are.
fn stir(client: &mut Client, (good, total): (u32, u32)) -> Result<(), Error> {
    let activity = client.activity()?;
    if activity.online + activity.burst_online == 0 && activity.offline + activity.burst_offline > 0 {
        client.online()?;
    }
    match client.burst(good, total) {
        // No server to ask quickly: reference clocks have their own pace.
        Err(error) if matches!(error.problem, Problem::Refused(Status::NoSuchSource)) => Ok(()),
        outcome => outcome,
    }
}

fn reading(tracking: &Tracking, leap: Leap, (as_of, local): (Boottime, Realtime), authenticated: bool) -> Reading {
    Reading {
        source: NAME.to_owned(),
        voice: Voice::server(NAME),
        kind: Kind::Daemon,
        as_of,
        local,
        offset: tracking.offset,
        root_distance: tracking.root_distance(),
        authenticated,
        leap,
        stratum: u8::try_from(tracking.stratum).ok(),
        delay: None,
        upstream: None,
    }
}

/// What chronyd can have slewed meanwhile: 83,333 ppm is its limit.
fn slewed(elapsed: Duration) -> Duration {
    forward(elapsed / 12).abs()
}
