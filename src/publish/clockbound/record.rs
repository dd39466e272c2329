//! One record of ClockBound's page, out of a snapshot.

use std::time::Duration;

use super::{FRESH, MARK, MARK_AT, SIZE};
use crate::decision::{Boottime, Cause, Gate, Snapshot, State, drift, nanos_u64};
use crate::sys::clock;

/// Where the record begins, behind the header.
pub(super) const RECORD_AT: usize = 16;
/// How long after `as_of` a client believes the status, `void_after` or not (clock-bound-shm,
/// `CLOCKBOUND_RESTART_GRACE_PERIOD`).
const GRACE: Duration = Duration::from_secs(5);

/// The clocks that a record is reckoned by.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordClocks {
    coarse_nanos: u64,
    boottime: Boottime,
    asleep: Duration,
}

impl RecordClocks {
    /// The coarse clock first: read later, it would date a bound later than the bound was grown to.
    pub(super) fn read() -> Self {
        let coarse_nanos = clock::monotonic_coarse_nanos();
        Self { coarse_nanos, boottime: clock::boottime(), asleep: clock::standing().boot_minus_mono }
    }
}

/// The record of a snapshot, as of now: a client refuses an `as_of` that is later than its own coarse clock.
pub(super) fn record(snapshot: &Snapshot, clocks: &RecordClocks) -> [u8; SIZE - RECORD_AT] {
    let grown = drift(clocks.boottime.since(snapshot.as_of), snapshot.max_drift_ppm);
    let bound = snapshot.bound.map_or(Duration::ZERO, |bound| bound.saturating_add(grown));
    let void_after = snapshot.valid_until.as_nanos().saturating_sub(nanos_u64(clocks.asleep));
    let as_of = match snapshot.gate {
        // A proof that ends sooner than the client's grace is dated back, or the client would believe it for longer.
        Gate::Proven => clocks.coarse_nanos.min(void_after.saturating_sub(nanos_u64(GRACE))),
        Gate::Shut | Gate::Unproven => clocks.coarse_nanos,
    };
    let drift_ppb = snapshot.max_drift_ppm.saturating_mul(1000);

    let mut record = [0; SIZE - RECORD_AT];
    let mut put = |at: usize, bytes: &[u8]| record[at - RECORD_AT..][..bytes.len()].copy_from_slice(bytes);
    put(16, &timespec(as_of));
    put(32, &timespec(void_after));
    // A client adds the growth to it, and both to the time of day.
    put(48, &i64::try_from(nanos_u64(bound)).unwrap_or(i64::MAX).min(i64::MAX / 4).to_ne_bytes());
    put(56, &snapshot.epoch.get().to_ne_bytes());
    // A client calls a page malformed whose clock may drift by its own rate.
    put(64, &drift_ppb.min(999_999_999).to_ne_bytes());
    put(68, &(status(snapshot) as i32).to_ne_bytes());
    put(MARK_AT, MARK);
    record
}

/// Whether a record was made in the last ten seconds; one from the future is from an earlier boot.
pub(super) fn is_fresh(bytes: &[u8; SIZE], now: u64) -> bool {
    let number = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
    let as_of = number(16).saturating_mul(1_000_000_000).saturating_add(number(24));
    now.checked_sub(as_of).is_some_and(|age| age < nanos_u64(FRESH))
}

fn timespec(nanos: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(nanos / 1_000_000_000).to_ne_bytes());
    bytes[8..].copy_from_slice(&(nanos % 1_000_000_000).to_ne_bytes());
    bytes
}

/// ClockBound's words for the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
enum ClockBoundStatus {
    Unknown = 0,
    Synchronized = 1,
    FreeRunning = 2,
    Disrupted = 3,
}

