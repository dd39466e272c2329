//! A command as a child that should not notice: signals that come to us are passed on to it, it is waited for, and every
//! orphan below us is reaped, as process 1 has to.
#![expect(unsafe_code, reason = "sigaction(2), waitpid(2), kill(2) and the child before its execve(2)")]

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What is left to its own action: faults of our own, and what stops and continues a whole job.
const NOT_PASSED_ON: [Signal; 12] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGPIPE,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCONT,
];

/// The kernel itself sent it: by a key of the terminal, whose whole job has it already (sigaction(2)).
const BY_THE_KERNEL: i32 = 0x80;

/// From its begin to its end, signals wait to be passed on.
#[derive(Debug)]
pub struct SignalRelay {
    signals: SignalFd,
    before: SigSet,
    ignored: [(Signal, bool); 2],
}

impl SignalRelay {
    /// Holds signals back from here on, in this thread and those that it starts.
    ///
    /// # Errors
    /// What the kernel said; none is known but a want of descriptors.
    pub fn begin() -> Result<Self, Errno> {
        let mut held = SigSet::all();
        NOT_PASSED_ON.into_iter().for_each(|signal| held.remove(signal));
        let signals = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC)?;
        let ignored = [Signal::SIGPIPE, Signal::SIGCHLD].map(|signal| (signal, is_ignored(signal)));
        // An ignored SIGCHLD lets the kernel reap, and the exit status of a child is lost.
        set(Signal::SIGCHLD, SigHandler::SigDfl)?;
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before))?;
        Ok(Self { signals, before, ignored })
    }

    /// Starts the command with the signal mask and dispositions that we were started with.
    ///
    /// # Errors
    /// What fork(2) or execve(2) said.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let (before, ignored) = (self.before, self.ignored);
        let restore = move || {
            for (signal, _) in ignored.into_iter().filter(|(_, is_ignored)| *is_ignored) {
                set(signal, SigHandler::SigIgn)?;
            }
            pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            Ok(())
        };
        // SAFETY: between fork and execve it calls sigaction(2) and sigprocmask(2) alone, and allocates nothing.
        unsafe { command.pre_exec(restore) }.spawn()
    }

    /// Passes signals on to the child until it has ended, and reaps every process that ends.
    ///
    /// # Errors
    /// What waitpid(2) or signalfd(2) said.
    pub fn wait(&self, child: &Child) -> io::Result<ExitStatus> {
        let child = child.id().cast_signed();
        loop {
            if let Some(status) = reap(child)? {
                return Ok(status);
            }
            let Some(signal) = self.signals.read_signal()? else { continue };
            let is_for_the_job = signal.ssi_code == BY_THE_KERNEL;
            if signal.ssi_signo != Signal::SIGCHLD as u32 && !is_for_the_job {
                // SAFETY: it was not reaped, so no other process has its id (kill(2)).
                unsafe { libc::kill(child, signal.ssi_signo.cast_signed()) };
            }
        }
    }
}

impl Drop for SignalRelay {
    fn drop(&mut self) {
        // The mask is one that this thread had.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Reaps all who have ended; how the child did, if it is among them.
fn reap(child: i32) -> io::Result<Option<ExitStatus>> {
    let mut ended = None;
    loop {
        let mut status = 0;
        // SAFETY: the status is ours and lives as long as the call (waitpid(2)).
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => return Ok(ended),
            -1 if Errno::last() == Errno::ECHILD && ended.is_some() => return Ok(ended),
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            pid if pid == child => ended = Some(ExitStatus::from_raw(status)),
            _ => {}
        }
    }
}

fn is_ignored(signal: Signal) -> bool {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only reads the action into a local variable (sigaction(2)).
    let found = unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), found.as_mut_ptr());
        found.assume_init()
    };
    found.sa_sigaction == libc::SIG_IGN
}

fn set(signal: Signal, handler: SigHandler) -> Result<(), Errno> {
    // SAFETY: installs no handler function.
    unsafe { sigaction(signal, &SigAction::new(handler, SaFlags::empty(), SigSet::empty())) }.map(drop)
}
