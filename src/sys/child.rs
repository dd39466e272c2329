//! A command as a child that should not notice: signals that come to us are passed on to it, we stop when it stops, it is waited for, and
//! whatever becomes an orphan below us is reaped, as process 1 has to.
#![expect(unsafe_code, reason = "sigaction(2), waitpid(2), kill(2) and the child before its execve(2)")]

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, raise, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What is left to its own action: faults of our own, and what stops a whole job that touches a terminal from the background.
const NOT_PASSED_ON: [Signal; 10] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
    Signal::SIGPIPE,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The kernel itself sent it (sigaction(2)).
const BY_THE_KERNEL: i32 = 0x80;
/// What the kernel sends to the whole job in the foreground, by a key or because the window has another size (termios(3),
/// ioctl_tty(2)). It informs only the session's leader of a terminal that is gone, which may be us.
const OF_THE_JOB: [Signal; 4] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGWINCH];

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

    /// Passes signals on to the child until it has ended, stops while it is stopped, and reaps every process that ends. What we do for the
    /// child beside that can be brought to an end `before_stop`.
    ///
    /// # Errors
    /// What waitpid(2) or signalfd(2) said.
    pub fn wait(&self, child: &Child, before_stop: impl Fn()) -> io::Result<ExitStatus> {
        let child = child.id().cast_signed();
        loop {
            match reap(child)? {
                ChildChange::Ended(status) => return Ok(status),
                ChildChange::Stopped(by) => {
                    before_stop();
                    stop_by(by)?;
                }
                ChildChange::Nothing => {}
            }
            let Some(signal) = self.signals.read_signal()? else { continue };
            let is = |one: Signal| signal.ssi_signo == one as u32;
            let has_it = signal.ssi_code == BY_THE_KERNEL && OF_THE_JOB.into_iter().any(is);
            if !is(Signal::SIGCHLD) && !has_it {
                // SAFETY: it was not reaped, so no other process has its id (kill(2)).
                unsafe { libc::kill(child, signal.ssi_signo.cast_signed()) };
            }
        }
    }
}

impl Drop for SignalRelay {
    fn drop(&mut self) {
        // A second command finds what the first one found.
        for (signal, _) in self.ignored.iter().filter(|(_, is_ignored)| *is_ignored) {
            let _ = set(*signal, SigHandler::SigIgn);
        }
        // The mask is one that this thread had.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// What became of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChildChange {
    Nothing,
    /// It was stopped by this signal, and not continued since.
    Stopped(i32),
    Ended(ExitStatus),
}

/// Reaps all who have ended; what became of the child, if it is among them.
fn reap(child: i32) -> io::Result<ChildChange> {
    let mut change = ChildChange::Nothing;
    loop {
        let mut status = 0;
        // SAFETY: the status is ours and lives as long as the call (waitpid(2)).
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) } {
            0 => return Ok(change),
            -1 if Errno::last() == Errno::ECHILD && matches!(change, ChildChange::Ended(_)) => return Ok(change),
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            pid if pid == child && libc::WIFSTOPPED(status) => change = ChildChange::Stopped(libc::WSTOPSIG(status)),
            pid if pid == child => change = ChildChange::Ended(ExitStatus::from_raw(status)),
            _ => {}
        }
    }
}

/// Stops as the child did, so that the shell whose job this is has its terminal back. The signal that continues us is passed
/// on. The kernel stops no process 1, which then waits on for its child. A process that was continued already does not stop again: a signal that
/// stops would take away the one that continues (signal(7)).
fn stop_by(signal: i32) -> io::Result<()> {
    let mut pending = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set is ours, and sigpending(2) fills it.
    let is_continued = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGCONT) == 1
    };
    if is_continued {
        return Ok(());
    }
    if signal != libc::SIGTSTP {
        return Ok(raise(Signal::SIGSTOP)?);
    }
    // It waits to be passed on, and is to do here what it did there.
    let keyboard = SigSet::from(Signal::SIGTSTP);
    raise(Signal::SIGTSTP)?;
    pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&keyboard), None)?;
    Ok(pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&keyboard), None)?)
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
