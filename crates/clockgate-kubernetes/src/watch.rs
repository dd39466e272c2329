//! The page, watched by a thread that sleeps on its futex.

use std::path::PathBuf;
use std::time::Duration;

use clockgate_page::sys::nap;
use clockgate_run::{Lookout, Sight, error_chain};
use tokio::sync::watch;

use crate::condition::{ClockCondition, Reason};
use crate::disruption::GateSeen;

/// What changes without a wake is seen within this time: a reason, a proof that has run out, an agent that was killed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the page says.
#[derive(Clone, Debug)]
pub struct Look {
    pub condition: ClockCondition,
    pub gate: Option<GateSeen>,
}

/// Watches the page in this folder until the other end is dropped.
pub fn watch(directory: PathBuf, to: &watch::Sender<Option<Look>>) {
    let mut lookout = Lookout::new(directory);
    while !to.is_closed() {
        match lookout.look() {
            Ok(sight) => {
                to.send_replace(Some(Look::of(&sight)));
                lookout.sleep(&sight, LOOK_EVERY);
            }
            Err(error) => {
                let condition = ClockCondition::new(Reason::AgentGone, error_chain::in_full(&error));
                to.send_replace(Some(Look { condition, gate: None }));
                nap(LOOK_EVERY);
            }
        }
    }
}

impl Look {
    fn of(sight: &Sight) -> Self {
        let gate = match sight {
            Sight::Gate(view) => GateSeen::of(view),
            Sight::NoAgent(_) => None,
        };
        Self { condition: ClockCondition::of(sight), gate }
    }
}
