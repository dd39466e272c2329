//! What the administrator wants: every number the machine weighs an answer against.

use std::time::Duration;

use super::failure_class::Class;
use super::floor::Floor;

/// Who corrects the clock (`correction:` in the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Correction {
    /// We step; the daemon does, where its sources are authenticated and ours would be a downgrade.
    #[default]
    Auto,
    /// We step, no matter which sources the daemon has.
    Clockgate,
    /// The time daemon steps, by its own reckoning of its own sources.
    Daemon,
    /// clockgate never corrects the clock: the gate waits until another program has set it right.
    None,
}

/// What plain references count for beside authenticated ones (`authentication:` in the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationPolicy {
    /// Plain servers are not asked.
    Require,
    /// Plain servers are asked where no authenticated one answers, and prove nothing.
    Prefer,
    /// Plain servers are asked beside authenticated ones, and prove nothing.
    #[default]
    Mix,
}

/// What becomes of the gate when the deadline passes without a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// Stay shut, and say so every minute.
    Hold,
    /// Open, published as unproven; shut again the moment a reference disagrees.
    Open,
}

/// Everything the machine decides by. [`Policy::default`] is the only source of defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The bound under which the gate opens.
    pub threshold: Duration,
    /// The rate at which a bound grows, parts per million (RFC 5905's PHI is 15; ours allows for a laptop's crystal).
    pub max_drift_ppm: u32,
    /// How many references have to answer at least.
    pub min_references: usize,
    /// What plain references count for beside authenticated ones.
    pub authentication: AuthenticationPolicy,
    /// Who corrects the clock.
    pub correction: Correction,
    /// The largest step forward that one reference can ask for when the evidence supports it.
    pub max_forward: Duration,
    /// The largest step forward that one reference can ask for when nothing supports it.
    pub max_unexplained: Duration,
    /// The largest step backward that one reference can ask for.
    pub max_backward: Duration,
    /// Times that have passed: the release, and systemd's clock epoch or the last good time.
    pub floor: Floor,
    /// Whether this machine can stand still without any clock of it noticing: a guest whose hypervisor gives it no clock.
    pub may_pause: bool,
    /// Whether a step by another program is undone by reckoning while the last proof would still be valid and no reference answers.
    pub undo_foreign_steps: bool,
    /// How long the gate may stay shut before the policies below apply.
    pub deadline: Duration,
    /// At the deadline, when no reference answered since the disruption.
    pub unreachable: AtDeadline,
    /// At the deadline, when the references agree with the clock and are not precise enough.
    pub imprecise: AtDeadline,
    /// At the deadline, when the clock is known to be wrong and could not be made right.
    pub wrong: AtDeadline,
    /// Whether the running containers are frozen while the clock is wrong, and for how much time awake at most.
    pub freeze: Option<Duration>,
    /// Whether the containers that carry the network are thawed first where no reference can be reached.
    pub thaw_carriers: bool,
    /// How long we believe a sleep that was announced and did not come.
    pub suspend_timeout: Duration,
    /// The shortest time between two measurements while all is well.
    pub remeasure_min: Duration,
    /// The longest time between two measurements while all is well.
    pub remeasure_max: Duration,
}

impl Policy {
    /// What happens at the deadline for a failure of this class.
    #[must_use]
    pub const fn at_deadline(&self, class: Class) -> AtDeadline {
        match class {
            Class::Unreachable => self.unreachable,
            Class::Imprecise => self.imprecise,
            Class::Wrong => self.wrong,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            threshold: Duration::from_millis(200),
            max_drift_ppm: 500,
            min_references: 1,
            authentication: AuthenticationPolicy::Mix,
            correction: Correction::Auto,
            max_forward: Duration::from_secs(365 * 86_400),
            max_unexplained: Duration::from_secs(1000),
            max_backward: Duration::from_secs(1),
            floor: Floor::default(),
            may_pause: false,
            undo_foreign_steps: false,
            deadline: Duration::from_secs(30),
            unreachable: AtDeadline::Open,
            imprecise: AtDeadline::Open,
            wrong: AtDeadline::Hold,
            freeze: None,
            thaw_carriers: true,
            suspend_timeout: Duration::from_secs(30),
            remeasure_min: Duration::from_secs(120),
            remeasure_max: Duration::from_secs(1024),
        }
    }
}
