use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::decision::{ContainerList, ContainerText, Gate, NamedContainer, Offset, Snapshot, Warning};
use crate::transition::{Course, EventKind, FrozenContainers, Occurrence, Parts, Position, Tally};

/// What no line may have that is not allowed to name or to identify a container.
const NAME: &str = "a-marker-for-names";
const ID: &str = "a-marker-for-ids";

fn container() -> ContainerList {
    NamedContainer::new("an-engine", ID, Some(NAME)).into()
}

/// Of an engine whose containers have no ids but their names.
fn machine() -> ContainerList {
    NamedContainer::new("an-engine", NAME, Some(NAME)).into()
}

/// Every way in which a text can say which container it is about.
fn text() -> ContainerText {
    let text = ContainerText::from("of ").containers(container()).words(" and ").containers(machine());
    text.words(" at ").private(format!("/x/{ID}/{NAME}"), "a cgroup")
}

fn every_occurrence() -> Vec<Occurrence> {
    let plain = || "plain".to_owned();
    let all = vec![
        Occurrence::GateShut,
        Occurrence::GateStaysShut,
        Occurrence::GateOpen,
        Occurrence::GateStaysOpen,
        Occurrence::GateOpenUnproven,
        Occurrence::Renewed,
        Occurrence::Updated,
        Occurrence::Ended,
        Occurrence::Stepped(Offset::ZERO),
        Occurrence::NotStepped(plain()),
        Occurrence::StepRefused(plain()),
        Occurrence::Warned(Warning::NoProof(text())),
        Occurrence::Warned(Warning::SetByOthers(plain())),
        Occurrence::Warned(Warning::FrozenTooLong),
        Occurrence::Warned(Warning::CannotReckon("plain")),
        Occurrence::Silent { source: plain(), why: plain() },
        Occurrence::Refused { source: plain(), why: plain() },
        Occurrence::DaemonNotReset { daemon: None, why: plain() },
        Occurrence::DaemonNotNotified(plain()),
        Occurrence::DaemonAgrees(Offset::ZERO),
        Occurrence::DaemonDisagrees(Offset::ZERO),
        Occurrence::DaemonSilent(plain()),
        Occurrence::Frozen,
        Occurrence::FrozenInPart(vec![text(), text()]),
        Occurrence::Thawed,
        Occurrence::NotThawed(text()),
        Occurrence::CarriersThawed(container()),
        Occurrence::CarriersThawed(machine()),
        Occurrence::CarriersNotThawed(text()),
        Occurrence::TolerantThawed(container()),
        Occurrence::TolerantThawed(machine()),
        Occurrence::TolerantNotThawed(text()),
        Occurrence::Dated(plain()),
        Occurrence::RestoreMissed("plain"),
    ];
    let kinds: HashSet<EventKind> = all.iter().map(Occurrence::kind).collect();
    assert_eq!(kinds.len(), EventKind::ALL.len(), "every kind has its record here");
    all
}

/// One in which everything that can name a container does.
fn happened(what: Occurrence, gate: Gate) -> Transition {
    let both = [container().first().to_vec(), machine().first().to_vec()].concat();
    let both = ContainerList::new(&both, Clone::clone);
    let frozen = FrozenContainers { frozen: both.clone(), of: 3 };
    Transition {
        what,
        at: crate::decision::Clocks::default(),
        before: Position::default(),
        now: Snapshot { gate, why: text(), ..Snapshot::default() },
        course: Course { answers: vec![], stepped: None, frozen: Some(frozen), parts: Parts::default() },
        falsetickers: vec![],
        daemon: None,
        is_repetition: false,
        held: both.clone(),
        released: 4,
        released_containers: both,
        tally: Arc::new(Tally::default()),
    }
}

async fn written(naming: ContainerNaming) -> Vec<Value> {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(host.path().join("var/lib/clockgate")).unwrap();
    let mut outlet = HistoryOutlet::new(host.path());
    outlet.name_containers(naming);
    for gate in [Gate::Shut, Gate::Proven, Gate::Unproven] {
        every_occurrence().into_iter().for_each(|what| outlet.record(&happened(what, gate)));
    }
    outlet.end().await;
    let text = std::fs::read_to_string(outlet.writer.files.folder().join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of a kind, and the kind of each.
fn of<'r>(records: &'r [Value], event: &str) -> &'r Value {
    records.iter().find(|record| record["event"] == event).unwrap()
}

#[tokio::test]
async fn a_history_without_names_has_none_in_any_record() {
    let records = written(ContainerNaming::Ids).await;
    assert!(records.len() >= 70, "{}", records.len());
    for record in &records {
        assert!(!record.to_string().contains(NAME), "{record}");
    }
    let listed = json!([{ "engine": "an-engine", "id": ID }, { "engine": "an-engine" }]);
    let frozen = of(&records, "frozen");
    assert_eq!(
        (&frozen["frozen_containers"], &frozen["frozen"], &frozen["frozen_of"]),
        (&listed, &2.into(), &3.into())
    );
    let opened = of(&records, "gate-open");
    assert_eq!((&opened["released_containers"], &opened["released"]), (&listed, &4.into()));
    assert_eq!((&opened["held_containers"], &opened["held"]), (&listed, &2.into()));
    assert!(frozen["message"].as_str().unwrap().contains(ID), "{frozen}");
}

#[tokio::test]
async fn a_history_that_only_counts_identifies_no_container_in_any_record() {
    let records = written(ContainerNaming::None).await;
    for record in &records {
        let text = record.to_string();
        assert!(!text.contains(NAME) && !text.contains(ID) && !text.contains("an-engine"), "{record}");
        assert!(
            ["frozen_containers", "held_containers", "released_containers"].iter().all(|field| record[field].is_null())
        );
        assert_eq!((&record["frozen"], &record["frozen_of"], &record["held"]), (&2.into(), &3.into(), &2.into()));
    }
    let said = "cannot thaw; trying again: of 1 container and 1 container at a cgroup epoch=0";
    assert_eq!(of(&records, "not-thawed")["message"], said);
}

#[tokio::test]
async fn a_history_with_names_has_them_where_they_are_news() {
    let records = written(ContainerNaming::Names).await;
    let listed = json!([
        { "engine": "an-engine", "id": ID, "name": NAME },
        { "engine": "an-engine", "id": NAME, "name": NAME },
    ]);
    for event in ["frozen", "frozen-in-part", "thawed", "frozen-too-long", "gate-open", "gate-open-unproven"] {
        assert_eq!(of(&records, event)["frozen_containers"], listed, "{event}");
    }
    for event in ["gate-shut", "gate-stays-shut", "no-proof"] {
        assert_eq!(of(&records, event)["held_containers"], listed, "{event}");
    }
    assert_eq!(of(&records, "renewed")["frozen_containers"], Value::Null, "it is the same as before");
    let line = format!(r#"frozen epoch=0 frozen=2 of=3 containers="{NAME} (an-engine {ID}), an-engine {NAME}""#);
    assert_eq!(of(&records, "frozen")["message"], line);
}
