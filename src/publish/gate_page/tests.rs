use super::*;
use crate::decision::{Cause, ClockMeasurement, Offset};
use crate::page::{self, Agent, Page};
use crate::sys::clock::standing;

fn proven() -> Snapshot {
    Snapshot {
        state: 4,
        gate: Gate::Proven,
        epoch: Epoch::new(7),
        cause: Cause::Resume { slept: Duration::from_secs(12) },
        offset: Some(Offset::from_nanos(-5)),
        bound: Some(Duration::from_millis(3)),
        as_of: boottime(),
        threshold: Duration::from_millis(200),
        valid_until: boottime() + Duration::from_secs(100),
        differences: standing(),
        max_drift_ppm: 500,
        ..Snapshot::default()
    }
}

#[test]
fn a_reader_sees_what_was_published() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    writer.publish(&proven())?;
    let view = Page::open(directory.path())?.read();
    assert_eq!(
        (view.gate, view.epoch, view.cause_name(), view.state_name()),
        (Gate::Proven, 7, "resume", "Synchronized")
    );
    assert_eq!((view.offset, view.bound), (Some(Offset::from_nanos(-5)), Some(Duration::from_millis(3))));
    let why = "ä".repeat(WHY_LEN);
    writer.publish(&Snapshot { gate: Gate::Shut, why: why.clone().into(), ..proven() })?;
    let view = Page::open(directory.path())?.read();
    assert_eq!((view.gate, view.why), (Gate::Shut, why[..WHY_LEN].to_owned()));
    Ok(())
}

#[test]
fn a_proof_that_has_expired_is_shut() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    writer.publish(&Snapshot { valid_until: Boottime::from_nanos(1), ..proven() })?;
    assert_eq!(Page::open(directory.path())?.read().gate, Gate::Shut);
    Ok(())
}

#[test]
fn a_starting_agent_shuts_repairs_and_continues_the_epoch() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, first) = GatePage::open(directory.path())?;
    assert_eq!(first, Epoch::new(0));
    writer.publish(&proven())?;
    // Killed inside the lock.
    writer.mapping.store_u32(at::SEQUENCE, writer.mapping.reader().load_u32(at::SEQUENCE) + 1);
    let reader = Page::open(directory.path())?;
    assert_eq!(reader.read().gate, Gate::Shut);
    drop(writer);
    let (mut writer, epoch) = GatePage::open(directory.path())?;
    assert_eq!((epoch, reader.read().gate), (Epoch::new(7), Gate::Shut));
    writer.publish(&proven())?;
    assert_eq!(reader.read().gate, Gate::Proven, "the same inode");
    Ok(())
}

#[test]
fn a_second_agent_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let _first = GatePage::open(directory.path())?;
    assert!(GatePage::open(directory.path()).is_err_and(|e| e.to_string().contains("another agent")));
    Ok(())
}

