//! What is known of each time daemon, as data in one place. `docs/daemons.md` has it as a table.

/// A time daemon that keeps clocks by NTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// chronyd.
    Chrony,
    /// systemd-timesyncd.
    Timesyncd,
    /// NTPsec's ntpd.
    Ntpsec,
    /// The reference implementation, ntp.org's ntpd.
    Ntp,
    /// ntpd-rs.
    NtpdRs,
    /// OpenNTPD.
    Openntpd,
    /// BusyBox' ntpd.
    Busybox,
    /// ConnMan, where it keeps the clock.
    Connman,
}

/// Every one of them, in the order in which they are looked for.
pub const DAEMONS: [Daemon; 8] = [
    Daemon::Chrony,
    Daemon::Timesyncd,
    Daemon::Ntpsec,
    Daemon::Ntp,
    Daemon::NtpdRs,
    Daemon::Openntpd,
    Daemon::Busybox,
    Daemon::Connman,
];

/// How a daemon continues after the clock was stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// It is ordered to reset and to measure.
    Ordered,
    /// The step itself makes it measure.
    Woken,
    /// It has no such order: its unit is restarted.
    Restarted,
    /// Its list of servers is set again, unchanged, over the bus.
    AskedAnew,
}

/// What is known of one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name in texts and readings.
    pub name: &'static str,
    /// The names of its unit, in the packages of the distributions.
    pub units: &'static [&'static str],
    /// Those of OpenRC's service.
    pub services: &'static [&'static str],
    /// Where its configuration lies below the root, unless its command line says where.
    pub files: &'static [&'static str],
    /// How its servers and what it says of the clock are read from it.
    pub reported_by: &'static str,
    /// What it does when another program steps the clock.
    pub on_a_foreign_step: &'static str,
    /// What it does about an offset that is beyond its limit, while it runs.
    pub beyond_its_limit: &'static str,
    /// How it continues after our step.
    pub resumption: Resumption,
}

impl Daemon {
    /// What is known of it.
    #[must_use]
    pub const fn facts(self) -> Facts {
        match self {
            Self::Chrony => CHRONY,
            Self::Timesyncd => TIMESYNCD,
            Self::Ntpsec => NTPSEC,
            Self::Ntp => NTP,
            Self::NtpdRs => NTPD_RS,
            Self::Openntpd => OPENNTPD,
            Self::Busybox => BUSYBOX,
            Self::Connman => CONNMAN,
        }
    }
}

impl Facts {
    /// Its row of the table in `docs/daemons.md`.
    #[must_use]
    pub fn row(&self) -> String {
        let Self { name, reported_by, on_a_foreign_step, beyond_its_limit, resumption, .. } = self;
        format!("| {name} | {reported_by} | {on_a_foreign_step} | {beyond_its_limit} | {} |", resumption.in_words())
    }
}

impl Resumption {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Ordered => "reset before and after the step, and asked to measure",
            Self::Woken => "nothing: the step makes it measure",
            Self::Restarted => "its unit is restarted after the step, or started if it has exited",
            Self::AskedAnew => "after the step its list of servers is set again, unchanged, which makes it measure",
        }
    }
}

const CHRONY: Facts = Facts {
    name: "chronyd",
    units: &["chrony.service", "chronyd.service"],
    services: &["chronyd", "chrony"],
    files: &["etc/chrony/chrony.conf", "etc/chrony.conf"],
    reported_by: "its command socket",
    on_a_foreign_step: "does not notice; its old samples contradict the new ones until they are outvoted",
    beyond_its_limit: "slews what `makestep` does not allow, by 8 % at most; exits over `maxchange` where that is set",
    resumption: Resumption::Ordered,
};

/// NTP_MAX_ADJUST in timesyncd-manager.c.
const TIMESYNCD: Facts = Facts {
    name: "systemd-timesyncd",
    units: &["systemd-timesyncd.service"],
    services: &[],
    files: &["etc/systemd/timesyncd.conf"],
    reported_by: "D-Bus",
    on_a_foreign_step: "measures at once",
    beyond_its_limit: "none; it steps from 0.4 s upward",
    resumption: Resumption::Woken,
};

