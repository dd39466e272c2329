//! What the options of a waiter accept.

use std::path::PathBuf;
use std::time::Duration;

use crate::{NoAgent, OnTimeout, duration};

impl OnTimeout {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Open, Self::Fail];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fail => "fail",
        }
    }
}

impl NoAgent {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Measure, Self::Kernel, Self::Fail, Self::Open];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measure => "measure",
            Self::Kernel => "kernel",
            Self::Fail => "fail",
            Self::Open => "open",
        }
    }
}

/// How long to wait; none is for ever.
///
/// # Errors
/// A sentence that says which part was wrong.
pub fn patience(text: &str) -> Result<Option<Duration>, String> {
    if text == "infinity" { Ok(None) } else { duration::parse(text).map(Some) }
}

/// A folder that means the same wherever it is read.
///
/// # Errors
/// A sentence with an example.
pub fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("expected an absolute path, such as /run/clockgate/public".to_owned())
    }
}
