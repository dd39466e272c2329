use super::*;
use crate::decision::{Clocks, Gate};
use crate::publish::held_starts::HeldStarts;
use crate::transition::{Course, Occurrence, Position, Tally};

fn opened(at: Boottime) -> Transition {
    Transition {
        what: Occurrence::GateOpen,
        at: Clocks { boot: at, ..Clocks::default() },
        before: Position::default(),
        now: Snapshot { gate: Gate::Proven, ..Snapshot::default() },
        course: Course::default(),
        falsetickers: vec![],
        daemon: None,
        is_repetition: false,
        held: crate::decision::ContainerList::default(),
        released: 0,
        released_containers: crate::decision::ContainerList::default(),
        tally: std::sync::Arc::<Tally>::default(),
    }
}

/// Outlets on an empty host, and their metrics.
fn outlets(root: &Path) -> Outlets {
    let metrics = MetricsReader::new(root, root, HeldStarts::default());
    Outlets::new(root, metrics, Snapshot::default())
}

#[tokio::test]
async fn what_tells_people_waits_for_the_end_of_a_walk_and_who_asks_does_not() {
    let host = tempfile::tempdir().unwrap();
    let mut outlets = outlets(host.path());
    let (published, mut news, nothing) = (outlets.published(), outlets.news(), outlets.metrics().seen());
    let begun = Boottime::from_nanos(1_000_000_000);

    outlets.record(opened(begun));
    outlets.report(true, begun);
    assert_eq!(published.borrow().gate, Gate::Proven);
    assert!(!news.has_changed().unwrap());
    assert_eq!(outlets.metrics().seen(), nothing);

    outlets.report(false, begun);
    assert_eq!(news.borrow_and_update().gate, Gate::Proven);
    assert_ne!(outlets.metrics().seen(), nothing);
    assert_eq!(outlets.due(), Boottime::NEVER);
}

#[tokio::test]
async fn a_long_walk_is_reported_while_it_lasts() {
    let host = tempfile::tempdir().unwrap();
    let mut outlets = outlets(host.path());
    let (nothing, begun) = (outlets.metrics().seen(), Boottime::from_nanos(1_000_000_000));

    outlets.record(opened(begun));
    outlets.record(opened(begun + BEHIND_AT_MOST / 2));
    assert_eq!(outlets.due(), begun + BEHIND_AT_MOST, "by the first");
    outlets.report(true, begun + BEHIND_AT_MOST);
    assert_ne!(outlets.metrics().seen(), nothing);
    assert_eq!(outlets.due(), Boottime::NEVER);
}
