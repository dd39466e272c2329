//! How far off a clock may be for what people do with it: one table of names, numbers and sources. `run --for`, the label of a
//! container and the patterns of `explain` read it.

use std::time::Duration;

/// What a named use of the clock tolerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToleranceClass {
    /// Its name, `sigv4`.
    pub name: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// The most that the clock may be wrong; zero: the other side allows nothing, and only a proof will do.
    pub tolerance: Duration,
    /// Who says so.
    pub source: &'static str,
}

/// The table.
pub const CLASSES: [ToleranceClass; 6] = [
    ToleranceClass {
        name: "sigv4",
        what: "AWS, signatures of version 4",
        tolerance: Duration::from_secs(300),
        source: "the message prints it (5 min for most services, 15 min for STS and S3)",
    },
    ToleranceClass {
        name: "s3",
        what: "S3 and what speaks its protocol",
        tolerance: Duration::from_secs(900),
        source: "S3 documentation",
    },
    ToleranceClass {
        name: "kerberos",
        what: "Kerberos, Active Directory",
        tolerance: Duration::from_secs(300),
        source: "clockskew in krb5.conf",
    },
    ToleranceClass {
        name: "jwt",
        what: "JSON web tokens",
        tolerance: Duration::ZERO,
        source: "PyJWT and jsonwebtoken allow none by default",
    },
    ToleranceClass {
        name: "tls",
        what: "TLS certificates",
        tolerance: Duration::ZERO,
        source: "RFC 5280, section 4.1.2.5",
    },
    ToleranceClass {
        name: "ceph",
        what: "Ceph's monitors",
        tolerance: Duration::from_millis(50),
        source: "mon_clock_drift_allowed",
    },
];

impl ToleranceClass {
    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.name == name)
    }

    /// Its row in the documentation.
    #[must_use]
    pub fn row(&self) -> String {
        format!("| `{}` | {} | {} | {} |", self.name, self.what, crate::duration::print(self.tolerance), self.source)
    }
}

/// A duration that is not zero, or the name of a class.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    ToleranceClass::named(text).map_or_else(|| duration(text), |class| Ok(class.tolerance))
}

/// A duration that is not zero.
///
/// # Errors
/// A sentence that says what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    match crate::duration::parse(text)? {
        Duration::ZERO => Err("no clock is right to 0s; wait for a proof with --require-proof".to_owned()),
        tolerance => Ok(tolerance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_and_a_name_are_read_and_nothing_else() {
        assert_eq!(parse("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse(" s3"), Ok(Duration::from_secs(900)));
        assert_eq!(parse("tls"), Ok(Duration::ZERO));
        assert!(parse("0s").is_err() && parse("sigv5").is_err() && parse("60").is_err());
    }
}
