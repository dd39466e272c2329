//! The machine's invariants, on walks that nobody thought of: random events, answers in any order, late, lost or lying.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is not counted has nothing to be counted by")]

#[path = "../support/world/mod.rs"]
mod world;

use std::time::Duration;

use clockgate::decision::{
    Action, AtDeadline, Boottime, Cause, Correction, DatePlan, Epoch, Event, Evidence, Gate, HttpDate, Machine,
    Notifier, Offset, PeerCheck, Policy, RestoreSign, State,
};
use proptest::prelude::*;
use world::{Answer, MS, World, answered, http_date};

/// One thing that happens to the machine; `Answer` settles the oldest open question.
#[derive(Clone, Debug)]
enum Happening {
    Disrupted(Cause),
    Sleeping,
    Woken,
    NetworkChanged,
    Unseen,
    /// Time passes, and the alarm rings if it was due.
    Pass(u64),
    Answer(Answer),
    /// An operator's word.
    Accepted,
    Reckon,
    /// An HTTP server's `Date` says that the clock is so many milliseconds off.
    Dated(i64),
    /// An operator names such a server.
    StepByDate(i64, PeerCheck),
    /// The oldest open question is overtaken by the others.
    Overtaken,
    /// An answer to a question of an older epoch.
    Stale(Answer),
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => (prop_oneof![Just(0_i64), -300..300_i64, -7_200_000..7_200_000_i64], 1..400_u64)
            .prop_map(|(offset_ms, distance_ms)| Answer::Truth { offset_ms, distance_ms }),
        2 => Just(Answer::Nobody),
        2 => (prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64], any::<bool>())
            .prop_map(|(offset_ms, first_alone)| Answer::TwoAgree { offset_ms, first_alone }),
        1 => Just(Answer::Authenticated),
        1 => Just(Answer::TwoAgainstTwo),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Superseded),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let cause = prop_oneof![
        (0..100_000_u64).prop_map(|s| Cause::Resume { slept: Duration::from_secs(s) }),
        (-7200..7200_i64).prop_map(|s| Cause::ForeignStep { change: Offset::from_secs(s) }),
        (0..100_000_u64).prop_map(|s| Cause::Pause { lost: Duration::from_secs(s) }),
        Just(Cause::Restore(RestoreSign::Notice)),
        Just(Cause::Requested),
        Just(Cause::Snapshot),
    ];
    prop_oneof![
        2 => cause.prop_map(Happening::Disrupted),
        1 => Just(Happening::Sleeping),
        1 => Just(Happening::Woken),
        1 => Just(Happening::NetworkChanged),
        1 => Just(Happening::Unseen),
        4 => (0..200_000_u64).prop_map(Happening::Pass),
        8 => answer().prop_map(Happening::Answer),
        1 => prop_oneof![Just(Happening::Accepted), Just(Happening::Reckon)],
        2 => prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64].prop_map(Happening::Dated),
        2 => (
            prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64, Just(-400_000_000_000_i64)],
            prop_oneof![Just(PeerCheck::Verified), Just(PeerCheck::Unverified)],
        )
            .prop_map(|(offset_ms, peer)| Happening::StepByDate(offset_ms, peer)),
        1 => Just(Happening::Overtaken),
        2 => answer().prop_map(Happening::Stale),
    ]
}

/// A walk through the world: nothing happens at the same moment as something else.
struct Walk {
    world: World<Machine>,
    /// How often a tolerance could be served.
    served: u32,
}

impl Walk {
    fn new(policy: Policy) -> Self {
        let machine = Machine::new(policy.clone(), Epoch::default());
        Self { world: World::new(machine, policy, Boottime::from_nanos(1)), served: 0 }
    }

    fn take(&mut self, event: Event) {
        self.world.now = self.world.now + Duration::from_nanos(1);
        self.world.take(event);
        self.world.now = self.world.now + Duration::from_nanos(1);
        self.world.everything_waited_for_has_an_end();
        let published = self.world.machine().snapshot();
        self.served += u32::from(self.world.tolerance_served(&published).is_some());
    }

