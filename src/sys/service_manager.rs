//! What starts services on this host, and the commands that it takes from its administrator.

use std::path::Path;

use super::foreign;

/// What starts services on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceManager {
    /// systemd.
    #[default]
    Systemd,
    /// OpenRC.
    Openrc,
    /// runit.
    Runit,
    /// Another one, or none: its commands are not known.
    Other,
}

/// What is done with a service that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAction {
    /// It runs from then on.
    Start,
    /// It runs no more.
    Stop,
    /// It is stopped and started.
    Restart,
    /// It reads its configuration anew, and goes on.
    Reload,
}

/// The agent's service, in packaging/.
pub const AGENT: &str = "clockgate";

/// By the name of the first process.
const PROCESSES: [(&str, ServiceManager); 3] =
    [("systemd", ServiceManager::Systemd), ("openrc-init", ServiceManager::Openrc), ("runit", ServiceManager::Runit)];
/// What each makes once it runs: sd_booted(3), OpenRC's rc, Void's and Artix' runit.
const STATES: [(&str, ServiceManager); 3] = [
    ("run/systemd/system", ServiceManager::Systemd),
    ("run/openrc", ServiceManager::Openrc),
    ("run/runit", ServiceManager::Runit),
];
/// What is in an image. Debian's packages have units also where nothing reads them.
const FILES: [(&str, ServiceManager); 8] = [
    ("usr/lib/systemd/systemd", ServiceManager::Systemd),
    ("lib/systemd/systemd", ServiceManager::Systemd),
    ("etc/runlevels", ServiceManager::Openrc),
    ("sbin/openrc-run", ServiceManager::Openrc),
    ("etc/runit", ServiceManager::Runit),
    ("etc/systemd/system", ServiceManager::Systemd),
    ("usr/lib/systemd/system", ServiceManager::Systemd),
    ("lib/systemd/system", ServiceManager::Systemd),
];

impl ServiceManager {
    /// That of the host that we run on.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::find(Path::new("/"))
    }

    /// That of this root.
    #[must_use]
    pub fn find(root: &Path) -> Self {
        let first = foreign::text(&root.join("proc/1/comm")).ok();
        Self::of(first.as_deref().map(str::trim_end), |path| root.join(path).exists())
    }

    /// By the name of the first process, none in an image and where it is hidden, and by what is there.
    fn of(first: Option<&str>, exists: impl Fn(&str) -> bool) -> Self {
        let by_process = PROCESSES.iter().find(|(name, _)| first == Some(name));
        let by_state = || STATES.iter().find(|(path, _)| exists(path));
        let by_file = || FILES.iter().find(|(path, _)| first.is_none() && exists(path));
        by_process.or_else(by_state).or_else(by_file).map_or(Self::Other, |(_, manager)| *manager)
    }

    /// What enables a service, and starts it.
    #[must_use]
    pub fn enable_and_start(self, service: &str) -> String {
        match self {
            Self::Systemd => format!("sudo systemctl enable --now {service}"),
            Self::Openrc => format!("sudo rc-update add {service} default && sudo rc-service {service} start"),
            Self::Runit => format!("sudo ln -s /etc/sv/{service} /etc/service/  # on Void Linux /var/service/"),
            Self::Other => format!("enable and start the service {} by this host's init", bare(service)),
        }
    }

    /// What enables it in an image.
    #[must_use]
    pub fn enable_in_an_image(self, service: &str) -> String {
        match self {
            Self::Systemd => format!("systemctl --root=DIR enable {service}"),
            Self::Openrc => format!("chroot DIR rc-update add {service} default"),
            Self::Runit => format!("ln -s /etc/sv/{service} DIR/etc/runit/runsvdir/default/"),
            Self::Other => format!("enable the service {} for the image's init", bare(service)),
        }
    }

    /// What starts it.
    #[must_use]
    pub fn start(self, service: &str) -> String {
        self.order(ServiceAction::Start, service)
    }

    /// What starts it again.
    #[must_use]
    pub fn restart(self, service: &str) -> String {
        self.order(ServiceAction::Restart, service)
    }

    fn order(self, action: ServiceAction, service: &str) -> String {
        self.command(action, service).map_or_else(
            || format!("{} the service {} by this host's init", action.verb(), bare(service)),
            |command| format!("sudo {command}"),
        )
    }

    /// The same where a sentence names it, as what comes after "after": the command, or what it does.
    #[must_use]
    pub fn in_a_sentence(self, action: ServiceAction, service: &str) -> String {
        self.command(action, service)
            .map_or_else(|| format!("a {} of {}", action.verb(), bare(service)), |command| format!("`{command}`"))
    }

    /// By rc-service(8) and sv(8); none where the init is not known.
    fn command(self, action: ServiceAction, service: &str) -> Option<String> {
        let verb = action.verb();
        match self {
            Self::Systemd => Some(format!("systemctl {verb} {service}")),
            Self::Openrc => Some(format!("rc-service {service} {verb}")),
            Self::Runit => Some(format!("sv {} {service}", action.of_runit())),
            Self::Other => None,
        }
    }

    /// What shows why a unit was not started; none where no unit is read.
    #[must_use]
    pub fn show(self, unit: &str) -> Option<String> {
        match self {
            Self::Systemd => Some(format!("systemctl status {unit}")),
            Self::Openrc | Self::Runit | Self::Other => None,
        }
    }

    /// What shows what the agent had to say, by its units and scripts in packaging/.
    #[must_use]
    pub const fn log_of_the_agent(self) -> &'static str {
        match self {
            Self::Systemd => "journalctl -u clockgate",
            Self::Openrc => "sudo tail /var/log/clockgate.log",
            Self::Runit | Self::Other => "clockgate status",
        }
    }

    /// What shows what a security module denied.
    #[must_use]
    pub const fn log_of_denials(self) -> &'static str {
        match self {
            Self::Systemd => "sudo journalctl --boot _TRANSPORT=audit",
            Self::Openrc | Self::Runit | Self::Other => "sudo dmesg | grep audit",
        }
    }

    /// What notes that the RTC keeps UTC, and sets it so.
    #[must_use]
    pub const fn keep_utc(self) -> &'static str {
        match self {
            Self::Systemd => "sudo timedatectl set-local-rtc 0",
            Self::Openrc | Self::Runit | Self::Other => "sudo hwclock --systohc --utc",
        }
    }

    /// What sets the time zone.
    #[must_use]
    pub fn set_zone(self, zone: &str) -> String {
        match self {
            Self::Systemd => format!("sudo timedatectl set-timezone {zone}"),
            Self::Openrc | Self::Runit | Self::Other => format!("sudo {}", link_zone(zone)),
        }
    }

    /// What sets that of an image.
    #[must_use]
    pub fn set_zone_of_an_image(self, zone: &str) -> String {
        match self {
            Self::Systemd => format!("systemd-firstboot --root=DIR --force --timezone={zone}"),
            Self::Openrc | Self::Runit | Self::Other => format!("chroot DIR {}", link_zone(zone)),
        }
    }
}

