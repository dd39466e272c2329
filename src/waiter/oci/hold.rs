//! Holding one container: at the gate page, or without an agent by the policy for that.

use std::path::Path;
use std::time::Duration;

use super::settings::{OciNoAgent, OciSettings};
use crate::decision::{Boottime, Gate, Policy};
use crate::sys::clock::boottime;
use crate::sys::nap;
use crate::waiter::{self, Absence, Alone, Ground, Lookout, Measuring, OnTimeout, Options, Sight, look_every};

/// Futexes and poll(2) sleep by a clock that does not advance while the machine sleeps, so none of them sleeps for long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Nothing wakes us when an agent comes, and the gate's word does not change with a measurement.
const LOOK_ANYWAY_EVERY: Duration = Duration::from_secs(1);

/// A wrapper has no servers to ask.
const NOBODY: Measuring<'static> = Measuring::Refused("no server is asked");

/// Why a container was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How long it was held.
    pub waited: Duration,
    /// Why the gate was shut.
    pub why: String,
}

/// Why a container was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// The gate, or the policy where there is none, let it.
    On(Ground),
    /// It does not have to wait.
    Exempt,
}

/// The container that is held.
pub trait HeldContainer {
    /// Whether a shut gate is nothing to it; asked once, before the first sleep.
    fn is_exempt(&mut self) -> bool;
    /// How far off the clock may be for it; asked once, after that.
    fn tolerance(&mut self) -> Option<Duration>;
    /// How long it may be held at a gate that was shut in this epoch, or without an agent in none; asked once, before the first sleep.
    /// None is for ever.
    fn patience(&mut self, epoch: Option<u64>) -> Option<Duration>;
    /// It is still held, and why; called before every sleep.
    fn waits(&mut self, waited: Duration, why: &str);
}

/// Who looks at the gate for one container after the other, and since when there is no agent.
pub struct GateWatch {
    settings: OciSettings,
    lookout: Lookout,
    kernel: Options,
    alone_since: Option<Boottime>,
    /// What the container says that it needs; known once the gate was found shut.
    tolerance: Option<Duration>,
}

/// A gate that is shut, or none: why, and what to sleep on.
struct Shut {
    why: String,
    sight: Option<Sight>,
    /// How soon to look again, woken or not.
    again: Duration,
}

impl Shut {
    fn epoch(&self) -> Option<u64> {
        match &self.sight {
            Some(Sight::Gate(view)) => Some(view.epoch),
            Some(Sight::NoAgent(_)) | None => None,
        }
    }
}

impl GateWatch {
    /// One that has seen nothing yet.
    pub fn new(settings: &OciSettings) -> Self {
        Self {
            lookout: Lookout::new(settings.page.clone()),
            kernel: kernel(&settings.page),
            settings: settings.clone(),
            alone_since: None,
            tolerance: None,
        }
    }

    /// By which settings it holds.
    pub const fn settings(&self) -> &OciSettings {
        &self.settings
    }

    /// Holds until there is a reason to release.
    ///
    /// # Errors
    /// [`Refused`] when the container's patience is over.
    pub fn hold(&mut self, held: &mut dyn HeldContainer) -> Result<Released, Refused> {
        let since = boottime();
        self.tolerance = None;
        let (mut is_asked, mut patience) = (false, None);
        loop {
            let now = boottime();
            let shut = match self.look(now) {
                Ok(ground) => return Ok(Released::On(ground)),
                Err(shut) => shut,
            };
            if !std::mem::replace(&mut is_asked, true) {
                if held.is_exempt() {
                    return Ok(Released::Exempt);
                }
                patience = held.patience(shut.epoch());
                self.tolerance = held.tolerance();
                if self.tolerance.is_some() {
                    continue;
                }
            }
            let waited = now.since(since);
            let left = patience.map_or(LOOK_EVERY, |patience| patience.saturating_sub(waited));
            if left.is_zero() {
                let advice = if shut.sight.is_some() { "; `clockgate status` says more" } else { "" };
                return Err(Refused { waited, why: format!("{}{advice}", shut.why) });
            }
            held.waits(waited, &shut.why);
            self.sleep(&shut, left.min(LOOK_EVERY));
        }
    }

