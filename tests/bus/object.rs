//! org.clockgate.Agent1 on a private bus: what it says, and what it does.

use std::path::Path;
use std::time::Duration;

use clockgate::decision::{
    AtDeadline, Boottime, Cause, ClockMeasurement, Differences, Epoch, Event, Gate, Notifier, Offset, RestoreSign,
    Snapshot, State,
};
use clockgate::publish::bus::{NAME, PATH};
use tokio::sync::watch;
use zbus::connection;

use crate::agent::{Agent, DISRUPTED, PROVEN, caller, changed, changes, next};
use crate::daemon::system_bus;
use crate::soon;
use crate::support::expected::is_as_written;

const XML_HEAD: &str = r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node name="/org/clockgate/Agent1">
  <!--
     Whether the clock of this host can be trusted. On the system bus under the name org.clockgate.Agent1, and without a bus on
     the socket /run/clockgate/bus.

     Reading is everybody's. Methods need root, the group clockgate, or polkit's leave (system bus only). Errors are
     org.clockgate.Error.NotPermitted, InvalidArgument, Refused, StillShut, NotYetShut, NoAnswer and TooOften, each with a sentence.
     Durations are nanoseconds; moments are nanoseconds on CLOCK_BOOTTIME.
   -->
"#;

type Told = (String, String, u64, i64, u64, String);

pub async fn the_properties_are_those_of_the_snapshot() {
    let bus = system_bus();
    let agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    assert_eq!(object.get_property::<String>("State").await.unwrap(), "Synchronized");
    assert_eq!(object.get_property::<String>("Gate").await.unwrap(), "open");
    assert_eq!(object.get_property::<u64>("Epoch").await.unwrap(), 3);
    assert_eq!(object.get_property::<i64>("Offset").await.unwrap(), 0);
    assert_eq!(object.get_property::<u64>("Bound").await.unwrap(), u64::MAX, "nothing was measured yet");
    assert_eq!(object.get_property::<String>("Version").await.unwrap(), env!("CARGO_PKG_VERSION"));
}

pub async fn a_property_is_current_before_its_change_is_signalled() {
    let bus = system_bus();
    let mut agent = Agent::new();
    let (news, reported) = watch::channel(agent.snapshots.borrow().clone());
    agent.face.news = reported;
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let mut signals = changes(object.connection()).await;
    agent.publish(|s| s.gate = Gate::Shut);
    assert_eq!(object.get_property::<String>("Gate").await.unwrap(), "shut");
    agent.publish(|s| {
        s.gate = Gate::Proven;
        s.epoch = s.epoch.next();
    });
    news.send_replace(agent.snapshots.borrow().clone());
    assert_eq!(changed(&soon(next(&mut signals)).await), ["Epoch"]);
}

pub async fn a_message_that_is_too_long_is_passed_over_and_ends_no_connection() {
    let bus = system_bus();
    let agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let driver = zbus::fdo::DBusProxy::new(object.connection()).await.unwrap();
    let owner = driver.get_name_owner(NAME.try_into().unwrap()).await.unwrap();
    let (asked, long) = (object.clone(), "x".repeat(1 << 20));
    let call = tokio::spawn(async move { asked.call_method("Metrics", &long).await.is_ok() });
    for _ in 0..3 {
        assert_eq!(soon(object.get_property::<u64>("Epoch")).await.unwrap(), 3);
        assert!(soon(object.call_method("Metrics", &"of no kind")).await.is_err());
    }
    assert!(!call.is_finished(), "it was answered");
    assert_eq!(driver.get_name_owner(NAME.try_into().unwrap()).await.unwrap(), owner);
}

pub async fn what_changes_is_said_in_one_signal_and_nothing_else_is() {
    let bus = system_bus();
    let agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let mut signals = changes(object.connection()).await;
    agent.publish(|s| {
        s.gate = Gate::Shut;
        s.state = DISRUPTED;
        s.epoch = s.epoch.next();
        s.cause = Cause::Restore(RestoreSign::Notice);
        s.since = Boottime::from_nanos(9);
    });
    assert_eq!(changed(&soon(next(&mut signals)).await), ["Cause", "Epoch", "Gate", "Since", "State"]);
    // Published again without a change: silence. Then one change more.
    agent.publish(|_| {});
    agent.publish(|s| s.why = "the references disagree".into());
    assert_eq!(changed(&soon(next(&mut signals)).await), ["Why"]);
    assert_eq!(object.get_property::<String>("Cause").await.unwrap(), "restore");
    // Every property is in the signal when all of them change.
    agent.publish(|s| {
        *s = Snapshot {
            state: PROVEN,
            gate: Gate::Proven,
            epoch: Epoch::new(9),
            cause: Cause::Requested,
            since: Boottime::from_nanos(1),
            repeats: None,
            offset: Some(Offset::from_nanos(2)),
            bound: Some(Duration::from_nanos(3)),
            as_of: Boottime::from_nanos(4),
            threshold: Duration::from_nanos(5),
            valid_until: Boottime::from_nanos(6),
            deadline: Boottime::from_nanos(7),
            next: Boottime::from_nanos(10),
            leap_second: None,
            differences: Differences::default(),
            max_drift_ppm: 8,
            is_supported: false,
            is_authenticated: true,
            measured: Some(ClockMeasurement {
                offset: Offset::from_nanos(11),
                bound: Duration::from_nanos(12),
                as_of: Boottime::from_nanos(13),
                valid_until: Boottime::from_nanos(14),
                max_drift_ppm: 15,
                differences: None,
                leap_second: None,
            }),
            why: "".into(),
        };
    });
    let mut said = changed(&soon(next(&mut signals)).await);
    said.push("Version".to_owned());
    said.sort();
    assert!(object.get_property::<bool>("Authenticated").await.unwrap());
    let properties = zbus::fdo::PropertiesProxy::new(object.connection(), NAME, PATH).await.unwrap();
    let mut all: Vec<String> =
        properties.get_all(NAME.try_into().unwrap()).await.unwrap().into_keys().map(|key| key.to_string()).collect();
    all.sort();
    assert_eq!(said, all);
}

