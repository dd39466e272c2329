//! The kiss of death: a server says that it does not want to be asked, or not so often (RFC 5905 section 7.4).

use std::fmt;
use std::time::Duration;

/// What a stratum of zero says instead of the time (RFC 5905 section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kiss {
    /// We ask too often.
    Rate {
        /// The poll interval that it wants us to keep (RFC 5905 section 7.4; `ntpd` and chronyd send their own limit in it).
        poll: Duration,
    },
    /// We may not ask at all.
    Deny,
    /// We may not ask, by a rule of the server's administrator.
    Restricted,
    /// Something else, which asks nothing of us.
    Other([u8; 4]),
}

impl Kiss {
    /// Four letters, which a zero in their place is not: that is how chronyd says that it has no reference at all.
    pub(super) fn from_code(code: [u8; 4], poll: Duration) -> Option<Self> {
        match &code {
            b"RATE" => Some(Self::Rate { poll }),
            b"DENY" => Some(Self::Deny),
            b"RSTR" => Some(Self::Restricted),
            letters if letters.iter().all(u8::is_ascii_graphic) => Some(Self::Other(code)),
            _ => None,
        }
    }
}

impl fmt::Display for Kiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { .. } => f.write_str("RATE"),
            Self::Deny => f.write_str("DENY"),
            Self::Restricted => f.write_str("RSTR"),
            Self::Other(code) => write!(f, "{}", code.escape_ascii()),
        }
    }
}
