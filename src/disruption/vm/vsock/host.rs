//! The host's side of the port: a conversation with a guest's agent, which is not trusted. It ends at a moment of CLOCK_BOOTTIME, and
//! what is received is escaped.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::protocol::{ANSWER_MOST, AgentMessage, NoticeError, Request, TimeAnswer, greeted};
use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::foreign::shown;
use crate::sys::unix_peer;

/// What the guest's agent takes longer than its own time before we stop listening.
const GRACE: Duration = Duration::from_secs(6);
/// How long the hypervisor's socket may take to connect.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// How long a read may wait before the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a guest's agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The hypervisor's socket refuses, or breaks.
    #[error("cannot reach the guest through {}", .0.display())]
    Socket(PathBuf, #[source] io::Error),
    /// The hypervisor says that no agent listens.
    #[error("nothing listens on port {0} of the guest behind {path}", path = .1.display())]
    NotListening(u32, PathBuf),
    /// The connection ended, or its time did.
    #[error("the guest's agent does not answer")]
    Silent(#[from] io::Error),
    /// It speaks, but not like an agent.
    #[error("the guest does not use the protocol of clockgate's agent")]
    Protocol(#[from] NoticeError),
    /// It refused, and said why.
    #[error("the guest's agent refused: {0}")]
    Refused(String),
}

/// Connects through the hypervisor's own socket: one line each way, then the guest (Firecracker, docs/vsock.md; Cloud
/// Hypervisor does the same).
///
/// # Errors
/// [`GuestError::Socket`] and [`GuestError::NotListening`].
pub fn through(path: &Path, port: u32) -> Result<UnixStream, GuestError> {
    let broken = |error| GuestError::Socket(path.to_owned(), error);
    let mut stream = unix_peer::connect(path, CONNECTS_WITHIN).map_err(broken)?;
    let until = boottime() + CONNECTS_WITHIN;
    stream.set_write_timeout(Some(CONNECTS_WITHIN)).map_err(broken)?;
    writeln!(stream, "CONNECT {port}").map_err(broken)?;
    let mut line = vec![];
    while line.last() != Some(&b'\n') && line.len() < 64 {
        // Byte by byte: what comes after the line is the guest's.
        match some_of(&mut stream, 1, until).map_err(broken)?.as_slice() {
            [] => break,
            bytes => line.extend_from_slice(bytes),
        }
    }
    if line.starts_with(b"OK ") {
        return Ok(stream);
    }
    Err(GuestError::NotListening(port, path.to_owned()))
}

/// The whole conversation, until the agent's answer; or why `time` could not say what time it is.
///
/// # Errors
/// [`GuestError`], but for those of [`through`].
pub fn converse<E>(
    stream: UnixStream,
    request: Request,
    time: impl Fn(u64) -> Result<TimeAnswer, E>,
) -> Result<Result<Value, E>, GuestError> {
    // However much the guest says: it is not trusted to come to the point.
    let until = boottime() + request.wait.saturating_add(GRACE);
    stream.set_write_timeout(Some(GRACE))?;
    let mut agent = GuestAgent { stream, received: vec![], until };
    greeted(&agent.receives()?)?;
    writeln!(agent.stream, "{request}")?;
    loop {
        match AgentMessage::parse(&agent.receives()?)? {
            AgentMessage::Time(nonce) => match time(nonce) {
                Ok(answer) => writeln!(agent.stream, "{answer}")?,
                Err(error) => return Ok(Err(error)),
            },
            AgentMessage::Answer(answer) => return Ok(Ok(plainly(answer))),
            AgentMessage::Refused(why) => return Err(GuestError::Refused(why)),
        }
    }
}

/// The guest's end of a conversation, which ends at a moment of CLOCK_BOOTTIME.
struct GuestAgent {
    stream: UnixStream,
    /// What was read behind the last line.
    received: Vec<u8>,
    until: Boottime,
}

impl GuestAgent {
    /// The next line, as it can be shown.
    fn receives(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                // A guest that never ends its answer does not keep us.
                return if boottime() < self.until {
                    Ok(shown(String::from_utf8_lossy(&line).trim_end()))
                } else {
                    Err(io::ErrorKind::TimedOut.into())
                };
            }
            if self.received.len() > ANSWER_MOST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            match some_of(&mut self.stream, ANSWER_MOST, self.until)?.as_slice() {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.received.extend_from_slice(bytes),
            }
        }
    }
}