    fn pass(&mut self, millis: u64) {
        let end = self.world.now + Duration::from_millis(millis);
        // The alarm rings as often as it is due; a machine that sets it again and again in the past would ring for ever.
        for _ in 0..200 {
            let due = self.world.machine().alarm();
            if due > end {
                break;
            }
            self.world.now = self.world.now.max(due);
            self.take(Event::Alarm);
        }
        assert!(self.world.machine().alarm() > end, "the alarm rings without end");
        self.world.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Disrupted(cause) => {
                if matches!(cause, Cause::Restore(_)) {
                    self.world.lost += Duration::from_secs(7777);
                }
                self.take(Event::Disrupted(cause));
            }
            Happening::Sleeping => self.take(Event::Sleeping(Notifier::Logind)),
            Happening::Woken => self.take(Event::Woken(Notifier::Logind)),
            Happening::NetworkChanged => self.take(Event::NetworkChanged),
            Happening::Unseen => self.take(Event::Unseen("vmgenid")),
            Happening::Pass(millis) => self.pass(millis),
            Happening::Answer(answer) => {
                self.world.was_lied_to = true;
                self.answer(&answer);
            }
            Happening::Overtaken => {
                if !self.world.open.is_empty() {
                    self.world.open.rotate_left(1);
                }
            }
            Happening::Dated(offset_ms) => {
                let evidence = self.world.machine().evidence().clone();
                self.take(Event::Dated(self.world.machine().epoch(), http_date(&self.world.clocks(), offset_ms)));
                let after =
                    Evidence { http_date: evidence.http_date.clone(), ..self.world.machine().evidence().clone() };
                assert_eq!(after, evidence, "what was proven is not touched by a Date");
            }
            Happening::StepByDate(offset_ms, peer) => self.step_by_date(offset_ms, peer),
            Happening::Accepted => self.take(Event::Accepted),
            Happening::Reckon => self.take(Event::Reckon),
            Happening::Stale(answer) => self.world.stale_answers_change_nothing(&answer),
        }
    }

    fn answer(&mut self, answer: &Answer) {
        if let Some(event) = self.next_question().and_then(|q| answered(&q, answer, &self.world.clocks())) {
            self.take(event);
        }
    }

    /// The clock moves as the plan says and by that much, or nothing changes; what was proven stays so.
    fn step_by_date(&mut self, offset_ms: i64, peer: PeerCheck) {
        // What is due at that very moment comes first, and is no answer to it.
        if self.world.machine().alarm() <= self.world.now + Duration::from_nanos(1) {
            self.take(Event::Alarm);
        }
        let date = HttpDate { peer, ..http_date(&self.world.clocks(), offset_ms) };
        let evidence = self.world.machine().evidence().clone();
        let plan = date.plan(&evidence, &self.world.clocks(), self.world.policy());
        let refused = self.world.machine().refuses_date(&date, &self.world.clocks());
        assert!(plan == DatePlan::Step || refused.is_some(), "{plan:?} and not refused");
        let (before, orders) = (self.world.machine().snapshot(), self.world.open.len());
        self.take(Event::StepByDate(date.clone()));
        let steps = self.world.open[orders..].iter().filter_map(|question| match question.action {
            Action::Step { offset, .. } => Some(offset),
            _ => None,
        });
        assert!(steps.clone().count() <= 1 && steps.clone().all(|offset| offset == date.offset), "another step");
        let after = self.world.machine().snapshot();
        if refused.is_some() {
            assert_eq!(self.world.open.len(), orders, "refused and acted upon: {refused:?}");
            assert_eq!(after, before, "refused and not without effect: {refused:?}");
        } else {
            assert_eq!(after.gate, Gate::Shut);
        }
        let known = |evidence: &Evidence| (evidence.last, evidence.anchor);
        assert_eq!(
            known(self.world.machine().evidence()),
            known(&evidence),
            "what was proven is not touched by a Date"
        );
    }

    /// The same where all references say the truth, to the second where they are web servers.
    fn happen_honestly(&mut self, happening: Happening) {
        match happening {
            Happening::Answer(answer) => self.answer(&self.world.honest(answer)),
            Happening::Dated(_) => self.happen(Happening::Dated(self.world.error().as_nanos() / MS.cast_signed())),
            other => self.happen(other),
        }
    }

    fn next_question(&mut self) -> Option<Action> {
        while !self.world.open.is_empty() {
            let action = self.world.open.remove(0).action;
            if !matches!(action, Action::Prolong(..) | Action::AllowSleep | Action::Warn(_)) {
                return Some(action);
            }
        }
        None
    }

    fn state(&self) -> State {
        self.world.machine().state()
    }
}