    fn look(&mut self, now: Boottime) -> Result<Ground, Shut> {
        let sight = match self.lookout.look() {
            Ok(sight) => sight,
            // Of another version, or not to be read: as good as none, and our word for it is the log's.
            Err(_) => return self.look_alone(now, "there is no agent with a readable gate page"),
        };
        let why = match &sight {
            Sight::Gate(view) => match view.gate {
                Gate::Proven => return Ok(Ground::Proven(view.clone())),
                Gate::Unproven => return Ok(Ground::Unproven(view.clone())),
                Gate::Shut => match self.tolerance.and_then(|tolerance| Some((view.within(tolerance)?, tolerance))) {
                    Some((bound, tolerance)) => return Ok(Ground::Tolerated { bound, tolerance }),
                    None => format!("the gate is shut: {}", view.why),
                },
            },
            Sight::NoAgent(Absence::NoPage(_)) => return self.look_alone(now, "there is no agent"),
            Sight::NoAgent(Absence::Gone(absence)) => return self.look_alone(now, absence),
        };
        self.alone_since = None;
        let again = if self.tolerance.is_some() { LOOK_ANYWAY_EVERY } else { LOOK_EVERY };
        Err(Shut { why, sight: Some(sight), again })
    }

    fn look_alone(&mut self, now: Boottime, absence: &str) -> Result<Ground, Shut> {
        let waited = now.since(*self.alone_since.get_or_insert(now));
        let shut = |why: String, again| Err(Shut { why, sight: None, again });
        match self.settings.no_agent {
            OciNoAgent::Open => Ok(Ground::NoAgent),
            OciNoAgent::Hold => shut(format!("{absence} (no-agent = hold)"), LOOK_ANYWAY_EVERY),
            OciNoAgent::Kernel => match Alone::new(&self.kernel, NOBODY).look() {
                Ok(ground) => Ok(ground),
                Err(why) if waited >= self.settings.no_agent_wait => {
                    Ok(Ground::TimedOut { why: format!("{absence}, and {why}") })
                }
                Err(why) => shut(format!("{absence}, and {why}"), look_every(waiter::NoAgent::Kernel)),
            },
        }
    }

    fn sleep(&self, shut: &Shut, at_most: Duration) {
        let at_most = shut.again.min(at_most);
        match &shut.sight {
            Some(sight) => self.lookout.sleep(sight, at_most),
            None => nap(at_most),
        }
    }
}

/// As `run --no-agent kernel` looks.
fn kernel(page: &Path) -> Options {
    Options {
        directory: page.to_owned(),
        max_wait: None,
        on_timeout: OnTimeout::Fail,
        require_proof: false,
        tolerance: None,
        no_agent: waiter::NoAgent::Kernel,
        threshold: Policy::default().threshold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn settings(no_agent: OciNoAgent) -> OciSettings {
        OciSettings {
            page: PathBuf::from("/nowhere"),
            no_agent,
            no_agent_wait: Duration::ZERO,
            ..OciSettings::default()
        }
    }

    #[derive(Default)]
    struct Container {
        exempt: bool,
        tolerance: Option<Duration>,
        patience: Option<Duration>,
        asked: u32,
        waits: u32,
    }

    impl HeldContainer for Container {
        fn is_exempt(&mut self) -> bool {
            self.asked += 1;
            self.exempt
        }

        fn tolerance(&mut self) -> Option<Duration> {
            self.tolerance
        }

        fn patience(&mut self, epoch: Option<u64>) -> Option<Duration> {
            assert_eq!(epoch, None);
            self.patience
        }

        fn waits(&mut self, _waited: Duration, why: &str) {
            assert!(why.contains("no agent"), "{why}");
            self.waits += 1;
        }
    }

    fn hold(no_agent: OciNoAgent, container: &mut Container) -> Result<Released, Refused> {
        GateWatch::new(&settings(no_agent)).hold(container)
    }

    #[test]
    fn without_an_agent_the_policy_lets_go_or_holds() {
        let patience = Some(Duration::from_millis(20));
        let hold = |no_agent| hold(no_agent, &mut Container { patience, ..Container::default() });
        assert_eq!(hold(OciNoAgent::Open), Ok(Released::On(Ground::NoAgent)));
        let let_go = hold(OciNoAgent::Kernel);
        assert!(matches!(let_go, Ok(Released::On(Ground::Kernel { .. } | Ground::TimedOut { .. }))), "{let_go:?}");
        assert!(
            hold(OciNoAgent::Hold).is_err_and(|refused| refused.why.contains("no agent") && !refused.waited.is_zero())
        );
    }

    #[test]
    fn who_is_exempt_is_asked_once_and_not_held() {
        let mut container = Container { exempt: true, ..Container::default() };
        assert_eq!(hold(OciNoAgent::Hold, &mut container), Ok(Released::Exempt));
        assert_eq!((container.asked, container.waits), (1, 0));
        let mut container = Container { patience: Some(Duration::from_millis(250)), ..Container::default() };
        assert!(hold(OciNoAgent::Hold, &mut container).is_err());
        assert_eq!(container.asked, 1, "waited {} times", container.waits);
        assert!(container.waits >= 1);
    }
}