/// What can be read next, no more than `most`; nothing at the end.
fn some_of(stream: &mut UnixStream, most: usize, until: Boottime) -> io::Result<Vec<u8>> {
    loop {
        let left = until.since(boottime());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // The kernel counts by CLOCK_MONOTONIC, which does not advance while this host sleeps.
        stream.set_read_timeout(Some(left.min(LOOK_EVERY)))?;
        let mut buffer = vec![0; most];
        match stream.read(&mut buffer) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The guest's answer as it can be shown: its strings were escaped once for JSON, and no more.
fn plainly(answer: Value) -> Value {
    match answer {
        Value::String(text) => Value::String(shown(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(plainly).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, value)| (shown(&key), plainly(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Realtime;
    use crate::disruption::notice::NoticeKind;
    use crate::sys::nap;
    use serde_json::json;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// An agent's end that sends these lines, and the lines it received.
    fn agent(mut stream: UnixStream, lines: &'static [&'static str]) -> thread::JoinHandle<Vec<String>> {
        thread::spawn(move || {
            let mut host = BufReader::new(stream.try_clone().unwrap());
            lines
                .iter()
                .map(|line| {
                    writeln!(stream, "{line}").unwrap();
                    let mut received = String::new();
                    let _ = host.read_line(&mut received);
                    received.trim_end().to_owned()
                })
                .collect()
        })
    }

    const RESTORED: Request = Request { what: NoticeKind::PostRestore, wait: Duration::from_secs(5), has_time: true };

    #[test]
    fn the_agent_asks_for_the_time_and_answers_at_last() {
        let (host, guest) = UnixStream::pair().unwrap();
        let agent = agent(guest, &["clockgate 1", "time 2a", "time 2b", r#"answer {"gate":"open","epoch":3}"#]);
        let answer = converse(host, RESTORED, |nonce| {
            Ok::<_, ()>(TimeAnswer { nonce, at: Realtime::from_nanos(5), bound: Duration::ZERO })
        });
        assert_eq!(answer.unwrap(), Ok(json!({"gate": "open", "epoch": 3})));
        let received = ["notify post-restore wait=5000 time=yes", "time 2a 5 0", "time 2b 5 0", ""];
        assert_eq!(agent.join().unwrap(), received);
    }

    #[test]
    fn a_refusal_a_stranger_and_silence_are_errors() {
        for (lines, why) in [
            (&["clockgate 1", "refused no such notice"][..], "no such notice"),
            (&["SSH-2.0-OpenSSH_9.2"][..], "does not use the protocol"),
            (&["clockgate 2"][..], "does not use the protocol"),
            (&["clockgate 1"][..], "does not answer"),
        ] {
            let (host, guest) = UnixStream::pair().unwrap();
            let agent = agent(guest, lines);
            let error = converse(host, RESTORED, |_| Err(())).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            agent.join().unwrap();
        }
    }

    #[test]
    fn a_guest_that_never_comes_to_the_point_does_not_keep_us() {
        // One that asks without an end, one that says half a line bit by bit, one that does not listen, one that is silent.
        let chatters: [fn(&mut UnixStream, u32) -> io::Result<()>; 3] = [
            |guest, n| if n == 0 { writeln!(guest, "clockgate 1") } else { writeln!(guest, "time 1") },
            |guest, n| if n == 0 { writeln!(guest, "clockgate 1") } else { write!(guest, "t") },
            |guest, n| if n == 0 { writeln!(guest, "clockgate 1") } else { Ok(()) },
        ];
        for chatter in chatters {
            let (host, mut guest) = UnixStream::pair().unwrap();
            guest.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let talking = thread::spawn(move || {
                let mut said = 0;
                while chatter(&mut guest, said).is_ok() && !hung_up(&guest) {
                    said += 1;
                    nap(Duration::from_millis(20));
                }
            });
            let began = boottime();
            let until = began + Duration::from_millis(500);
            let mut agent = GuestAgent { stream: host, received: vec![], until };
            while agent.receives().is_ok() {}
            drop(agent);
            assert!(boottime().since(began) < Duration::from_secs(10));
            talking.join().unwrap();
        }
    }

    fn hung_up(guest: &UnixStream) -> bool {
        use std::os::fd::AsFd as _;
        let mut fd = [nix::poll::PollFd::new(guest.as_fd(), nix::poll::PollFlags::empty())];
        nix::poll::poll(&mut fd, nix::poll::PollTimeout::ZERO).is_ok_and(|hung_up| hung_up > 0)
    }

    #[test]
    fn a_guests_words_reach_no_terminal_as_they_are() {
        let (host, guest) = UnixStream::pair().unwrap();
        let agent = agent(guest, &["clockgate 1", "refused \u{1b}[2J\u{9b}gone"]);
        let error = converse(host, RESTORED, |_| Err(())).unwrap_err();
        assert!(error.to_string().ends_with(r"refused: \u{1b}[2J\u{9b}gone"), "{error}");
        agent.join().unwrap();
        let said = plainly(json!({"why": "\u{1b}[2J", "steps": ["\r"]}));
        assert_eq!((said["why"].as_str(), said["steps"][0].as_str()), (Some(r"\u{1b}[2J"), Some(r"\r")));
    }

    #[test]
    fn the_hypervisors_socket_leads_to_the_guests_port() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.sock");
        let listener = UnixListener::bind(&path).unwrap();
        for (reply, is_there) in [("OK 1073741824\nclockgate 1\n", true), ("", false)] {
            let hypervisor = listener.try_clone().unwrap();
            let answers = thread::spawn(move || {
                let (mut stream, _) = hypervisor.accept().unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(reply.as_bytes()).unwrap();
                line
            });
            match through(&path, 9123) {
                Ok(stream) => {
                    // What the guest says is untouched.
                    let until = boottime() + Duration::from_secs(10);
                    assert_eq!(GuestAgent { stream, received: vec![], until }.receives().unwrap(), "clockgate 1");
                    assert!(is_there);
                }
                Err(error) => assert!(!is_there && matches!(error, GuestError::NotListening(9123, _)), "{error}"),
            }
            assert_eq!(answers.join().unwrap(), "CONNECT 9123\n");
        }
    }
}
