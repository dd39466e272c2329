//! The callers that sent a notice, wait for its outcome, and can be asked for the time meanwhile: the hypervisor by its port, a
//! caller by the bus. So a machine without a network has one reference.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::decision::{Failure, Reading, Voice};

/// A question for the time: where the answer goes.
pub type TimeRequest = oneshot::Sender<Result<Reading, String>>;

/// The caller that waits and can be asked for the time; the last one, where several do, and the one before when that one
/// has disconnected.
#[derive(Clone, Debug, Default)]
pub struct Callers(Arc<Mutex<Vec<RegisteredCaller>>>);

#[derive(Clone, Debug)]
struct RegisteredCaller {
    /// Who is at its other end, for the log.
    source: &'static str,
    /// Whom its answers count for.
    voice: Voice,
    questions: mpsc::Sender<TimeRequest>,
}

impl Callers {
    /// Asks for the time; none when no caller waits.
    pub async fn measure(&self, within: Duration) -> Option<Result<Reading, Failure>> {
        let RegisteredCaller { source, voice, questions } = self.lines().last().cloned()?;
        let (question, answer) = oneshot::channel();
        let asked = timeout(within, async {
            questions.send(question).await.map_err(|_| "hung up".to_owned())?;
            answer.await.map_err(|_| "hung up".to_owned())?
        });
        let answered = asked.await.unwrap_or_else(|_| Err("does not answer".to_owned()));
        Some(answered.map_err(|why| Failure { voice: Some(voice), ..Failure::remark(source, why) }))
    }

    /// Who is on the line, and whom their answer counts for.
    #[must_use]
    pub fn on_the_line(&self) -> Option<(&'static str, Voice)> {
        self.lines().last().map(|line| (line.source, line.voice.clone()))
    }

    /// Puts a caller on the line, until what is returned is dropped.
    #[must_use]
    pub fn put_on_the_line(&self, source: &'static str, voice: Voice) -> CallerRegistration {
        let (sender, questions) = mpsc::channel(1);
        let line = RegisteredCaller { source, voice, questions: sender };
        self.lines().push(line.clone());
        CallerRegistration { callers: self.clone(), line, questions }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<RegisteredCaller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller on the line.
#[derive(Debug)]
pub struct CallerRegistration {
    callers: Callers,
    line: RegisteredCaller,
    questions: mpsc::Receiver<TimeRequest>,
}

impl CallerRegistration {
    /// The next question.
    pub async fn asked(&mut self) -> TimeRequest {
        match self.questions.recv().await {
            Some(question) => question,
            // We hold a sender ourselves.
            None => pending().await,
        }
    }
}

impl Drop for CallerRegistration {
    fn drop(&mut self) {
        self.callers.lines().retain(|line| !line.questions.same_channel(&self.line.questions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_caller_is_asked_and_one_that_leaves_removes_no_other() {
        let callers = Callers::default();
        let mut first = callers.put_on_the_line("first", Voice::server("first"));
        let second = callers.put_on_the_line("second", Voice::server("second"));
        drop(second);
        let asking = callers.clone();
        let asked = tokio::spawn(async move { asking.measure(Duration::from_secs(10)).await });
        first.asked().await.send(Err("still there".to_owned())).unwrap();
        assert_eq!(asked.await.unwrap().unwrap().unwrap_err().why, "still there");
        let mut second = callers.put_on_the_line("second", Voice::server("second"));
        drop(first);
        let asking = callers.clone();
        let asked = tokio::spawn(async move { asking.measure(Duration::from_secs(10)).await });
        second.asked().await.send(Err("no watch".to_owned())).unwrap();
        let failure = asked.await.unwrap().unwrap().unwrap_err();
        assert_eq!((failure.source.as_str(), failure.why.as_str()), ("second", "no watch"));
        drop(second);
        assert!(callers.measure(Duration::from_secs(10)).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_answer_is_not_waited_for() {
        let callers = Callers::default();
        let _silent = callers.put_on_the_line("silent", Voice::server("silent"));
        let failure = callers.measure(Duration::from_secs(1)).await.unwrap().unwrap_err();
        assert_eq!(failure.why, "does not answer");
    }
}