/// How many walks: 1000, and more for the night (`CLOCKGATE_WALKS`).
fn walks() -> u32 {
    std::env::var("CLOCKGATE_WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(1000)
}

fn policy() -> impl Strategy<Value = Policy> {
    let at_deadline = || prop_oneof![Just(AtDeadline::Hold), Just(AtDeadline::Open)];
    let freeze = prop_oneof![Just(None), (1..60_u64).prop_map(|secs| Some(Duration::from_secs(secs)))];
    (at_deadline(), at_deadline(), 1..400_u64, freeze).prop_map(|(unreachable, wrong, threshold, freeze)| Policy {
        freeze,
        unreachable,
        imprecise: unreachable,
        wrong,
        threshold: Duration::from_millis(threshold),
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: walks(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(
        policy in policy(),
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut walk = Walk::new(policy);
        for happening in happenings {
            walk.happen(happening);
        }
    }

    #[test]
    fn whatever_happened_two_honest_references_open_the_gate(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut walk = Walk::new(Policy::default());
        for happening in happenings {
            walk.happen(happening);
        }
        walk.take(Event::Woken(Notifier::Logind));
        for _ in 0..200 {
            if walk.state() == State::Synchronized {
                return Ok(());
            }
            match walk.next_question() {
                Some(question) => {
                    let honest = walk.world.honest(Answer::TwoAgree { offset_ms: 0, first_alone: false });
                    if let Some(event) = answered(&question, &honest, &walk.world.clocks()) {
                        walk.take(event);
                    }
                }
                None => walk.pass(61_000),
            }
        }
        prop_assert!(false, "still {:?}: {}", walk.state(), walk.world.machine().snapshot().why);
    }

    /// Beside lies that the rules allow: here nobody lies.
    #[test]
    fn no_tolerance_is_served_while_the_clock_is_further_off(
        policy in policy(),
        corrects in prop_oneof![Just(Correction::None), Just(Correction::Auto), Just(Correction::Daemon)],
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut walk = Walk::new(Policy { correction: corrects, ..policy });
        for happening in happenings {
            walk.happen_honestly(happening);
        }
    }

    /// Where nothing may correct the clock, two honest exchanges serve each tolerance that is wider than what they measure.
    #[test]
    fn two_exchanges_after_a_disruption_serve_a_tolerance(
        happenings in prop::collection::vec(happening(), 1..20),
        off_by in 1..3000_i64,
    ) {
        let mut walk = Walk::new(Policy { correction: Correction::None, ..Policy::default() });
        for happening in happenings {
            walk.happen_honestly(happening);
        }
        walk.take(Event::Woken(Notifier::Logind));
        walk.take(Event::Disrupted(Cause::ForeignStep { change: Offset::from_secs(off_by) }));
        let already = walk.served;
        // Those that were asked before are answered before.
        for _ in 0..20 + walk.world.open.len() {
            match walk.next_question() {
                Some(question) => {
                    let honest = walk.world.honest(Answer::TwoAgree { offset_ms: 0, first_alone: false });
                    if let Some(event) = answered(&question, &honest, &walk.world.clocks()) {
                        walk.take(event);
                    }
                }
                None => walk.pass(2100),
            }
        }
        let is_right = walk.world.error().abs() < Duration::from_millis(200);
        let why = walk.world.machine().snapshot().why;
        prop_assert!(walk.served > already || is_right, "{:?}: {why}", walk.world.error());
    }

    /// To know that answers agree with the clock, however vaguely, is better than to know nothing: it never ends worse.
    #[test]
    fn an_answer_that_agrees_with_the_clock_never_ends_worse_than_none(
        distance_ms in 1..3000_u64,
        offset_share in -100..=100_i64,
        is_foreign_step in any::<bool>(),
    ) {
        let offset_ms = distance_ms.cast_signed() * offset_share / 100;
        let ends = |answers: bool| {
            let mut walk = Walk::new(Policy::default());
            if is_foreign_step {
                walk.happen(Happening::Disrupted(Cause::ForeignStep { change: Offset::ZERO }));
            }
            // A bound just below the threshold is proven again and again: it is looked at when it is decided.
            let is_decided = |state| !matches!(state, State::Unknown | State::Disrupted | State::Settling);
            for n in 0..600 {
                if n > 60 && is_decided(walk.state()) {
                    break;
                }
                match walk.next_question() {
                    Some(question) => {
                        let offset_ms = offset_ms - walk.world.moved.as_nanos() / MS.cast_signed();
                        let answer = if answers { Answer::Truth { offset_ms, distance_ms } } else { Answer::Nobody };
                        if let Some(event) = answered(&question, &answer, &walk.world.clocks()) {
                            walk.take(event);
                        }
                    }
                    None => walk.pass(1000),
                }
            }
            walk.state().gate()
        };
        let rank = |gate| match gate {
            Gate::Shut => 0,
            Gate::Unproven => 1,
            Gate::Proven => 2,
        };
        let (nothing, something) = (ends(false), ends(true));
        prop_assert!(rank(something) >= rank(nothing), "{nothing} without an answer, {something} with one");
    }
}
