//! A moment as people write it: `2026-11-24T12:00:00.25Z` (RFC 3339, as `date -Ins` or `date --rfc-3339=ns` prints it) or
//! `@1795521600.25` (seconds since 1970, as `date +@%s.%N` does).

use jiff::{SignedDuration, Timestamp};
use regex_lite::Regex;

use crate::decision::Realtime;

/// jiff reads more than RFC 3339 has: no seconds, leap seconds, zones without a colon or longer than a day.
const RFC3339: &str = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:[0-5]\d([.,]\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$";
const SINCE_1970: &str = r"^\d{1,10}(\.\d{1,9})?$";

/// Parses a moment.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse(text: &str) -> Result<Realtime, String> {
    let parsed = match text.strip_prefix('@') {
        Some(seconds) => since_1970(seconds),
        None => rfc3339(text),
    };
    parsed.map(Realtime::from_nanos).ok_or_else(|| {
        format!(
            "invalid time `{text}`: expected 2026-11-24T12:00:00.25Z or @1795521600.25 (as `date +@%s.%N` prints it)"
        )
    })
}

/// `1795521600.25`
fn since_1970(text: &str) -> Option<i64> {
    let length: SignedDuration = format!("{}s", shaped(SINCE_1970, text)?).parse().ok()?;
    i64::try_from(length.as_nanos()).ok()
}

/// `2026-11-24T13:00:00.25+01:00`; GNU date has a comma in place of the point, or a blank in that of the T.
fn rfc3339(text: &str) -> Option<i64> {
    let at: Timestamp = shaped(RFC3339, text)?.parse().ok()?;
    i64::try_from(at.as_nanosecond()).ok().filter(|nanos| *nanos >= 0)
}

fn shaped<'t>(shape: &str, text: &'t str) -> Option<&'t str> {
    Regex::new(shape).is_ok_and(|shape| shape.is_match(text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_date_prints_is_understood() {
        for (text, secs, nanos) in [
            ("@1795521600", 1_795_521_600, 0),
            ("@1795521600.25", 1_795_521_600, 250_000_000),
            ("@1795521600.000000001", 1_795_521_600, 1),
            ("2026-11-24T12:00:00Z", 1_795_521_600, 0),
            ("2026-11-24t12:00:00.5z", 1_795_521_600, 500_000_000),
            ("2026-11-24T13:00:00,123456789+01:00", 1_795_521_600, 123_456_789),
            ("2026-11-24 03:30:00.25-08:30", 1_795_521_600, 250_000_000),
            ("2000-02-29T00:00:00Z", 951_782_400, 0),
            ("2000-03-01T00:00:00Z", 951_868_800, 0),
            ("2100-03-01T00:00:00Z", 4_107_542_400, 0),
            ("1970-01-01T00:00:00Z", 0, 0),
        ] {
            let wanted = Realtime::from_nanos(secs * 1_000_000_000 + nanos);
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wanted() {
        for text in [
            "",
            "@",
            "now",
            "1795521600",
            "@-5",
            "@5.",
            "@.5",
            "@1.1234567890",
            "@99999999999",
            "@9999999999.5x",
            "2026-11-24",
            "2026-11-24T12:00:00",
            "2026-11-24T12:00Z",
            "2026-13-01T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2100-02-29T12:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T12:00:60Z",
            "2026-11-24T12:00:00.Z",
            "2026-11-24T12:00:00+0100",
            "2026-11-24T12:00:00+24:00",
            "2300-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-24T12:00:00Z ",
            "2026é11-24T12:00:00Z",
            "+026-11-24T12:00:00Z",
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains("expected"), "{text}: {refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_moment_or_an_error(text in ".{0,40}") {
            let _ = (parse(&text), parse(&format!("@{text}")), parse(&format!("2026-11-24T12:00:00{text}")));
        }
    }
}
