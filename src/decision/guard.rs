//! May this step be made? The guards before a step, and the evidence that lets a large one pass.

use std::time::Duration;

use super::agreement::Agreement;
use super::policy::Policy;
use super::reading::Leap;
use super::time::{Boottime, Offset, Realtime, drift};

/// How far the offset that a step undoes may lie from what dead reckoning expects.
const RECKONING_SLACK: Duration = Duration::from_secs(1);
/// The same for what a clock says that counts whole seconds.
const RTC_SLACK: Duration = Duration::from_secs(2);
/// How near a flagged leap second no step is made.
const LEAP_MARGIN_SECS: i64 = 2;
const SECS_PER_DAY: i64 = 86_400;

/// A moment whose true time was proven: from it BOOTTIME tells the time by dead reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// When it was proven.
    pub at: Boottime,
    /// The true time then.
    pub truth: Realtime,
}

/// What, beside the references, speaks for a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The last proof; none since this agent began.
    pub last: Option<Fix>,
    /// Time asleep since the last proof, as the kernel counted it.
    pub slept: Duration,
    /// Whether a restore was announced or seen since the last proof.
    pub restored: bool,
    /// What the RTC said when this epoch began, before the stale clock could be written into it; it never steps a clock alone.
    pub rtc: Option<Fix>,
}

/// Why a step is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The references name a time that has certainly passed.
    #[error(
        "a step of {offset} would set the clock before {floor_secs} s since 1970, a time that has certainly passed"
    )]
    BelowFloor {
        /// The step asked for.
        offset: Offset,
        /// The floor, seconds since 1970.
        floor_secs: i64,
    },
    /// A leap second is flagged and near.
    #[error("a leap second is flagged for the end of this day; no step within {LEAP_MARGIN_SECS} s of it")]
    LeapSecond,
    /// One reference alone may not set the clock back so far.
    #[error("a step of {offset} goes back more than max-step.backward ({} ms) and only one reference asks for it", limit.as_millis())]
    Backward {
        /// The step asked for.
        offset: Offset,
        /// `max-step.backward`.
        limit: Duration,
    },
    /// One reference alone may not set the clock forward so far.
    #[error("a step of {offset} is larger than the evidence explains ({} s) and only one reference asks for it", limit.as_secs())]
    Forward {
        /// The step asked for.
        offset: Offset,
        /// What the evidence allows.
        limit: Duration,
    },
}

/// Judges the step that an agreement asks for.
///
/// Two references that agree are believed. One alone is, as far as the evidence reaches: undoing what the clock is known to
/// have lost or won since the last proof; up to `max-step.forward` at the first proof, after a restore, or where the RTC says the same; otherwise
/// `max-step.unsupported` and the length of the sleep.
///
/// # Errors
/// [`Refusal`], which says what would have to be true.
pub fn judge(asked: &Agreement, evidence: &Evidence, policy: &Policy) -> Result<(), Refusal> {
    let offset = asked.offset;
    let target = asked.local + offset;
    let floor = evidence.last.map_or(policy.floor, |fix| fix.truth.max(policy.floor));
    if target < floor {
        return Err(Refusal::BelowFloor { offset, floor_secs: floor.as_secs() });
    }
    if asked.leap != Leap::None && near_midnight(target) {
        return Err(Refusal::LeapSecond);
    }
    if asked.supporters >= 2 || evidence.last.is_some_and(|fix| reckoned(fix, RECKONING_SLACK, asked, policy)) {
        return Ok(());
    }
    if offset.is_backward() {
        let limit = policy.max_backward;
        return if offset.abs() <= limit { Ok(()) } else { Err(Refusal::Backward { offset, limit }) };
    }
    let rtc_agrees = evidence.rtc.is_some_and(|fix| reckoned(fix, RTC_SLACK, asked, policy));
    let limit = if evidence.restored || rtc_agrees || evidence.last.is_none() {
        policy.max_forward
    } else {
        policy.max_unsupported.saturating_add(evidence.slept)
    };
    if offset.abs() <= limit { Ok(()) } else { Err(Refusal::Forward { offset, limit }) }
}

/// Whether the time asked for is the one that BOOTTIME tells since `fix`.
fn reckoned(fix: Fix, slack: Duration, asked: &Agreement, policy: &Policy) -> bool {
    let elapsed = asked.as_of.since(fix.at);
    let expected = fix.truth + super::time::forward(elapsed);
    let slack = slack + drift(elapsed, policy.max_drift_ppm);
    (asked.local + asked.offset - expected).abs() <= slack
}

