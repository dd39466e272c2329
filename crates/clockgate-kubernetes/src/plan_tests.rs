use clockgate_page::{Gate, cause};

use super::*;

/// The plan beside an API server that says what it is to say, each request at once.
struct World {
    plan: Plan,
    now: Boottime,
    answer: Answer,
    /// What was written, and when.
    written: Vec<(Duration, What)>,
}

impl World {
    fn new() -> Self {
        Self::of_node(7)
    }

    fn of_node(number: u64) -> Self {
        Self { plan: Plan::new(Jitter::new(number)), now: Boottime::default(), answer: Answer::Done, written: vec![] }
    }

    fn happens(&mut self, happening: Happening) {
        let mut write = self.plan.step(happening, self.now);
        while let Some(Write { what, .. }) = write {
            self.written.push((self.now.since(Boottime::default()), what));
            write = self.plan.step(Happening::Answered(self.answer), self.now);
        }
    }

    fn seen(&mut self, reason: Reason) {
        self.happens(Happening::Seen { condition: ClockCondition::new(reason, ""), gate: None });
    }

    fn seen_with(&mut self, reason: Reason, gate: Gate, epoch: u64) {
        let gate = GateSeen { gate, epoch, cause: cause::RESTORE, offset: None, since: self.now, bound: None };
        self.happens(Happening::Seen { condition: ClockCondition::new(reason, ""), gate: Some(gate) });
    }

    fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let next = self.plan.wake_at();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.happens(Happening::Time);
        }
        self.now = end;
    }

    /// The reasons that were written, and in which second.
    fn conditions(&self) -> Vec<(u64, &'static str)> {
        let name = |what: &What| match what {
            What::Condition { condition, .. } => Some(condition.reason.name()),
            What::Event(_) => None,
        };
        self.written.iter().filter_map(|(at, what)| Some((at.as_secs(), name(what)?))).collect()
    }

    /// Each of these reasons was written once it could be, or as much later as a node may wait.
    fn has_written(&self, expected: &[(u64, &'static str)]) {
        let written = self.conditions();
        let is_in_time = |((at, reason), (due, expected)): (&(u64, &str), &(u64, &str))| {
            reason == expected && (*due..=due + SPREAD.as_secs()).contains(at)
        };
        assert_eq!(written.len(), expected.len(), "{written:?}, expected {expected:?}");
        assert!(written.iter().zip(expected).all(is_in_time), "{written:?}, expected {expected:?}");
    }

    fn events(&self) -> Vec<(u64, String)> {
        let text = |what: &What| match what {
            What::Condition { .. } => None,
            What::Event(event) => Some(event.text()),
        };
        self.written.iter().filter_map(|(at, what)| Some((at.as_secs(), text(what)?))).collect()
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_proof_is_written_within_ten_seconds_and_a_shut_gate_two_seconds_later() {
    for number in 1..100 {
        let mut world = World::of_node(number);
        world.seen(Reason::Proven);
        world.pass(secs(20));
        world.seen(Reason::Restored);
        world.pass(secs(20));
        world.seen(Reason::Proven);
        world.pass(secs(20));
        world.has_written(&[(0, "Proven"), (22, "Restored"), (40, "Proven")]);
    }
}

/// How many of these moments are in the busiest second.
fn busiest(mut moments: Vec<Duration>) -> usize {
    moments.sort();
    let until = |from: &Duration| moments.partition_point(|at| *at < *from + secs(1));
    moments.iter().enumerate().map(|(i, from)| until(from) - i).max().unwrap_or_default()
}

#[test]
fn what_a_thousand_nodes_see_at_once_they_write_over_ten_seconds_and_again_over_five_minutes() {
    let (mut first, mut events, mut heartbeats) = (vec![], vec![], vec![]);
    for number in 1..=1000 {
        // As `Jitter::of_this_process` begins: any bits.
        let mut world = World::of_node(u64::wrapping_mul(number, 0x9e37_79b9_7f4a_7c15));
        world.seen_with(Reason::Proven, Gate::Proven, 1);
        world.pass(secs(20));
        // Over too soon for the condition.
        world.seen_with(Reason::Proven, Gate::Proven, 2);
        world.pass(secs(500));
        let (conditions, disruptions): (Vec<_>, Vec<_>) =
            world.written.iter().partition(|(_, what)| matches!(what, What::Condition { .. }));
        let at = |all: &[&(Duration, What)], i: usize| all[i].0;
        first.push(at(&conditions, 0));
        heartbeats.push(at(&conditions, 1));
        events.push(at(&disruptions, 0));
    }
    assert!(busiest(first.clone()) < 150 && busiest(events.clone()) < 150, "{} {}", busiest(first), busiest(events));
    assert!(busiest(heartbeats.clone()) < 15, "{}", busiest(heartbeats));
}

#[test]
fn the_next_request_begins_a_second_after_the_end_of_the_one_before() {
    let mut plan = Plan::new(Jitter::new(7));
    let seen = |reason| Happening::Seen { condition: ClockCondition::new(reason, ""), gate: None };
    let at = |millis| Boottime::default() + Duration::from_millis(millis);
    assert_eq!(plan.step(seen(Reason::Proven), at(0)), None);
    assert!(plan.step(Happening::Time, at(10_000)).is_some());
    assert_eq!(plan.step(seen(Reason::Suspending), at(10_100)).map(|write| write.within), Some(URGENT_PATIENCE));
    assert_eq!(plan.step(Happening::Answered(Answer::Done), at(10_400)), None);
    assert_eq!(plan.step(seen(Reason::Proven), at(10_500)), None);
    assert!((at(11_400)..=at(20_500)).contains(&plan.wake_at()), "{:?}", plan.wake_at());
}

#[test]
fn a_disruption_that_a_proof_ends_in_milliseconds_changes_no_condition_and_is_one_event() {
    let mut world = World::new();
    world.seen_with(Reason::Proven, Gate::Proven, 1);
    world.pass(secs(20));
    world.seen_with(Reason::Restored, Gate::Shut, 2);
    world.pass(Duration::from_millis(71));
    world.seen_with(Reason::Proven, Gate::Proven, 2);
    world.pass(secs(200));
    world.has_written(&[(0, "Proven")]);
    let events = world.events();
    assert_eq!(events.len(), 1);
    assert!(
        (20..=30).contains(&events[0].0) && events[0].1 == "restore: gate shut for 71 ms, now proven",
        "{events:?}"
    );
}

#[test]
fn a_storm_is_two_writes_of_the_condition_however_often_the_reason_changes_in_it() {
    let mut world = World::new();
    world.seen_with(Reason::Proven, Gate::Proven, 1);
    world.pass(secs(400));
    world.written.clear();
    for (round, reason) in
        [Reason::Restored, Reason::Drifted, Reason::Resumed, Reason::ForeignStep].into_iter().enumerate()
    {
        world.seen_with(reason, Gate::Shut, 2 + round as u64);
        world.pass(secs(5));
    }
    world.seen_with(Reason::Proven, Gate::Proven, 5);
    world.pass(secs(90));
    let states: Vec<_> = world.conditions().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(states, ["Restored", "Proven"]);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn a_gate_that_flaps_writes_no_more_than_once_a_second_and_an_event_a_minute() {
    let mut world = World::new();
    world.seen_with(Reason::Proven, Gate::Proven, 1);
    for epoch in 2..200 {
        world.seen_with(Reason::Restored, Gate::Shut, epoch);
        world.pass(Duration::from_millis(2100));
        world.seen_with(Reason::Proven, Gate::Proven, epoch);
        world.pass(Duration::from_millis(100));
    }
    let times: Vec<Duration> = world.written.iter().map(|(at, _)| *at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SPACING), "{times:?}");
    let events = world.events();
    assert!(events.len() <= 9 && events.iter().any(|(_, text)| text.ends_with("disruptions before it")), "{events:?}");
}

#[test]
fn the_condition_is_written_again_every_five_minutes_and_not_by_every_node_at_once() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(3600));
    let times: Vec<u64> = world.conditions().into_iter().map(|(at, _)| at).collect();
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 10 && (149..=451).contains(&pauses[0]), "{pauses:?}");
    assert!(pauses[1..].iter().all(|pause| (269..=331).contains(pause)), "{pauses:?}");
    assert!(pauses[1..].iter().any(|pause| *pause != pauses[1]), "{pauses:?}");
}

#[test]
fn a_server_that_cannot_be_reached_is_tried_ever_less_often_and_then_has_the_latest_state_alone() {
    let mut world = World::new();
    world.answer = Answer::Failed(None);
    world.seen(Reason::Proven);
    world.pass(secs(13));
    world.seen(Reason::Restored);
    world.pass(secs(600));
    let times: Vec<Duration> = world.written.iter().map(|(at, _)| *at).collect();
    let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= BACK_OFF && pauses.iter().all(|pause| *pause <= BACK_OFF_AT_MOST), "{pauses:?}");
    assert!(pauses.last().is_some_and(|pause| *pause >= secs(30)), "{pauses:?}");
    world.answer = Answer::Done;
    world.written.clear();
    world.seen(Reason::Proven);
    world.pass(secs(70));
    assert_eq!(world.conditions().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(), ["Proven"]);
}

