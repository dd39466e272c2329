//! A time that a caller supplied once, together with a restore. It cannot be asked for again, so it ages: it advances by
//! `CLOCK_BOOTTIME`, its bound grows like every other, and it holds only while nothing has disrupted this machine since.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::{
    Boottime, Cause, Epoch, Leap, Offset, Policy, Reading, Realtime, ReferenceKind, Snapshot, Voice, drift, forward,
};
use crate::sys::adjtimex::MOST_SLEWED_PPM;
use crate::sys::clock::{boottime, standing};
use crate::sys::vmclock::VmClock;

/// Who said it, for the log.
pub const SOURCE: &str = "the caller (notify --time)";
/// Our own command takes milliseconds from its start to the agent; what took longer went another way.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// A time, and when it was that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerTime {
    /// The time.
    pub at: Realtime,
    /// The moment for which the caller supplied it.
    pub as_of: Boottime,
    /// The most it may have been wrong then.
    pub bound: Duration,
}

/// Why a time is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerTimeError {
    /// Its timestamp is in the future.
    #[error("the timestamp of that time is in the future")]
    Early,
    /// Its timestamp is long past.
    #[error("that time is {} ms old; {} ms are allowed between the caller and the agent", .0.as_millis(), ARRIVES_WITHIN.as_millis())]
    Late(Duration),
}

/// A time that was taken, for the epoch that began with it.
#[derive(Debug)]
pub struct AcceptedTime {
    supplied: CallerTime,
    root: PathBuf,
    /// The hypervisor's mark when it arrived.
    mark: Option<VmClockMark>,
    epoch: Epoch,
    /// The largest error from a slew before the daemon was reset.
    slewed: Option<Duration>,
}

/// What the VMClock page has when nothing moved this machine.
type VmClockMark = (u64, Option<u64>);

impl AcceptedTime {
    /// Takes a time that has just arrived.
    ///
    /// # Errors
    /// [`CallerTimeError`]
    pub fn take(supplied: CallerTime, root: &Path) -> Result<Self, CallerTimeError> {
        let now = boottime();
        if supplied.as_of > now {
            return Err(CallerTimeError::Early);
        }
        let age = now.since(supplied.as_of);
        if age > ARRIVES_WITHIN {
            return Err(CallerTimeError::Late(age));
        }
        Ok(Self { supplied, root: root.to_owned(), mark: mark(root), epoch: Epoch::default(), slewed: None })
    }

    /// Binds it to the epoch that its notice began, or found.
    pub fn bind(&mut self, answered: &Snapshot) {
        self.epoch = answered.epoch;
    }

    /// What it is worth now.
    ///
    /// # Errors
    /// Why it is worth nothing any more, in words.
    pub fn reading(&mut self, published: &Snapshot) -> Result<Reading, String> {
        if !self.holds(published) {
            return Err("was supplied before the last disruption, and is void".to_owned());
        }
        let as_of = boottime();
        let age = as_of.since(self.supplied.as_of);
        // The first question comes just after the daemon forgot; from there on the rate is known.
        let slewed = *self.slewed.get_or_insert_with(|| drift(age, MOST_SLEWED_PPM));
        let since_boot = i64::try_from(as_of.as_nanos()).unwrap_or(i64::MAX);
        let local = Realtime::from_nanos(since_boot) + standing().real_minus_boot;
        let offset: Offset = self.supplied.at + forward(age) - local;
        Ok(Reading {
            source: SOURCE.to_owned(),
            voice: Voice::server(SOURCE),
            kind: ReferenceKind::Caller,
            as_of,
            local,
            offset,
            root_distance: self
                .supplied
                .bound
                .saturating_add(slewed)
                .saturating_add(drift(age, Policy::default().max_drift_ppm)),
            authenticated: false,
            leap: Leap::None,
            stratum: None,
            delay: None,
            upstream: None,
        })
    }

    /// Whether nothing moved this machine through time since it arrived. A source that looks now and then may see later what
    /// the caller reported; where the hypervisor's marker has not moved since, that is no other restore.
    fn holds(&mut self, published: &Snapshot) -> bool {
        if mark(&self.root) != self.mark {
            return false;
        }
        let seen_later = self.mark.is_some() && matches!(published.cause, Cause::Restore(_));
        if seen_later && published.epoch == self.epoch.next() {
            self.epoch = published.epoch;
        }
        published.epoch == self.epoch
    }
}

