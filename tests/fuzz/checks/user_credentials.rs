//! Caches of a user's credentials: only their end is read, it is within the calendar, and keys that have no reader change nothing.

use clockgate::cli::user_credentials::{role, session};
use clockgate::explain::Lifetime;

/// The end of the year 9999, which has the last four digits; a zone may add a day.
const LAST: i64 = 253_402_300_800 + 86_400;

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    for read in [role, session] {
        let found = read(text);
        assert!(found.is_none() || serde_json::from_str::<serde_json::Value>(text).is_ok(), "no JSON, and read");
        if let Some(Some(Lifetime { until, from, line, .. })) = found {
            let until = until.expect("an end").as_secs();
            assert!((-LAST..LAST).contains(&until), "{until}");
            assert_eq!((from, line), (None, None));
        }
        if let Some(rest) = text.trim_start().strip_prefix('{').filter(|rest| rest.trim_start().starts_with('"')) {
            let more = format!("{{\"unknown\":{{\"Expiration\":0}},{rest}");
            assert_eq!(read(&more), found, "with a key that has no reader");
        }
    }
}