#[test]
fn a_server_that_asks_for_a_pause_has_it() {
    let mut world = World::new();
    world.answer = Answer::Failed(Some(secs(20)));
    world.seen(Reason::Proven);
    world.pass(secs(10));
    world.answer = Answer::Done;
    world.pass(secs(60));
    let written = world.conditions();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!((19..=21).contains(&(written[1].0 - written[0].0)), "{written:?}");
}

#[test]
fn a_sleep_is_written_at_once_and_once() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.answer = Answer::Failed(None);
    world.seen(Reason::Suspending);
    assert_eq!(world.conditions()[1..], [(20, "Suspending")]);
    let urgent = world.plan.clone();
    world.seen(Reason::Suspending);
    assert_eq!(world.conditions().len(), 2, "{urgent:?}");
    world.answer = Answer::Done;
    world.seen(Reason::Proven);
    world.pass(secs(60));
    // Only the server knows whether it took the one that failed.
    world.has_written(&[(0, "Proven"), (20, "Suspending"), (21, "Proven")]);
}

#[test]
fn a_write_that_was_done_and_not_answered_in_time_is_undone_by_the_next_state() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.answer = Answer::Failed(None);
    world.seen(Reason::Suspending);
    world.answer = Answer::Done;
    world.seen(Reason::Resumed);
    world.pass(Duration::from_millis(71));
    world.seen(Reason::Proven);
    world.pass(secs(60));
    let is_transition = |what: &What| matches!(what, What::Condition { is_transition: true, .. });
    assert!(world.written.last().is_some_and(|(_, what)| is_transition(what)), "{:?}", world.written);
    world.has_written(&[(0, "Proven"), (20, "Suspending"), (21, "Proven")]);
}

#[test]
fn a_later_reason_is_written_half_a_minute_after_the_one_before() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.seen(Reason::Suspending);
    world.pass(secs(1));
    world.seen(Reason::Resumed);
    world.pass(secs(1));
    world.seen(Reason::Drifted);
    world.pass(secs(60));
    assert_eq!(world.conditions()[1..], [(20, "Suspending"), (50, "Drifted")]);
}

#[test]
fn a_status_that_never_settles_is_published_all_the_same() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    for _ in 0..10 {
        world.seen(Reason::Restored);
        world.pass(secs(1));
        world.seen(Reason::Unproven);
        world.pass(secs(1));
    }
    let written = world.conditions();
    assert!(written.len() > 1 && (30..=40).contains(&written[1].0), "{written:?}");
}

#[test]
fn an_agent_that_is_started_again_is_not_gone() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.seen(Reason::AgentGone);
    world.pass(secs(3));
    world.seen(Reason::Starting);
    world.pass(secs(1));
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.has_written(&[(0, "Proven")]);
    world.seen(Reason::AgentGone);
    world.pass(secs(20));
    world.has_written(&[(0, "Proven"), (54, "AgentGone")]);
}

#[test]
fn an_event_that_is_refused_is_dropped_and_one_that_failed_is_tried_again() {
    for (answer, expected) in [(Answer::Refused, 1), (Answer::Failed(None), EVENT_ATTEMPTS as usize)] {
        let mut world = World::new();
        world.seen_with(Reason::Proven, Gate::Proven, 1);
        world.pass(secs(20));
        world.answer = answer;
        world.seen_with(Reason::Proven, Gate::Proven, 2);
        world.pass(secs(200));
        assert_eq!(world.events().len(), expected);
    }
}

#[test]
fn a_node_that_is_made_anew_gets_the_whole_condition() {
    let mut world = World::new();
    world.seen(Reason::Proven);
    world.pass(secs(20));
    world.answer = Answer::NoNode;
    world.pass(secs(600));
    let refused = world.written.len() - 1;
    assert!((2..=12).contains(&refused), "{refused} in 10 minutes");
    world.answer = Answer::Done;
    world.pass(secs(90));
    assert_eq!(world.written.len(), refused + 2);
    let is_whole = |what: &What| matches!(what, What::Condition { is_transition: true, .. });
    assert!(world.written.last().is_some_and(|(_, what)| is_whole(what)), "{:?}", world.written);
}
