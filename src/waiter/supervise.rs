//! The command as a child of `run`, which passes its output through untouched and keeps the last of it.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::run::ExecError;
use crate::sys::child::SignalRelay;

/// So much of what was written last is kept, of each of the two streams.
const KEPT: usize = 16 * 1024;
/// What the command left behind may hold its output open for ever: what was written is passed on, and no more is waited for.
const QUIET: Duration = Duration::from_millis(200);

/// How a command ended, and the last of what it wrote.
#[derive(Debug)]
pub struct CommandEnd {
    /// As a shell says it: 128 and the signal where one ended it.
    pub code: i32,
    /// Whether it ended by itself and said that it failed.
    pub has_failed: bool,
    /// The last of standard output and of standard error; of the former nothing where it is a terminal's.
    pub last: [Vec<u8>; 2],
}

/// Why a command was not followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// It could not be executed.
    #[error(transparent)]
    Run(#[from] ExecError),
    /// The kernel refused to let us wait for it.
    #[error("cannot wait for the command")]
    Wait(#[source] io::Error),
}

/// Runs the command to its end. Standard input is its own; standard error goes through us, and standard output where it is no terminal,
/// for a program that writes to a terminal is to see one.
///
/// # Errors
/// [`SuperviseError`].
pub fn supervise(line: &[OsString]) -> Result<CommandEnd, SuperviseError> {
    let (program, arguments) = line.split_first().ok_or_else(ExecError::nothing_to_execute)?;
    let relay = SignalRelay::begin().map_err(|errno| SuperviseError::Wait(errno.into()))?;
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::piped());
    if !io::stdout().is_terminal() {
        command.stdout(Stdio::piped());
    }
    let mut child = relay.spawn(&mut command).map_err(|error| ExecError::new(program, &error))?;
    let last = [Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(vec![]))];
    let (open, closed) = sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        pass_on(stdout, io::stdout(), (last[0].clone(), open.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        pass_on(stderr, io::stderr(), (last[1].clone(), open.clone()));
    }
    drop(open);
    let status = relay.wait(&child).map_err(SuperviseError::Wait)?;
    // Each piece begins the wait anew.
    while !matches!(closed.recv_timeout(QUIET), Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) {}
    let last = last.map(|kept| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)));
    Ok(CommandEnd { code: code(status), has_failed: status.code().is_some_and(|code| code != 0), last })
}

fn pass_on(
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    (last, told): (Arc<Mutex<Vec<u8>>>, SyncSender<()>),
) {
    std::thread::spawn(move || {
        let mut piece = vec![0; 16 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    keep(&mut last.lock().unwrap_or_else(PoisonError::into_inner), &piece[..read]);
                    // A reader that is gone is the command's to notice: its pipe closes with this thread.
                    if to.write_all(&piece[..read]).and_then(|()| to.flush()).is_err() {
                        return;
                    }
                    // One that is full says the same.
                    let _ = told.try_send(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}

fn keep(last: &mut Vec<u8>, piece: &[u8]) {
    last.extend_from_slice(piece);
    let too_many = last.len().saturating_sub(KEPT);
    last.drain(..too_many);
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_what_was_written_is_kept_and_no_more() {
        let mut last = vec![];
        for letter in b'a'..=b'z' {
            keep(&mut last, &vec![letter; KEPT / 4]);
        }
        assert_eq!(last.len(), KEPT);
        assert_eq!((last.first(), last.last()), (Some(&b'w'), Some(&b'z')));
    }
}