fn mark(root: &Path) -> Option<VmClockMark> {
    let page = VmClock::open(root).and_then(|device| device.read()).ok()?;
    Some((page.disruption_marker, page.generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Agreement, Gate, Measurement, Policy, RestoreSign};
    use crate::sys::clock::realtime;
    use crate::sys::vmclock::fake::FakePage;

    fn epoch(number: u64, cause: Cause) -> Snapshot {
        Snapshot { epoch: Epoch::new(number), cause, gate: Gate::Shut, ..Snapshot::default() }
    }

    /// Supplied on this machine: so far ahead of its clock, some time ago.
    fn supplied(ahead_secs: i64, ago: Duration) -> CallerTime {
        let now = boottime();
        let ago = Offset::from_nanos(i64::try_from(ago.as_nanos()).unwrap());
        CallerTime {
            at: realtime() + (Offset::from_secs(ahead_secs) - ago),
            as_of: Boottime::from_nanos(now.as_nanos() - ago.as_nanos().unsigned_abs()),
            bound: Duration::from_millis(20),
        }
    }

    fn accepted(supplied: CallerTime, root: &Path) -> AcceptedTime {
        let mut accepted = AcceptedTime::take(supplied, root).unwrap();
        accepted.bind(&epoch(4, Cause::Restore(RestoreSign::Notice)));
        accepted
    }

    /// What the machine makes of it so much later.
    fn alone(reading: &Reading, later: Duration) -> Agreement {
        let alone = Measurement { readings: vec![reading.clone()], ..Measurement::default() };
        alone.agreement(&Policy::default(), boottime() + later).unwrap()
    }

    #[test]
    fn a_supplied_time_advances_and_its_bound_grows_with_its_age() {
        let root = tempfile::tempdir().unwrap();
        let mut accepted = accepted(supplied(3600, Duration::from_millis(100)), root.path());
        let first = accepted.reading(&epoch(4, Cause::Restore(RestoreSign::Notice))).unwrap();
        let soon = alone(&first, Duration::ZERO);
        assert!((soon.offset - Offset::from_secs(3600)).abs() < Duration::from_millis(20), "{soon:?}");
        // A tenth of a second on the way, at an unknown rate: a hundredth more.
        assert!(soon.root_distance >= Duration::from_millis(30), "{soon:?}");
        assert!(!soon.authenticated && first.kind == ReferenceKind::Caller);
        // A minute ago, at the same unknown rate for a tenth of a second: older by a minute at 500 ppm.
        accepted.supplied.as_of = Boottime::from_nanos(accepted.supplied.as_of.as_nanos() - 60_000_000_000);
        accepted.supplied.at = accepted.supplied.at + Offset::from_secs(-60);
        let later = alone(&accepted.reading(&epoch(4, Cause::Restore(RestoreSign::Notice))).unwrap(), Duration::ZERO);
        assert!((later.offset - soon.offset).abs() < Duration::from_millis(1), "{later:?}");
        let grown = later.root_distance - soon.root_distance;
        assert!(grown >= Duration::from_millis(30) && grown < Duration::from_millis(40), "{grown:?}");
    }

    #[test]
    fn a_later_disruption_voids_it() {
        let root = tempfile::tempdir().unwrap();
        let mut accepted = accepted(supplied(0, Duration::ZERO), root.path());
        assert!(accepted.reading(&epoch(4, Cause::Restore(RestoreSign::Notice))).is_ok());
        assert!(accepted.reading(&epoch(5, Cause::Restore(RestoreSign::Notice))).unwrap_err().contains("void"));
        // And nothing makes it good again.
        assert!(accepted.reading(&epoch(6, Cause::Requested)).is_err());
    }

    #[test]
    fn the_same_restore_seen_later_does_not_void_it_and_another_one_does() {
        let root = tempfile::tempdir().unwrap();
        let page = FakePage::new(7);
        page.write(root.path());
        let mut accepted = accepted(supplied(0, Duration::ZERO), root.path());
        assert!(
            accepted.reading(&epoch(5, Cause::Restore(RestoreSign::Notice))).is_ok(),
            "the marker has not moved since"
        );
        assert!(accepted.reading(&epoch(6, Cause::Pause { lost: Duration::from_secs(1) })).is_err());

        let mut accepted = AcceptedTime::take(supplied(0, Duration::ZERO), root.path()).unwrap();
        accepted.bind(&epoch(9, Cause::Restore(RestoreSign::Notice)));
        FakePage { marker: 8, sequence: 4, ..page }.write(root.path());
        assert!(
            accepted.reading(&epoch(9, Cause::Restore(RestoreSign::Notice))).is_err(),
            "no other source has seen it yet"
        );
    }

    #[test]
    fn a_moment_to_come_or_long_past_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let now = supplied(0, Duration::ZERO);
        let take = |as_of| AcceptedTime::take(CallerTime { as_of, ..now }, root.path()).err();
        assert_eq!(take(now.as_of + Duration::from_secs(60)), Some(CallerTimeError::Early));
        let Some(CallerTimeError::Late(age)) = take(Boottime::from_nanos(0)) else { panic!("taken") };
        assert!(age > ARRIVES_WITHIN);
    }
}
