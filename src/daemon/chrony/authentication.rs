//! Whether plain answers count: by what chronyd says of its sources now, and where it does not answer by what it said before.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, info};

use crate::decision::{Authority, Boottime};
use crate::sys::clock::{boottime, realtime};

use super::UNITS;
use super::authority::AuthorityStatus;
use super::process::process_lives;
use super::saved_sources::{Memory, Remembered};
use crate::daemon::unit::Units;

/// How long the last report of a daemon is believed after it has ended: a restart takes less, and a daemon that was removed stays away.
const OUTLIVES: Duration = Duration::from_secs(30);
/// A silence that is shorter is that of a source which was just made to begin anew.
const SILENCE: Duration = Duration::from_secs(10);

/// What is known of chronyd's authentication.
#[derive(Debug)]
pub struct Authentication {
    root: PathBuf,
    memory: Memory,
    units: Arc<Units>,
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    /// It is not remembered: other servers or another corrector were configured.
    is_off: bool,
    /// What was last written, with its day; none before the first time, within it none where there is nothing to remember.
    noted: Option<Option<(Vec<String>, String)>>,
    /// When an authenticated source has answered last; reset or not.
    last_answer: Option<Boottime>,
    /// When one that never answered was first asked about.
    first_asked: Option<Boottime>,
}

impl Authentication {
    /// That of the chronyd of this host.
    pub fn new(root: PathBuf, units: Arc<Units>) -> Self {
        Self { memory: Memory::new(root.clone()), root, units, latest: Mutex::default() }
    }

    /// Whether chronyd has said that plain answers count, so that little is lost with its answer.
    pub fn plain_count(&self) -> bool {
        matches!(self.latest().noted, Some(None))
    }

    /// What chronyd says now is obeyed, and remembered; its day is that of the last proof, when the clock is right.
    pub fn receive(&self, said: &AuthorityStatus, day: Day) -> Option<Authority> {
        let mut latest = self.latest();
        latest.last_answer = latest.last_answer.max(said.last_answer);
        let silent_for = latest.silence(said, boottime());
        latest.note(&self.memory, said.outranking.as_deref(), day);
        Some(Authority { sources: said.outranking.clone()?, silent_for, remembered: None })
    }

    /// What chronyd reported before, if that still counts though it does not report it now.
    pub async fn recall(&self, presence: Presence) -> Option<Authority> {
        let remembered = self.remembered()?;
        let kept = match presence {
            Presence::Lives => self.memory.is_back(&remembered).map(|()| true),
            Presence::Ended => self.memory.absent_for(&remembered, boottime()).map(|gone| gone <= OUTLIVES),
        };
        // Where the file cannot be written, the age is unknown: the last report is believed.
        let is_kept = kept.unwrap_or_else(|error| {
            debug!(%error, "cannot save since when chronyd is stopped");
            true
        });
        let day = Some(remembered.day);
        is_kept.then_some(Authority { sources: remembered.sources, silent_for: None, remembered: day })
    }

    /// Whether chronyd lives though its socket does not say so; looked into only where that makes a difference.
    pub async fn presence(&self) -> Presence {
        if self.remembered().is_none() {
            return Presence::Ended;
        }
        let root = self.root.clone();
        let lives = spawn_blocking(move || process_lives(&root)).await.unwrap_or(false);
        if lives || self.units.running(UNITS).await.is_some() { Presence::Lives } else { Presence::Ended }
    }

    /// What chronyd said is deleted, and not remembered from here on.
    pub fn forget(&self) {
        let mut latest = self.latest();
        (latest.is_off, latest.noted) = (true, None);
        if let Err(error) = self.memory.delete() {
            info!(%error, "cannot remove the saved authentication state of chronyd, which is ignored");
        }
    }

    /// What chronyd says is remembered again.
    pub fn remember(&self) {
        self.latest().is_off = false;
    }

    fn remembered(&self) -> Option<Remembered> {
        if self.latest().is_off { None } else { self.memory.read() }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether chronyd's process or unit is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, answering or not.
    Lives,
    /// It is not.
    Ended,
}

/// Whose day goes into the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The clock was just proven right: today.
    Proven,
    /// The true day is unknown: the day that was remembered stays, where nothing else has changed.
    Doubtful,
}

impl Latest {
    fn silence(&mut self, said: &AuthorityStatus, now: Boottime) -> Option<Duration> {
        if said.is_reached || said.outranking.is_none() {
            self.first_asked = None;
            return None;
        }
        let since = self.last_answer.unwrap_or(*self.first_asked.get_or_insert(now));
        Some(now.since(since)).filter(|silence| *silence >= SILENCE)
    }

    fn note(&mut self, memory: &Memory, sources: Option<&[String]>, day: Day) {
        if self.is_off {
            return;
        }
        let outcome = match sources {
            None if self.noted == Some(None) => return,
            None => {
                self.noted = Some(None);
                memory.delete()
            }
            Some(sources) => {
                let today = realtime().date();
                let is_old = match &self.noted {
                    Some(Some((noted, on))) => noted == sources && (day == Day::Doubtful || *on == today),
                    Some(None) | None => false,
                };
                let known = memory.read().filter(|known| day == Day::Doubtful && known.sources == sources);
                if is_old && memory.exists() {
                    return;
                }
                let on = known.map_or(today, |known| known.day);
                self.noted = Some(Some((sources.to_vec(), on.clone())));
                memory.note(sources, on)
            }
        };
        if let Err(error) = outcome {
            debug!(%error, "cannot save the authentication state of chronyd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000)
    }

    fn says(last_answer: Option<Boottime>, is_reached: bool) -> AuthorityStatus {
        AuthorityStatus { outranking: Some(vec!["a".to_owned()]), authenticates: true, last_answer, is_reached }
    }

    fn silence(latest: &mut Latest, said: &AuthorityStatus, now: u64) -> Option<u64> {
        latest.last_answer = latest.last_answer.max(said.last_answer);
        latest.silence(said, at(now)).map(|silence| silence.as_secs())
    }

    #[test]
    fn a_silence_is_counted_over_the_resets_that_discard_the_last_sample_of_chronyd() {
        let mut latest = Latest::default();
        assert_eq!(silence(&mut latest, &says(Some(at(100)), true), 101), None);
        assert_eq!(silence(&mut latest, &says(None, false), 103), None, "it was just reset");
        assert_eq!(silence(&mut latest, &says(None, false), 3_700), Some(3_600));
        assert_eq!(silence(&mut latest, &says(Some(at(3_800)), true), 3_801), None);
    }

    #[test]
    fn a_source_that_never_answered_is_silent_from_the_first_look() {
        let mut latest = Latest::default();
        assert_eq!(silence(&mut latest, &says(None, false), 50), None);
        assert_eq!(silence(&mut latest, &says(None, false), 90), Some(40));
    }
}
