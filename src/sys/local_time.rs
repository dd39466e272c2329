//! The local time of this machine, for a hardware clock that keeps it.
#![expect(unsafe_code, reason = "localtime_r(3) is in no safe crate")]

use crate::decision::Realtime;

/// Local time minus UTC at that moment, seconds, by the system's own zone (/etc/localtime, or TZ).
#[must_use]
pub fn utc_offset_secs(at: Realtime) -> Option<i64> {
    let secs: libc::time_t = at.as_secs();
    // SAFETY: struct tm is plain numbers and one pointer, for which all zero bits are a value.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to whole structures that live across the call; no other thread changes TZ meanwhile.
    let done = unsafe { libc::localtime_r(&raw const secs, &raw mut local) };
    (!done.is_null()).then_some(local.tm_gmtoff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_lies_within_a_day_of_utc() {
        let offset = utc_offset_secs(Realtime::from_secs(1_793_491_200)).unwrap();
        assert!(offset.abs() <= 15 * 3600 && offset % 60 == 0, "{offset}");
    }
}
