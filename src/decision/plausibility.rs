//! Is a time plausible? The guards judge what has changed since the last supported proof, no matter what changed it and in how many
//! steps: before a step, and before a proof.

use std::time::Duration;

use super::agreement::Agreement;
use super::evidence::Evidence;
use super::policy::Policy;
use super::reading::Leap;
use super::reckoning::zone_shift;
use super::time::{Boottime, Clocks, Offset, Realtime, SECS_PER_DAY, drift, forward, size_in_words};

/// How far the offset that a step undoes may lie from what dead reckoning expects.
pub(super) const RECKONING_SLACK: Duration = Duration::from_secs(1);
/// How near a flagged leap second no step is made.
const LEAP_MARGIN_SECS: i64 = 2;

/// What allows a change that one reference alone may not ask for. All of it has to fit into the page ([`crate::page::WHY_LEN`]).
const TWO_ARE_BELIEVED: &str =
    "a second in `servers` that agrees is believed; without an agent: `sudo clockgate sync --server A --server B`";

/// Why what the references say is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepRefusal {
    /// The references name a time before this program was written.
    #[error("the references say that it is {}, before the release of this program: they are wrong, and `clockgate measure` names them", .0.minute())]
    BelowRelease(Realtime),
    /// One reference names a time before that of a file.
    #[error(
        "one reference says that it is {}, before the date of {file} ({}); a second reference that agrees is believed, and \
         `clockgate accept` or removing the file if its date is wrong", truth.minute(), floor.minute()
    )]
    BelowFloor {
        /// The time that the reference says.
        truth: Realtime,
        /// The file.
        file: String,
        /// Its date.
        floor: Realtime,
    },
    /// A leap second is flagged and near.
    #[error(
        "a leap second is flagged for the end of this day; no step within {LEAP_MARGIN_SECS} s of it, and it is tried again after that"
    )]
    LeapSecond,
    /// One reference alone may not take the clock back so far.
    #[error(
        "one reference alone says that the clock has to go back by {}, and max-step.backward allows {}; {TWO_ARE_BELIEVED}",
        change.size_in_words(), size_in_words(*limit)
    )]
    Backward {
        /// The change since the last supported proof.
        change: Offset,
        /// `max-step.backward`.
        limit: Duration,
    },
    /// One reference alone may not take the clock forward so far.
    #[error(
        "one reference alone says that the clock has to go forward by {}, and what is known explains {}; {TWO_ARE_BELIEVED}",
        change.size_in_words(), size_in_words(*limit)
    )]
    Forward {
        /// The change since the last supported proof.
        change: Offset,
        /// What the evidence allows.
        limit: Duration,
    },
    /// Clock and reference agree, and the machine may have been paused undetected for as long as that.
    #[error(
        "the clock went forward by {} since the last proof and one reference agrees with it; nothing else says that this \
         machine was paused for so long: a second reference in `servers` would prove it", .0.size_in_words()
    )]
    Unwitnessed(Offset),
}

impl StepRefusal {
    /// Whether the clock may well be right all the same, so that this is too little knowledge and no fault.
    #[must_use]
    pub const fn is_want_of_knowledge(&self) -> bool {
        match self {
            Self::Unwitnessed(_) => true,
            Self::BelowRelease(_)
            | Self::BelowFloor { .. }
            | Self::LeapSecond
            | Self::Backward { .. }
            | Self::Forward { .. } => false,
        }
    }
}

/// What is to be done about what the references agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The clock is within the threshold, and believed to be: a second exchange proves it.
    Verify,
    /// The clock is to be stepped by the agreement's offset.
    Step,
    /// The clock may well be right, but no reference is precise enough to show it, or none confirms it.
    Imprecise(String),
    /// The clock is wrong, or said to be, and is not stepped.
    Refused(StepRefusal),
}

/// How long a bound has to stay under the threshold to be worth a proof.
const WORTH_PROVING: Duration = Duration::from_secs(1);

/// Decides what an agreement asks for: the same for the agent, `sync`, its dry run and `run`.
#[must_use]
pub fn plan(asked: &Agreement, drift_ppm: u32, evidence: &Evidence, now: &Clocks, policy: &Policy) -> Conclusion {
    let is_under = |bound: Duration| bound.saturating_add(drift(WORTH_PROVING, drift_ppm)) <= policy.threshold;
    let refusal = judge(asked, evidence, now, policy).err();
    if is_under(asked.bound()) {
        return match refusal {
            None => Conclusion::Verify,
            Some(refusal) if refusal.is_want_of_knowledge() => Conclusion::Imprecise(refusal.to_string()),
            Some(refusal) => Conclusion::Refused(refusal),
        };
    }
    if asked.agrees_with_the_clock() && !is_under(asked.root_distance) {
        return Conclusion::Imprecise(too_vague(asked.root_distance));
    }
    refusal.map_or(Conclusion::Step, Conclusion::Refused)
}

