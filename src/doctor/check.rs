//! One check and what came of it.

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckSection {
    /// The system clock.
    Clock,
    /// The time daemon, and who else may set the clock.
    Daemon,
    /// Time servers and the network.
    Servers,
    /// The RTC.
    Hardware,
    /// The virtual machine that this host is.
    Machine,
    /// Containers.
    Containers,
    /// clockgate itself.
    Own,
}

impl CheckSection {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Daemon => "daemon",
            Self::Servers => "servers",
            Self::Hardware => "hardware",
            Self::Machine => "machine",
            Self::Containers => "containers",
            Self::Own => "clockgate",
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckOutcome {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It does harm some day, or does already a little.
    Warn,
    /// It is wrong.
    Fail,
    /// It could not be checked; the title has the reason.
    Skip,
}

impl CheckOutcome {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }

    /// Whether something is wrong.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        match self {
            Self::Warn | Self::Fail => true,
            Self::Ok | Self::Note | Self::Skip => false,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckVerdict {
    /// What came of it.
    pub outcome: CheckOutcome,
    /// In one line; of a skipped one the reason.
    pub title: String,
    /// What that rests on, a line each.
    pub evidence: Vec<String>,
    /// What mends it, as a command or a line of a file; none where there is nothing to mend.
    pub fix: Option<String>,
}

impl CheckVerdict {
    /// As it should be.
    pub fn ok(title: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Ok, title)
    }

    /// Good to know.
    pub fn note(title: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Note, title)
    }

    /// Harmful.
    pub fn warn(title: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Warn, title)
    }

    /// Wrong.
    pub fn fail(title: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Fail, title)
    }

    /// Not checked, for this reason.
    pub fn skip(why: impl Into<String>) -> Self {
        Self::new(CheckOutcome::Skip, why)
    }

    fn new(outcome: CheckOutcome, title: impl Into<String>) -> Self {
        Self { outcome, title: title.into(), evidence: vec![], fix: None }
    }

    /// With one more line that it rests on.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// With several.
    #[must_use]
    pub fn because_all(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// With what mends it.
    #[must_use]
    pub fn mend(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// What it is about.
    pub section: CheckSection,
    /// What it found.
    pub verdict: CheckVerdict,
}
