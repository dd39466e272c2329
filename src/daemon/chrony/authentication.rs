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

/// How long what a daemon said is obeyed after it has gone: a restart takes less, and a daemon that was removed stays away.
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
    /// Nobody wants it remembered: other servers or another corrector were configured.
    is_off: bool,
    /// What was last written, with its day; none before the first time, within it none where there is nothing to remember.
    noted: Option<Option<(Vec<String>, String)>>,
    /// When an authenticated source has answered last; reset or not.
    heard: Option<Boottime>,
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
    pub fn hear(&self, said: &AuthorityStatus, day: Day) -> Option<Authority> {
        let mut latest = self.latest();
        latest.heard = latest.heard.max(said.heard);
        let silent_for = latest.silence(said, boottime());
        latest.note(&self.memory, said.outranking.as_deref(), day);
        Some(Authority { sources: said.outranking.clone()?, silent_for, remembered: None })
    }

    /// What chronyd said before, if that is to be obeyed though it does not say it now.
    pub async fn recall(&self, presence: Presence) -> Option<Authority> {
        let remembered = self.remembered()?;
        let kept = match presence {
            Presence::Lives => self.memory.is_back(&remembered).map(|()| true),
            Presence::Gone => self.memory.gone_for(&remembered, boottime()).map(|gone| gone <= OUTLIVES),
        };
        // Where the file cannot be written, nobody can tell for how long: what was said is obeyed.
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
            return Presence::Gone;
        }
        let root = self.root.clone();
        let lives = spawn_blocking(move || process_lives(&root)).await.unwrap_or(false);
        if lives || self.units.running(UNITS).await.is_some() { Presence::Lives } else { Presence::Gone }
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
    Gone,
}

/// Whose day goes into the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The clock was just proven right: today.
    Proven,
    /// Nobody knows how late it is: the day that was remembered stays, where nothing else is news.
    Doubtful,
}

impl Latest {
    fn silence(&mut self, said: &AuthorityStatus, now: Boottime) -> Option<Duration> {
        if said.is_reached || said.outranking.is_none() {
            self.first_asked = None;
            return None;
        }
        let since = self.heard.unwrap_or(*self.first_asked.get_or_insert(now));
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

    fn says(heard: Option<Boottime>, is_reached: bool) -> AuthorityStatus {
        AuthorityStatus { outranking: Some(vec!["a".to_owned()]), vouches: true, heard, is_reached }
    }

    fn silence(latest: &mut Latest, said: &AuthorityStatus, now: u64) -> Option<u64> {
        latest.heard = latest.heard.max(said.heard);
        latest.silence(said, at(now)).map(|silence| silence.as_secs())
    }

    #[test]
    fn a_silence_is_counted_over_the_resets_that_make_chronyd_forget_the_last_sample() {
        let mut latest = Latest::default();
        assert_eq!(silence(&mut latest, &says(Some(at(100)), true), 101), None);
        assert_eq!(silence(&mut latest, &says(None, false), 103), None, "it was just reset");
        assert_eq!(silence(&mut latest, &says(None, false), 3_700), Some(3_600));
        assert_eq!(silence(&mut latest, &says(Some(at(3_800)), true), 3_801), None);
    }

    #[test]
    fn one_that_was_never_heard_is_silent_from_the_first_look() {
        let mut latest = Latest::default();
        assert_eq!(silence(&mut latest, &says(None, false), 50), None);
        assert_eq!(silence(&mut latest, &says(None, false), 90), Some(40));
    }
}
