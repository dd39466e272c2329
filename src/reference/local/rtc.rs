//! The battery-backed clock: whole seconds, and right for seconds after a restore before the stale system clock is written
//! into it. It is read as the first act after any event, speaks for a step or against it, and never asks for one alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bracket::undisturbed;
use crate::decision::{Leap, Offset, Reading, Realtime, ReferenceKind, Voice};
use crate::reference::BUILT;
use crate::sys::local_time;

/// Where the kernel lists them, below the root.
const CLASS: &str = "sys/class/rtc";
/// hwclock(8) notes in its third line what the clock keeps.
const ADJTIME: &str = "etc/adjtime";

const HALF_A_SECOND: Offset = Offset::from_nanos(500_000_000);
/// Half of the second that it shows, and half for who set it without regard to the fraction.
const RESOLUTION: Duration = Duration::from_secs(1);
/// What a crystal loses between two times that it is set, and is still called right.
const STILL_RIGHT: Duration = Duration::from_secs(5);
/// Zones lie apart by quarters of an hour, and from UTC by 14 hours at most.
const ZONE_STEP_SECS: i64 = 900;
const ZONE_MOST_SECS: i64 = 15 * 3600;
/// A time later than this is the nonsense of a dead battery.
const LATEST: Realtime = Realtime::from_secs(BUILT.as_secs() + 50 * 365 * 86_400);

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum RtcError {
    /// This machine has none.
    #[error("this machine has no RTC")]
    NotThere,
    /// The kernel does not give its time: it is not set, or its battery is dead.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What read(2) said.
        source: io::Error,
    },
    /// Its value is not a number.
    #[error("{} says `{text}`", path.display())]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// Its content.
        text: String,
    },
    /// A time that has certainly passed, or will not come: the battery is dead, or it was never set.
    #[error("{} shows {secs} s since 1970, which is impossible", path.display())]
    Implausible {
        /// The file.
        path: PathBuf,
        /// The time in it.
        secs: i64,
    },
    /// The system clock was moved while it was read.
    #[error("the system clock was moved while the RTC was read")]
    Disturbed,
}

/// What a clock keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// UTC, as all but those do that share a machine with Windows.
    Utc,
    /// The local time of this machine's zone.
    Local,
}

/// What a clock turned out to be worth, at a moment when the system clock was proven right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It shows the time.
    Right,
    /// It shows local time, and `/etc/adjtime` does not say so.
    Shifted(Offset),
    /// It shows an arbitrary time, and counts for nothing.
    Wrong,
}

/// The clock's time against the system's, as the machine says that it is kept.
///
/// # Errors
/// [`RtcError`]
pub fn evidence(root: &Path) -> Result<Reading, RtcError> {
    read(root, keeps(root))
}

/// The clock's time against the system's.
///
/// # Errors
/// [`RtcError`]
pub fn read(root: &Path, keeps: Keeps) -> Result<Reading, RtcError> {
    let path = find(root).ok_or(RtcError::NotThere)?.join("since_epoch");
    let (moment, text) = undisturbed(|| fs::read_to_string(&path)).ok_or(RtcError::Disturbed)?;
    let text = text.map_err(|source| RtcError::Unreadable { path: path.clone(), source })?;
    let Ok(secs) = text.trim().parse() else {
        return Err(RtcError::NoNumber { path, text: text.trim().to_owned() });
    };
    let shown = in_utc(Realtime::from_secs(secs), keeps);
    if shown < BUILT || shown > LATEST {
        return Err(RtcError::Implausible { path, secs });
    }
    let half_way = Offset::from_nanos(i64::try_from(moment.took.as_nanos() / 2).unwrap_or(i64::MAX));
    Ok(Reading {
        source: "rtc".to_owned(),
        voice: Voice::server("rtc"),
        kind: ReferenceKind::Rtc,
        as_of: moment.as_of,
        local: moment.local,
        offset: (shown + HALF_A_SECOND) - (moment.local + half_way),
        root_distance: RESOLUTION + moment.took / 2,
        authenticated: false,
        leap: Leap::None,
        stratum: None,
        delay: Some(moment.took),
        upstream: None,
    })
}

/// What the clock shows, right or wrong, in UTC or local time as it keeps it.
///
/// # Errors
/// [`RtcError::NotThere`], [`RtcError::Unreadable`] and [`RtcError::NoNumber`].
pub fn shown(root: &Path) -> Result<Realtime, RtcError> {
    let path = find(root).ok_or(RtcError::NotThere)?.join("since_epoch");
    let text = fs::read_to_string(&path).map_err(|source| RtcError::Unreadable { path: path.clone(), source })?;
    let secs = text.trim().parse().map_err(|_| RtcError::NoNumber { path, text: text.trim().to_owned() })?;
    Ok(Realtime::from_secs(secs))
}

/// What hwclock(8) or the installer noted. The kernel does not know, and a machine that says nothing keeps UTC.
#[must_use]
pub fn keeps(root: &Path) -> Keeps {
    noted(&fs::read_to_string(root.join(ADJTIME)).unwrap_or_default())
}

/// What such a file says (adjtime(5)).
#[must_use]
pub fn noted(adjtime: &str) -> Keeps {
    if adjtime.lines().nth(2).is_some_and(|line| line.trim() == "LOCAL") { Keeps::Local } else { Keeps::Utc }
}

