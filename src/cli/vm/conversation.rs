//! What is said with a guest's agent, which is not trusted: each conversation ends at a moment of CLOCK_BOOTTIME, and what is heard is
//! escaped.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::no_agent;
use crate::cli::CliError;
use crate::decision::Boottime;
use crate::disruption::vm::vsock::protocol::{ANSWER_MOST, AgentMessage, Request, TimeAnswer, greeted};
use crate::exit::Exit;
use crate::sys::clock::boottime;
use crate::sys::foreign::shown;
use crate::sys::peer;

/// What the guest's agent takes longer than its own time before we stop listening.
const GRACE: Duration = Duration::from_secs(6);
/// How long the hypervisor's socket may take to connect.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// How long a read may wait before the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Connects through the hypervisor's own socket: one line each way, then the guest (Firecracker, docs/vsock.md; Cloud
/// Hypervisor does the same).
pub(super) fn through(path: &Path, port: u32) -> Result<UnixStream, CliError> {
    let broken = |e| no_agent(format!("cannot reach the guest through {}", path.display()), e);
    let mut stream = peer::connect(path, CONNECTS_WITHIN).map_err(broken)?;
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
    Err(CliError::new(Exit::NoAgent, format!("nothing listens on port {port} of the guest behind {}", path.display())))
}

/// The whole conversation, until the agent's answer.
pub(super) fn converse(
    stream: UnixStream,
    request: Request,
    time: impl Fn(u64) -> Result<TimeAnswer, CliError>,
) -> Result<Value, CliError> {
    let broken = |e| no_agent("the guest's agent does not answer", e);
    // However much the guest says: it is not trusted to come to the point.
    let until = boottime() + request.wait.saturating_add(GRACE);
    stream.set_write_timeout(Some(GRACE)).map_err(broken)?;
    let mut agent = GuestAgent { stream, heard: vec![], until };
    let unknown = |e| CliError::caused(Exit::NoAgent, "the guest does not use the protocol of clockgate's agent", e);
    greeted(&agent.hears().map_err(broken)?).map_err(unknown)?;
    writeln!(agent.stream, "{request}").map_err(broken)?;
    loop {
        match AgentMessage::parse(&agent.hears().map_err(broken)?).map_err(unknown)? {
            AgentMessage::Time(nonce) => writeln!(agent.stream, "{}", time(nonce)?).map_err(broken)?,
            AgentMessage::Answer(answer) => return Ok(answer),
            AgentMessage::Refused(why) => {
                return Err(CliError::new(Exit::NoAgent, format!("the guest's agent refused: {why}")));
            }
        }
    }
}

/// The guest's end of a conversation, which ends at a moment of CLOCK_BOOTTIME.
struct GuestAgent {
    stream: UnixStream,
    /// What was read behind the last line.
    heard: Vec<u8>,
    until: Boottime,
}

impl GuestAgent {
    /// The next line, as it can be shown.
    fn hears(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                // A guest that goes on talking does not keep us.
                return if boottime() < self.until {
                    Ok(shown(String::from_utf8_lossy(&line).trim_end()))
                } else {
                    Err(io::ErrorKind::TimedOut.into())
                };
            }
            if self.heard.len() > ANSWER_MOST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            match some_of(&mut self.stream, ANSWER_MOST, self.until)?.as_slice() {
                [] => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.heard.extend_from_slice(bytes),
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
        // The kernel counts by CLOCK_MONOTONIC, which stands still while this host sleeps.
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
pub(super) fn plainly(answer: Value) -> Value {
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
    use crate::cli::vm::outcome;
    use crate::decision::Realtime;
    use crate::disruption::notice::NoticeKind;
    use crate::sys::nap;
    use serde_json::json;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// An agent's end that says these lines, and what it heard.
    fn agent(mut stream: UnixStream, lines: &'static [&'static str]) -> thread::JoinHandle<Vec<String>> {
        thread::spawn(move || {
            let mut host = BufReader::new(stream.try_clone().unwrap());
            lines
                .iter()
                .map(|line| {
                    writeln!(stream, "{line}").unwrap();
                    let mut heard = String::new();
                    let _ = host.read_line(&mut heard);
                    heard.trim_end().to_owned()
                })
                .collect()
        })
    }

    const RESTORED: Request = Request { what: NoticeKind::PostRestore, wait: Duration::from_secs(5), tells_time: true };

    #[test]
    fn the_agent_asks_for_the_time_and_answers_at_last() {
        let (host, guest) = UnixStream::pair().unwrap();
        let agent = agent(guest, &["clockgate 1", "time 2a", "time 2b", r#"answer {"gate":"open","epoch":3}"#]);
        let answer = converse(host, RESTORED, |nonce| {
            Ok(TimeAnswer { nonce, at: Realtime::from_nanos(5), bound: Duration::ZERO })
        });
        let answer = outcome(&answer.unwrap());
        assert_eq!((answer.gate.as_str(), answer.epoch, answer.bound_ns), ("open", 3, None));
        let heard = ["notify post-restore wait=5000 time=yes", "time 2a 5 0", "time 2b 5 0", ""];
        assert_eq!(agent.join().unwrap(), heard);
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
            let error = converse(host, RESTORED, |_| Err(CliError::new(Exit::Bug, "not asked"))).unwrap_err();
            assert!(error.to_string().contains(why) && error.exit == Exit::NoAgent, "{error}");
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
            let mut agent = GuestAgent { stream: host, heard: vec![], until };
            while agent.hears().is_ok() {}
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
        let error = converse(host, RESTORED, |_| Err(CliError::new(Exit::Bug, "not asked"))).unwrap_err();
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
                    assert_eq!(GuestAgent { stream, heard: vec![], until }.hears().unwrap(), "clockgate 1");
                    assert!(is_there);
                }
                Err(error) => assert!(!is_there && error.exit == Exit::NoAgent, "{error}"),
            }
            assert_eq!(answers.join().unwrap(), "CONNECT 9123\n");
        }
    }
}
