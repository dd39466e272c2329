//! ClockBound's page, read back by ClockBound's own client and fought over with ClockBound's own writer.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use clock_bound_client::{ClockBoundClient, ClockBoundNowResult, ClockStatus};
use clock_bound_shm::common::{CLOCK_MONOTONIC, clock_gettime_safe};
use clock_bound_shm::{ClockErrorBound, ShmWrite, ShmWriter};
use clockgate::decision::{Boottime, Cause, Gate, RestoreSign, Snapshot, State};
use clockgate::publish::clockbound::{self, ClockBoundError, ClockBoundPage};
use support::{gate_page, until};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_millis(3);

/// A root in which no ClockBound daemon runs, and the page's place in it.
fn root() -> (TempDir, std::path::PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run/clockbound/shm0");
    (root, path)
}

fn proven(state: State) -> Snapshot {
    let bound = Some(BOUND);
    Snapshot {
        state: state.code(),
        gate: state.gate(),
        cause: Cause::Restore(RestoreSign::Notice),
        bound,
        max_drift_ppm: 500,
        ..gate_page::proven()
    }
}

fn shut(cause: Cause) -> Snapshot {
    Snapshot { state: State::Disrupted.code(), gate: Gate::Shut, cause, ..proven(State::Synchronized) }
}

fn client(path: &Path) -> ClockBoundClient {
    ClockBoundClient::new_with_paths(path.to_str().unwrap(), "/nonexistent/vmclock0").unwrap()
}

/// Half of the interval in which true time lies.
fn bound(now: &ClockBoundNowResult) -> Duration {
    let width = now.latest - now.earliest;
    let nanos = width.tv_sec() * 1_000_000_000 + width.tv_nsec();
    Duration::from_nanos(nanos.unsigned_abs() / 2)
}

#[test]
fn every_status_is_read_by_the_real_client() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    let mut client = client(&path);
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Unknown, "before the first snapshot");
    for (snapshot, status) in [
        (shut(Cause::Started), ClockStatus::Unknown),
        (proven(State::Synchronized), ClockStatus::Synchronized),
        (proven(State::FreeRunning), ClockStatus::FreeRunning),
        (shut(Cause::Resume { slept: Duration::from_secs(60) }), ClockStatus::Disrupted),
        (Snapshot { gate: Gate::Unproven, ..shut(Cause::Restore(RestoreSign::Notice)) }, ClockStatus::Disrupted),
    ] {
        page.publish(&snapshot).unwrap();
        let now = client.now().unwrap();
        assert_eq!(now.clock_status, status, "{snapshot:?}");
        // The client's clock may be some ticks behind ours; at 500 ppm a whole second is half a millisecond.
        assert!(bound(&now) >= BOUND && bound(&now) < BOUND + Duration::from_micros(500), "{now:?}");
    }
}

#[test]
fn a_client_that_opens_the_page_later_reads_the_same() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    page.publish(&proven(State::Synchronized)).unwrap();
    assert_eq!(client(&path).now().unwrap().clock_status, ClockStatus::Synchronized);
}

#[test]
fn an_expired_proof_is_unknown_and_leaving_is_too() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    let mut client = client(&path);
    let expired = Snapshot { valid_until: Boottime::from_nanos(1), ..proven(State::Synchronized) };
    page.publish(&expired).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Unknown);
    page.publish(&proven(State::Synchronized)).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Synchronized);
    page.retire().unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Unknown);
}

#[test]
fn without_a_wake_up_synchronized_becomes_free_running_with_a_growing_bound_and_publishing_again_renews_it() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    let mut client = client(&path);
    let snapshot = proven(State::Synchronized);
    page.publish(&snapshot).unwrap();
    await_status(&mut client, ClockStatus::FreeRunning);
    let grown = bound(&client.now().unwrap());
    assert!(grown >= BOUND + Duration::from_micros(2400), "five seconds at 500 ppm: {grown:?}");
    page.publish(&snapshot).unwrap();
    let renewed = client.now().unwrap();
    assert_eq!(renewed.clock_status, ClockStatus::Synchronized);
    // Both were reckoned from the last tick, which was up to 10 ms ago.
    assert!(
        bound(&renewed) >= grown - Duration::from_micros(5),
        "an old proof is not made better by publishing it again: {renewed:?}"
    );
}

/// The client's grace is five seconds; ten are a fault.
fn await_status(client: &mut ClockBoundClient, wanted: ClockStatus) {
    let is_so = || client.now().unwrap().clock_status == wanted;
    until(&format!("{wanted:?}"), Duration::from_secs(10), is_so).unwrap();
}

