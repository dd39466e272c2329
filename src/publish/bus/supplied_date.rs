//! A web server's `Date` that a caller has measured, for the agent to step by.

use std::time::Duration;

use super::error::MethodError;
use crate::decision::{Boottime, HttpDate, Offset, PeerCheck, Realtime};
use crate::reference::http::HttpUrl;
use crate::sys::clock::boottime;

/// How old the measurement of a web server may be: its questions take some ten seconds.
const ASKED_WITHIN: Duration = Duration::from_secs(60);

/// The measurement as a caller supplies it: whether the server's certificate was verified; the clock when the question was asked; that
/// moment on `CLOCK_BOOTTIME`; the server's time minus the clock's; how far that may be off. All in nanoseconds.
///
/// # Errors
/// [`MethodError::InvalidArgument`], where the URL is none or the moment is not within the last minute.
pub(super) fn supplied_date(url: &str, verified: bool, date: (i64, u64, i64, u64)) -> Result<HttpDate, MethodError> {
    let source = url.parse::<HttpUrl>().map_err(|error| MethodError::InvalidArgument(error.to_string()))?.to_string();
    let as_of = Boottime::from_nanos(date.1);
    let now = boottime();
    if as_of > now || now.since(as_of) > ASKED_WITHIN {
        let why = format!("that was measured at another time than within the last {} s", ASKED_WITHIN.as_secs());
        return Err(MethodError::InvalidArgument(why));
    }
    Ok(HttpDate {
        source,
        peer: if verified { PeerCheck::Verified } else { PeerCheck::Unverified },
        as_of,
        local: Realtime::from_nanos(date.0),
        offset: Offset::from_nanos(date.2),
        measured: Duration::from_nanos(date.3),
        delay: Duration::ZERO,
        answers: 1,
    })
}
