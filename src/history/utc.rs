//! A time as it is printed, in UTC.

use jiff::Timestamp;

use crate::decision::Realtime;

/// A time to the millisecond: `2026-11-24T12:00:00.250Z`.
#[must_use]
pub fn utc(time: Realtime) -> String {
    utc_as(time, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

/// A time in another form, as strftime has it; `?` for one that no calendar has.
#[must_use]
pub fn utc_as(time: Realtime, format: &str) -> String {
    let stamp = Timestamp::from_nanosecond(time.as_nanos().into());
    stamp.map_or_else(|_| "?".to_owned(), |stamp| stamp.strftime(format).to_string())
}

/// That nothing is there of what was asked for, where the history has records between these two times, or none at all.
#[must_use]
pub fn none_of(ends: Option<(Realtime, Realtime)>) -> String {
    match ends {
        Some((from, until)) => {
            format!("nothing of that is recorded: the history is from {} to {}", utc(from), utc(until))
        }
        None => "nothing is recorded".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_milliseconds() {
        assert_eq!(utc(Realtime::from_nanos(1_795_521_600_250_999_999)), "2026-11-24T12:00:00.250Z");
        assert_eq!(utc_as(Realtime::from_nanos(-1), "%Y"), "1969");
    }
}
