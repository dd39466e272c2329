//! Durations as people write them: `50ms`, `30s`, `2min`, `1h`, `365d`; never a bare number.

use std::time::Duration;

const UNITS: [(&str, u64); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Parses one whole number and its unit.
///
/// # Errors
/// A sentence that says which part was wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!(
            "invalid duration `{text}`: expected a whole number and a unit, as in 50ms, 30s, 2min, 1h"
        ));
    }
    let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()) else {
        return Err(format!("unknown unit in `{text}`: use ns, us, ms, s, min, h or d"));
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is too large"))?;
    number.checked_mul(*nanos).map(Duration::from_nanos).ok_or_else(|| format!("`{text}` is too large"))
}

/// Prints a duration in the largest unit that holds it whole.
#[must_use]
pub fn print(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (unit, size) = [
        ("d", UNITS[8].1),
        ("h", UNITS[7].1),
        ("min", UNITS[4].1),
        ("s", UNITS[5].1),
        ("ms", UNITS[3].1),
        ("us", UNITS[1].1),
    ]
    .into_iter()
    .find(|(_, size)| nanos != 0 && nanos.is_multiple_of(*size))
    .unwrap_or(if nanos == 0 { ("s", 1) } else { ("ns", 1) });
    format!("{}{unit}", nanos / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_parsed() {
        for text in ["50ms", "30s", "2min", "1h", "365d", "17us", "3ns", "0s"] {
            assert_eq!(parse(text).map(print).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_bare_number_a_sign_and_a_huge_one_are_refused() {
        for text in ["5", "-5s", "", "s", "1.5s", "99999999999999999999s", "999999999999d", "5 parsecs"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("5 ms"), Ok(Duration::from_millis(5)));
    }
}
