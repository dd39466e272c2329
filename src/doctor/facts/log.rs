//! The log of this boot, as far as it is about the clock: the kernel's and the security module's lines, and those of time daemons.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::daemon::inspection::{Denial, denials, log_matches};
use crate::sys::clock::boottime;
use crate::sys::foreign;
use crate::sys::timed_output::begun_by;

/// Where syslog writes the kernel's lines, on Debian and on Fedora.
const FILES: [&str; 2] = ["var/log/kern.log", "var/log/messages"];
/// A log that takes longer is cut: what matters of the RTC is at its beginning.
const PATIENCE: Duration = Duration::from_millis(300);
/// The most bytes that are read of it.
const MOST: u64 = 4 * 1024 * 1024;
/// The first line of every boot (linux_banner in init/version.c).
const FIRST: &str = "Linux version ";
/// What drivers of drivers/rtc say of an RTC that lost its power or whose battery is empty, in lower case. What they say of a supply
/// that is merely low, such as `voltage low, temperature compensation stopped`, is not here.
const POWER_LOST: [&str; 24] = [
    "low voltage detected",
    "voltage-low detected",
    "voltage low, data",
    "voltage drops below vlow",
    "voltage dropped below",
    "voltage <=1.7",
    "power-on reset detected",
    "power-on detected",
    "power loss detected",
    "power failure detected",
    "total power failure",
    "oscillator failed",
    "oscillator failure",
    "oscillator stop detected",
    "oscillator-stop detected",
    "oscillator discontinuity",
    "oscillator interruption",
    "oscillation stop was detected",
    "clock was stopped. time is not valid",
    "no valid clock/calendar values",
    "battery is low; please",
    "battery is exhausted! rtc may be invalid",
    "low battery!",
    "bl bit is set, replace battery",
];
/// The drivers of drivers/rtc that say such things and have no `rtc` in their names.
const UNNAMED: [&str; 5] = ["bq32k ", "ds1511 ", "ds3234 ", "rx6110 ", "stk17ta8 "];
/// drivers/rtc/class.c, rtc_hctosys.
const SET_AT_BOOT: &str = "setting system clock to ";
/// kernel/time/clocksource.c, __clocksource_unstable; arch/x86/kernel/tsc.c, mark_tsc_unstable and check_system_tsc_reliable.
const UNSTABLE_TIMER: [&str; 3] = ["Marking clocksource 'tsc", "Marking TSC unstable", "TSC found unstable"];
const UNREAD: &str = "hctosys: unable to read the hardware clock";

/// The clock's part of the log of this boot; nothing where it may not be read.
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
    /// The line by which the kernel gave up the processor's own timer; none where it did not.
    pub unstable_timer: Option<String>,
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
    let of_the_rtc = |line: &&str| {
        let is_named = line.contains("rtc") || UNNAMED.iter().any(|driver| line.contains(driver));
        is_named && POWER_LOST.iter().any(|words| line.to_ascii_lowercase().contains(words))
    };
    LogFacts {
        denials: denials(text),
        power_lost: text.lines().filter(of_the_rtc).map(foreign::shown).collect(),
        set_at_boot: text.lines().find_map(|line| {
            let (_, time) = line.split_once(SET_AT_BOOT)?;
            Some(time.get(..19)?.replace('T', " ")).filter(|time| time.starts_with(|c: char| c.is_ascii_digit()))
        }),
        is_unread: text.contains(UNREAD),
        unstable_timer: text
            .lines()
            .find(|line| UNSTABLE_TIMER.iter().any(|words| line.contains(words)))
            .map(foreign::shown),
    }
}

/// By the journal's own program: a static binary has no libsystemd. Who may not read all of it gets its own lines.
fn journal() -> Option<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--boot", "--output=short", "_TRANSPORT=kernel", "+", "_TRANSPORT=audit"]);
    command.args(log_matches().iter().flat_map(|one| ["+", one]));
    begun_by(command.stderr(Stdio::null()), MOST, boottime() + PATIENCE).ok()
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
        let given_up = "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large:";
        assert_eq!(read(&format!("Linux version 6.1\n{given_up}\n")).unstable_timer.as_deref(), Some(given_up));
        assert!(read("kernel: tsc: Marking TSC unstable due to clocksource watchdog").unstable_timer.is_some());
        assert_eq!(read("tsc: Refined TSC clocksource calibration: 2899.999 MHz").unstable_timer, None);
        assert!(read("rtc-hym8563 1-0051: hctosys: unable to read the hardware clock").is_unread);
    }

    #[test]
    fn each_driver_says_in_its_own_words_that_its_battery_is_empty() {
        let all = "rtc-pcf8563 1-0051: low voltage detected, date/time is not reliable.\n\
                   rtc-abx80x 2-0069: Oscillator failure, data is invalid.\n\
                   rtc-m41t80 0-0068: Oscillator failure, data is invalid.\n\
                   bq32k 0-0068: Oscillator Failure. Check RTC battery.\n\
                   rtc-isl12022 0-006f: Total power failure, RTC data is invalid.\n\
                   rtc-isl1208 1-006f: rtc power failure detected, please set clock.\n\
                   rtc-ds1307 1-0068: oscillator failed, set time!\n\
                   rtc-ds3232 0-0068: oscillator discontinuity flagged, time unreliable\n\
                   rtc-rs5c348 spi0.0: oscillator-stop detected.\n\
                   rtc-rv8803 1-0032: Voltage low, data loss detected.\n\
                   rx6110 spi0.0: Voltage low, data is invalid.\n\
                   rtc-ab-eoz9 1-0056: power-on reset detected, date is invalid\n\
                   rtc-pcf85063 1-0051: Power loss detected, invalid time\n\
                   rtc-pcf2123 spi0.0: clock was stopped. Time is not valid\n\
                   rtc-hym8563 1-0051: no valid clock/calendar values available\n\
                   rtc-m41t93 spi0.0: BL bit is set, replace battery.\n";
        assert_eq!(read(all).power_lost, all.lines().collect::<Vec<_>>());
        let none = "rtc-rv8803 1-0032: Voltage low, temperature compensation stopped.\nads7846 spi0.1: Low battery!\n";
        assert_eq!(read(none).power_lost, [] as [&str; 0]);
    }
}