/// Leap seconds come at the end of a UTC day (RFC 5905 section 7.3 says month; the narrower test gains nothing).
fn near_midnight(time: Realtime) -> bool {
    let second = time.as_secs().rem_euclid(SECS_PER_DAY);
    !(LEAP_MARGIN_SECS..SECS_PER_DAY - LEAP_MARGIN_SECS).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_014_400;

    fn asks(offset_secs: i64, supporters: usize) -> Agreement {
        Agreement {
            offset: Offset::from_secs(offset_secs),
            root_distance: Duration::from_millis(1),
            as_of: Boottime::from_nanos(1_000_000_000_000),
            local: Realtime::from_secs(NOON),
            supporters,
            authenticated: false,
            leap: Leap::None,
            falsetickers: vec![],
        }
    }

    /// Proven 100 s before the question, at a true time that lies `lost` seconds ahead of what our clock says now.
    fn proven_then_lost(lost: i64) -> Evidence {
        let fix = Fix { at: Boottime::from_nanos(900_000_000_000), truth: Realtime::from_secs(NOON - 100 + lost) };
        Evidence { last: Some(fix), ..Evidence::default() }
    }

    #[test]
    fn the_first_proof_may_go_a_year_forward_and_a_second_back() {
        let policy = Policy::default();
        assert_eq!(judge(&asks(364 * SECS_PER_DAY, 1), &Evidence::default(), &policy), Ok(()));
        assert!(matches!(
            judge(&asks(366 * SECS_PER_DAY, 1), &Evidence::default(), &policy),
            Err(Refusal::Forward { .. })
        ));
        assert_eq!(judge(&asks(-1, 1), &Evidence::default(), &policy), Ok(()));
        assert!(matches!(judge(&asks(-2, 1), &Evidence::default(), &policy), Err(Refusal::Backward { .. })));
    }

    #[test]
    fn a_foreign_step_is_undone_on_one_reference_in_both_directions() {
        let policy = Policy::default();
        assert_eq!(judge(&asks(7200, 1), &proven_then_lost(7200), &policy), Ok(()));
        assert_eq!(judge(&asks(-7200, 1), &proven_then_lost(-7200), &policy), Ok(()));
    }

    #[test]
    fn a_step_that_nothing_explains_needs_two_references() {
        let policy = Policy::default();
        let evidence = proven_then_lost(0);
        assert!(matches!(judge(&asks(7200, 1), &evidence, &policy), Err(Refusal::Forward { .. })));
        assert_eq!(judge(&asks(7200, 2), &evidence, &policy), Ok(()));
        assert_eq!(judge(&asks(999, 1), &evidence, &policy), Ok(()));
        let restored = Evidence { restored: true, ..evidence };
        assert_eq!(judge(&asks(7200, 1), &restored, &policy), Ok(()));
        let slept = Evidence { slept: Duration::from_secs(7000), ..evidence };
        assert_eq!(judge(&asks(7200, 1), &slept, &policy), Ok(()));
        // The RTC, read 10 s before the question, is a second behind what the reference says.
        let says =
            |secs| Fix { at: Boottime::from_nanos(990_000_000_000), truth: Realtime::from_secs(NOON - 10 + secs) };
        let rtc = Evidence { rtc: Some(says(7199)), ..evidence };
        assert_eq!(judge(&asks(7200, 1), &rtc, &policy), Ok(()));
        let dead_battery = Evidence { rtc: Some(says(-500_000_000)), ..evidence };
        assert!(matches!(judge(&asks(7200, 1), &dead_battery, &policy), Err(Refusal::Forward { .. })));
    }

    #[test]
    fn nobody_sets_the_clock_before_the_last_good_time() {
        let policy = Policy::default();
        assert!(matches!(judge(&asks(-200, 3), &proven_then_lost(0), &policy), Err(Refusal::BelowFloor { .. })));
        let floor = Policy { floor: Realtime::from_secs(NOON + 10), ..policy };
        assert!(matches!(judge(&asks(5, 3), &Evidence::default(), &floor), Err(Refusal::BelowFloor { .. })));
    }

    #[test]
    fn no_step_near_a_flagged_leap_second() {
        let midnight = NOON - NOON % SECS_PER_DAY + SECS_PER_DAY;
        let flagged = Agreement { local: Realtime::from_secs(midnight - 6), leap: Leap::Insert, ..asks(5, 2) };
        assert_eq!(judge(&flagged, &Evidence::default(), &Policy::default()), Err(Refusal::LeapSecond));
        let plain = Agreement { leap: Leap::None, ..flagged };
        assert_eq!(judge(&plain, &Evidence::default(), &Policy::default()), Ok(()));
    }
}
