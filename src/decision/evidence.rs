//! What is known without asking: dead reckoning, floors, the RTC, what the daemon has seen since it forgot. Evidence that says
//! that the clock is wrong holds the gate; it never opens it.

use std::fmt;
use std::time::Duration;

use super::floor::Floor;
use super::http_date::HttpDate;
use super::reckoning::{Reckoning, zone_shift};
use super::time::{Boottime, Clocks, Offset, Realtime, drift, forward};

/// What a clock says that counts whole seconds.
const RTC_SLACK: Duration = Duration::from_secs(2);

/// What the RTC said when an epoch began, before the stale system clock could be written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// When it was read.
    pub at: Boottime,
    /// The time that it showed.
    pub truth: Realtime,
    /// Whether it was found right at a proof in this boot: until then it supports, and refutes nothing.
    pub found_right: bool,
}

/// What the daemon's newest samples say, taken after it forgot in this epoch, though they are too few for it to be sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The source that answered it.
    pub source: String,
    /// Reference minus local.
    pub offset: Offset,
    /// How far that may be from the truth.
    pub width: Duration,
}

/// What is known without asking a reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The last proof in this boot.
    pub last: Option<Reckoning>,
    /// The last supported proof: what a single plain voice has changed since then is counted together.
    pub anchor: Option<Reckoning>,
    /// Whether a restore or a pause was seen since: then reckoning gives the earliest time that it can be.
    pub restored: bool,
    /// Whether this machine can stand still without any clock of it noticing; the same, for all that was seen.
    pub may_pause: bool,
    /// What the RTC said when this epoch began.
    pub rtc: Option<Fix>,
    /// What the daemon has seen since it forgot in this epoch.
    pub hint: Option<Hint>,
    /// What an HTTP server's `Date` said in this epoch, where no reference answered.
    pub http_date: Option<HttpDate>,
}

/// Who knows better than the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Dead reckoning from the last proof.
    Reckoning,
    /// A time that has certainly passed.
    Floor(String),
    /// The RTC, which was right at the last proof.
    Rtc,
    /// The time daemon, by a sample taken since it forgot.
    Daemon(String),
    /// An HTTP server's `Date`, by its URL.
    HttpDate(String),
}

/// Evidence that says that the clock is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockContradiction {
    /// What reported it.
    pub witness: Witness,
    /// What it says: true time minus local.
    pub offset: Offset,
}

impl Evidence {
    /// Whether what is known says that the clock is wrong at `now`, by more than `threshold`.
    #[must_use]
    pub fn contradicts(&self, now: &Clocks, floor: &Floor, threshold: Duration) -> Option<ClockContradiction> {
        self.by_floor(now, floor)
            .or_else(|| self.by_reckoning(now, threshold))
            .or_else(|| self.by_rtc(now, Duration::ZERO))
            .or_else(|| self.by_daemon(Offset::ZERO, threshold))
            .or_else(|| self.by_http_date(Offset::ZERO, now, threshold))
    }

    /// Whether what is known says that a measurement is wrong: an offset, and how far that may be from the truth. A clock below the floor
    /// is wrong for everybody.
    #[must_use]
    pub fn refutes(&self, (offset, distance): (Offset, Duration), now: &Clocks, floor: &Floor) -> bool {
        let as_measured = Clocks { real: now.real + offset, ..*now };
        self.by_floor(now, floor)
            .or_else(|| self.by_floor(&as_measured, floor))
            .or_else(|| self.by_reckoning(&as_measured, distance))
            .or_else(|| self.by_rtc(&as_measured, distance))
            .or_else(|| self.by_daemon(offset, distance))
            .or_else(|| self.by_http_date(offset, now, distance))
            .is_some()
    }

    /// The offset that dead reckoning expects, and how far that may be from the truth; nothing where nothing was proven.
    #[must_use]
    pub fn reckoned_offset(&self, now: &Clocks) -> Option<(Offset, Duration)> {
        let reckoned = self.last?.reckon(now);
        Some((reckoned.time - now.real, reckoned.width))
    }

    /// Whether reckoning says the earliest time that it can be, and no more.
    #[must_use]
    pub const fn is_lower_bound(&self) -> bool {
        self.restored || self.may_pause
    }

