//! Whether the clock is set by the `Date` of an HTTP server that an operator names.

use super::evidence::Evidence;
use super::http_date::{HttpDate, PeerCheck};
use super::plausibility::{LoneClaim, StepRefusal, may_ask_alone};
use super::policy::{Correction, Policy};
use super::time::{Clocks, Realtime};

/// What is to be done about a `Date` that an operator wants the clock set by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatePlan {
    /// The clock is right, as far as a date of whole seconds can show.
    Keep,
    /// Step it by the offset; nothing is proven by that.
    Step,
    /// The clock stays as it is.
    Refused(DateRefusal),
}

/// Why the clock is not set by a `Date`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateRefusal {
    /// By the guards that hold for one plain reference.
    #[error("{0}; an https URL, whose certificate is verified, is believed")]
    Guard(StepRefusal),
    /// It is before a time that has passed.
    #[error("the server says that it is {}, before {floor}; `clockgate accept` if that date is wrong", truth.minute())]
    BelowFloor {
        /// What it says.
        truth: Realtime,
        /// What has certainly passed.
        floor: String,
    },
    /// The configuration forbids any correction of the clock.
    #[error("the configuration says `correction: none`")]
    CorrectionNone,
}

impl HttpDate {
    /// Decides what a person who names this server wants: a coarse step, which proves nothing. Who is verified is believed from the
    /// floor on; plain HTTP asks for what one plain reference may.
    #[must_use]
    pub fn plan(&self, evidence: &Evidence, now: &Clocks, policy: &Policy) -> DatePlan {
        if self.truth() < policy.floor.highest() {
            let floor = policy.floor.name();
            return DatePlan::Refused(DateRefusal::BelowFloor { truth: self.truth(), floor });
        }
        if self.offset.abs() <= self.width_at(now.boot, policy.max_drift_ppm) {
            return DatePlan::Keep;
        }
        if policy.correction == Correction::None {
            return DatePlan::Refused(DateRefusal::CorrectionNone);
        }
        let claim =
            LoneClaim { truth: self.truth(), as_of: self.as_of, local: self.local, agrees_with_the_clock: false };
        let asked = match self.peer {
            PeerCheck::Verified => Ok(()),
            PeerCheck::Unverified => may_ask_alone(&claim, evidence, now, policy),
        };
        asked.map_or_else(|refusal| DatePlan::Refused(DateRefusal::Guard(refusal)), |()| DatePlan::Step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::decision::floor::Floor;
    use crate::decision::reckoning::Reckoning;
    use crate::decision::time::{Boottime, Offset};

    const NOON: i64 = 1_800_014_400;

    fn now() -> Clocks {
        let secs = 100;
        Clocks {
            boot: Boottime::from_nanos(secs * 1_000_000_000),
            raw: Duration::from_secs(secs),
            asleep: Duration::ZERO,
            real: Realtime::from_secs(NOON),
        }
    }

    fn planned(secs: i64, peer: PeerCheck, evidence: &Evidence) -> DatePlan {
        let now = now();
        let date = HttpDate {
            source: "http://a.example".to_owned(),
            peer,
            as_of: now.boot,
            local: now.real,
            offset: Offset::from_secs(secs),
            measured: Duration::from_millis(100),
            delay: Duration::from_millis(20),
            answers: 4,
        };
        let policy =
            Policy { floor: Floor { release: Realtime::from_secs(NOON - 86_400), file: None }, ..Policy::default() };
        date.plan(evidence, &now, &policy)
    }

    #[test]
    fn the_bound_has_a_second_for_the_servers_own_clock() {
        let none = Evidence::default();
        assert_eq!(planned(1, PeerCheck::Verified, &none), DatePlan::Keep);
        assert_eq!(planned(-1, PeerCheck::Verified, &none), DatePlan::Keep);
        assert_eq!(planned(2, PeerCheck::Verified, &none), DatePlan::Step);
    }

    #[test]
    fn who_is_verified_is_believed_from_the_floor_on_and_plain_http_as_one_plain_voice_is() {
        let none = Evidence::default();
        assert_eq!(planned(-7200, PeerCheck::Verified, &none), DatePlan::Step);
        assert!(matches!(
            planned(-86_401, PeerCheck::Verified, &none),
            DatePlan::Refused(DateRefusal::BelowFloor { .. })
        ));
        assert!(matches!(planned(-7200, PeerCheck::Unverified, &none), DatePlan::Refused(DateRefusal::Guard(_))));
        assert_eq!(planned(3600, PeerCheck::Unverified, &none), DatePlan::Step, "the first time since boot");
        let last = Reckoning { at: now(), truth: Realtime::from_secs(NOON), width: Duration::ZERO, sleeps: 0 };
        let proven = Evidence { last: Some(last), anchor: Some(last), ..Evidence::default() };
        assert!(matches!(planned(3600, PeerCheck::Unverified, &proven), DatePlan::Refused(DateRefusal::Guard(_))));
        assert_eq!(planned(3600, PeerCheck::Verified, &proven), DatePlan::Step);
    }
}
