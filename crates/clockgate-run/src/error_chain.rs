//! An error with its causes, in one line: the only place that prints them.

use std::error::Error;
use std::fmt::Write as _;

/// The error and each of its causes, separated by colons.
#[must_use]
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot {what}")]
    struct Layer {
        what: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn each_cause_is_printed_once_and_in_order() {
        let inner = Layer { what: "read", source: None };
        let middle = Layer { what: "open", source: Some(Box::new(inner)) };
        assert_eq!(in_full(&middle), "cannot open: cannot read");
        assert_eq!(
            in_full(&Layer { what: "start", source: Some(Box::new(middle)) }),
            "cannot start: cannot open: cannot read"
        );
    }
}
