//! Times and lengths of time as other programs print them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::decision::Realtime;

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2026-06-27T14:00:00.5Z`, with any offset; UTC where there is none.
    Rfc3339,
    /// `Sat, 27 Jun 2026 14:00:00 GMT`.
    Rfc2822,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// Microseconds since 1970.
    UnixMicros,
    /// As strptime(3) has it; UTC where it has no zone.
    Strptime(String),
}

impl Format {
    /// From its name in a file, or a strptime(3) format.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "rfc3339" => Self::Rfc3339,
            "rfc2822" => Self::Rfc2822,
            "unix" => Self::Unix,
            "unix-ms" => Self::UnixMillis,
            "unix-us" => Self::UnixMicros,
            _ if name.contains('%') => Self::Strptime(name.to_owned()),
            _ => return None,
        })
    }

    /// Reads a time, if it is written so.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<Realtime> {
        let scaled = |nanos: i64| text.parse::<i64>().ok()?.checked_mul(nanos).map(Realtime::from_nanos);
        match self {
            Self::Rfc3339 => rfc3339(text),
            Self::Rfc2822 => {
                let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
                realtime(parser.parse_timestamp(text).ok()?)
            }
            Self::Unix => match text.split_once('.') {
                Some((whole, _)) => whole.parse::<i64>().ok()?.checked_mul(1_000_000_000).map(Realtime::from_nanos),
                None => scaled(1_000_000_000),
            },
            Self::UnixMillis => scaled(1_000_000),
            Self::UnixMicros => scaled(1_000),
            Self::Strptime(format) => {
                let parts = strtime::parse(format, text).ok()?;
                parts.to_timestamp().ok().or_else(|| utc(parts.to_datetime().ok()?)).and_then(realtime)
            }
        }
    }
}

/// RFC 3339, or the same without its offset, which is UTC then; more than nine digits after the point are cut.
fn rfc3339(text: &str) -> Option<Realtime> {
    let text = text.trim().trim_end_matches(" UTC");
    text.parse::<Timestamp>().ok().or_else(|| utc(text.parse().ok()?)).and_then(realtime)
}

fn utc(local: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(local).ok()
}

fn realtime(at: Timestamp) -> Option<Realtime> {
    i64::try_from(at.as_nanosecond()).ok().map(Realtime::from_nanos)
}

/// A length as programs print it: `15`, with its unit beside, `7h 39min 41s`, `8m0.64s`, `2 days`, `0.0034`.
pub(super) fn length(text: &str, unit: &str) -> Option<Duration> {
    let text = text.trim().trim_start_matches(['-', '+']);
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let per = match unit {
            "" | "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return None,
        };
        return Duration::try_from_secs_f64(text.parse::<f64>().ok()? * per).ok();
    }
    let span: Span = text.parse().ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

/// Date and time of day in UTC, `2026-06-27 14:00:00 UTC`.
pub(super) fn in_utc(at: Realtime) -> String {
    shown(at, "UTC")
}

/// The time of day so many seconds east of UTC, `16:00:00 local time`.
pub(super) fn in_zone(at: Realtime, zone_secs: i64) -> String {
    let local = Realtime::from_nanos(at.as_nanos().saturating_add(zone_secs.saturating_mul(1_000_000_000)));
    shown(local, "local time")
}

fn shown(at: Realtime, zone: &str) -> String {
    let stamp = Timestamp::from_second(at.as_secs()).unwrap_or_default();
    format!("{} {zone}", stamp.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_kinds_are_read() {
        let wanted = Some(Realtime::from_secs(1_782_568_800));
        for (format, text) in [
            ("%Y%m%dT%H%M%SZ", "20260627T140000Z"),
            ("rfc3339", "2026-06-27T14:00:00Z"),
            ("rfc3339", "2026-06-27T16:00:00+02:00"),
            ("rfc3339", "2026-06-27 14:00:00 UTC"),
            ("rfc3339", "2026-06-27T14:00:00"),
            ("rfc3339", "2026-06-27T14:00:00.0000000Z"),
            ("rfc2822", "Sat, 27 Jun 2026 14:00:00 GMT"),
            ("rfc2822", "Sat, 27 Jun 2026 17:00:00 +0300"),
            ("unix", "1782568800"),
            ("unix-ms", "1782568800000"),
            ("%m/%d/%Y %H:%M:%S", "06/27/2026 14:00:00"),
        ] {
            assert_eq!(Format::named(format).unwrap().parse(text), wanted, "{format} {text}");
        }
        assert_eq!(Format::Rfc3339.parse("nonsense"), None);
        assert_eq!(Format::UnixMillis.parse("99999999999999999999"), None);
    }

    #[test]
    fn lengths_of_all_kinds_are_read() {
        for (text, unit, millis) in [
            ("15", "min", 900_000),
            ("7h 39min 41s", "", 27_581_000),
            ("3d 2h", "", 266_400_000),
            ("8m0.64s", "", 480_640),
            ("8h59m59s", "", 32_399_000),
            ("500ms", "", 500),
            ("1000", "ms", 1000),
            ("-0.25", "s", 250),
            ("2 days", "", 172_800_000),
            ("1 second", "", 1000),
        ] {
            assert_eq!(length(text, unit), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(length("soon", "s"), None);
    }
}
