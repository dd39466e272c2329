//! chronyd: its reset, its burst, its step. Everything here blocks, for less than its deadline.

mod authentication;
mod authority;
mod burst;
mod new_sample;
mod process;
pub mod protocol;
mod saved_sources;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::debug;

use crate::daemon::facts::Daemon;
use crate::decision::{Boottime, Hint, Leap, Offset, Reading, Realtime, ReferenceKind, StepError, Voice, forward};
use crate::sys::clock::{boottime, realtime, standing};
use crate::sys::step::{NOISE, SystemClock};

pub use authentication::{Authentication, Day, Presence};
pub use burst::Bursts;
pub use new_sample::LastSample;

pub(super) use authority::outranking;

use authority::AuthorityStatus;
use new_sample::{last_sample, sampled};
use protocol::{ChronyClient, ChronyError, Problem, SourceData, SourceMode, Spare, Status, Tracking};

/// Its name in texts and readings.
pub const NAME: &str = Daemon::Chrony.facts().name;
/// Debian's unit and that of the other distributions; each may be the alias of the other.
const UNITS: &[&str] = Daemon::Chrony.facts().units;
/// An order on the way from event to proof: chronyd answers within 20 µs, or something is wrong with it.
pub const ORDER: Duration = Duration::from_secs(1);
/// A look over UDP, where a firewall can swallow the question; an order where nothing of value is lost with it.
pub const LOOK: Duration = Duration::from_millis(200);
/// Three samples make chronyd sure; a fourth is asked for, and four may be lost.
const BURST: (u32, u32) = (4, 8);
/// One more sample, to a daemon that has some.
const FRESHEN: (u32, u32) = (1, 2);
/// What a step may differ from what was announced a moment before: chronyd continues to slew, by 8 % at most.
const STEP_SLACK: Duration = Duration::from_millis(20);

/// Where chronyd is to be found.
#[derive(Clone, Debug)]
pub struct Chronyd {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Its UDP port, for reading where the socket is closed to us.
    pub udp: Option<SocketAddr>,
    /// The connection that is kept between two conversations.
    pub spare: Spare,
}

/// What becomes of its samples when it is handed the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The clock was not stepped since its reset: the samples since then are of this clock.
    Kept,
    /// It was stepped, or chronyd has not forgotten yet.
    ThrownAway,
}

/// What came of making it forget.
#[derive(Debug, PartialEq, Eq)]
pub enum Forgot {
    /// It knows nothing any more.
    Done {
        /// What it says of authentication, where it does.
        said: Option<AuthorityStatus>,
        /// What did not work all the same, in words.
        trouble: Option<String>,
    },
    /// It is there, and has not answered in time: it may when it is asked again.
    Silent(String),
    /// It is there, and still knows what it knew.
    Not(String),
    /// It does not run; or, with words, that is unknown.
    Absent(Option<String>),
}

impl Chronyd {
    pub(super) fn client(&self, limit: Duration) -> ChronyClient {
        ChronyClient::unix(&self.socket, boottime() + limit).reusing(&self.spare)
    }

    /// Reads what it believes, by UDP where the socket is closed to us.
    fn belief(&self) -> Result<Option<(Tracking, Leap)>, ChronyError> {
        let over_socket = belief(&mut self.client(LOOK));
        match (over_socket, self.udp) {
            (Err(error), Some(udp)) => belief(&mut ChronyClient::udp(udp, boottime() + LOOK)).map_err(|_| error),
            (outcome, _) => outcome,
        }
    }

    /// Throws away every sample and any slew in progress; the burst after it is owed.
    pub fn forget(&self, limit: Duration) -> Forgot {
        let mut client = self.client(limit);
        // A reset clears the sources' reachability, so this comes first; each question takes microseconds.
        let said = match authority::read(&mut client) {
            Err(error) if error.is_silent() => return Forgot::Silent(error.to_string()),
            outcome => outcome,
        };
        let error = match client.reset_sources() {
            Ok(()) => return done(said),
            Err(error) if error.is_silent() => return Forgot::Silent(error.to_string()),
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
        match self.udp.map(|udp| (udp, ChronyClient::udp(udp, boottime() + LOOK).tracking())) {
            Some((udp, Ok(_))) => Forgot::Not(format!(
                "{error}. It answers on UDP {udp}, which is for reading only: it can neither be reset nor report whether its sources are authenticated"
            )),
            Some((_, Err(_))) | None if error.is_absent() => Forgot::Absent(None),
            Some((_, Err(_))) | None => Forgot::Absent(Some(error.to_string())),
        }
    }

    /// What it says of authentication, without making it forget.
    ///
    /// # Errors
    /// [`ChronyError`]; `Invalid` before 4.0.
    pub fn authority(&self) -> Result<AuthorityStatus, ChronyError> {
        authority::read(&mut self.client(LOOK))
    }

    /// Has it measure after a reset, within `limit`.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn burst(&self, limit: Duration) -> Result<(), ChronyError> {
        stir(&mut self.client(limit), BURST)
    }

