//! How a bench that needs a guest begins and ends.

use std::process::ExitCode;

use crate::lab::{Outcome, fail, namespace};

/// Measures in a namespace of its own, unless something is `missing`.
pub fn run(missing: Option<String>, measure: fn() -> Outcome) -> ExitCode {
    let done = match missing {
        Some(missing) => fail(missing),
        None => namespace::enter(),
    };
    match done.and_then(|()| measure()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("the bench failed: {}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}
