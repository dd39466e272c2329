//! The command as a child of `run`, which passes its output through untouched and keeps the last of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::exec::ExecError;
use crate::sys::child::SignalRelay;
use crate::sys::clock::boottime;
use crate::sys::nap;

/// So much of what was written last is kept, of each of the two streams.
const KEPT: usize = 16 * 1024;
/// What a pipe holds where the kernel does not say (pipe(7)).
const PIPE_SIZE: usize = 64 * 1024;
/// What the command wrote before it was stopped is passed on in less, unless its reader is slow.
const PASSED_WITHIN: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(1);

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
/// for a program that writes to a terminal is to see one. What is closed stays closed.
///
/// # Errors
/// [`SuperviseError`].
pub fn supervise(line: &[OsString]) -> Result<CommandEnd, SuperviseError> {
    let (program, arguments) = line.split_first().ok_or_else(ExecError::nothing_to_execute)?;
    // Before we open something in the place of one that is closed.
    let (stdout, stderr) = (own(io::stdout()), own(io::stderr()));
    let stdout = stdout.filter(|stdout| !stdout.is_terminal());
    let relay = SignalRelay::begin().map_err(|errno| SuperviseError::Wait(errno.into()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if stdout.is_some() {
        command.stdout(Stdio::piped());
    }
    if stderr.is_some() {
        command.stderr(Stdio::piped());
    }
    // The command has ended when this pipe has.
    let (of_stdout, runs) = io::pipe().map_err(SuperviseError::Wait)?;
    let of_stderr = of_stdout.try_clone().map_err(SuperviseError::Wait)?;
    let mut child = relay.spawn(&mut command).map_err(|error| ExecError::new(program, &error))?;
    let stdout = stdout.zip(child.stdout.take()).map(|(to, from)| Passage::begin(from.into(), to, of_stdout));
    let stderr = stderr.zip(child.stderr.take()).map(|(to, from)| Passage::begin(from.into(), to, of_stderr));
    let status = relay.wait(&child, || await_passed(&[&stdout, &stderr])).map_err(SuperviseError::Wait)?;
    // From here on a signal ends us, who may wait for a reader that is slow.
    drop((runs, relay));
    let last = [stdout, stderr]
        .map(|passing| passing.map(|(thread, _)| thread.join()).and_then(Result::ok).unwrap_or_default());
    Ok(CommandEnd { code: code(status), has_failed: status.code().is_some_and(|code| code != 0), last })
}

/// A second descriptor of what may be closed.
fn own(stream: impl AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

/// A thread that passes a stream on, and a look at what it has before it.
type Passing = (JoinHandle<Vec<u8>>, Unpassed);

/// What the command wrote before it was stopped is passed on before we stop with it; a reader that is slow is not waited for.
fn await_passed(all: &[&Option<Passing>]) {
    let end = boottime() + PASSED_WITHIN;
    while boottime() < end && !all.iter().copied().flatten().all(|(_, unpassed)| unpassed.is_nothing()) {
        nap(LOOK_EVERY);
    }
}

/// Whether something is in a pipe still, or on its way.
struct Unpassed {
    /// It is closed when nothing is passed on any more, which the command has to notice.
    pipe: Weak<PipeReader>,
    on_its_way: Arc<Mutex<()>>,
}

impl Unpassed {
    fn is_nothing(&self) -> bool {
        let Ok(_nothing) = self.on_its_way.try_lock() else { return false };
        let Some(pipe) = self.pipe.upgrade() else { return true };
        let mut pipe = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut pipe, PollTimeout::ZERO) == Ok(0)
    }
}

/// From the command's pipe to where it would have written.
struct Passage {
    from: Arc<PipeReader>,
    /// Held while something is read and not written yet.
    on_its_way: Arc<Mutex<()>>,
    to: File,
    /// Whose writer is gone when the command has ended.
    ended: PipeReader,
    /// The last of what it wrote.
    last: Vec<u8>,
}

impl Passage {
    fn begin(from: OwnedFd, to: File, ended: PipeReader) -> Passing {
        let (from, on_its_way) = (Arc::new(PipeReader::from(from)), Arc::<Mutex<()>>::default());
        let unpassed = Unpassed { pipe: Arc::downgrade(&from), on_its_way: on_its_way.clone() };
        let passage = Self { from, on_its_way, to, ended, last: vec![] };
        (std::thread::spawn(move || passage.pass_on()), unpassed)
    }

    /// Passes everything on until it has no writer or no reader any more. What the command left behind may hold its output open for ever:
    /// at the command's end only what it can have written is passed on, and only the reader is waited for.
    fn pass_on(mut self) -> Vec<u8> {
        let mut piece = vec![0; 16 * 1024];
        let mut left = None;
        while left != Some(0) {
            let [written, ended, gone] = self.look();
            // A reader that is gone is the command's to notice: its pipe closes with us.
            if gone || (ended && !written) {
                break;
            }
            if !written {
                continue;
            }
            if ended {
                left.get_or_insert_with(|| size_of_pipe(self.from.as_fd()));
            }
            let on_its_way = self.on_its_way.clone();
            let _passing = on_its_way.lock().unwrap_or_else(PoisonError::into_inner);
            let most = piece.len().min(left.unwrap_or(usize::MAX));
            let read = match (&*self.from).read(&mut piece[..most]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            left = left.map(|left| left - read);
            keep(&mut self.last, &piece[..read]);
            if self.write(&piece[..read]).is_err() {
                break;
            }
        }
        self.last
    }

    /// Waits until there is something in the pipe, the command has ended, or the reader is gone.
    fn look(&self) -> [bool; 3] {
        let asks = [(self.from.as_fd(), PollFlags::POLLIN), (self.ended.as_fd(), PollFlags::POLLIN)];
        let [from, ended] = asks.map(|(fd, events)| PollFd::new(fd, events));
        let mut fds = [from, ended, PollFd::new(self.to.as_fd(), PollFlags::empty())];
        // EINTR comes back here, with nothing to be done.
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            return [false; 3];
        }
        let said = fds.map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        [!said[0].is_empty(), !said[1].is_empty(), said[2].contains(PollFlags::POLLERR)]
    }

    /// Writes all of it, also where another process has made the stream non-blocking.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut ready = [PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)];
                    // EINTR comes back here.
                    let _ = poll(&mut ready, PollTimeout::NONE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn size_of_pipe(pipe: BorrowedFd<'_>) -> usize {
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(PIPE_SIZE)
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
