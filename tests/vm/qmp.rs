//! QEMU's own line (QMP) and that to its agent in the guest (QGA): a JSON object each way.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Outcome, fail, until};

/// A snapshot of a busy machine takes its time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// The line to one QEMU, or to the agent in it.
#[derive(Debug)]
pub struct Qmp(Mutex<BufReader<UnixStream>>);

impl Qmp {
    /// Connects to the socket that QEMU is about to make.
    pub fn connect(path: &Path) -> Outcome<Self> {
        let qmp = Self::open(path)?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Connects to the guest's agent, which listens already at the other end of a serial line.
    pub fn guest_agent(path: &Path) -> Outcome<Self> {
        let agent = Self::open(path)?;
        agent.execute("guest-ping", json!({}))?;
        Ok(agent)
    }

    fn open(path: &Path) -> Outcome<Self> {
        let stream = until("QEMU listens", Duration::from_secs(30), || Ok(UnixStream::connect(path).ok()))?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        Ok(Self(Mutex::new(BufReader::new(stream))))
    }

    /// Executes a command of QMP's; what it returned.
    pub fn execute(&self, command: &str, arguments: Value) -> Outcome<Value> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = json!({"execute": command, "arguments": arguments}).to_string();
        writeln!(line.get_mut(), "{text}")?;
        loop {
            let mut said = String::new();
            if line.read_line(&mut said)? == 0 {
                return fail(format!("QEMU ended instead of: {text}"));
            }
            let said: Value = serde_json::from_str(&said)?;
            // Greetings and events come in between.
            if let Some(error) = said.get("error") {
                return fail(format!("{text}: {error}"));
            }
            if let Some(returned) = said.get("return") {
                return Ok(returned.clone());
            }
        }
    }

    /// Executes a command of the human monitor, which says nothing when it did well.
    pub fn monitor(&self, command: &str) -> Outcome {
        let said = self.execute("human-monitor-command", json!({"command-line": command}))?;
        match said.as_str() {
            Some("") | None => Ok(()),
            Some(words) => fail(format!("{command}: {}", words.trim())),
        }
    }
}
