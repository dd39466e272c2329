//! The RTC, by what the kernel shows to anybody.

use std::fs;
use std::path::Path;

use crate::daemon::inspection::SAVED_CLOCKS;
use crate::decision::Realtime;
use crate::error_chain::in_full;
use crate::reference::BUILT;
use crate::reference::local::rtc::{self, Keeps};
use crate::sys::rtc::power_flags;

/// The RTC that `hctosys` reads, by systemd's and udev's own name.
const DEVICE: &str = "/dev/rtc0";
/// drivers/rtc/rtc-cmos.c: only a PC's own clock has this file.
const PROC: &str = "proc/driver/rtc";
/// kernel/time/ntp.c, sync_hw_clock: either of them writes it.
const WRITERS: [&str; 2] = ["CONFIG_RTC_SYSTOHC=y", "CONFIG_GENERIC_CMOS_UPDATE=y"];

/// The RTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HardwareFacts {
    /// What it shows; none where the root has no `/sys` to look in.
    pub rtc: Option<RtcState>,
    /// Whether it is noted to keep local time.
    pub keeps_local: bool,
    /// What /proc/driver/rtc says of its battery.
    pub battery: Option<String>,
    /// What its driver says of its power when it is asked; none where that was not tried.
    pub power: Option<RtcPower>,
    /// A file by which the clock is set at boot where there is no RTC.
    pub saved_time: Option<&'static str>,
    /// Whether the kernel sets the system clock from it at boot; none where the kernel does not tell.
    pub is_read_at_boot: Option<bool>,
    /// Whether the kernel sets it from the system clock while that is synchronised; none where its configuration is not there.
    pub is_written: Option<bool>,
    /// What firmware or device tree call the board; none where they do not.
    pub board: Option<String>,
}

/// What the RTC shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtcState {
    /// There is none.
    NotThere,
    /// This, in UTC or local time as it is noted to keep it.
    Shows(Realtime),
    /// It cannot be read, in words.
    Unreadable(String),
}

/// What the driver of the RTC answers to RTC_VL_READ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcPower {
    /// These bits of linux/rtc.h.
    Flags(u32),
    /// We may not ask.
    NotPermitted,
    /// The driver has no answer.
    Unknown,
}

impl HardwareFacts {
    /// Whether what it shows has certainly passed: it lost its power.
    #[must_use]
    pub fn shows_nonsense(&self) -> bool {
        matches!(&self.rtc, Some(RtcState::Shows(shown)) if *shown < BUILT)
    }
}

pub fn gather(root: &Path) -> HardwareFacts {
    let rtc = root.join("sys/class").is_dir().then(|| match rtc::shown(root) {
        Ok(shown) => RtcState::Shows(shown),
        Err(rtc::RtcError::NotThere) => RtcState::NotThere,
        Err(error) => RtcState::Unreadable(in_full(&error)),
    });
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let battery = text(PROC).and_then(|text| {
        let status = text.lines().find_map(|line| line.strip_prefix("batt_status"))?;
        Some(status.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    });
    let board = text("proc/device-tree/model").or_else(|| text("sys/class/dmi/id/product_name"));
    let config = text("proc/sys/kernel/osrelease").and_then(|release| text(&format!("boot/config-{}", release.trim())));
    let power = (root == Path::new("/") && rtc.as_ref().is_some_and(|rtc| *rtc != RtcState::NotThere)).then(power);
    HardwareFacts {
        power,
        is_written: config.map(|config| WRITERS.iter().any(|option| config.lines().any(|line| line == *option))),
        rtc,
        keeps_local: rtc::keeps(root) == Keeps::Local,
        battery,
        saved_time: SAVED_CLOCKS.into_iter().find(|file| root.join(file).exists()),
        is_read_at_boot: text("sys/class/rtc/rtc0/hctosys").map(|text| text.trim() == "1"),
        board: board.map(|board| board.trim_end_matches('\0').trim().to_owned()).filter(|board| !board.is_empty()),
    }
}

fn power() -> RtcPower {
    match power_flags(Path::new(DEVICE)) {
        Ok(flags) => RtcPower::Flags(flags),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => RtcPower::NotPermitted,
        Err(_) => RtcPower::Unknown,
    }
}
