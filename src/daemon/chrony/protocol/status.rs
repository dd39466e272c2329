//! chronyd's answers in words.

use std::fmt;

/// The status word of a reply (chrony's candm.h, STT_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Success,
    /// Tried, and it did not work.
    Failed,
    /// Not allowed over this socket: UDP is for reading only.
    Unauthorised,
    /// This chronyd does not know the command: it is older than the command.
    Invalid,
    /// It has no source of that address or number.
    NoSuchSource,
    /// A feature that its configuration leaves out.
    NotEnabled,
    /// It is not taking part in what was asked for.
    Inactive,
    /// A packet of another protocol version.
    BadVersion,
    /// A packet of another length than this chronyd expects.
    BadLength,
    /// A status that belongs to commands we do not send, or to a later chronyd.
    Other(u16),
}

impl Status {
    /// From the number in a reply.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::Failed,
            2 => Self::Unauthorised,
            3 => Self::Invalid,
            4 => Self::NoSuchSource,
            6 => Self::NotEnabled,
            15 => Self::Inactive,
            18 => Self::BadVersion,
            19 => Self::BadLength,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Status {
    /// What it says, and what to do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("done"),
            Self::Failed => f.write_str("chronyd tried and failed; its own log says why"),
            Self::Unauthorised => {
                f.write_str("not authorised: chronyd accepts this over its Unix socket only, from root or its own user")
            }
            Self::Invalid => f.write_str("unknown command: this chronyd is older than the command"),
            Self::NoSuchSource => f.write_str("it has no such source"),
            Self::NotEnabled => f.write_str("not enabled in chronyd's configuration"),
            Self::Inactive => f.write_str("not active in chronyd"),
            Self::BadVersion => f.write_str("chronyd uses another version of the command protocol than 6"),
            Self::BadLength => f.write_str("chronyd expects a packet of another length: its version is unknown"),
            Self::Other(code) => write!(f, "status {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_words_that_say_what_to_do() {
        assert!(Status::from_code(2).to_string().contains("Unix socket"));
        assert!(Status::from_code(3).to_string().contains("older than the command"));
        assert_eq!(Status::from_code(7).to_string(), "status 7");
    }
}
