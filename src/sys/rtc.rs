//! The power of an RTC, as its driver reports it (linux/rtc.h).
#![expect(unsafe_code, reason = "ioctl(2)")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// RTC_VL_DATA_INVALID: the power was lost, and the time with it.
pub const TIME_LOST: u32 = 1;
/// RTC_VL_BACKUP_LOW.
pub const BATTERY_LOW: u32 = 2;
/// RTC_VL_BACKUP_EMPTY.
pub const BATTERY_EMPTY: u32 = 4;

/// What the driver reports of the device's power. One process at a time can have it open, and it is closed at once.
///
/// # Errors
/// What open(2) or ioctl(2) said; ENOTTY and EINVAL where the driver reports nothing.
pub fn power_flags(path: &Path) -> io::Result<u32> {
    let device = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut flags = 0;
    // SAFETY: the kernel writes one unsigned int, which lives across the call.
    unsafe { abi::rtc_vl_read(device.as_raw_fd(), &raw mut flags) }?;
    Ok(flags)
}

mod abi {
    nix::ioctl_read!(
        /// RTC_VL_READ.
        rtc_vl_read,
        b'p',
        0x13,
        libc::c_uint
    );
}
