//! A night of three agents: a server that is wrong by an hour, then right, then silent, and agents that are killed.

use clockgate::decision::Offset;

use crate::fleet::{Fleet, SOON, Scraped};
use crate::parsed::rules;
use crate::shipped::{SEEN_IN_A_GUEST, asked, panels};
use crate::support::agent::Agent;
use crate::support::liar::Answer;
use crate::support::prometheus::{Prometheus, Series};
use crate::support::{Outcome, until};

/// No time daemon runs beside these agents; in user-mode Linux one does. And what a server says that reckoning contradicts serves nobody.
const NOT_HERE: [&str; 2] = ["clockgate_daemon_agrees", "clockgate_served_tolerance_seconds"];

/// The gate in the dashboard: 0 is open, 1 is unproven, 2 is shut.
const GATE: &str =
    "clockgate_gate_state{state=\"unproven\"} + ignoring (state) 2 * clockgate_gate_state{state=\"shut\"}";

pub fn arrives() -> Outcome {
    let mut fleet = Fleet::start();
    let all: Vec<String> = fleet.instances();
    fleet.when("every gate is open", GATE, |_, gate| gate == 0.0);
    let opened = now(&fleet);
    fleet.arrives("ClockgateReferenceSilent", &all[..1], true);

    fleet.server.change(|manner| manner.offset = Offset::from_secs(3600));
    fleet.when("every gate is shut", GATE, |_, gate| gate == 2.0);
    let shut = now(&fleet);
    let notice = fleet.arrives("ClockgateGateShut", &all, true);
    let description = notice.annotations["description"].as_str().unwrap();
    assert!(description.starts_with(&format!("{}: workloads wait, ", all[0])), "{description}");
    let notice = fleet.arrives("ClockgateClockOff", &all, true);
    let description = notice.annotations["description"].as_str().unwrap();
    assert!(
        description.contains("the clock is off by 59m 59") || description.contains("the clock is off by 1h 0m 0s"),
        "{description}"
    );
    fleet.arrives("ClockgateClockNearTolerance", &all, true);
    fleet.arrives("ClockgateFleetStorm", &[String::new()], true);

    fleet.server.change(|manner| manner.offset = Offset::ZERO);
    fleet.when("every gate is open again", GATE, |_, gate| gate == 0.0);
    let again = now(&fleet);
    for alert in ["ClockgateGateShut", "ClockgateClockOff", "ClockgateClockNearTolerance"] {
        fleet.arrives(alert, &all, false);
    }

    fleet.server.change(|manner| manner.answer = Answer::Silence);
    fleet.when("no gate has a proof", GATE, |_, gate| gate == 1.0);
    for alert in ["ClockgateUnproven", "ClockgateReferencesSilent", "ClockgateNoProof"] {
        fleet.arrives(alert, &all, true);
    }
    let silent = now(&fleet);
    for server in &fleet.servers {
        pictures(server, opened, silent);
        gates(server, [opened, shut, again, silent], all.len());
    }

    // An agent that is killed leaves its textfile, and is scraped no more.
    let Scraped { agent: Agent { host, process }, instance: killed } = fleet.agents.remove(0);
    drop(process);
    fleet.arrives("ClockgateAgentDown", &[killed], true);
    let node = fleet.node.clone();
    fleet.arrives("ClockgateTextfileStale", &[node], true);
    drop(host);
    let received = fleet.alertmanager.received();
    for rule in rules() {
        let has_fired = received.iter().any(|one| one.alert == rule.alert && one.is_firing);
        assert_eq!(has_fired, !SEEN_IN_A_GUEST.contains(&rule.alert.as_str()), "{}", rule.alert);
    }
    assert!(received.iter().all(|one| !one.annotations.to_string().contains("error")), "a template: {received:#?}");
    Ok(())
}

/// The time by the servers' own clock, which is this host's.
fn now(fleet: &Fleet) -> f64 {
    let mut time = None;
    until("the time", SOON, || {
        time = fleet.servers[0].query("vector(time())").first().map(|one| one.points[0].1);
        time.is_some()
    })
    .unwrap();
    time.unwrap()
}

/// Every query of the dashboard has a result.
fn pictures(server: &Prometheus, from: f64, to: f64) {
    for panel in panels().unwrap() {
        for query in &panel.queries {
            let found = server.range(&asked(query), from, to).unwrap();
            let is_here = !NOT_HERE.iter().any(|name| query.starts_with(name));
            assert_eq!(!found.is_empty(), is_here, "{}: {query}", panel.title);
            shows(&panel.title, query, &found);
        }
    }
}

/// What is known of a panel after this night.
fn shows(title: &str, query: &str, found: &[Series]) {
    let values = || found.iter().flat_map(Series::values);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    let within = |low: f64, high: f64| assert!(low <= least && most <= high, "{title}: {query}: {least} to {most}");
    let reaches = |value: f64| assert!(most >= value, "{title}: {query}: {most} at most");
    match title {
        "Hosts by gate" | "Gate" | "Versions" | "Alerts" => within(0.0, 50.0),
        "Time shut" => {
            within(0.0, 0.99);
            reaches(0.01);
        }
        "Offset" | "Offsets of references" => {
            within(-1.0, 3601.0);
            reaches(3599.0);
        }
        "Bound and tolerance" => within(0.0, 3700.0),
        "By the clock of Prometheus" => within(-5.0, 5.0),
        "Proof" => within(0.0, SOON.as_secs_f64() * 5.0),
        "Disruptions" => {
            let causes: Vec<_> = found.iter().map(|one| one.label("cause")).collect();
            assert!(["drifted", "expired"].iter().all(|cause| causes.contains(cause)), "{causes:?}");
        }
        "Shut gate" => assert!(
            found.iter().any(|one| one.label("le") == "+Inf" && one.values().any(|count| count > 0.0)),
            "{found:?}"
        ),
        "Shut gate, 95 %" => reaches(0.01),
        "Steps" | "Size of steps" => within(0.0, 0.0),
        "Frozen and held" | "Set by another program" => within(0.0, 0.0),
        // The servers have no keys.
        "Proven by" => within(0.0, 0.0),
        "References" | "State of the agent" | "Time daemon" => within(0.0, 1.0),
        "Distances of references" => within(0.0, 1.0),
        "Age of the textfile" => within(-2.0, 70.0),
        other => unreachable!("what does {other} show of this night?"),
    }
}

/// The gate over the night: open, shut, open, unproven, of each instance, and never shut where it was seen open.
fn gates(server: &Prometheus, [opened, shut, again, silent]: [f64; 4], count: usize) {
    let found = server.range(GATE, opened, silent).unwrap();
    assert_eq!(found.len(), count, "{found:?}");
    for one in found {
        let gate = |from: f64, to: f64| {
            let within = one.points.iter().filter(move |(time, _)| (from..to).contains(time));
            within.map(|(_, gate)| *gate)
        };
        assert!(gate(opened, shut).next() == Some(0.0), "{one:?}");
        assert!(gate(shut, again).any(|gate| gate == 2.0) && gate(shut, again).all(|gate| gate != 1.0), "{one:?}");
        assert_eq!(gate(again, silent).next(), Some(0.0), "{one:?}");
        assert_eq!(gate(again, silent + 1.0).next_back(), Some(1.0), "{one:?}");
    }
}