impl ServiceAction {
    const fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
        }
    }

    const fn of_runit(self) -> &'static str {
        match self {
            Self::Start => "up",
            Self::Stop => "down",
            Self::Restart => "restart",
            Self::Reload => "hup",
        }
    }
}

fn bare(service: &str) -> &str {
    service.trim_end_matches(".service")
}

fn link_zone(zone: &str) -> String {
    format!("ln -sf /usr/share/zoneinfo/{zone} /etc/localtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_services_is_known_by_the_first_process_its_state_or_an_images_files() {
        use ServiceManager::{Openrc, Other, Runit, Systemd};
        for (first, files, expected) in [
            (Some("systemd"), &[][..], Systemd),
            (Some("runit"), &["usr/lib/systemd/system"], Runit),
            (Some("openrc-init"), &[], Openrc),
            // Alpine: busybox is the first process, and starts OpenRC.
            (Some("init"), &["run/openrc", "etc/runlevels"], Openrc),
            (Some("init"), &["run/runit"], Runit),
            (Some("init"), &["run/systemd/system", "etc/runit"], Systemd),
            // Files alone do not show which of them runs.
            (Some("init"), &["etc/runlevels", "usr/lib/systemd/systemd"], Other),
            (Some("dinit"), &["usr/lib/systemd/system"], Other),
            (Some("s6-svscan"), &[], Other),
            // Hidden by hidepid.
            (None, &["run/systemd/system", "etc/runlevels"], Systemd),
            (None, &["usr/lib/systemd/systemd", "etc/runit"], Systemd),
            (None, &["etc/runlevels", "usr/lib/systemd/system"], Openrc),
            (None, &["etc/runit", "usr/lib/systemd/system"], Runit),
            (None, &["usr/lib/systemd/system"], Systemd),
            (None, &[], Other),
        ] {
            let found = ServiceManager::of(first, |path| files.contains(&path));
            assert_eq!(found, expected, "{first:?} {files:?}");
        }
    }
}
