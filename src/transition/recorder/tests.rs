use super::*;
use crate::decision::{Cause, Correction, OrderId, Policy, ReferenceKind, RestoreSign, Voice};
use crate::transition::{EventKind, Fact};

/// A machine and the recorder beside it, as the event loop has them.
struct Loop {
    machine: Machine,
    recorder: Recorder,
    now: Clocks,
    /// How many waiters each publication wakes, and which containers are held.
    woken: u64,
    held: ContainerList,
}

impl Loop {
    fn new() -> Self {
        let now = Clocks { boot: Boottime::from_nanos(1_000_000_000), ..Clocks::default() };
        Self {
            machine: Machine::new(Policy::default(), Epoch::default()),
            recorder: Recorder::default(),
            now,
            woken: 0,
            held: ContainerList::default(),
        }
    }

    fn after(&mut self, passed: Duration) -> &mut Self {
        self.now.boot = self.now.boot + passed;
        self
    }

    fn take(&mut self, event: Event) -> Vec<Transition> {
        self.recorder.receive(&event);
        let before = self.machine.snapshot();
        let actions = self.machine.step(event.clone(), self.now);
        let after = self.machine.snapshot();
        let walked = Walked {
            before: &before,
            after: &after,
            machine: &self.machine,
            actions: &actions,
            at: self.now,
            woken: self.woken,
            held: &self.held,
        };
        self.recorder.record(&event, &walked)
    }

    fn measured(&mut self, readings: Vec<Reading>, failures: Vec<Failure>) -> Vec<Transition> {
        let measurement = Measurement { readings, failures, ..Measurement::default() };
        self.take(Event::Measured(self.machine.epoch(), self.machine.round(), measurement))
    }

    fn answer(&self, name: &str, offset: Offset) -> Reading {
        Reading {
            source: name.to_owned(),
            voice: Voice::server(name),
            kind: ReferenceKind::Ntp,
            as_of: self.now.boot,
            local: self.now.real,
            offset,
            root_distance: Duration::from_millis(2),
            authenticated: false,
            leap: crate::decision::Leap::None,
            stratum: None,
            delay: None,
            upstream: None,
        }
    }
}

fn kinds(all: &[Transition]) -> Vec<EventKind> {
    all.iter().map(Transition::kind).collect()
}

#[test]
fn a_disruption_is_recorded_from_the_shut_gate_to_the_open_one_with_who_answered_and_how_long_it_took() {
    let mut event_loop = Loop::new();
    assert_eq!(kinds(&event_loop.take(Event::Started)), [EventKind::GateShut]);
    event_loop.take(Event::Forgotten(event_loop.machine.epoch(), crate::decision::Forgotten::default()));
    event_loop.after(Duration::from_millis(20));
    let right = [event_loop.answer("a", Offset::ZERO), event_loop.answer("b", Offset::ZERO)];
    assert_eq!(kinds(&event_loop.measured(right.into(), vec![])), [EventKind::GateStaysShut]);
    event_loop.after(Duration::from_millis(30));
    let right = [event_loop.answer("a", Offset::ZERO), event_loop.answer("b", Offset::ZERO)];
    let records = event_loop.measured(right.into(), vec![]);
    assert_eq!(kinds(&records), [EventKind::GateOpen]);
    let opened = &records[0];
    assert_eq!((opened.before.gate, opened.now.gate, opened.now.cause), (Gate::Shut, Gate::Proven, Cause::Started));
    assert_eq!(opened.course.answers.iter().map(|answer| answer.source.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let parts = opened.course.parts;
    assert_eq!((parts.answered, parts.opened), (Some(Duration::from_millis(20)), Some(Duration::from_millis(50))));
    assert_eq!((parts.stepped, opened.course.stepped), (None, None));
    assert!(
        opened.line().starts_with("gate open epoch=1 cause=started state=Synchronized offset="),
        "{}",
        opened.line()
    );
    assert!(opened.facts().contains(&("opened_after_ns", Fact::Number(50_000_000))), "{:?}", opened.facts());
}

#[test]
fn a_step_that_waits_for_the_containers_to_freeze_is_no_refusal_and_one_that_is_not_made_is() {
    for (correction, refused) in [(Correction::Auto, 0), (Correction::None, 1)] {
        let mut event_loop = Loop::new();
        let policy = Policy { freeze: Some(Duration::from_secs(60)), correction, ..Policy::default() };
        event_loop.machine = Machine::new(policy, Epoch::default());
        let mut all = event_loop.take(Event::Started);
        all.extend(
            event_loop.take(Event::Forgotten(event_loop.machine.epoch(), crate::decision::Forgotten::default())),
        );
        event_loop.after(Duration::from_millis(20));
        let behind = ["a", "b", "c"].map(|name| event_loop.answer(name, Offset::from_secs(20)));
        all.extend(event_loop.measured(behind.into(), vec![]));
        assert_eq!(event_loop.machine.is_stepping(), refused == 0, "{:?}", event_loop.machine.trouble());
        assert_eq!(kinds(&all).iter().filter(|kind| **kind == EventKind::StepRefused).count(), refused, "{all:#?}");
    }
}

#[test]
fn what_a_shut_gate_holds_is_released_by_the_one_that_opens_it() {
    let mut event_loop = Loop::new();
    event_loop.held = crate::decision::NamedContainer::new("an engine", "ab", None).into();
    event_loop.woken = 2;
    let shut = event_loop.take(Event::Started);
    assert_eq!((shut[0].held.count(), shut[0].released, shut[0].released_containers.count()), (1, 0, 0));
    event_loop.take(Event::Forgotten(event_loop.machine.epoch(), crate::decision::Forgotten::default()));
    let mut opened = vec![];
    for _ in 0..2 {
        event_loop.after(Duration::from_millis(20));
        let right = [event_loop.answer("a", Offset::ZERO), event_loop.answer("b", Offset::ZERO)];
        opened = event_loop.measured(right.into(), vec![]);
    }
    assert_eq!(kinds(&opened), [EventKind::GateOpen]);
    assert_eq!((opened[0].held.count(), opened[0].released, opened[0].released_containers.count()), (0, 2, 1));
    assert!(opened[0].line().contains(" released=\"an engine ab\" after_us="), "{}", opened[0].line());
}

#[test]
fn a_step_is_recorded_with_what_it_moved_and_the_next_epoch_begins_without_it() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    event_loop.after(Duration::from_millis(7));
    let order = OrderId { epoch: event_loop.machine.epoch(), number: 1 };
    let records = event_loop.take(Event::Stepped(order, Ok(Offset::from_secs(3600))));
    assert_eq!(kinds(&records)[0], EventKind::Stepped);
    assert_eq!(records[0].course.stepped, Some(Offset::from_secs(3600)));
    assert_eq!(records[0].course.parts.stepped, Some(Duration::from_millis(7)));
    assert!(records[0].line().starts_with("clock stepped epoch=1 moved=+3600"), "{}", records[0].line());
    let records = event_loop.take(Event::Disrupted(Cause::Restore(RestoreSign::Notice)));
    assert_eq!(kinds(&records), [EventKind::GateShut]);
    assert_eq!((records[0].now.epoch, records[0].course.stepped), (Epoch::new(2), None));
}

#[test]
fn a_later_sign_of_a_restore_is_recorded_and_not_counted() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    let restored = |sign| Event::Disrupted(Cause::Restore(sign));
    let counts = |records: &[Transition]| {
        let counted = |cause: Cause| records[0].tally.disruptions.get(&cause.code()).copied();
        (
            records[0].now.epoch.get(),
            records[0].now.repeats.map(Epoch::get),
            counted(Cause::Restore(RestoreSign::Notice)),
        )
    };
    let first = event_loop.take(restored(RestoreSign::KernelLine));
    let second = event_loop.take(restored(RestoreSign::Marker));
    let third = event_loop.take(restored(RestoreSign::KernelLine));
    assert_eq!([&first, &second, &third].map(|records| kinds(records)[0]), [EventKind::GateShut; 3]);
    assert_eq!(counts(&first), (2, None, Some(1)));
    assert_eq!(counts(&second), (3, Some(2), Some(1)));
    assert_eq!(counts(&third), (4, None, Some(2)));
    assert!(second[0].line().contains(" state=Disrupted repeats=2 "), "{}", second[0].line());
}

