//! The log of this boot, as far as it tells of the clock: the kernel's and the security module's lines, and those of time daemons.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::daemon::inspection::{Denial, denials, log_matches};
use crate::sys::foreign;

/// Where syslog writes the kernel's lines, on Debian and on Fedora.
const FILES: [&str; 2] = ["var/log/kern.log", "var/log/messages"];
/// A log that takes longer is cut: what matters of the RTC is at its beginning.
const PATIENCE: Duration = Duration::from_millis(400);
/// The most bytes that are read of it.
const MOST: u64 = 4 * 1024 * 1024;
/// The first line of every boot (linux_banner in init/version.c).
const FIRST: &str = "Linux version ";
/// drivers/rtc: what drivers say of an empty battery.
const POWER_LOST: [&str; 4] = ["low voltage detected", "oscillator failed", "oscillator stop", "power loss detected"];
/// drivers/rtc/class.c, rtc_hctosys.
const SET_AT_BOOT: &str = "setting system clock to ";
const UNREAD: &str = "hctosys: unable to read the hardware clock";

/// What the log of this boot tells; nothing where it may not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// What a time daemon was not allowed to do.
    pub denials: Vec<Denial>,
    /// Lines of a driver that found its RTC without power.
    pub power_lost: Vec<String>,
    /// What the kernel set the clock to at boot, from the RTC: date and time as it was printed.
    pub set_at_boot: Option<String>,
    /// Whether the kernel could not read the RTC at boot.
    pub is_unread: bool,
}

pub fn gather(root: &Path) -> LogFacts {
    let journal = (root == Path::new("/")).then(journal).flatten().filter(|text| !text.is_empty());
    let of_a_file = || FILES.iter().find_map(|file| foreign::read(&root.join(file), MOST).ok());
    let text = journal.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&of_a_file().unwrap_or_default()).into_owned();
        text.rfind(FIRST).map_or(text.clone(), |at| text[at..].to_owned())
    });
    read(&text)
}

fn read(text: &str) -> LogFacts {
    let of_the_rtc = |line: &&str| line.contains("rtc") && POWER_LOST.iter().any(|words| line.contains(words));
    LogFacts {
        denials: denials(text),
        power_lost: text.lines().filter(of_the_rtc).map(foreign::shown).collect(),
        set_at_boot: text.lines().find_map(|line| {
            let (_, time) = line.split_once(SET_AT_BOOT)?;
            Some(time.get(..19)?.replace('T', " ")).filter(|time| time.starts_with(|c: char| c.is_ascii_digit()))
        }),
        is_unread: text.contains(UNREAD),
    }
}

/// By the journal's own program: a static binary has no libsystemd. Who may not read all of it gets its own lines.
fn journal() -> Option<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--boot", "--output=short", "_TRANSPORT=kernel", "+", "_TRANSPORT=audit"]);
    command.args(log_matches().iter().flat_map(|one| ["+", one]));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let output = child.stdout.take()?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut bytes, mut output) = (vec![], output.take(MOST));
        let mut part = [0; 16 * 1024];
        while let Ok(length @ 1..) = output.read(&mut part) {
            bytes.extend_from_slice(&part[..length]);
        }
        // Who waited has gone on.
        let _ = tell.send(bytes);
    });
    let in_time = told.recv_timeout(PATIENCE);
    let _ = child.kill();
    let _ = child.wait();
    // Killed, it has closed its output, and what it printed until then counts.
    let bytes = in_time.or_else(|_| told.recv_timeout(PATIENCE)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_rtc_are_told_from_those_of_other_devices() {
        let log = read(
            "kernel: usb 1-1: low voltage detected\nkernel: rtc-pcf8563 0-0051: low voltage detected, date/time is not reliable.\n\
             kernel: rtc_cmos 00:00: setting system clock to 1970-01-01T00:00:12 UTC (12)\n",
        );
        assert_eq!(log.power_lost.len(), 1);
        assert_eq!(log.set_at_boot.as_deref(), Some("1970-01-01 00:00:12"));
        assert_eq!(read("setting system clock to"), LogFacts::default());
    }
}
