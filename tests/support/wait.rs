//! Waiting for a condition, never longer than a deadline.

use std::time::Duration;

use clockgate::sys::clock::boottime;
use clockgate::sys::nap;

use super::outcome::{Outcome, fail};

/// Waits for a condition, and fails when it has not come after `limit`.
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Outcome {
    until_some(what, limit, || condition().then_some(()))
}

/// Asks until there is an answer, and fails when none has come after `limit`.
pub fn until_some<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Outcome<T> {
    until_answered(what, limit, || Ok(ask()))
}

/// The same for a question that can fail, which ends the wait.
pub fn until_answered<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let deadline = boottime() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if boottime() >= deadline {
            return fail(format!("{what}: not after {limit:?}"));
        }
        nap(Duration::from_millis(5));
    }
}