#[test]
fn a_reference_without_a_reading_is_recorded_once_a_round() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    let silent = || Failure::remark("ntp.example", "no reply within 1 s");
    let records = event_loop.measured(vec![], vec![silent()]);
    let source = "ntp.example".to_owned();
    assert_eq!(records[0].what, Occurrence::Silent { source, why: "no reply within 1 s".to_owned() });
    assert!(!kinds(&event_loop.measured(vec![], vec![silent()])).contains(&EventKind::NoReading));
}

#[test]
fn however_many_packets_answer_nothing_a_round_has_one_line_of_them() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    let (source, why) = ("ntp.example".to_owned(), "100000 packet(s) beside its answer".to_owned());
    let refused = vec![RefusedPackets { source: source.clone(), why: why.clone() }];
    let measurement = Measurement { refused, ..Measurement::default() };
    let measured = |machine: &Machine| Event::Measured(machine.epoch(), machine.round(), measurement.clone());
    let records = event_loop.take(measured(&event_loop.machine));
    assert_eq!(records[0].what, Occurrence::Refused { source, why });
    assert!(records[0].line().starts_with("not used: 100000 packet(s) beside its answer epoch=1 source=ntp.example"));
    let again = event_loop.take(measured(&event_loop.machine));
    assert!(!kinds(&again).contains(&EventKind::AnswerRefused));
}

#[test]
fn who_is_outvoted_is_named_with_what_it_says_and_not_again_while_it_goes_on() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    event_loop.take(Event::Forgotten(event_loop.machine.epoch(), crate::decision::Forgotten::default()));
    let said = |event_loop: &mut Loop, lie| {
        event_loop.after(Duration::from_millis(20));
        let honest = ["a.example", "b.example"].map(|name| event_loop.answer(name, Offset::ZERO));
        let readings = [&honest[..], &[event_loop.answer("liar.example", lie)]].concat();
        let records = event_loop.measured(readings, vec![]);
        records.iter().filter(|r| r.kind() == EventKind::AnswerRefused).map(Transition::message).collect::<Vec<_>>()
    };
    let lie = Offset::from_secs(3600);
    let sentence = "not used: it says that the clock is 1 h 0 min 0 s behind, and the majority contradicts it";
    assert_eq!(said(&mut event_loop, lie), [sentence]);
    assert_eq!(said(&mut event_loop, lie), [""; 0]);
}

#[test]
fn what_changes_nothing_makes_no_record_and_the_last_one_is_the_end() {
    let mut event_loop = Loop::new();
    event_loop.take(Event::Started);
    assert_eq!(
        event_loop
            .take(Event::NetworkChanged)
            .iter()
            .map(Transition::kind)
            .filter(|k| *k != EventKind::Updated)
            .count(),
        0
    );
    let end = event_loop.recorder.end(&event_loop.machine, event_loop.now);
    assert_eq!((end.kind(), end.now.gate), (EventKind::Ended, Gate::Shut));
}