#[test]
fn foreign_short_and_absent_pages_are_different_errors() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let open = || Page::open(directory.path());
    assert!(matches!(open(), Err(page::Error::Absent(_))));
    let path = directory.path().join(FILE);
    // An agent is about to begin: it has made the file, or has written all but the first word.
    std::fs::write(&path, "")?;
    assert!(matches!(open(), Err(page::Error::Absent(_))));
    let mut begun = [0; LEN];
    begun[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    std::fs::write(&path, begun)?;
    assert!(matches!(open(), Err(page::Error::Absent(_))));
    std::fs::write(&path, "CLKGATE\0")?;
    assert!(matches!(open(), Err(page::Error::Foreign { .. })));
    std::fs::write(&path, [1; LEN])?;
    assert!(matches!(open(), Err(page::Error::Foreign { .. })));
    let mut later = [0; LEN];
    later[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    later[8..12].copy_from_slice(&2_u32.to_ne_bytes());
    std::fs::write(&path, later)?;
    assert!(open().is_err_and(|e| e.to_string().contains("its version is 2")));
    // Of our version, and of another boot.
    later[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    std::fs::write(&path, later)?;
    assert!(matches!(open(), Err(page::Error::OtherKernel(_))));
    Ok(())
}

#[test]
fn an_agent_is_alive_silent_or_has_ended_and_the_last_words_stay() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    let reader = Page::open(directory.path())?;
    assert_eq!(reader.read().agent, Agent::Starting);
    writer.alive(boottime() + Duration::from_secs(100))?;
    writer.publish(&proven())?;
    assert_eq!((reader.read().agent, reader.read().gate), (Agent::Alive, Gate::Proven));
    // The time in `alive_until` has long passed: the proof is a proof all the same.
    writer.alive(Boottime::from_nanos(1))?;
    let silent = Agent::Silent { since: Boottime::from_nanos(1) };
    assert_eq!((reader.read().agent, reader.read().gate), (silent, Gate::Proven));
    writer.publish(&Snapshot { gate: Gate::Unproven, why: "opened without a proof".into(), ..proven() })?;
    assert_eq!(reader.read().gate, Gate::Shut, "no agent would shut it");
    writer.end("it was stopped")?;
    drop(writer);
    shut(directory.path(), "it was killed")?;
    let view = reader.read();
    assert!(matches!(view.agent, Agent::Ended { .. }), "{view:?}");
    assert_eq!((view.why.as_str(), view.epoch, view.gate), ("the agent has ended: it was stopped", 7, Gate::Shut));
    // One that was killed said nothing.
    drop(GatePage::open(directory.path())?);
    shut(directory.path(), "it was killed")?;
    assert!(reader.read().why.contains("it was killed"));
    last_words(directory.path(), "it did not start: line 3")?;
    assert!(reader.read().absence().is_some_and(|said| said.contains("line 3") && said.contains("ago")));
    Ok(())
}

#[test]
fn a_page_that_was_cut_short_or_taken_away_is_laid_anew() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let public = directory.path().join("public");
    let (mut writer, _) = GatePage::open(&public)?;
    writer.publish(&proven())?;
    let reader = Page::open(&public)?;
    File::options().write(true).open(public.join(FILE))?.set_len(0)?;
    let view = reader.read();
    assert_eq!((view.gate, view.agent), (Gate::Shut, Agent::PageGone));
    writer.alive(boottime() + Duration::from_secs(100))?;
    assert_eq!((reader.read().gate, reader.read().epoch), (Gate::Proven, 7), "the same inode, whole again");
    std::fs::remove_dir_all(&public)?;
    assert_eq!(reader.read().agent, Agent::PageGone);
    writer.publish(&proven())?;
    assert_eq!(reader.read().agent, Agent::PageGone, "this page is never written again");
    assert_eq!(Page::open(&public)?.read().gate, Gate::Proven);
    Ok(())
}

#[test]
fn a_fifo_in_the_place_of_the_page_blocks_no_reader() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(FILE);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
    assert!(Page::open(directory.path()).is_err_and(|error| error.to_string().contains("not a regular file")));
    assert!(GatePage::open(directory.path()).is_err());
    std::fs::remove_file(&path)?;
    std::fs::create_dir(&path)?;
    assert!(Page::open(directory.path()).is_err_and(|error| error.to_string().contains("not a regular file")));
    assert!(GatePage::open(directory.path()).is_err());
    Ok(())
}

