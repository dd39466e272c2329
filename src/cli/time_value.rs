//! A moment as people write it: `2026-11-24T12:00:00.25Z` (RFC 3339, as `date -Ins` or `date --rfc-3339=ns` prints it) or
//! `@1795521600.25` (seconds since 1970, as `date +@%s.%N` does).

use crate::decision::Realtime;

const NANOS_PER_SEC: i64 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;

/// Parses a moment.
///
/// # Errors
/// A sentence that says what is wanted.
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
    let (secs, frac) = text.split_once('.').unwrap_or((text, "0"));
    number(secs, ..=10)?.checked_mul(NANOS_PER_SEC)?.checked_add(nanos(frac)?)
}

/// `2026-11-24T13:00:00.25+01:00`; GNU date has a comma in place of the point, or a blank in that of the T.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    matches!(text.as_bytes()[10], b'T' | b't' | b' ').then_some(())?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (frac, zone) = rest.split_at(zone);
    let frac = if frac.is_empty() { 0 } else { nanos(frac.strip_prefix(['.', ','])?)? };
    let [year, month, day] = fields(date, '-')?;
    let [hour, minute, second] = fields(time, ':')?;
    let real = (1970..=2261).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let secs = days_since_1970(year, month, day) * SECS_PER_DAY + hour * 3600 + minute * 60 + second;
    let nanos = secs.checked_sub(ahead(zone)?)?.checked_mul(NANOS_PER_SEC)?.checked_add(frac)?;
    (real && nanos >= 0).then_some(nanos)
}

/// Seconds that a zone is ahead of UTC: `Z`, `+01:00`.
fn ahead(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2..=2)?, number(minutes, 2..=2)?);
    let secs = hours * 3600 + minutes * 60;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some(sign * secs)
}

/// Three numbers of a fixed width.
fn fields(text: &str, between: char) -> Option<[i64; 3]> {
    let (first, rest) = text.split_once(between)?;
    let (second, third) = rest.split_once(between)?;
    let width = first.len();
    Some([number(first, width..=width)?, number(second, 2..=2)?, number(third, 2..=2)?])
}

/// Digits after the point, as nanoseconds.
fn nanos(digits: &str) -> Option<i64> {
    number(digits, 1..=9)?;
    number(&format!("{digits:0<9}"), 9..=9)
}

/// Digits and nothing else, so many.
fn number(digits: &str, long: impl std::ops::RangeBounds<usize>) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (plain && long.contains(&digits.len())).then(|| digits.parse().ok())?
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |before: i64| (before - 1) / 4 - (before - 1) / 100 + (before - 1) / 400;
    let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1
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
            let wanted = Realtime::from_nanos(secs * NANOS_PER_SEC + nanos);
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
