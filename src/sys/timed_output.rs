//! What another program prints, by a deadline: a program that never ends keeps us no longer than that.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::nap;

/// What a killed program had printed is there by then, or a process that it left behind holds its output.
const END: Duration = Duration::from_millis(50);
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
    let mut ended = Ended::begin(command)?;
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

/// As [`output_by`], where the beginning is worth having: what a program printed until it was killed counts, and how it ended does not.
///
/// # Errors
/// It cannot be executed, its output cannot be read, or what it left behind holds it ([`io::ErrorKind::TimedOut`]).
pub fn begun_by(command: &mut Command, longest: u64, until: Boottime) -> io::Result<String> {
    let mut ended = Ended::begin(command)?;
    let Some(pipe) = ended.0.stdout.take().map(|pipe| read(pipe, longest)) else { return Ok(String::new()) };
    let in_time = pipe.recv_timeout(until.since(boottime()));
    ended.0.kill()?;
    in_time.or_else(|_| pipe.recv_timeout(END)).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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

impl Ended {
    fn begin(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map(Self)
    }
}

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
    #[test]
    fn what_a_program_printed_before_it_was_killed_counts_where_that_is_wanted() {
        let begun = |script: &str, longest, within: Duration| {
            begun_by(Command::new("sh").args(["-c", script]), longest, boottime() + within)
        };
        let long = Duration::from_secs(60);
        assert_eq!(begun("echo a; exit 3", 64, long).unwrap(), "a\n");
        assert_eq!(begun("while echo abc; do :; done", 5, long).unwrap(), "abc\na");
        let slow = "echo a; exec sleep 1000";
        let within = (1..10).map(|times| begun(slow, 64, Duration::from_millis(100) * 4_u32.pow(times)).unwrap());
        assert_eq!(within.into_iter().find(|said| !said.is_empty()).as_deref(), Some("a\n"));
        let held = begun("sleep 5 & exec sleep 1000", 64, Duration::from_millis(50));
        assert_eq!(held.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
