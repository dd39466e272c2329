//! The units of time daemons, by way of systemd: which of them runs, which one ended by itself, and how it is started again.

use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::bus::{BusConnection, BusError, ObjectInterface};

/// All questions to systemd together.
const PATIENCE: Duration = Duration::from_millis(500);

/// A unit of systemd's, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemdUnit(String);

/// The units on one bus.
#[derive(Debug)]
pub struct Units {
    bus: BusConnection,
}

impl SystemdUnit {
    /// Its name, `chrony.service`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Its object on the bus: what is neither a letter nor a digit is written as `_` and its code (sd_bus_path_encode(3)). systemd
    /// loads the unit when that is asked.
    fn path(&self) -> String {
        let each = self.0.bytes().map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            other => format!("_{other:02x}"),
        });
        format!("/org/freedesktop/systemd1/unit/{}", each.collect::<String>())
    }
}

impl From<&str> for SystemdUnit {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl Units {
    /// On this bus.
    pub const fn new(bus: BusConnection) -> Self {
        Self { bus }
    }

    /// The first of these that runs, or is on its way to or from that; none where that is unknown.
    pub async fn running(&self, names: &[&str]) -> Option<SystemdUnit> {
        self.find(names, &["active", "activating", "reloading", "deactivating"]).await
    }

    /// The first of these that has ended by itself and with an error; none where that is unknown.
    pub async fn failed(&self, names: &[&str]) -> Option<SystemdUnit> {
        self.find(names, &["failed"]).await
    }

    /// Whether that unit has ended by itself and with an error, and was not stopped.
    pub async fn has_failed(&self, unit: &SystemdUnit) -> bool {
        self.state(unit).await.is_ok_and(|state| state == "failed")
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn start(&self, unit: &SystemdUnit) -> Result<(), BusError> {
        self.do_not_count(unit).await;
        self.bus.call(MANAGER, "StartUnit", &(unit.name(), "replace")).await.map(|_| ())
    }

    /// Stops it and starts it again, unless it was stopped by a user; the answer comes before that is done.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn restart(&self, unit: &SystemdUnit) -> Result<(), BusError> {
        self.do_not_count(unit).await;
        self.bus.call(MANAGER, "TryRestartUnit", &(unit.name(), "replace")).await.map(|_| ())
    }

    /// What was started so often that systemd would refuse (`StartLimitBurst=`) was so on our order: it is not to stay dead for that.
    async fn do_not_count(&self, unit: &SystemdUnit) {
        if let Err(error) = self.bus.call(MANAGER, "ResetFailedUnit", &unit.name()).await {
            debug!(%error, unit = unit.name(), "systemd counts how often it is started");
        }
    }

    async fn find(&self, names: &[&str], states: &[&str]) -> Option<SystemdUnit> {
        let found = async {
            if !self.bus.owned(MANAGER.name).await.unwrap_or(false) {
                return None;
            }
            for unit in names.iter().copied().map(SystemdUnit::from) {
                if self.state(&unit).await.is_ok_and(|state| states.contains(&state.as_str())) {
                    return Some(unit);
                }
            }
            None
        };
        timeout(PATIENCE, found).await.ok().flatten()
    }

    async fn state(&self, unit: &SystemdUnit) -> Result<String, BusError> {
        let path = unit.path();
        let object = ObjectInterface { path: &path, interface: "org.freedesktop.systemd1.Unit", ..MANAGER };
        self.bus.property(object, "ActiveState").await
    }
}

/// systemd itself.
pub const MANAGER: ObjectInterface<'static> = ObjectInterface {
    name: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_path_is_written_as_systemd_writes_it() {
        let path = |name: &str| SystemdUnit::from(name).path().rsplit('/').next().unwrap().to_owned();
        assert_eq!(path("chrony.service"), "chrony_2eservice");
        assert_eq!(path("ntpd-rs.service"), "ntpd_2drs_2eservice");
        assert_eq!(path("ntp@a_b.service"), "ntp_40a_5fb_2eservice");
    }
}
