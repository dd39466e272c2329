//! What is sent to the API server, as it is on the wire.

use clockgate_page::time::Realtime;
use serde_json::{Value, json};

use crate::condition::{ClockCondition, TYPE};
use crate::disruption::EndedDisruption;

/// Who reports events.
const CONTROLLER: &str = "clockgate.org/clockgate-kubernetes";
/// Where events of what is in no namespace lie.
const NAMESPACE: &str = "default";
/// The length of a note that the API takes (validation of events).
const NOTE_LIMIT: usize = 1024;

/// A request without its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequest {
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub body: String,
}

/// The times of a condition; none where nothing is known of the time: then the server keeps what it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConditionTimes {
    pub heartbeat: Option<Realtime>,
    pub transition: Option<Realtime>,
}

/// Writes our condition and no other: the list is merged by its types.
pub fn condition(node: &str, condition: &ClockCondition, times: ConditionTimes) -> ApiRequest {
    let ClockCondition { reason, message } = condition;
    let mut fields = json!({
        "type": TYPE, "status": reason.status().name(), "reason": reason.name(), "message": message,
    });
    for (name, time) in [("lastHeartbeatTime", times.heartbeat), ("lastTransitionTime", times.transition)] {
        if let Some(time) = time {
            fields[name] = json!(rfc3339(time));
        }
    }
    patch(node, &fields)
}

/// Takes our condition away.
pub fn removal(node: &str) -> ApiRequest {
    patch(node, &json!({ "$patch": "delete", "type": TYPE }))
}

fn patch(node: &str, condition: &Value) -> ApiRequest {
    ApiRequest {
        method: "PATCH",
        path: format!("/api/v1/nodes/{node}/status"),
        content_type: "application/strategic-merge-patch+json",
        body: json!({ "status": { "conditions": [condition] } }).to_string(),
    }
}

/// An event of the node. It is named by the moment when the disruption began, so that the same one is not written twice.
pub fn event(node: &str, boot: &str, disruption: &EndedDisruption, now: Realtime) -> ApiRequest {
    let note: String = disruption.text().chars().take(NOTE_LIMIT / 4).collect();
    let name = format!("{node}.{boot}{:x}", disruption.began.as_nanos());
    // `kubectl describe node` looks for events whose object has the node's name as its uid, as the kubelet writes them.
    let object = json!({ "apiVersion": "v1", "kind": "Node", "name": node, "uid": node });
    // Of the core group, as a kubelet has the right to write them, and without a time of a series.
    let body = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": NAMESPACE },
        "source": { "component": CONTROLLER, "host": node }, "firstTimestamp": rfc3339(now), "lastTimestamp": rfc3339(now),
        "count": 1, "reason": "ClockDisrupted", "involvedObject": object, "message": note, "type": "Warning",
    });
    ApiRequest {
        method: "POST",
        path: format!("/api/v1/namespaces/{NAMESPACE}/events"),
        content_type: "application/json",
        body: body.to_string(),
    }
}

/// `2026-11-25T09:30:00Z`.
fn rfc3339(time: Realtime) -> String {
    format!("{}Z", seconds(time))
}

fn seconds(time: Realtime) -> String {
    let of_day = time.as_secs().rem_euclid(86_400);
    format!("{}T{:02}:{:02}:{:02}", time.date(), of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use clockgate_page::time::Boottime;

    use super::*;
    use crate::condition::Reason;

    #[test]
    fn a_time_that_is_not_known_is_left_out_and_the_server_keeps_its_own() {
        let proven = ClockCondition::new(Reason::Proven, "right within 1.320 ms");
        let time = Realtime::from_nanos(1_794_994_200_123_456_789);
        let known = condition("web-1", &proven, ConditionTimes { heartbeat: Some(time), transition: None });
        assert_eq!((known.method, known.path.as_str()), ("PATCH", "/api/v1/nodes/web-1/status"));
        assert_eq!(
            serde_json::from_str::<Value>(&known.body).unwrap(),
            json!({"status": {"conditions": [{"type": "clockgate.org/ClockTrusted", "status": "True", "reason": "Proven",
                "message": "right within 1.320 ms", "lastHeartbeatTime": "2026-11-18T09:30:00Z"}]}})
        );
        let unknown = condition("web-1", &proven, ConditionTimes::default());
        assert!(!unknown.body.contains("Time"), "{}", unknown.body);
    }

    #[test]
    fn an_event_is_named_by_its_disruption_and_found_by_the_nodes_name() {
        let began = Boottime::from_nanos(0xabc);
        let ended = EndedDisruption { began, note: "restore".to_owned(), earlier: 2 };
        let request = event("web-1", "0f", &ended, Realtime::from_nanos(1_794_994_200_123_456_789));
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["metadata"]["name"], "web-1.0fabc");
        assert_eq!(body["involvedObject"]["uid"], "web-1");
        assert_eq!(body["lastTimestamp"], "2026-11-18T09:30:00Z");
        assert_eq!(body["message"], "restore; and 2 disruptions before it");
    }
}