pub(super) fn too_vague(distance: Duration) -> String {
    format!("the references know the time only to ±{} ms", distance.as_millis())
}

/// Judges the time that an agreement names.
///
/// Two references that agree are believed from the release of this program on; so is a daemon that has authenticated ones. One
/// reference is, as far as the evidence reaches: what reckoning from the last supported proof expects; a year forward at the first proof since
/// boot, after a restore, or where the RTC says the same; otherwise `max-step.unexplained`, in sum.
///
/// # Errors
/// [`StepRefusal`], which says what would have to be true.
pub fn judge(asked: &Agreement, evidence: &Evidence, now: &Clocks, policy: &Policy) -> Result<(), StepRefusal> {
    let truth = asked.truth();
    if truth < policy.floor.release {
        return Err(StepRefusal::BelowRelease(truth));
    }
    let is_trusted = asked.authenticated || asked.supporters >= 2;
    if let Some(file) = policy.floor.file.as_ref().filter(|file| truth < file.time && !is_trusted) {
        return Err(StepRefusal::BelowFloor { truth, file: file.path.clone(), floor: file.time });
    }
    let is_a_step = asked.bound() > policy.threshold;
    if is_a_step && asked.leap != Leap::None && near_midnight(truth) {
        return Err(StepRefusal::LeapSecond);
    }
    if asked.may_ask_for_anything() {
        return Ok(());
    }
    let claim = LoneClaim {
        truth,
        as_of: asked.as_of,
        local: asked.local,
        agrees_with_the_clock: asked.agrees_with_the_clock(),
    };
    may_ask_alone(&claim, evidence, now, policy)
}

/// A time that one plain voice names.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoneClaim {
    pub(super) truth: Realtime,
    /// When it was that time.
    pub(super) as_of: Boottime,
    /// What the system clock said then.
    pub(super) local: Realtime,
    pub(super) agrees_with_the_clock: bool,
}

/// Judges what one plain voice asks for: as much as the evidence explains.
pub(super) fn may_ask_alone(
    claim: &LoneClaim,
    evidence: &Evidence,
    now: &Clocks,
    policy: &Policy,
) -> Result<(), StepRefusal> {
    let truth = claim.truth;
    let change = match &evidence.anchor {
        Some(anchor) => {
            let reckoned = anchor.reckon_at(claim.as_of, now);
            let change = truth - reckoned.time;
            if change.abs() <= reckoned.width.saturating_add(RECKONING_SLACK) {
                return Ok(());
            }
            // Beside a system that keeps the RTC in local time, a hibernation seems hours longer or shorter than it was.
            let earliest = anchor.truth + forward(reckoned.awake);
            let is_zone = !reckoned.slept.is_zero() && zone_shift(change).is_some() && truth >= earliest;
            if is_zone {
                return Ok(());
            }
            change
        }
        // A clock below the floor is wrong by the difference at least.
        None => truth - claim.local.max(policy.floor.highest()),
    };
    if change.is_backward() {
        let limit = policy.max_backward;
        return if change.abs() <= limit { Ok(()) } else { Err(StepRefusal::Backward { change, limit }) };
    }
    let rtc_agrees = evidence.rtc_agrees(truth, claim.as_of, policy.max_drift_ppm);
    let is_first = evidence.anchor.is_none();
    let limit = if is_first || rtc_agrees { policy.max_forward } else { policy.max_unexplained };
    if change.abs() <= limit {
        Ok(())
    } else if evidence.is_lower_bound() && claim.agrees_with_the_clock {
        Err(StepRefusal::Unwitnessed(change))
    } else {
        Err(StepRefusal::Forward { change, limit })
    }
}