    /// Whether reckoning and the clock agree, and nothing restored, paused or put the machine to sleep since.
    #[must_use]
    pub fn reckoning_agrees(&self, now: &Clocks, threshold: Duration) -> bool {
        let Some(last) = &self.last else { return false };
        let reckoned = last.reckon(now);
        let is_near = (reckoned.time - now.real).abs() <= reckoned.width.saturating_add(threshold);
        is_near && reckoned.slept.is_zero() && !self.restored
    }

    /// Whether the RTC shows the time `truth` at the moment `at`.
    #[must_use]
    pub fn rtc_agrees(&self, truth: Realtime, at: Boottime, drift_ppm: u32) -> bool {
        let Some(fix) = &self.rtc else { return false };
        let elapsed = at.since(fix.at);
        (truth - (fix.truth + forward(elapsed))).abs() <= RTC_SLACK + drift(elapsed, drift_ppm)
    }

    fn by_floor(&self, now: &Clocks, floor: &Floor) -> Option<ClockContradiction> {
        let highest = floor.highest();
        let witness = || Witness::Floor(floor.name());
        (now.real < highest).then(|| ClockContradiction { witness: witness(), offset: highest - now.real })
    }

    fn by_reckoning(&self, now: &Clocks, threshold: Duration) -> Option<ClockContradiction> {
        let reckoned = self.last?.reckon(now);
        let offset = reckoned.time - now.real;
        let is_wrong = offset.abs() > reckoned.width.saturating_add(threshold);
        // After a pause that was not detected it is later than reckoned, and a clock that shows so may be right.
        let may_be_right = self.is_lower_bound() && offset.is_backward();
        (is_wrong && reckoned.slept.is_zero() && !may_be_right)
            .then_some(ClockContradiction { witness: Witness::Reckoning, offset })
    }

    fn by_rtc(&self, now: &Clocks, beyond: Duration) -> Option<ClockContradiction> {
        let fix = self.rtc.filter(|fix| fix.found_right)?;
        let elapsed = now.boot.since(fix.at);
        let offset = fix.truth + forward(elapsed) - now.real;
        let slack = (RTC_SLACK + drift(elapsed, 500)).saturating_add(beyond);
        (offset.abs() > slack).then_some(ClockContradiction { witness: Witness::Rtc, offset })
    }

    fn by_http_date(&self, claimed: Offset, now: &Clocks, threshold: Duration) -> Option<ClockContradiction> {
        let date = self.http_date.as_ref()?;
        // Every later move of the clock began another epoch, and this was discarded with the old one.
        let width = date.width_at(now.boot, 500).saturating_add(threshold);
        let witness = || Witness::HttpDate(date.source.clone());
        let offset = date.offset - claimed;
        (offset.abs() > width).then(|| ClockContradiction { witness: witness(), offset })
    }

    fn by_daemon(&self, claimed: Offset, threshold: Duration) -> Option<ClockContradiction> {
        let hint = self.hint.as_ref()?;
        let offset = hint.offset - claimed;
        (offset.abs() > hint.width.saturating_add(threshold))
            .then(|| ClockContradiction { witness: Witness::Daemon(hint.source.clone()), offset })
    }
}

