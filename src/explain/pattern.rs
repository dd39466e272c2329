//! One message that is known: how it reads, and what it says about clocks.

use std::sync::OnceLock;
use std::time::Duration;

use regex_lite::Regex;

use super::time::Format;

/// The patterns that come with the program: name and YAML. Where two match the same words, the first one counts.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("aws.yaml", include_str!("patterns/aws.yaml")),
    ("tls.yaml", include_str!("patterns/tls.yaml")),
    ("tokens.yaml", include_str!("patterns/tokens.yaml")),
    ("apis.yaml", include_str!("patterns/apis.yaml")),
    ("builds.yaml", include_str!("patterns/builds.yaml")),
    ("hosts.yaml", include_str!("patterns/hosts.yaml")),
    ("clusters.yaml", include_str!("patterns/clusters.yaml")),
    // What is known of a time daemon is in the room of the daemons.
    ("daemon/messages.yaml", include_str!("../daemon/messages.yaml")),
];

/// Which way our clock is wrong by a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Our clock is behind.
    Behind,
    /// Our clock is ahead.
    Ahead,
    /// The text does not tell which.
    Either,
    /// The text does not speak of our clock.
    None,
}

/// How much a text says of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proves {
    /// A clock was wrong when it was written.
    Clock,
    /// The clock or something else.
    Either,
    /// Something else.
    Other,
}

/// What it was where the clock is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Keys, tokens, sessions.
    Credentials,
    /// A certificate, a key or a signature with dates of its own.
    Certificate,
    /// A request that was signed long before it was sent.
    StaleRequest,
    /// A program that takes local time for UTC.
    TimeZone,
    /// The other side's clock.
    TheirClock,
    /// Anything.
    Unknown,
}

/// One known message.
#[derive(Debug)]
pub struct Pattern {
    /// `aws.sigv4.expired`.
    pub id: String,
    /// Who says it.
    pub issuer: String,
    /// Texts of which the message contains one; what is searched for first.
    pub literals: Vec<String>,
    /// The message with its named groups, in each of its forms; none where a literal says it all.
    pub regexes: Vec<Expression>,
    /// How its times are written, tried in this order.
    pub formats: Vec<Format>,
    /// Unit of `limit` and `offset` where the message prints bare numbers.
    pub unit: String,
    /// Which way our clock is wrong.
    pub direction: Direction,
    /// How much it says.
    pub proves: Proves,
    /// What it was otherwise.
    pub otherwise: Otherwise,
    /// How far apart the clocks may be; none where that is unknown.
    pub tolerance: Option<Duration>,
    /// Who says so.
    pub tolerance_source: String,
    /// Whether the request had no effect.
    pub refused_before_effect: bool,
    /// What else it may mean, a sentence.
    pub may_mean: String,
    /// What to do where the clock is right, a sentence or a command.
    pub next: String,
}

/// A regular expression that is compiled when its literal was found.
#[derive(Debug)]
pub struct Expression {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Expression {
    /// From its source, which is not looked at yet.
    #[must_use]
    pub const fn new(source: String) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// Compiles it, to find its faults.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        const KNOWN: [&str; 9] = ["ours", "theirs", "edge", "from", "until", "limit", "limit_ms", "offset", "least"];
        let regex = Regex::new(&self.source).map_err(|error| error.to_string())?;
        match regex.capture_names().flatten().find(|name| !KNOWN.contains(name)) {
            Some(name) => Err(format!("unknown group `{name}`: use {}", KNOWN.join(", "))),
            None => Ok(()),
        }
    }

    /// The compiled expression; none where it has a fault, which [`Expression::check`] names.
    pub(super) fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(&self.source).ok()).as_ref()
    }
}

impl Direction {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Either => "either",
            Self::None => "none",
        }
    }
}
