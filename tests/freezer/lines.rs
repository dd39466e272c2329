//! What a process of a test says, a line at a time, never waited for without an end.

use std::io::{BufRead as _, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use libtest_mimic::Failed;

/// Its lines, read on a thread of their own, which ends with the process.
pub struct Lines(Receiver<String>);

impl Lines {
    pub fn of(output: Option<ChildStdout>) -> Result<Self, Failed> {
        let output = output.ok_or("no output")?;
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let read = BufReader::new(output).lines().map_while(Result::ok);
            // The test may no longer listen.
            let _ = read.into_iter().try_for_each(|said| line.send(said));
        });
        Ok(Self(lines))
    }

    /// The next line; an error after so long, or where there is none any more.
    pub fn next(&self, within: Duration) -> Result<String, Failed> {
        self.0.recv_timeout(within).map_err(|error| format!("no line after {within:?}: {error}").into())
    }
}