impl fmt::Display for ClockContradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = self.offset.in_words();
        match &self.witness {
            Witness::Reckoning => write!(f, "the clock is {off} by dead reckoning from the last proof")?,
            Witness::Floor(name) => write!(f, "the clock is {off} by {name} at least")?,
            Witness::Rtc => write!(f, "the clock is {off} by the RTC, which was right at the last proof")?,
            Witness::Daemon(source) => {
                write!(f, "the clock is {off} by {source}, which the time daemon has received since")?
            }
            Witness::HttpDate(url) => write!(f, "the clock is {off} by the Date of {url}")?,
        }
        match zone_shift(self.offset) {
            Some(_) => f.write_str(" (whole quarter hours: perhaps it was set to the time of another zone)"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_014_400;
    const THRESHOLD: Duration = Duration::from_millis(200);

    fn at(secs: u64, real: i64) -> Clocks {
        Clocks {
            boot: Boottime::from_nanos(secs * 1_000_000_000),
            raw: Duration::from_secs(secs),
            asleep: Duration::ZERO,
            real: Realtime::from_secs(real),
        }
    }

    fn proven() -> Evidence {
        let last = Reckoning {
            at: at(100, NOON),
            truth: Realtime::from_secs(NOON),
            width: Duration::from_millis(5),
            sleeps: 0,
        };
        Evidence { last: Some(last), anchor: Some(last), ..Evidence::default() }
    }

    fn says(evidence: &Evidence, now: &Clocks) -> Option<(Witness, i64)> {
        let found = evidence.contradicts(now, &Floor::default(), THRESHOLD)?;
        Some((found.witness, found.offset.as_nanos() / 1_000_000_000))
    }

    #[test]
    fn a_clock_set_back_after_a_proof_is_known_to_be_wrong_and_by_how_much() {
        assert_eq!(says(&proven(), &at(110, NOON + 10)), None);
        assert_eq!(says(&proven(), &at(110, NOON + 10 - 3600)), Some((Witness::Reckoning, 3600)));
        assert_eq!(says(&proven(), &at(110, NOON + 7210)), Some((Witness::Reckoning, -7200)));
    }

    #[test]
    fn over_a_sleep_reckoning_refutes_nothing() {
        let slept = Clocks { asleep: Duration::from_secs(60), ..at(110, NOON + 7270) };
        assert_eq!(says(&proven(), &slept), None);
    }

    #[test]
    fn a_machine_whose_pauses_are_not_detected_knows_only_the_earliest_time() {
        let guest = Evidence { may_pause: true, ..proven() };
        assert_eq!(says(&guest, &at(110, NOON + 7210)), None, "guest tools may have set it right after a pause");
        assert_eq!(says(&guest, &at(110, NOON - 3590)), Some((Witness::Reckoning, 3600)));
        assert!(guest.reckoning_agrees(&at(110, NOON + 10), THRESHOLD));
        let restored = Evidence { restored: true, ..proven() };
        assert!(!restored.reckoning_agrees(&at(110, NOON + 10), THRESHOLD));
        assert_eq!(says(&restored, &at(110, NOON + 7210)), None);
    }

    #[test]
    fn an_rtc_refutes_only_if_it_was_found_right() {
        let rtc = |found_right| Evidence {
            rtc: Some(Fix { at: Boottime::from_nanos(100_000_000_000), truth: Realtime::from_secs(NOON), found_right }),
            ..Evidence::default()
        };
        assert_eq!(says(&rtc(true), &at(110, NOON - 30)), Some((Witness::Rtc, 40)));
        assert_eq!(says(&rtc(true), &at(110, NOON + 9)), None);
        assert_eq!(says(&rtc(false), &at(110, NOON - 30)), None);
    }

    #[test]
    fn a_measurement_is_refuted_by_who_says_another_offset_than_it_does() {
        let hour = (Offset::from_secs(3600), Duration::from_millis(2));
        let none = (Offset::ZERO, Duration::from_millis(2));
        let behind = at(110, NOON + 10 - 3600);
        let refutes = |evidence: &Evidence, said| evidence.refutes(said, &behind, &Floor::default());
        assert!(!refutes(&proven(), hour), "it says what reckoning says");
        assert!(refutes(&proven(), none));
        let fix = Fix { at: behind.boot, truth: behind.real + hour.0, found_right: true };
        let rtc = Evidence { rtc: Some(fix), ..Evidence::default() };
        assert!(!refutes(&rtc, hour) && refutes(&rtc, none));
        let hint = Hint { source: "a".to_owned(), offset: hour.0, width: Duration::from_millis(50) };
        let daemon = Evidence { hint: Some(hint), ..Evidence::default() };
        assert!(!refutes(&daemon, hour) && refutes(&daemon, none));
        // A clock below the floor is wrong for everybody, and no truth lies below it.
        let floor = |secs| Floor { release: Realtime::from_secs(secs), file: None };
        let nothing = Evidence::default();
        assert!(nothing.refutes(hour, &behind, &floor(NOON)) && nothing.refutes(hour, &behind, &floor(NOON + 7200)));
        assert!(!nothing.refutes(hour, &behind, &floor(NOON - 7200)));
    }

    #[test]
    fn a_zone_is_named_as_one() {
        let found = proven().contradicts(&at(110, NOON + 10 - 3600), &Floor::default(), THRESHOLD);
        let said = found.map(|c| c.to_string()).unwrap_or_default();
        assert!(said.contains("1 h 0 min 0 s behind") && said.contains("zone"), "{said}");
    }
}