pub async fn sync_answers_when_the_clock_is_proven_again() {
    let bus = system_bus();
    let mut agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let call = tokio::spawn(async move { object.call::<_, _, Told>("Sync", &(20_000_u32,)).await });
    agent.takes(Event::Disrupted(Cause::Requested)).await;
    agent.proves();
    let (state, gate, epoch, offset, bound, why) = soon(call).await.unwrap().unwrap();
    assert_eq!((state.as_str(), gate.as_str(), epoch), ("Synchronized", "open", 4));
    assert_eq!((offset, bound, why.as_str()), (-5, 7, ""));
}

pub async fn sync_answers_when_the_agent_gives_up_and_errs_when_the_callers_time_ends() {
    let bus = system_bus();
    let mut agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let again = object.clone();
    let call = tokio::spawn(async move { again.call::<_, _, Told>("Sync", &(20_000_u32,)).await });
    agent.takes(Event::Disrupted(Cause::Requested)).await;
    agent.publish(|s| {
        s.state = State::GaveUp(AtDeadline::Open).code();
        s.gate = Gate::Unproven;
    });
    assert_eq!(soon(call).await.unwrap().unwrap().1, "unproven");

    let call = tokio::spawn(async move { object.call::<_, _, Told>("Sync", &(200_u32,)).await });
    agent.takes(Event::Disrupted(Cause::Requested)).await;
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("org.clockgate.Error.StillShut: measuring"), "{error}");
}

pub async fn notify_passes_each_event_and_waits_as_it_is_told() {
    let bus = system_bus();
    let mut agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    for (what, event) in [
        ("suspend", Event::Sleeping(Notifier::Notify)),
        ("pre-snapshot", Event::Disrupted(Cause::Snapshot)),
        ("resume", Event::Woken(Notifier::Notify)),
        ("post-restore", Event::Disrupted(Cause::Restore(RestoreSign::Notice))),
    ] {
        let proxy = object.clone();
        let call = tokio::spawn(async move { proxy.call::<_, _, Told>("Notify", &(what, 20_000_u32)).await });
        agent.takes(event).await;
        if what == "resume" || what == "post-restore" {
            agent.proves();
        }
        let gate = soon(call).await.unwrap().unwrap().1;
        assert_eq!(gate, if what == "resume" || what == "post-restore" { "open" } else { "shut" }, "{what}");
    }
    // What the agent's guards refuse, with the reason.
    let (clocks, url) = ((1_i64, clockgate::sys::clock::boottime().as_nanos(), 1_i64, 1_u64), "https://a.example");
    let proxy = object.clone();
    let call = tokio::spawn(async move { proxy.call::<_, _, Told>("StepByDate", &(url, true, clocks)).await });
    let notice = soon(agent.notices.recv()).await.unwrap();
    assert!(matches!(notice.event, Event::StepByDate(_)), "{:?}", notice.event);
    notice.answer.send(Err("the machine is about to sleep".to_owned())).unwrap();
    let error = soon(call).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "org.clockgate.Error.Refused: the machine is about to sleep");
    // Without a wait nobody has to answer.
    soon(object.call::<_, _, Told>("Notify", &("suspend", 0_u32))).await.unwrap();
    let notice = soon(agent.notices.recv()).await.unwrap();
    assert_eq!(notice.event, Event::Sleeping(Notifier::Notify));
    // With one that nobody answers, the caller hears so.
    let error = soon(object.call::<_, _, Told>("Notify", &("suspend", 100_u32))).await.unwrap_err();
    assert!(error.to_string().starts_with("org.clockgate.Error.NotYetShut"), "{error}");
    let error = soon(object.call::<_, _, Told>("Notify", &("hibernate", 0_u32))).await.unwrap_err();
    assert!(error.to_string().starts_with("org.clockgate.Error.InvalidArgument"), "{error}");
}

pub async fn the_introspection_is_the_interface_file_that_we_ship() {
    let bus = system_bus();
    let agent = Agent::new();
    let _served = agent.on_bus(&bus);
    let object = caller(&bus).await;
    let xml = object.introspect().await.unwrap();
    let begin = xml.find(&format!("  <interface name=\"{NAME}\">")).unwrap();
    let end = begin + xml[begin..].find("</interface>\n").unwrap() + "</interface>\n".len();
    let text = format!("{XML_HEAD}{}</node>\n", &xml[begin..end]);
    let file = "packaging/usr/share/dbus-1/interfaces/org.clockgate.Agent1.xml";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    is_as_written(&file, &text).unwrap();
}

pub async fn a_bus_that_dies_is_joined_again_and_a_name_that_is_taken_waited_for() {
    let mut bus = system_bus();
    let agent = Agent::new();
    let other = connection::Builder::address(bus.address().as_str()).name(NAME).build().await.unwrap();
    let _served = agent.on_bus(&bus);
    let _object = caller(&bus).await;
    other.close().await.unwrap();
    bus.kill();
    bus.restart().unwrap();
    let object = caller(&bus).await;
    assert_eq!(object.get_property::<u64>("Epoch").await.unwrap(), 3);
}
