//! The whole program runs in namespaces of its own: whatever it starts ends with it, even if it is killed.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};

use super::{Outcome, fail};

const MARK: &str = "CLOCKGATE_LAB_NAMESPACE";

/// Starts this program again in a network, a process and a mount namespace; returns in the one that was started.
///
/// The kernel ends a process namespace together with its first process, so no guest, daemon or device is left behind.
pub fn enter() -> Outcome {
    if std::env::var_os(MARK).is_some() {
        return end_on_signals();
    }
    let error = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child=KILL"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .exec();
    fail(format!("cannot run setpriv and unshare: {error}"))
}

/// The first process of a namespace does not get signals it has no handler for: without this, Ctrl-C would do nothing.
fn end_on_signals() -> Outcome {
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGINT);
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGHUP);
    ending.thread_block()?;
    std::thread::spawn(move || {
        let code = ending.wait().map_or(1, |signal| 128 + signal as i32);
        #[expect(clippy::disallowed_methods, reason = "ends the namespace with all that runs in it")]
        std::process::exit(code);
    });
    Ok(())
}
