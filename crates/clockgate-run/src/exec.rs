//! Becoming the command that was waiting.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::unistd::execvp;

use crate::exit::Exit;

/// Why the command could not be executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot execute {command}")]
pub struct ExecError {
    command: String,
    #[source]
    source: Errno,
}

impl ExecError {
    /// By what execve(2) said to a child.
    #[must_use]
    pub fn new(command: &OsStr, error: &io::Error) -> Self {
        let source = Errno::from_raw(error.raw_os_error().unwrap_or_default());
        Self { command: command.to_string_lossy().into_owned(), source }
    }

    /// An empty command line.
    #[must_use]
    pub const fn nothing_to_execute() -> Self {
        Self { command: String::new(), source: Errno::ENOENT }
    }

    /// 127 where there is no such command, 126 where it cannot be executed, as env(1) has it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        if matches!(self.source, Errno::ENOENT) { Exit::NotFound } else { Exit::CannotExecute }
    }
}

/// Replaces this process with `command`, searched for in PATH: the same process id, environment, descriptors, signal mask and
/// working directory.
///
/// # Errors
/// [`ExecError`]; there is no other way to return.
pub fn exec(command: Vec<OsString>) -> Result<Infallible, ExecError> {
    let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // An argument came to us through execve(2), so it holds no zero byte.
    let args: Vec<CString> = command.into_iter().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect();
    let Some(file) = args.first() else {
        return Err(ExecError { command: name, source: Errno::ENOENT });
    };
    execvp(file, &args).map_err(|source| ExecError { command: name, source })
}
