//! A command whose output is passed through and read along.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::cli::CliError;
use crate::exit::Exit;
use crate::explain::Scanner;
use crate::sys::signals;

/// How often the end of the command is looked for while it says nothing.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What it left behind may hold its output open for ever: what was written is read, and no more waited for.
const AFTER_THE_END: u32 = 10;

/// Which of the two, and what was written there.
type Piece = (usize, Vec<u8>);

/// Runs it; standard error is always read along, standard output where it is no terminal (there a program sees one).
///
/// # Errors
/// [`Exit::NotFound`] and [`Exit::CannotExecute`], as a shell says it.
pub fn run(line: &[OsString], scanners: &mut [Scanner<'_>; 2]) -> Result<i32, CliError> {
    let [program, arguments @ ..] = line else {
        return Err(CliError::new(Exit::Usage, "no command was given"));
    };
    let reads_output = !std::io::stdout().is_terminal();
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::piped());
    if reads_output {
        command.stdout(Stdio::piped());
    }
    // The command gets the default action back, and ends by itself when its output has no reader.
    signals::outlive_readers().map_err(|e| CliError::caused(Exit::Bug, "cannot outlive a closed pipe", e))?;
    let mut child = command.spawn().map_err(|error| {
        let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::CannotExecute };
        CliError::caused(exit, format!("cannot execute {}", program.display()), error)
    })?;
    let (sender, receiver) = sync_channel(16);
    if let Some(stdout) = child.stdout.take() {
        pass_on(stdout, std::io::stdout(), 0, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        pass_on(stderr, std::io::stderr(), 1, sender.clone());
    }
    drop(sender);
    let status = follow(&mut child, &receiver, scanners);
    status.map(code).map_err(|error| CliError::caused(Exit::Bug, "cannot wait for the command", error))
}

fn follow(child: &mut Child, pieces: &Receiver<Piece>, scanners: &mut [Scanner<'_>; 2]) -> std::io::Result<ExitStatus> {
    let mut quiet = 0;
    let mut ended = None;
    loop {
        match pieces.recv_timeout(LOOK_EVERY) {
            Ok((which, piece)) => {
                if let Some(scanner) = scanners.get_mut(which) {
                    scanner.feed(&piece);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return child.wait(),
            Err(RecvTimeoutError::Timeout) => match ended {
                Some(status) if quiet >= AFTER_THE_END => return Ok(status),
                Some(_) => quiet += 1,
                None => ended = child.try_wait()?,
            },
        }
    }
}

fn pass_on(
    mut from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    which: usize,
    sender: SyncSender<Piece>,
) {
    thread::spawn(move || {
        let mut piece = vec![0; 16 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    // A reader that is gone is the command's to notice: its pipe closes with this thread.
                    let is_passed = to.write_all(&piece[..read]).and_then(|()| to.flush()).is_ok();
                    if sender.send((which, piece[..read].to_vec())).is_err() || !is_passed {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}

/// As a shell has it: 128 and the signal.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
