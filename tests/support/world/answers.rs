//! What comes back of a question.

use std::time::Duration;

use clockgate::decision::{
    Action, Authority, AwaitedSource, Clocks, ContainerList, DaemonVerdict, Event, Failure, Forgotten, FreezeOutcome,
    HttpDate, Leap, Measurement, NamedContainer, Offset, PeerCheck, Reading, ReferenceKind, StepBy, StepError, Voice,
};

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;

/// By which containers ask to be thawed, seconds.
const TOLERANCES: [u64; 3] = [1, 60, 7200];

/// An answer to a question of any kind; what does not fit the question is its plain answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// One server answers.
    Truth { offset_ms: i64, distance_ms: u64 },
    /// No server answers.
    Nobody,
    /// Two references that agree, of which one may still be on its way.
    TwoAgree { offset_ms: i64, first_alone: bool },
    /// Two say one thing and two another.
    TwoAgainstTwo,
    /// The daemon's sources turn out to be authenticated.
    Authenticated,
    /// The right is missing.
    Refused,
    /// Another program was faster.
    Superseded,
}

/// What an HTTP server's `Date` says of a clock that stands so at `now`.
pub fn http_date(now: &Clocks, offset_ms: i64) -> HttpDate {
    HttpDate {
        source: "https://sts.example".to_owned(),
        peer: PeerCheck::Verified,
        as_of: now.boot,
        local: now.real,
        offset: Offset::from_nanos(offset_ms * MS.cast_signed()),
        measured: Duration::from_millis(1),
        delay: Duration::from_millis(1),
        answers: 6,
    }
}

/// The container that carries the way to the servers.
pub fn vpn() -> ContainerList {
    NamedContainer::new("docker", "3f2a8c01d9e2", Some("vpn")).into()
}

/// What a server says of a clock that stands so at `now`.
fn reading(source: &str, now: &Clocks, offset_ms: i64, distance_ms: u64) -> Reading {
    Reading {
        source: source.to_owned(),
        voice: Voice::server(source),
        kind: ReferenceKind::Ntp,
        as_of: now.boot,
        local: now.real,
        offset: Offset::from_nanos(offset_ms * MS.cast_signed()),
        root_distance: Duration::from_millis(distance_ms),
        authenticated: false,
        leap: Leap::None,
        stratum: Some(2),
        delay: None,
        upstream: None,
    }
}

/// What the references answer to a question that was asked at `now`.
fn measurement(answer: &Answer, way: StepBy, now: &Clocks) -> Measurement {
    let mut m = Measurement::default();
    let silent = |name: &str| Failure { voice: Some(Voice::server(name)), ..Failure::remark(name, "no answer") };
    match answer {
        Answer::Truth { offset_ms, distance_ms } => m.readings.push(reading("one", now, *offset_ms, *distance_ms)),
        Answer::TwoAgree { offset_ms, first_alone } => {
            m.readings.push(reading("one", now, *offset_ms, 5));
            if *first_alone {
                m.waiting.push(AwaitedSource { source: "two".to_owned(), voice: Voice::server("two") });
            } else {
                m.readings.push(reading("two", now, *offset_ms + 3, 9));
            }
        }
        Answer::TwoAgainstTwo => {
            let names = ["one", "two", "three", "four"];
            m.readings.extend(names.iter().zip([0, 5, 9000, 9005]).map(|(n, ms)| reading(n, now, ms, 20)));
        }
        Answer::Nobody | Answer::Refused | Answer::Superseded | Answer::Authenticated => {
            m.failures.extend(["one", "two"].map(silent));
        }
    }
    if way == StepBy::Daemon {
        // It speaks with one voice.
        m.readings.truncate(1);
        m.waiting.clear();
        m.readings.iter_mut().for_each(|r| (r.kind, r.authenticated) = (ReferenceKind::Daemon, true));
    }
    m
}

/// The event that answers `question`, asked at `asked`, in the way of `answer`; none where there is nothing to answer.
pub fn answered(question: &Action, answer: &Answer, asked: &Clocks) -> Option<Event> {
    Some(match question {
        Action::ResetDaemon(epoch, _) => {
            let authority = matches!(answer, Answer::Authenticated).then(Authority::default);
            Event::Forgotten(*epoch, Forgotten { daemon: Some("chronyd".into()), authority, ..Forgotten::default() })
        }
        Action::Measure(epoch, round, way) => Event::Measured(*epoch, *round, measurement(answer, *way, asked)),
        Action::Step { order, offset, .. } => Event::Stepped(
            *order,
            match answer {
                Answer::Refused => Err(StepError::NotPermitted("no CAP_SYS_TIME".into())),
                Answer::Superseded => Err(StepError::Superseded { change: Offset::from_secs(1) }),
                _ => Ok(*offset),
            },
        ),
        Action::ResyncDaemon(epoch) => Event::HandedOver(*epoch, Ok(())),
        Action::AskDaemon(epoch) => Event::DaemonAsked(
            *epoch,
            match answer {
                Answer::Truth { offset_ms, .. } if offset_ms.abs() > 200 => {
                    DaemonVerdict::Disagrees { offset: Offset::from_nanos(offset_ms * MS.cast_signed()) }
                }
                _ => DaemonVerdict::Agrees { offset: Offset::ZERO },
            },
        ),
        Action::Freeze(order, _) => {
            let tolerances = TOLERANCES.map(Duration::from_secs).to_vec();
            Event::Frozen(*order, FreezeOutcome { tolerances, ..FreezeOutcome::default() })
        }
        Action::ThawCarriers(order) => {
            let run = if matches!(answer, Answer::Nobody) { ContainerList::default() } else { vpn() };
            Event::CarriersThawed(*order, Ok(run))
        }
        Action::ThawTolerant(order, _) => {
            let run = if matches!(answer, Answer::Refused) { Err("cgroup.freeze: denied".into()) } else { Ok(vpn()) };
            Event::TolerantThawed(*order, run)
        }
        Action::Thaw(order) => Event::Thawed(
            *order,
            if matches!(answer, Answer::Refused | Answer::TwoAgainstTwo | Answer::Nobody) {
                Err("cgroup.freeze: Input/output error".into())
            } else {
                Ok(())
            },
        ),
        Action::Prolong(..) | Action::AllowSleep | Action::Warn(_) => return None,
    })
}
