//! What an HTTP server's `Date` says of the clock. It is a type of its own, and nothing turns it into a [`super::Reading`]: an
//! exchange, a majority and a proof are made of readings, so a `Date` takes part in none of them.

use std::fmt;
use std::time::Duration;

use super::time::{Boottime, Offset, Realtime, bound_in_words, drift};

/// How wrong the clock of a server that says nothing of it may be: the `Date` of RFC 9110 section 6.6.1 is whole seconds of a clock
/// of unknown accuracy.
pub const SERVERS_OWN_ERROR: Duration = Duration::from_secs(1);

/// Whether it is known who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerCheck {
    /// By a certificate that was verified, chain and name, at the time received.
    Verified,
    /// Plain HTTP: any machine on the path can have answered.
    Unverified,
}

/// One measurement of the clock by the `Date` of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDate {
    /// The URL that was asked.
    pub source: String,
    /// Whether it is known who answered.
    pub peer: PeerCheck,
    /// When the first question was asked, taken before it was asked.
    pub as_of: Boottime,
    /// What the system clock said at `as_of`.
    pub local: Realtime,
    /// The server's time minus local, the middle of what was measured.
    pub offset: Offset,
    /// Half the width of what was measured.
    pub measured: Duration,
    /// The shortest round trip.
    pub delay: Duration,
    /// How many answers it rests on.
    pub answers: usize,
}

impl HttpDate {
    /// How far the offset may be from the truth at `now`: what was measured, 1 s for the server's own clock, and the drift since.
    #[must_use]
    pub fn width_at(&self, now: Boottime, drift_ppm: u32) -> Duration {
        (self.measured + SERVERS_OWN_ERROR).saturating_add(drift(now.since(self.as_of), drift_ppm))
    }

    /// The most the clock can be wrong at `now`.
    #[must_use]
    pub fn bound_at(&self, now: Boottime, drift_ppm: u32) -> Duration {
        self.offset.abs().saturating_add(self.width_at(now, drift_ppm))
    }

    /// The time that it says for `as_of`.
    #[must_use]
    pub fn truth(&self) -> Realtime {
        self.local + self.offset
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.measured + SERVERS_OWN_ERROR;
        write!(f, "{}: the clock is {}, ±{}", self.source, self.offset.in_words(), bound_in_words(width))?;
        match self.peer {
            PeerCheck::Verified => Ok(()),
            PeerCheck::Unverified => f.write_str(", and anybody on the way can have said so"),
        }
    }
}