/// CLOCK_MAX, CLOCK_PANIC and CLOCK_MINSTEP of its ntp_loopfilter.c; Debian's unit has no `Restart=`.
const NTPSEC: Facts = Facts {
    name: "ntpsec",
    units: &["ntpsec.service", "ntpd.service", "ntp.service"],
    services: &["ntpsec"],
    files: &["etc/ntpsec/ntp.conf", "etc/ntp.conf"],
    reported_by: "mode 6 on loopback",
    on_a_foreign_step: "keeps eight samples of the old clock; steps itself after 900 s if it is 128 ms off",
    beyond_its_limit: "exits over 1000 s, and is not restarted",
    resumption: Resumption::Restarted,
};

const NTP: Facts = Facts {
    name: "ntpd",
    units: &["ntp.service", "ntpd.service"],
    services: &[],
    files: &["etc/ntp.conf"],
    reported_by: "mode 6 on loopback",
    on_a_foreign_step: "keeps eight samples of the old clock; steps itself after 300 s if it is 128 ms off",
    beyond_its_limit: "exits over 1000 s, and is not restarted",
    resumption: Resumption::Restarted,
};

/// `single-step-panic-threshold` of ntp.toml(5); exit code 70 (sysexits' EX_SOFTWARE), and its unit has `Restart=no`.
const NTPD_RS: Facts = Facts {
    name: "ntpd-rs",
    units: &["ntpd-rs.service"],
    services: &["ntpd-rs"],
    files: &["etc/ntpd-rs/ntp.toml"],
    reported_by: "its observation socket",
    on_a_foreign_step: "discards its samples where it sees more than 5 s; below that it uses its old samples",
    beyond_its_limit: "exits over 1000 s (1800 s as packaged), and is not restarted",
    resumption: Resumption::Restarted,
};

/// adjtime(2) works off 500 ppm; it takes the reply with the shortest delay of eight, so one of the old clock can win.
const OPENNTPD: Facts = Facts {
    name: "openntpd",
    units: &["openntpd.service", "ntpd.service"],
    services: &["openntpd"],
    files: &["etc/openntpd/ntpd.conf", "etc/ntpd.conf"],
    reported_by: "`ntpctl`",
    on_a_foreign_step: "does not notice; a reply from before can begin a slew of hours, which outlives it in the kernel",
    beyond_its_limit: "none; it never steps while it runs, and slews an hour in 83 days",
    resumption: Resumption::Restarted,
};

const BUSYBOX: Facts = Facts {
    name: "busybox ntpd",
    units: &["busybox-ntpd.service", "ntpd.service"],
    services: &["ntpd", "busybox-ntpd"],
    files: &["etc/ntp.conf"],
    reported_by: "its command line and file",
    on_a_foreign_step: "notices at its next poll, up to 34 minutes later, and drops its samples",
    beyond_its_limit: "none; it steps from 1 s upward",
    resumption: Resumption::Restarted,
};

const CONNMAN: Facts = Facts {
    name: "connman",
    units: &["connman.service"],
    services: &["connman"],
    files: &["etc/connman/main.conf"],
    reported_by: "D-Bus",
    on_a_foreign_step: "notices at its next poll, up to 17 minutes later; it keeps no samples",
    beyond_its_limit: "none; it steps",
    resumption: Resumption::AskedAnew,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_daemon_is_listed_once_with_a_unit_and_a_name_of_its_own() {
        for (index, daemon) in DAEMONS.iter().enumerate() {
            assert_eq!(DAEMONS.iter().position(|other| other == daemon), Some(index));
            let name = daemon.facts().name;
            assert_eq!(DAEMONS.iter().filter(|other| other.facts().name == name).count(), 1, "{name}");
            assert!(!daemon.facts().units.is_empty());
        }
    }
}
