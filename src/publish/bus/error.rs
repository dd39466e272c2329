//! What a caller is answered instead of what was asked for.

/// Why a method was not performed.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.clockgate.Error")]
pub(super) enum MethodError {
    /// D-Bus itself failed.
    #[zbus(error)]
    Bus(zbus::Error),
    /// The caller may not do this.
    NotPermitted(String),
    /// There is no such thing to notify of.
    InvalidArgument(String),
    /// The guards do not allow it.
    Refused(String),
    /// The clock was not proven in the caller's time.
    StillShut(String),
    /// The gate was not shut in the caller's time.
    NotYetShut(String),
    /// The agent is stuck, or ending.
    NoAnswer(String),
    /// The caller sends more notices than are allowed.
    TooOften(String),
}