#[test]
fn a_reader_never_sees_half_a_record_nor_the_generation_zero() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    let wide = Duration::from_secs(1000);
    let disrupted = Snapshot { bound: Some(wide), ..shut(Cause::Restore(RestoreSign::Notice)) };
    page.publish(&disrupted).unwrap();
    // A client without a first record makes one up while the page is being written: unknown, with no bound.
    let mut client = client(&path);
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Disrupted);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            // More than the generation has numbers, two a record.
            for round in 0..20_000 {
                page.publish(&proven(State::Synchronized)).unwrap();
                page.publish(&disrupted).unwrap();
                let bytes = std::fs::read(&path).unwrap();
                let generation = u16::from_ne_bytes([bytes[14], bytes[15]]);
                assert!(generation != 0 && generation % 2 == 0, "{generation} in round {round}");
            }
        }
    });
    let mut seen = [0_u32; 2];
    while !writer.is_finished() {
        let now = client.now().unwrap();
        let narrow = bound(&now) < Duration::from_secs(1);
        assert_eq!(now.clock_status, if narrow { ClockStatus::Synchronized } else { ClockStatus::Disrupted });
        seen[usize::from(narrow)] += 1;
    }
    writer.join().unwrap();
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn a_restarted_agent_goes_on_with_its_own_page_and_mends_an_odd_generation() {
    let (root, path) = root();
    let mut client = killed_while_synchronized(&root, &path);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[if cfg!(target_endian = "little") { 14 } else { 15 }] |= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    page.publish(&shut(Cause::Restore(RestoreSign::Notice))).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Disrupted);
}

#[test]
fn the_page_of_a_killed_agent_can_be_shut_for_it() {
    let (root, path) = root();
    clockbound::shut(&path, root.path()).unwrap();
    assert!(!path.exists());
    let mut client = killed_while_synchronized(&root, &path);
    clockbound::shut(&path, root.path()).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Unknown);
}

fn killed_while_synchronized(root: &TempDir, path: &Path) -> ClockBoundClient {
    let mut page = ClockBoundPage::open(path, root.path()).unwrap();
    page.publish(&proven(State::Synchronized)).unwrap();
    let mut client = client(path);
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Synchronized);
    client
}

#[test]
fn a_page_cut_short_or_full_of_rubbish_becomes_a_page_of_ours() {
    for rubbish in [&b"short"[..], &[0xFF; 4096]] {
        let (root, path) = root();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, rubbish).unwrap();
        let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
        page.publish(&proven(State::Synchronized)).unwrap();
        assert_eq!(client(&path).now().unwrap().clock_status, ClockStatus::Synchronized);
    }
}

#[test]
fn a_page_that_a_daemon_refreshes_is_left_alone() {
    let (root, path) = root();
    daemon_writes(&path);
    let before = std::fs::read(&path).unwrap();
    let refused = ClockBoundPage::open(&path, root.path());
    assert!(matches!(refused, Err(ClockBoundError::Foreign { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_page_whose_daemon_is_long_gone_is_taken_over() {
    let (root, path) = root();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As of the boot, which is more than ten seconds ago.
    ShmWriter::new(&path).unwrap().write(&ClockErrorBound::default());
    let mut client = client(&path);
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    page.publish(&proven(State::Synchronized)).unwrap();
    assert_eq!(client.now().unwrap().clock_status, ClockStatus::Synchronized, "a reader from the daemon's time");
}

#[test]
fn a_daemon_that_starts_later_gets_its_page() {
    let (root, path) = root();
    let mut page = ClockBoundPage::open(&path, root.path()).unwrap();
    page.publish(&proven(State::Synchronized)).unwrap();
    daemon_writes(&path);
    let before = std::fs::read(&path).unwrap();
    let refused = page.publish(&proven(State::Synchronized));
    assert!(matches!(refused, Err(ClockBoundError::Foreign { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

fn daemon_writes(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let now = clock_gettime_safe(CLOCK_MONOTONIC).unwrap();
    let record = ClockErrorBound::new(now, now, 1, 1, 1, ClockStatus::Synchronized, false);
    ShmWriter::new(path).unwrap().write(&record);
}

fn process_of_that_name(root: &Path, status: &str) {
    let process = root.join("proc/4711");
    std::fs::create_dir_all(&process).unwrap();
    std::fs::write(process.join("comm"), "clockbound\n").unwrap();
    std::fs::write(process.join("status"), status).unwrap();
}

#[test]
fn where_a_daemon_of_that_name_runs_nothing_is_written() {
    let (root, path) = root();
    process_of_that_name(root.path(), "Uid:\t0\t0\t0\t0\nNSpid:\t4711\n");
    let refused = ClockBoundPage::open(&path, root.path());
    assert!(matches!(refused, Err(ClockBoundError::Daemon { pid: 4711, .. })), "{refused:?}");
    assert!(!path.exists());
}

#[test]
fn a_users_or_a_containers_process_of_that_name_takes_the_page_from_nobody() {
    let (root, path) = root();
    for status in ["Uid:\t4242\t4242\t4242\t4242\nNSpid:\t4711\n", "Uid:\t0\t0\t0\t0\nNSpid:\t4711\t1\n"] {
        process_of_that_name(root.path(), status);
        ClockBoundPage::open(&path, root.path()).unwrap();
        clockbound::shut(&path, root.path()).unwrap();
    }
}

#[test]
fn everybody_may_read_the_page_and_a_link_in_its_place_is_not_followed() {
    use std::os::unix::fs::PermissionsExt;
    let (root, path) = root();
    ClockBoundPage::open(&path, root.path()).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);

    let elsewhere = root.path().join("elsewhere");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let refused = ClockBoundPage::open(&path, root.path());
    assert!(matches!(refused, Err(ClockBoundError::Io { what: "open", .. })), "{refused:?}");
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
}
