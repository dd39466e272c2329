//! Ending at once on TERM and INT, also as PID 1, to which the kernel delivers no signal without a handler (signal(7)).
#![expect(unsafe_code, reason = "sigaction(2)")]

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Whether the terminal has a line without its end.
static LINE_BEGUN: AtomicBool = AtomicBool::new(false);

/// From here on TERM ends the process with 143 and INT with 130, as a shell reports them, and PIPE does nothing: who waits
/// still waits when its log has no reader. A signal that was inherited ignored stays ignored. A later execve(2) puts back
/// the default actions, as it does for every caught signal.
///
/// # Errors
/// What sigaction(2) said; none is known for these signals.
pub fn end_on_term_and_int() -> nix::Result<()> {
    let handlers = [(Signal::SIGTERM, end as extern "C" fn(_)), (Signal::SIGINT, end), (Signal::SIGPIPE, pass)];
    for (signal, handler) in handlers {
        let ours = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: the handler calls nothing but what signal-safety(7) lists.
        let inherited = unsafe { sigaction(signal, &ours) }?;
        if matches!(inherited.handler(), SigHandler::SigIgn) {
            // SAFETY: puts back what was there.
            unsafe { sigaction(signal, &inherited) }?;
        }
    }
    Ok(())
}

/// From here on a write to a pipe without a reader is an error, and not the end of the process: the agent outlives the
/// reader of its log. A later execve(2) puts the default action back.
///
/// # Errors
/// What sigaction(2) said; none is known for this signal.
pub fn outlive_readers() -> nix::Result<()> {
    let ours = SigAction::new(SigHandler::Handler(pass), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGPIPE, &ours) }.map(drop)
}

/// Informs the handler whether it has a line to end.
pub fn line_begun(begun: bool) {
    LINE_BEGUN.store(begun, Ordering::Relaxed);
}

extern "C" fn pass(_signal: libc::c_int) {}

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: write(2) and _exit(2) are async-signal-safe; the byte is static.
    unsafe {
        if LINE_BEGUN.load(Ordering::Relaxed) {
            libc::write(libc::STDERR_FILENO, b"\n".as_ptr().cast(), 1);
        }
        libc::_exit(128 + signal);
    }
}
