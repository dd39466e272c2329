//! Lines between agent and hypervisor: what is read is the same when it is written again, and each answer is one line of its length.

use std::time::Duration;

use clockgate::decision::{Epoch, Gate, Offset, Snapshot};
use clockgate::disruption::vm::vsock::protocol::{
    ANSWER_MOST, AgentMessage, Request, TimeAnswer, answer, greeted, greeting, question, refusal,
};

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    for line in text.lines().take(16) {
        if let Ok(request) = Request::parse(line) {
            assert!(request.wait <= Duration::from_secs(3600));
            assert_eq!(Request::parse(&request.to_string()), Ok(request));
        }
        if let Ok(time) = TimeAnswer::parse(line) {
            assert_eq!(TimeAnswer::parse(&time.to_string()), Ok(time));
            assert_eq!(AgentMessage::parse(&question(time.nonce)), Ok(AgentMessage::Time(time.nonce)));
        }
        assert!(greeted(line).is_err() || line.starts_with("clockgate 1"));
        if let Ok(message) = AgentMessage::parse(line) {
            let written = match &message {
                AgentMessage::Time(nonce) => question(*nonce),
                AgentMessage::Answer(json) => format!("answer {json}"),
                AgentMessage::Refused(why) => refusal(why),
            };
            let again = AgentMessage::parse(&written);
            // A number with a fraction may lose a digit.
            let is_same = matches!((&message, &again), (AgentMessage::Answer(_), Ok(AgentMessage::Answer(_))));
            assert!(is_same || again == Ok(message), "{again:?}");
        }
    }
    assert_eq!(greeted(&greeting()), Ok(()));
    answered(text);
}

fn answered(text: &str) {
    let why: String = text.chars().take(64).collect();
    let nanos = i64::try_from(text.len()).unwrap_or(0).wrapping_mul(0x0123_4567_89ab_cdef);
    let snapshot = Snapshot {
        gate: Gate::Unproven,
        epoch: Epoch::new(nanos.unsigned_abs()),
        offset: Some(Offset::from_nanos(nanos)),
        bound: Some(Duration::from_nanos(nanos.unsigned_abs())),
        why: why.as_str().into(),
        ..Snapshot::default()
    };
    let line = answer(&snapshot);
    assert!(line.len() < ANSWER_MOST && !line.contains('\n'), "{line:?}");
    let Ok(AgentMessage::Answer(json)) = AgentMessage::parse(&line) else { panic!("{line:?}") };
    assert_eq!((json["why"].as_str(), json["offset_ns"].as_i64()), (Some(why.as_str()), Some(nanos)));
    assert_eq!(json["gate"], "unproven");
}
