//! The system clock, by this host's own files and its kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::daemon::inspection::{FIRST_SYNC_FLAG, SAVED_CLOCKS};
use crate::decision::{Floor, Realtime};
use crate::sys::adjtimex::{self, KernelClock};
use crate::sys::clock::realtime;
use crate::sys::local_time::utc_offset_secs;

const LOGS: &str = "var/log";
/// Where programs look for zones.
const ZONES: [&str; 2] = ["/usr/share/zoneinfo", "/etc/zoneinfo"];
/// Made with the distribution's image: systemd takes no earlier time at boot (src/shared/clock-util.c).
const EPOCH: &str = "usr/lib/clock-epoch";
/// What a file may be ahead by: it was written while the clock was slewed, or by another machine over the network.
const SLACK_SECS: i64 = 60;

/// The system clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockFacts {
    /// What it said; none for an image that is not running.
    pub local: Option<Realtime>,
    /// The kernel's clock; none where it was not asked.
    pub kernel: Option<KernelClock>,
    /// What it cannot be before.
    pub floor: Floor,
    /// Files that were written later than the clock says that it is.
    pub future: Vec<FutureFile>,
    /// Whether systemd's flag of a first synchronisation is there; nothing ever removes it.
    pub has_systemds_flag: bool,
    /// The time zone.
    pub zone: ZoneFacts,
}

/// A file from the future.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FutureFile {
    /// Its path below the root.
    pub path: PathBuf,
    /// When it was written.
    pub written: Realtime,
}

/// The time zone of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneFacts {
    /// Local time minus UTC, seconds; none for an image that is not running.
    pub offset_secs: Option<i64>,
    /// The zone that /etc/localtime leads to; none where it is not a link to one.
    pub localtime: Option<String>,
    /// Whether /etc/localtime leads to a file.
    pub localtime_exists: bool,
    /// The name in /etc/timezone.
    pub timezone: Option<String>,
    /// The zone in TZ that has no file, so that programs take UTC without a warning.
    pub tz_without_data: Option<String>,
}

pub fn gather(root: &Path, floor: Floor) -> ClockFacts {
    let is_running = root == Path::new("/");
    let local = is_running.then(realtime);
    let future = local.map(|local| future(root, local)).unwrap_or_default();
    ClockFacts {
        local,
        kernel: is_running.then(adjtimex::read).and_then(Result::ok),
        floor,
        future,
        has_systemds_flag: root.join(FIRST_SYNC_FLAG).exists(),
        zone: zone(root, local),
    }
}

fn future(root: &Path, local: Realtime) -> Vec<FutureFile> {
    let logs = fs::read_dir(root.join(LOGS)).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = SAVED_CLOCKS.iter().chain([&EPOCH]).map(|file| root.join(file)).chain(logs);
    let written = |path: PathBuf| {
        let modified = fs::symlink_metadata(&path).and_then(|meta| meta.modified()).ok()?;
        let since = modified.duration_since(UNIX_EPOCH).ok()?;
        let written = Realtime::from_nanos(i64::try_from(since.as_nanos()).ok()?);
        let path = Path::new("/").join(path.strip_prefix(root).ok()?);
        ((written - local).as_nanos() / 1_000_000_000 > SLACK_SECS).then_some(FutureFile { path, written })
    };
    let mut files: Vec<FutureFile> = files.filter_map(written).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.written));
    files
}

fn zone(root: &Path, local: Option<Realtime>) -> ZoneFacts {
    let localtime = root.join("etc/localtime");
    let target = fs::read_link(&localtime).ok();
    let named =
        target.as_ref().and_then(|target| target.to_str()?.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned()));
    // The link is the root's own: below another root it leads elsewhere for us.
    let exists = target.as_ref().map_or_else(
        || localtime.exists(),
        |target| match target.strip_prefix("/") {
            Ok(absolute) => root.join(absolute).exists(),
            Err(_) => root.join("etc").join(target).exists(),
        },
    );
    let timezone = fs::read_to_string(root.join("etc/timezone")).ok().map(|text| text.trim().to_owned());
    let tz = local.and_then(|_| std::env::var("TZ").ok());
    // `UTC0` and its like have no file and need none.
    let is_name = |tz: &String| tz.contains('/') && !tz.contains([',', '<']);
    // glibc looks where TZDIR says, as it does on NixOS, and musl in two of these.
    let folders =
        std::env::var_os("TZDIR").map_or_else(|| ZONES.map(PathBuf::from).to_vec(), |folder| vec![folder.into()]);
    let has_file = |tz: &str| folders.iter().any(|folder| folder.join(tz.trim_start_matches(':')).exists());
    ZoneFacts {
        offset_secs: local.and_then(utc_offset_secs),
        localtime: named,
        localtime_exists: exists,
        timezone: timezone.filter(|zone| !zone.is_empty()),
        tz_without_data: tz.filter(is_name).filter(|tz| !has_file(tz)),
    }
}