    /// Its newest sample, where it has one taken at `since` or later; of its authenticated sources alone where those outrank the
    /// others. To be asked of a chronyd that forgot: it has no older ones then.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn hint(&self, since: Option<Boottime>) -> Result<Option<Hint>, ChronyError> {
        let mut client = self.client(LOOK);
        let newest = |s: &SourceData| s.since_sample_secs;
        // Once it has enough samples, chronyd reports them as if their offset was corrected already; `tracking` has what is left of it.
        let left = client.tracking()?.offset;
        let taken = client.sources()?.into_iter().filter(|s| newest(s).is_some());
        let mut taken: Vec<SourceData> =
            taken.filter(|s| since.is_none_or(|since| sampled(s, boottime()) >= since)).collect();
        if taken.is_empty() {
            return Ok(None);
        }
        if let Some(outranking) = authority::outranking(&mut client)? {
            taken.retain(|s| outranking.contains(&s.address));
        }
        let Some(source) = taken.into_iter().min_by_key(newest) else { return Ok(None) };
        let name = client.name(source.address).unwrap_or_else(|_| NAME.to_owned());
        // It became sure in between: what it means counts once, at the next look.
        let is_torn = (client.tracking()?.offset - left).abs() > STEP_SLACK;
        let hint = Hint { source: name, offset: source.offset + left, width: source.root_distance };
        Ok((!is_torn).then_some(hint))
    }

    /// It measures anew; what it knows is thrown away before that, or kept.
    ///
    /// # Errors
    /// In words.
    pub fn hand_over(&self, knowledge: Knowledge) -> Result<(), String> {
        let mut client = self.client(ORDER);
        match knowledge {
            Knowledge::Kept => {}
            Knowledge::ThrownAway => match client.reset_sources() {
                // Its samples from before the disruption fit the clock again, now that it is right.
                Err(error) if error.is_too_old() => debug!(%error, "cannot reset chronyd: it keeps its old samples"),
                outcome => outcome.map_err(|e| e.to_string())?,
            },
        }
        stir(&mut client, BURST).map_err(|e| e.to_string())
    }

    /// Has it measure: in earnest when it knows nothing, once when it does.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn freshen(&self) -> Result<(), ChronyError> {
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
    /// [`ChronyError`].
    pub fn look(&self, before: Option<LastSample>) -> Result<Option<(Reading, LastSample)>, ChronyError> {
        let mut client = self.client(ORDER);
        let Some(last_sample) =
            last_sample(&mut client)?.filter(|last_sample| before.is_none_or(|before| last_sample.is_newer(&before)))
        else {
            return Ok(None);
        };
        let (as_of, local) = (boottime(), realtime());
        let Some((tracking, leap)) = belief(&mut client)? else { return Ok(None) };
        let authenticated = authority::authenticates(&mut client)?;
        Ok(Some((reading(&tracking, leap, (as_of, local), authenticated), last_sample)))
    }

    /// How often it asks the slowest of its reference clocks; none where it has none.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn slowest_clock(&self) -> Result<Option<Duration>, ChronyError> {
        let sources = self.client(LOOK).sources()?;
        Ok(sources.iter().filter(|source| source.mode == SourceMode::RefClock).map(|source| source.poll).max())
    }

    /// Which of its sources cannot ask for want of NTS keys, and why that may be, in words; none where that is not what is missing.
    pub fn want_of_keys(&self) -> Option<String> {
        let names = authority::without_keys(&mut self.client(LOOK)).ok().filter(|names| !names.is_empty())?;
        // NKE_RETRY_FACTOR2_TLS of chrony's nts_ke.h: 2^10 s after a refusal, and longer each time; no order makes it try sooner.
        Some(format!(
            "{} has no NTS keys: {NAME} gets them over TLS. If its log says that the certificate is not valid yet or has expired, the clock is wrong. It tries again after 17 minutes, or at once when it is restarted with a correct clock; `nocerttimecheck 1` in chrony.conf(5) allows it with a wrong one",
            names.join(", ")
        ))
    }

    /// What it says just now, however old its samples are; by UDP where the socket is closed to us.
    #[must_use]
    pub fn describe(&self) -> Option<Reading> {
        let (as_of, local) = (boottime(), realtime());
        let (tracking, leap) = self.belief().ok()??;
        let authenticated = authority::authenticates(&mut self.client(LOOK));
        Some(reading(&tracking, leap, (as_of, local), authenticated.unwrap_or(false)))
    }

    /// The offset that it will correct; none while it does not know one, and then it is ordered to measure.
    ///
    /// It was ordered so when it was handed the clock. But a burst that was under way then, as in the seconds after its start, is
    /// not begun anew: what is left of it can be too few samples, and the next come a minute apart.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn correction_or_burst(&self) -> Result<Option<Offset>, ChronyError> {
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
        let failed = |error: ChronyError| StepError::Failed(error.to_string());
        let now = standing().real_minus_boot;
        let change = now - (local - Realtime::from_nanos(i64::try_from(as_of.as_nanos()).unwrap_or(i64::MAX)));
        if change.abs() > NOISE {
            return Err(StepError::Superseded { change });
        }
        let mut client = self.client(ORDER);
        let Some((tracking, _)) = belief(&mut client).map_err(failed)? else {
            let why = format!("{NAME} has no samples left and would step by nothing: it measures again");
            return Err(StepError::Failed(why));
        };
        // The guards let `offset` pass and nothing else.
        let aside = tracking.offset - offset;
        if aside.abs() > tracking.root_distance() + slewed(boottime().since(as_of)) + STEP_SLACK {
            return Err(StepError::Superseded { change: aside });
        }
        let (outcome, moved) = clock.by_the_daemon(tracking.offset, STEP_SLACK, || client.makestep());
        let astray = (moved - tracking.offset).abs() > STEP_SLACK;
        if outcome.is_err() || astray {
            // Seen with 4.3: a step that failed leaves chronyd saying that nothing is left to correct.
            drop(client.reset_sources().and_then(|()| stir(&mut client, BURST)));
        }
        match outcome {
            Ok(()) if astray => Err(StepError::Failed(format!(
                "{NAME} reported a step of {}, and the clock moved by {moved}",
                tracking.offset
            ))),
            Ok(()) => Ok(moved),
            Err(error) if matches!(error.problem, Problem::Refused(Status::Failed)) => {
                Err(StepError::NotPermitted(format!(
                    "the clock is off by {offset} and {NAME} cannot step it: it runs with `-x` or without CAP_SYS_TIME. Change that, or set `correction: clockgate`"
                )))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn done(said: Result<AuthorityStatus, ChronyError>) -> Forgot {
    match said {
        Ok(said) => Forgot::Done { said: Some(said), trouble: None },
        // Before 4.0 it does not say, and that is no trouble of this day.
        Err(error) if error.is_too_old() => Forgot::Done { said: None, trouble: None },
        Err(error) => Forgot::Done {
            said: None,
            trouble: Some(format!("{error}; the authentication state that it reported before is used")),
        },
    }
}

/// What chronyd believes, if it follows a source.
///
/// `tracking` alone still reports the last state, synchronised and all, when a sample contradicts the others so that chronyd can
/// follow none ("Can't synchronise: no selectable sources"): that is its state after an undetected pause (seen with 4.3).
fn belief(client: &mut ChronyClient) -> Result<Option<(Tracking, Leap)>, ChronyError> {
    let tracking = client.tracking()?;
    let Some(leap) = tracking.synchronised() else { return Ok(None) };
    let follows = client.sources()?.iter().any(|source| source.selected);
    Ok(follows.then_some((tracking, leap)))
}

/// Has every source polled quickly. Where an operator took some of them offline and left others, those stay as they are.
fn stir(client: &mut ChronyClient, (good, total): (u32, u32)) -> Result<(), ChronyError> {
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
        kind: ReferenceKind::Daemon,
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
