//! The kernel's clock in our own hands: the kick, the step, and the bend that a dead daemon left behind.

use std::fs;
use std::io;
use std::path::Path;

use tracing::{info, warn};

use crate::decision::{Boottime, Offset, Realtime, StepError};
use crate::sys::adjtimex;
use crate::sys::foreign;
use crate::sys::step::{self, SystemClock, straighten};

const MAY_NOT: &str = "this process may not set the clock (CAP_SYS_TIME): run it as root, with AmbientCapabilities=CAP_SYS_TIME \
    in its unit, or with --cap-add SYS_TIME in a container";

/// Microseconds in a tick that nobody bends (adjtimex(2)).
const NOMINAL_TICK_US: i64 = 10_000;
/// 1,000 ppm: more than a crystal ever needs, less than any slew worth the name; chronyd slews by up to 83,333 ppm.
const BENT_US: u64 = 10;

/// The kernel's own PID namespace (PROC_PID_INIT_INO in linux/proc_ns.h): every process of the host is in its /proc.
const HOST_PIDS: &str = "pid:[4026531836]";

/// Programs that bend the clock, as /proc calls them: 15 bytes at most.
const DISCIPLINES: [&str; 9] = [
    "chronyd",
    "systemd-timesyn",
    "ntpd",
    "ntp-daemon",
    "phc2sys",
    "timemaster",
    "clockbound",
    "vmtoolsd",
    "VBoxService",
];

/// Marks the kernel's clock unsynchronised and wakes everybody who watches for a step.
///
/// # Errors
/// In words, with what to do about it.
pub fn kick(clock: &SystemClock) -> Result<(), String> {
    clock.kick().map_err(|error| cannot("mark the clock unsynchronised", &error))
}

/// Steps the clock with our own hands.
///
/// # Errors
/// [`StepError`], with what to do about it.
pub fn step(clock: &SystemClock, offset: Offset, local: Realtime, as_of: Boottime) -> Result<Offset, StepError> {
    clock.step(offset, local, as_of).map_err(|error| match error {
        step::Error::Superseded(change) => StepError::Superseded { change },
        step::Error::Kernel { ref source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            StepError::NotPermitted(format!("the clock is off by {offset} and {MAY_NOT}"))
        }
        step::Error::Kernel { offset, source } => {
            StepError::Failed(format!("adjtimex(ADJ_SETOFFSET, {offset}) failed: {source}"))
        }
        error @ step::Error::Astray { .. } => StepError::Failed(error.to_string()),
    })
}

/// Takes the bend out of the clock's rate if whoever put it there is dead.
///
/// chronyd bends the tick while it slews, and takes that back when it ends, unless it is killed. Nobody can ask the kernel
/// whose bend it is; so it is left alone unless every process of this host can be seen and none of them is known to bend clocks.
pub fn straighten_if_abandoned(root: &Path) {
    let bent = |tick_us: i64| (tick_us - NOMINAL_TICK_US).unsigned_abs() >= BENT_US;
    match adjtimex::read().map(|kernel| kernel.tick_us) {
        Ok(tick_us) if bent(tick_us) && nobody_bends(&root.join("proc")) => match straighten() {
            Ok(()) => info!(tick_us, "the clock's rate was still bent by a time daemon that is gone: made straight"),
            Err(error) => warn!(tick_us, why = cannot("straighten its rate", &error), "the clock's rate is bent"),
        },
        Ok(_) => {}
        Err(error) => warn!(%error, "cannot read the clock's rate: adjtimex failed"),
    }
}

fn nobody_bends(proc: &Path) -> bool {
    let all_are_seen = fs::read_link(proc.join("self/ns/pid")).is_ok_and(|ns| ns == Path::new(HOST_PIDS))
        && fs::read_to_string(proc.join("1/comm")).is_ok();
    let Ok(entries) = fs::read_dir(proc) else { return false };
    let bends = |comm: &str| DISCIPLINES.contains(&comm.trim_end());
    // What is no process has no `comm`.
    let mut comms = entries.flatten().filter_map(|entry| foreign::text(&entry.path().join("comm")).ok());
    all_are_seen && !comms.any(|comm| bends(&comm))
}

fn cannot(what: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("cannot {what}: {MAY_NOT}")
    } else {
        format!("cannot {what}: adjtimex failed: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn proc(namespace: &str, comms: &[&str]) -> io::Result<tempfile::TempDir> {
        let proc = tempfile::tempdir()?;
        fs::create_dir_all(proc.path().join("self/ns"))?;
        symlink(namespace, proc.path().join("self/ns/pid"))?;
        for (pid, comm) in (1..).zip(comms) {
            fs::create_dir(proc.path().join(pid.to_string()))?;
            fs::write(proc.path().join(pid.to_string()).join("comm"), format!("{comm}\n"))?;
        }
        Ok(proc)
    }

    #[test]
    fn a_bend_is_nobodys_only_where_all_processes_are_seen_and_none_bends() -> io::Result<()> {
        assert!(nobody_bends(proc(HOST_PIDS, &["systemd", "sshd"])?.path()));
        assert!(!nobody_bends(proc(HOST_PIDS, &["systemd", "chronyd"])?.path()), "never while a daemon is alive");
        assert!(!nobody_bends(proc("pid:[4026532222]", &["sh"])?.path()), "a container does not see the host's daemon");
        assert!(!nobody_bends(proc(HOST_PIDS, &[])?.path()), "hidepid hides init first");
        assert!(!nobody_bends(Path::new("/nonexistent")));
        Ok(())
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = cannot("mark the clock unsynchronised", &io::ErrorKind::PermissionDenied.into());
        assert!(refused.contains("AmbientCapabilities=CAP_SYS_TIME"), "{refused}");
    }
}
