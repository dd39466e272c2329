//! One end of a conversation in lines of text, over anything that is a stream.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::protocol;
use crate::decision::{Leap, Offset, Reading, Realtime, ReferenceKind, Voice, drift};
use crate::sys::adjtimex::MOST_SLEWED_PPM;
use crate::sys::clock::{boottime, standing};
use crate::sys::foreign::shown;
use crate::sys::random;
use crate::sys::step::NOISE;

/// Who is asked, for the log.
pub const SOURCE: &str = "the hypervisor (vsock)";
/// A hypervisor that has connected says at once what it wants.
pub const SAYS_WITHIN: Duration = Duration::from_secs(5);

/// What can go wrong on the line.
#[derive(Debug, thiserror::Error)]
pub enum VsockError {
    #[error("the connection failed")]
    Broken(#[from] io::Error),
    #[error("the hypervisor closed the connection")]
    HungUp,
    #[error("the hypervisor sends nothing")]
    Silent,
    #[error("the hypervisor sends a line that is too long")]
    TooLong,
    #[error(transparent)]
    NotUnderstood(#[from] protocol::NoticeError),
    #[error("the answer belongs to another question")]
    Misplaced,
    #[error("the system clock was moved while the hypervisor was asked")]
    Disturbed,
    #[error("the agent is ending")]
    Ending,
    #[error("the hypervisor has sent too many notifications in the last seconds")]
    TooOften,
}

/// The two ends' lines of text.
pub struct HypervisorConnection {
    stream: UnixStream,
    /// What was read behind the last line.
    received: Vec<u8>,
}

impl HypervisorConnection {
    /// A line that nothing was said on yet.
    pub const fn new(stream: UnixStream) -> Self {
        Self { stream, received: vec![] }
    }

    /// Says a line.
    pub async fn say(&mut self, line: &str) -> Result<(), VsockError> {
        let mut left = format!("{line}\n").into_bytes();
        while !left.is_empty() {
            timeout(SAYS_WITHIN, self.stream.writable()).await.map_err(|_| VsockError::Silent)??;
            match self.stream.try_write(&left) {
                Ok(written) => drop(left.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives a line.
    pub async fn receive(&mut self, within: Duration) -> Result<String, VsockError> {
        let until = Instant::now() + within;
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(shown(String::from_utf8_lossy(&line).trim_end()));
            }
            if self.received.len() > protocol::LINE_MOST {
                return Err(VsockError::TooLong);
            }
            timeout_at(until, self.stream.readable()).await.map_err(|_| VsockError::Silent)??;
            let mut buffer = [0; protocol::LINE_MOST];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Err(VsockError::HungUp),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks for the time. The answer was true at some moment between the question and its arrival here.
    pub async fn ask(&mut self) -> Result<Reading, VsockError> {
        let nonce = random::number()?;
        // An answer that came too late for its own question is not for this one.
        self.received.clear();
        let before = standing();
        let as_of = boottime();
        self.say(&protocol::question(nonce)).await?;
        let answered = loop {
            let answered = protocol::TimeAnswer::parse(&self.receive(SAYS_WITHIN).await?)?;
            if answered.nonce == nonce {
                break answered;
            }
            if boottime().since(as_of) > SAYS_WITHIN {
                return Err(VsockError::Misplaced);
            }
        };
        let took = boottime().since(as_of);
        let after = standing();
        let moved = (after.real_minus_boot - before.real_minus_boot).abs() > NOISE;
        if moved || after.boot_minus_mono.abs_diff(before.boot_minus_mono) > NOISE {
            return Err(VsockError::Disturbed);
        }
        let since_boot = i64::try_from(as_of.as_nanos()).unwrap_or(i64::MAX);
        let local = Realtime::from_nanos(since_boot) + before.real_minus_boot;
        let half = Offset::from_nanos(i64::try_from(took.as_nanos() / 2).unwrap_or(i64::MAX));
        Ok(Reading {
            source: SOURCE.to_owned(),
            voice: Voice::hypervisor(),
            kind: ReferenceKind::Caller,
            as_of,
            local,
            offset: answered.at - (local + half),
            root_distance: answered.bound.saturating_add(took / 2).saturating_add(drift(took, MOST_SLEWED_PPM) / 2),
            authenticated: false,
            leap: Leap::None,
            stratum: None,
            delay: Some(took),
            upstream: None,
        })
    }
}
