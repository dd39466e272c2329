//! How servers prove who they are, as it is configured.

use std::path::PathBuf;

use crate::decision::{AuthenticationPolicy, Floor};
use crate::reference::BUILT;

/// At which time the certificate of an NTS server has to hold (`nts-cert-time` in the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateTime {
    /// At the time that its own answers yield, which may not be below the floor.
    #[default]
    Measured,
    /// By this host's clock too, before anything is asked.
    Strict,
}

/// How servers prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Whether plain servers are asked beside authenticated ones.
    pub authentication: AuthenticationPolicy,
    /// The file of the authorities that NTS servers are verified by; none for the system's.
    pub authorities: Option<PathBuf>,
    /// What no certificate may have ended before.
    pub floor: Floor,
    /// When certificates have to hold.
    pub certificate_time: CertificateTime,
    /// The file of symmetric keys.
    pub keys: Option<PathBuf>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            authentication: AuthenticationPolicy::default(),
            authorities: None,
            floor: Floor { release: BUILT, file: None },
            certificate_time: CertificateTime::default(),
            keys: None,
        }
    }
}