/// Whether a UTC midnight is so near that a flagged leap second may be under way (RFC 5905 section 7.3 says the end of the month;
/// the wider test costs nothing).
pub(super) fn near_midnight(time: Realtime) -> bool {
    let second = time.as_secs().rem_euclid(SECS_PER_DAY);
    !(LEAP_MARGIN_SECS..SECS_PER_DAY - LEAP_MARGIN_SECS).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::evidence::Fix;
    use crate::decision::floor::{Floor, FloorFile};
    use crate::decision::reckoning::Reckoning;

    const NOON: i64 = 1_800_014_400;

    #[test]
    fn a_refusal_fits_into_the_page_whole_with_what_to_do_at_its_end() {
        let (change, limit) = (Offset::from_secs(86_400 * 3650 + 86_399), Duration::from_secs(86_399));
        for refusal in [
            StepRefusal::Backward { change, limit },
            StepRefusal::Forward { change, limit },
            StepRefusal::Unwitnessed(change),
        ] {
            let why = format!("opened without a proof: {refusal}");
            assert!(why.len() < 256, "{} bytes: {why}", why.len());
        }
    }

    fn now() -> Clocks {
        Clocks {
            boot: Boottime::from_nanos(1_000_000_000_000),
            raw: Duration::from_secs(1000),
            asleep: Duration::ZERO,
            real: Realtime::from_secs(NOON),
        }
    }

    fn asks(offset_secs: i64, references: usize) -> Agreement {
        Agreement {
            as_of: now().boot,
            local: now().real,
            supporters: references,
            references,
            ..Agreement::of_one(Offset::from_secs(offset_secs), Duration::from_millis(1))
        }
    }

    fn judged(asked: &Agreement, evidence: &Evidence) -> Result<(), StepRefusal> {
        judge(asked, evidence, &now(), &Policy::default())
    }

    /// Proven 100 s before the question, at a true time that lies `lost` seconds ahead of what our clock says now.
    fn proven_then_lost(lost: i64) -> Evidence {
        let at =
            Clocks { boot: Boottime::from_nanos(900_000_000_000), raw: Duration::from_secs(900), ..Clocks::default() };
        let proof =
            Reckoning { at, truth: Realtime::from_secs(NOON - 100 + lost), width: Duration::from_millis(1), sleeps: 0 };
        Evidence { last: Some(proof), anchor: Some(proof), ..Evidence::default() }
    }

    #[test]
    fn the_first_proof_may_go_a_year_forward_and_a_second_back() {
        let first = Evidence::default();
        assert_eq!(judged(&asks(364 * SECS_PER_DAY, 1), &first), Ok(()));
        assert!(matches!(judged(&asks(366 * SECS_PER_DAY, 1), &first), Err(StepRefusal::Forward { .. })));
        assert_eq!(judged(&asks(-1, 1), &first), Ok(()));
        assert!(matches!(judged(&asks(-2, 1), &first), Err(StepRefusal::Backward { .. })));
    }

    #[test]
    fn one_authenticated_server_may_ask_for_no_more_than_one_plain_one_and_two_may() {
        let keyed = |references| Agreement {
            authenticated: true,
            operator: (references == 1).then(|| "nts://a.example".to_owned()),
            ..asks(7200, references)
        };
        let evidence = proven_then_lost(0);
        assert!(matches!(judged(&keyed(1), &evidence), Err(StepRefusal::Forward { .. })));
        assert_eq!(judged(&keyed(2), &evidence), Ok(()));
        // A daemon repeats what several of its sources say.
        assert_eq!(judged(&Agreement { operator: None, ..keyed(1) }, &evidence), Ok(()));
    }

    #[test]
    fn a_foreign_step_is_undone_on_one_reference_in_both_directions() {
        assert_eq!(judged(&asks(7200, 1), &proven_then_lost(7200)), Ok(()));
        assert_eq!(judged(&asks(-7200, 1), &proven_then_lost(-7200)), Ok(()));
    }

    #[test]
    fn a_change_that_nothing_explains_needs_two_references_however_small_its_parts() {
        let evidence = proven_then_lost(0);
        assert!(matches!(judged(&asks(7200, 1), &evidence), Err(StepRefusal::Forward { .. })));
        assert_eq!(judged(&asks(7200, 2), &evidence), Ok(()));
        assert_eq!(judged(&asks(999, 1), &evidence), Ok(()));
        // Stepped by 900 s already: the reference asks for 900 s more, 1800 s since the last supported proof.
        assert!(matches!(judged(&asks(900, 1), &proven_then_lost(-900)), Err(StepRefusal::Forward { .. })));
    }

    #[test]
    fn a_clock_that_was_led_away_is_not_proven_by_who_led_it() {
        let led_away = proven_then_lost(-36_000);
        assert!(matches!(judged(&asks(0, 1), &led_away), Err(StepRefusal::Forward { .. })));
        assert_eq!(judged(&asks(0, 2), &led_away), Ok(()));
        let led_back = proven_then_lost(36_000);
        assert!(matches!(judged(&asks(0, 1), &led_back), Err(StepRefusal::Backward { .. })));
    }

    #[test]
    fn a_machine_whose_pauses_are_not_detected_may_be_later_than_reckoned_if_the_rtc_agrees() {
        let guest = Evidence { may_pause: true, ..proven_then_lost(-7200) };
        assert!(matches!(judged(&asks(0, 1), &guest), Err(StepRefusal::Unwitnessed(_))));
        let rtc = Fix { at: now().boot, truth: Realtime::from_secs(NOON), found_right: false };
        assert_eq!(judged(&asks(0, 1), &Evidence { rtc: Some(rtc), ..guest.clone() }), Ok(()));
        let back = Evidence { may_pause: true, ..proven_then_lost(7200) };
        assert!(matches!(judged(&asks(0, 1), &back), Err(StepRefusal::Backward { .. })));
    }

    #[test]
    fn the_rtc_lets_a_year_pass_and_a_dead_one_nothing() {
        let says = |secs| Fix {
            at: Boottime::from_nanos(990_000_000_000),
            truth: Realtime::from_secs(NOON - 10 + secs),
            found_right: false,
        };
        let rtc = Evidence { rtc: Some(says(7199)), ..proven_then_lost(0) };
        assert_eq!(judged(&asks(7200, 1), &rtc), Ok(()));
        let dead_battery = Evidence { rtc: Some(says(-500_000_000)), ..proven_then_lost(0) };
        assert!(matches!(judged(&asks(7200, 1), &dead_battery), Err(StepRefusal::Forward { .. })));
    }

    #[test]
    fn a_hibernation_beside_windows_may_be_shorter_by_a_zone_but_not_end_before_it_began() {
        let slept = |secs: u64| Clocks { asleep: Duration::from_secs(secs), ..now() };
        let evidence = proven_then_lost(0);
        let judged = |offset, secs| judge(&asks(offset, 1), &evidence, &slept(secs), &Policy::default());
        // The kernel counted 3 h of sleep, of which two are the zone's; the clock was set by the same RTC.
        let ahead = |offset: i64| Agreement { local: Realtime::from_secs(NOON + 10_800), ..asks(offset, 1) };
        let judge_ahead = |offset| judge(&ahead(offset), &evidence, &slept(10_800), &Policy::default());
        assert_eq!(judge_ahead(-7200), Ok(()));
        assert!(matches!(judge_ahead(-7000), Err(StepRefusal::Backward { .. })));
        assert!(matches!(judge_ahead(-14_400), Err(StepRefusal::Backward { .. })));
        assert_eq!(judged(3600, 3600), Ok(()), "the sleep explains it");
    }

    #[test]
    fn two_references_override_the_stored_floor_and_none_overrides_the_release() {
        let file = FloorFile { path: "/var/lib/clockgate/clock".into(), time: Realtime::from_secs(NOON + 36_000) };
        let policy = Policy {
            floor: Floor { release: Realtime::from_secs(NOON - 1000), file: Some(file) },
            ..Policy::default()
        };
        let judged = |offset, references| judge(&asks(offset, references), &Evidence::default(), &now(), &policy);
        let refused = judged(0, 1).map_err(|refusal| refusal.to_string());
        assert!(refused.as_ref().is_err_and(|why| why.contains("/var/lib/clockgate/clock")), "{refused:?}");
        assert_eq!(judged(0, 2), Ok(()));
        assert!(matches!(judged(-2000, 3), Err(StepRefusal::BelowRelease(_))));
    }

    #[test]
    fn a_clock_below_the_floor_is_counted_from_it() {
        let floor = Floor { release: Realtime::from_secs(NOON + 20 * 365 * SECS_PER_DAY), file: None };
        let policy = Policy { floor, ..Policy::default() };
        let year = 20 * 365 * SECS_PER_DAY + 86_400;
        assert_eq!(judge(&asks(year, 1), &Evidence::default(), &now(), &policy), Ok(()));
    }

    #[test]
    fn no_step_near_a_flagged_leap_second() {
        let midnight = NOON - NOON % SECS_PER_DAY + SECS_PER_DAY;
        let flagged = Agreement { local: Realtime::from_secs(midnight - 6), leap: Leap::Insert, ..asks(5, 2) };
        assert_eq!(judged(&flagged, &Evidence::default()), Err(StepRefusal::LeapSecond));
        let plain = Agreement { leap: Leap::None, ..flagged };
        assert_eq!(judged(&plain, &Evidence::default()), Ok(()));
    }
}
