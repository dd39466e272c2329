//! One server in one exchange: whether it is waited for, and what it said.

use nix::errno::Errno;

use super::conversation::{Answer, Conversation, ExchangeError};
use super::server_pool::InvitedServer;
use crate::decision::{AwaitedSource, Boottime, Failure, Reading, ReferenceKind, RefusedPackets, Upstream};
use crate::error_chain::in_full;
use crate::reference::BUILT;

/// What is said of a server that only others reach.
const DAEMONS_ROAD: &str = "if only the time daemon reaches it, by a route or a filter rule for its user or in a network namespace of its own, set `correction: daemon`";

/// One server in one exchange.
#[derive(Debug)]
pub struct Participant {
    /// Who it is.
    pub target: InvitedServer,
    began: Boottime,
    /// None once nothing more is expected.
    conversation: Option<Conversation>,
    standing: ParticipantState,
    /// What came beside its answer.
    refused: Option<String>,
}

#[derive(Debug)]
enum ParticipantState {
    /// It may answer in its time.
    Waiting,
    /// Its time is up, and an answer is still welcome.
    Overdue(String),
    Answered,
    Failed(String),
}

/// What it said, and when.
#[derive(Debug)]
pub enum ServerOutcome {
    /// In its time.
    InTime(Answer),
    /// After its time.
    Late(Answer),
    /// Something else than the time.
    Failure(ExchangeError),
}

impl Participant {
    /// Asks for the first time; who cannot be asked has failed.
    pub fn ask(target: InvitedServer, now: Boottime) -> Self {
        let opened =
            Conversation::open(target.socket, target.association.clone()).and_then(|mut c| c.ask().map(|()| c));
        let standing = ParticipantState::Waiting;
        let mut participant = Self { target, began: now, conversation: None, standing, refused: None };
        match opened {
            Ok(conversation) => participant.conversation = Some(conversation),
            Err(error) => participant.fail(&error),
        }
        participant
    }

    /// What there is to listen to.
    pub const fn conversation(&self) -> Option<&Conversation> {
        self.conversation.as_ref()
    }

    /// When its question is to be repeated.
    pub fn repeats_at(&self) -> Boottime {
        let due = |c: &Conversation| self.began + c.repeat_after(self.target.lost_after);
        self.conversation.as_ref().filter(|c| c.may_repeat()).map_or(Boottime::NEVER, due)
    }

    /// Repeats the question, under a new nonce; one that may not be repeated is skipped.
    ///
    /// # Errors
    /// It could not be sent, and the server has failed.
    pub fn repeat(&mut self, may: bool) -> Result<(), ()> {
        let Some(conversation) = self.conversation.as_mut() else { return Ok(()) };
        if !may {
            conversation.pass();
            return Ok(());
        }
        conversation.ask().map_err(|error| self.fail(&error))
    }

    /// Reads what has come.
    pub fn receive(&mut self) -> Option<ServerOutcome> {
        let outcome = self.conversation.as_mut()?.receive(BUILT)?;
        match outcome {
            Ok(answer) => {
                self.refused = self.conversation.take().and_then(|conversation| conversation.beside_the_answer());
                match std::mem::replace(&mut self.standing, ParticipantState::Answered) {
                    ParticipantState::Overdue(_) => Some(ServerOutcome::Late(answer)),
                    ParticipantState::Waiting | ParticipantState::Answered | ParticipantState::Failed(_) => {
                        Some(ServerOutcome::InTime(answer))
                    }
                }
            }
            Err(error) => {
                self.fail(&error);
                Some(ServerOutcome::Failure(error))
            }
        }
    }

    /// Whether it has answered with a time.
    pub const fn has_answered(&self) -> bool {
        matches!(self.standing, ParticipantState::Answered)
    }

    /// Whether it is waited for.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.standing, ParticipantState::Waiting)
    }

    /// Whether it waits for an answer under keys that its server no longer knows.
    pub fn is_refused(&self) -> bool {
        self.conversation.as_ref().is_some_and(Conversation::is_refused)
    }

    /// When its time is up.
    pub fn time_is_up_at(&self) -> Boottime {
        if self.is_waiting() { self.began + self.target.patience } else { Boottime::NEVER }
    }

    /// Its time is up; `reach` is how often it answered of how many times.
    pub fn be_overdue(&mut self, now: Boottime, reach: (usize, usize)) {
        if let (true, Some(conversation)) = (self.is_waiting(), &self.conversation) {
            let why = in_full(&conversation.in_vain(now.since(self.began)));
            self.standing = ParticipantState::Overdue(match reach {
                (_, 0) => why,
                (answered, times) => format!("{why}; it answered {answered} of the last {times} times"),
            });
        }
    }

    /// Nothing more is expected of it.
    pub fn fail(&mut self, error: &ExchangeError) {
        self.conversation = None;
        let why = in_full(error);
        let needs_road = self.target.is_the_daemons && is_no_road(error);
        self.standing = ParticipantState::Failed(if needs_road { format!("{why}; {DAEMONS_ROAD}") } else { why });
    }

    /// Who it is, as long as it is waited for.
    pub fn waiting(&self) -> Option<AwaitedSource> {
        self.is_waiting().then(|| AwaitedSource { source: self.target.label.clone(), voice: self.target.voice.clone() })
    }

    /// Why there is no answer, once there will be none in time.
    pub fn failure(&self) -> Option<Failure> {
        let (ParticipantState::Overdue(why) | ParticipantState::Failed(why)) = &self.standing else { return None };
        let voice = Some(self.target.voice.clone());
        Some(Failure { voice, ..Failure::remark(self.target.label.clone(), why.clone()) })
    }

    /// What came in its name beside its answer.
    pub fn refused(&self) -> Option<RefusedPackets> {
        Some(RefusedPackets { source: self.target.label.clone(), why: self.refused.clone()? })
    }

    /// What its answer says of our clock.
    pub fn reading(&self, answer: &Answer) -> Reading {
        let reply = &answer.reply;
        Reading {
            source: self.target.label.clone(),
            voice: self.target.voice.clone(),
            kind: ReferenceKind::Ntp,
            as_of: answer.as_of,
            local: answer.local,
            offset: answer.sample.offset,
            root_distance: answer.sample.root_distance,
            authenticated: self.target.association.is_authenticated(),
            leap: reply.leap,
            stratum: Some(reply.stratum),
            delay: Some(answer.sample.delay),
            upstream: (!reply.reference.is_whole())
                .then_some(Upstream { id: reply.reference_id, set: reply.reference.0 }),
        }
    }
}

/// Whether it was the kernel or a router that would not let us through, and not the server.
fn is_no_road(error: &ExchangeError) -> bool {
    let ExchangeError::Unreachable(source) = error else { return false };
    let code = source.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EPERM | Errno::EACCES))
}
