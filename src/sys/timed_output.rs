//! What another program prints, by a deadline: a program that never ends keeps us no longer than that.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::nap;

/// How soon it is looked whether a program that has closed its output is over, too.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What a program has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOutput {
    /// On standard output.
    pub stdout: String,
    /// On standard error, where the command says that it is piped.
    pub stderr: String,
    /// Whether it ended with 0 by the deadline.
    pub is_success: bool,
}

/// Runs the command with nothing on its standard input, and takes `longest` bytes of what it prints at most. It is killed at `until`.
///
/// # Errors
/// It cannot be executed, its output cannot be read, or is not at its end by then ([`io::ErrorKind::TimedOut`]).
pub fn output_by(command: &mut Command, longest: u64, until: Boottime) -> io::Result<ProgramOutput> {
    let mut ended = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = ended.0.stdout.take().map(|pipe| read(pipe, longest));
    let stderr = ended.0.stderr.take().map(|pipe| read(pipe, longest));
    let text = |pipe: Option<Receiver<io::Result<String>>>| {
        let Some(pipe) = pipe else { return Ok(String::new()) };
        pipe.recv_timeout(until.since(boottime())).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    };
    let (stdout, stderr) = (text(stdout)?, text(stderr)?);
    loop {
        match ended.0.try_wait()? {
            Some(status) => return Ok(ProgramOutput { stdout, stderr, is_success: status.success() }),
            None if boottime() >= until => return Ok(ProgramOutput { stdout, stderr, is_success: false }),
            None => nap(LOOK_AGAIN),
        }
    }
}

/// On a thread that ends with the process: at the latest when that is killed.
fn read(pipe: impl Read + Send + 'static, longest: u64) -> Receiver<io::Result<String>> {
    let (said, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = vec![];
        let outcome = pipe.take(longest).read_to_end(&mut bytes);
        let _ = said.send(outcome.map(|_| String::from_utf8_lossy(&bytes).into_owned()));
    });
    receiver
}

/// A process that is over when this is.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, longest: u64, within: Duration) -> io::Result<ProgramOutput> {
        output_by(Command::new("sh").args(["-c", script]).stderr(Stdio::piped()), longest, boottime() + within)
    }

    #[test]
    fn both_outputs_and_the_end_are_known_and_no_more_is_read_than_is_wanted() {
        let within = Duration::from_secs(60);
        let said = sh("echo a; echo b >&2; exit 3", 64, within).unwrap();
        assert_eq!((&*said.stdout, &*said.stderr, said.is_success), ("a\n", "b\n", false));
        assert!(sh("exit 0", 64, within).unwrap().is_success);
        assert_eq!(sh("echo abcdef", 3, within).unwrap().stdout, "abc");
    }

    #[test]
    fn a_program_that_never_ends_is_killed() {
        let within = Duration::from_millis(50);
        assert_eq!(sh("exec sleep 1000", 64, within).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let silent = sh("exec sleep 1000 >/dev/null 2>&1", 64, Duration::from_millis(500)).unwrap();
        assert!(!silent.is_success);
        let absent = output_by(&mut Command::new("/nonexistent"), 64, boottime() + within);
        assert_eq!(absent.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