/// `Unknown` is for a start, `Disrupted` for all else that shut the gate; a gate open on no proof is no reason to
/// trust.
fn status(snapshot: &Snapshot) -> ClockBoundStatus {
    match snapshot.gate {
        Gate::Proven if snapshot.state == State::FreeRunning.code() => ClockBoundStatus::FreeRunning,
        Gate::Proven => ClockBoundStatus::Synchronized,
        Gate::Shut | Gate::Unproven if snapshot.cause == Cause::Started => ClockBoundStatus::Unknown,
        Gate::Shut | Gate::Unproven => ClockBoundStatus::Disrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Epoch;
    use crate::decision::RestoreSign;

    const CLOCKS: RecordClocks = RecordClocks {
        coarse_nanos: 40_000_000_000,
        boottime: Boottime::from_nanos(100_004_000_000),
        asleep: Duration::from_secs(60),
    };

    fn number(record: &[u8], at: usize) -> i64 {
        i64::from_ne_bytes(record[at - RECORD_AT..][..8].try_into().expect("eight bytes"))
    }

    #[test]
    fn a_record_is_as_of_now_with_the_bound_grown_until_then() {
        let proven = Snapshot {
            state: State::Synchronized.code(),
            gate: Gate::Proven,
            epoch: Epoch::new(7),
            bound: Some(Duration::from_millis(3)),
            as_of: Boottime::from_nanos(96_004_000_000),
            valid_until: Boottime::from_nanos(200_000_000_001),
            max_drift_ppm: 500,
            ..Snapshot::default()
        };
        let record = record(&proven, &CLOCKS);
        assert_eq!((number(&record, 16), number(&record, 24)), (40, 0));
        assert_eq!((number(&record, 32), number(&record, 40)), (140, 1), "time asleep is taken out");
        assert_eq!(number(&record, 48), 5_000_000, "3 ms and 4 s at 500 ppm");
        assert_eq!(number(&record, 56), 7);
        assert_eq!(record[48..52], 500_000_u32.to_ne_bytes());
    }

    #[test]
    fn a_proof_that_ends_within_the_clients_grace_is_dated_back() {
        let valid_until = Boottime::from_nanos(101_500_000_000);
        let proven = Snapshot { gate: Gate::Proven, valid_until, ..Snapshot::default() };
        let record = record(&proven, &CLOCKS);
        assert_eq!((number(&record, 16), number(&record, 24)), (36, 500_000_000));
        assert_eq!((number(&record, 32), number(&record, 40)), (41, 500_000_000));
    }

    #[test]
    fn what_a_client_could_not_add_up_is_cut() {
        let endless = Snapshot {
            bound: Some(Duration::MAX),
            valid_until: Boottime::NEVER,
            max_drift_ppm: u32::MAX,
            ..Snapshot::default()
        };
        let record = record(&endless, &CLOCKS);
        assert_eq!(number(&record, 48), i64::MAX / 4);
        assert_eq!(record[48..52], 999_999_999_u32.to_ne_bytes());
        assert!(number(&record, 32) > 0);
    }

    #[test]
    fn a_gate_that_is_not_proven_is_disrupted_and_after_a_start_unknown() {
        let shut = Snapshot { cause: Cause::Restore(RestoreSign::Notice), ..Snapshot::default() };
        assert_eq!(status(&shut), ClockBoundStatus::Disrupted);
        assert_eq!(status(&Snapshot { gate: Gate::Unproven, ..shut }), ClockBoundStatus::Disrupted);
        assert_eq!(status(&Snapshot::default()), ClockBoundStatus::Unknown);
    }

    #[test]
    fn a_record_from_an_earlier_boot_is_not_fresh() {
        let mut bytes = [0; SIZE];
        bytes[16..32].copy_from_slice(&timespec(20_000_000_000));
        assert!(is_fresh(&bytes, 20_000_000_000) && is_fresh(&bytes, 29_999_999_999));
        assert!(!is_fresh(&bytes, 30_000_000_000) && !is_fresh(&bytes, 19_999_999_999));
    }
}