/// Judges the clock by a reading of it at a moment when the system clock was proven right.
#[must_use]
pub fn worth(at_a_good_time: &Reading) -> Worth {
    let slack = STILL_RIGHT + at_a_good_time.root_distance;
    if at_a_good_time.offset.abs() <= slack {
        return Worth::Right;
    }
    let secs = at_a_good_time.offset.as_nanos() / 1_000_000_000;
    let zone = (secs + ZONE_STEP_SECS / 2).div_euclid(ZONE_STEP_SECS) * ZONE_STEP_SECS;
    let shift = Offset::from_secs(zone);
    let is_a_zone = zone.abs() <= ZONE_MOST_SECS && (at_a_good_time.offset - shift).abs() <= slack;
    if is_a_zone { Worth::Shifted(shift) } else { Worth::Wrong }
}

/// What a reading says, by what the clock is worth; nothing if that is nothing.
#[must_use]
pub fn believed(reading: Reading, worth: Worth) -> Option<Reading> {
    match worth {
        Worth::Right => Some(reading),
        Worth::Shifted(shift) => Some(Reading { offset: reading.offset - shift, ..reading }),
        Worth::Wrong => None,
    }
}

/// The clock that the kernel set the system's from, or else the first.
fn find(root: &Path) -> Option<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(root.join(CLASS)).ok()?.flatten().map(|entry| entry.path()).collect();
    all.sort();
    let set_from = |path: &PathBuf| fs::read_to_string(path.join("hctosys")).is_ok_and(|is| is.trim() == "1");
    all.iter().find(|path| set_from(path)).or(all.first()).cloned()
}

fn in_utc(shown: Realtime, keeps: Keeps) -> Realtime {
    let offset = match keeps {
        Keeps::Utc => 0,
        // The offset of the shown time, not of the true one: the same but for an hour at the two changes of a year.
        Keeps::Local => local_time::utc_offset_secs(shown).unwrap_or(0),
    };
    shown + Offset::from_secs(-offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Boottime;
    use crate::sys::clock::realtime;

    /// A folder in place of /sys and /etc, with an RTC so far ahead of the system clock.
    fn fake(ahead_secs: i64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), "rtc0", realtime().as_secs() + ahead_secs);
        root
    }

    fn set(root: &Path, name: &str, secs: i64) {
        let folder = root.join(CLASS).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("since_epoch"), format!("{secs}\n")).unwrap();
    }

    fn within(reading: &Reading, secs: i64) -> bool {
        (reading.offset - Offset::from_secs(secs)).abs() <= reading.root_distance
    }

    #[test]
    fn an_rtc_that_went_on_says_how_much_is_missing() {
        let reading = evidence(fake(60).path()).unwrap();
        assert!(within(&reading, 60) && reading.kind == ReferenceKind::Rtc, "{reading:?}");
        assert!(within(&evidence(fake(-3).path()).unwrap(), -3));
    }

    #[test]
    fn the_rtc_that_the_system_was_set_from_is_the_one() {
        let root = fake(60);
        set(root.path(), "rtc1", realtime().as_secs() + 7);
        fs::write(root.path().join(CLASS).join("rtc1/hctosys"), "1\n").unwrap();
        assert!(within(&evidence(root.path()).unwrap(), 7));
    }

    #[test]
    fn no_rtc_a_dead_battery_and_nonsense_are_different_errors() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(evidence(root.path()), Err(RtcError::NotThere)));
        for secs in [0, 946_684_800, 4_102_444_800 * 2] {
            set(root.path(), "rtc0", secs);
            assert!(matches!(evidence(root.path()), Err(RtcError::Implausible { .. })), "{secs}");
        }
        fs::write(root.path().join(CLASS).join("rtc0/since_epoch"), "never\n").unwrap();
        assert!(matches!(evidence(root.path()), Err(RtcError::NoNumber { .. })));
        // The kernel answers EINVAL for an invalid time; a folder in the file's place is an error as well.
        fs::remove_file(root.path().join(CLASS).join("rtc0/since_epoch")).unwrap();
        fs::create_dir(root.path().join(CLASS).join("rtc0/since_epoch")).unwrap();
        assert!(matches!(evidence(root.path()), Err(RtcError::Unreadable { .. })));
    }

    #[test]
    fn the_third_line_of_adjtime_shows_local_time() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(keeps(root.path()), Keeps::Utc);
        fs::create_dir(root.path().join("etc")).unwrap();
        for (text, expected) in
            [("0.0 0 0.0\n0\nUTC\n", Keeps::Utc), ("0.0 0 0.0\n0\nLOCAL\n", Keeps::Local), ("LOCAL\n", Keeps::Utc)]
        {
            fs::write(root.path().join(ADJTIME), text).unwrap();
            assert_eq!(keeps(root.path()), expected, "{text}");
        }
    }

    #[test]
    fn local_time_without_an_entry_in_adjtime_is_recognised_by_a_good_time() {
        let at = |nanos| Reading {
            source: "rtc".to_owned(),
            voice: Voice::server("rtc"),
            kind: ReferenceKind::Rtc,
            as_of: Boottime::from_nanos(1),
            local: BUILT,
            offset: Offset::from_nanos(nanos),
            root_distance: RESOLUTION,
            authenticated: false,
            leap: Leap::None,
            stratum: None,
            delay: None,
            upstream: None,
        };
        assert_eq!(worth(&at(1_400_000_000)), Worth::Right);
        let india = Offset::from_secs(19_800);
        assert_eq!(worth(&at(19_800_300_000_000)), Worth::Shifted(india));
        assert_eq!(worth(&at(-3_600_800_000_000)), Worth::Shifted(Offset::from_secs(-3600)));
        assert_eq!(worth(&at(400_000_000_000)), Worth::Wrong);
        assert_eq!(worth(&at(90_000_000_000_000)), Worth::Wrong);
        let lost_a_minute = believed(at(19_860_000_000_000), Worth::Shifted(india)).unwrap();
        assert_eq!(lost_a_minute.offset, Offset::from_secs(60));
        assert_eq!(believed(at(0), Worth::Wrong), None);
    }
}