#[test]
fn a_coming_leap_second_is_on_the_page_and_is_no_step_to_its_readers() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    // What the clocks would show, had the kernel made it a second ago.
    let (now, second) = (standing(), Offset::from_secs(-1));
    let differences = Differences { real_minus_boot: now.real_minus_boot - second, ..now };
    let made = LeapSecond { at: Boottime::from_nanos(boottime().as_nanos() - 1_000_000_000), change: second };
    let snapshot = Snapshot { differences, leap_second: Some(made), ..proven() };
    writer.publish(&snapshot)?;
    let reader = Page::open(directory.path())?;
    assert_eq!((reader.read().gate, reader.read().leap_second), (Gate::Proven, Some(made)), "{:?}", reader.read());
    // Before its moment a second back is a step.
    let later = LeapSecond { at: boottime() + Duration::from_secs(10), change: second };
    writer.publish(&Snapshot { leap_second: Some(later), ..snapshot.clone() })?;
    assert_eq!(reader.read().gate, Gate::Shut);
    // An agent before this one wrote nothing there.
    writer.publish(&snapshot)?;
    writer.mapping.store_u32(at::SIZE, u32::try_from(at::DIFFERENCES_END)?);
    assert_eq!((reader.read().gate, reader.read().leap_second), (Gate::Shut, None));
    Ok(())
}

#[test]
fn a_page_of_an_agent_before_the_differences_is_read_as_it_was() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    writer.publish(&Snapshot { differences: Differences::default(), ..proven() })?;
    let reader = Page::open(directory.path())?;
    assert!(reader.read().why.contains("set forward by"), "{}", reader.read().why);
    writer.mapping.store_u32(at::SIZE, u32::try_from(at::ALIVE_UNTIL)?);
    let view = reader.read();
    assert_eq!((view.gate, view.agent, view.differences), (Gate::Proven, Agent::Alive, None));
    Ok(())
}

#[test]
fn who_follows_the_page_is_woken_by_a_publication_that_leaves_the_gate_as_it_is()
-> Result<(), Box<dyn std::error::Error>> {
    const LONG: Duration = Duration::from_secs(60);
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    writer.publish(&proven())?;
    let reader = Page::open(directory.path())?;
    let seen = reader.read();
    let next = boottime() + LONG;
    writer.alive(next)?;
    assert_eq!(reader.read().changes, seen.changes, "a sign of life is no news");
    let slept = std::thread::scope(|scope| -> Result<Duration, Box<dyn std::error::Error>> {
        let sleeper = scope.spawn(|| {
            let began = boottime();
            while reader.read().changes == seen.changes && boottime().since(began) < LONG {
                reader.wait_for_publication(&seen, LONG);
            }
            boottime().since(began)
        });
        writer.publish(&Snapshot { next, ..proven() })?;
        sleeper.join().map_err(|_| "the sleeper failed".into())
    })?;
    assert!(slept < LONG);
    assert_eq!((reader.read().next, reader.read().word), (Some(next), seen.word));
    Ok(())
}

#[test]
fn what_two_exchanges_measured_is_published_of_this_epoch_and_ends_with_the_agent()
-> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (mut writer, _) = GatePage::open(directory.path())?;
    writer.alive(boottime() + Duration::from_secs(100))?;
    let measured = ClockMeasurement {
        offset: Offset::from_secs(-20),
        bound: Duration::from_millis(20_003),
        as_of: boottime(),
        valid_until: boottime() + Duration::from_secs(100),
        max_drift_ppm: 500,
        differences: Some(standing()),
        leap_second: None,
    };
    let shut = Snapshot { state: 2, gate: Gate::Shut, ..proven() };
    writer.publish(&Snapshot { measured: Some(measured), ..shut.clone() })?;
    let reader = Page::open(directory.path())?;
    let minute = Duration::from_secs(60);
    assert_eq!(reader.read().measured, Some(measured));
    assert!(reader.read().within(minute).is_some_and(|bound| bound >= measured.bound), "{:?}", reader.read());
    writer.publish(&shut)?;
    assert_eq!((reader.read().measured, reader.read().within(minute)), (None, None));
    writer.publish(&Snapshot { measured: Some(measured), ..shut })?;
    writer.end("it was stopped")?;
    assert_eq!((reader.read().measured, reader.read().within(minute)), (None, None));
    Ok(())
}
