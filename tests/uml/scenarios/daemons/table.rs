//! The time daemons of the laboratory: what each is told, and how it tells that it keeps the clock.

use std::time::Duration;

/// A time daemon. In its texts, SERVER is the address of the world's true time, NETWORK the first three bytes of that.
#[derive(Debug)]
pub struct Daemon {
    /// As it is called in the scenarios' names.
    pub name: &'static str,
    /// The guest's root and what is laid over it, below the laboratory's folder.
    pub root: &'static str,
    /// None where the root has it.
    pub tree: Option<&'static str>,
    /// Its unit; none where nobody keeps the clock.
    pub unit: Option<&'static str>,
    /// Its files and their texts.
    pub files: &'static [(&'static str, &'static str)],
    /// What its package would have done: a user, a folder.
    pub prepare: &'static str,
    /// How the agent is configured: nothing, where it has to find out by itself whom to ask.
    pub agent: &'static str,
    /// A script that succeeds where the daemon says by itself that it is synchronised, and to that server.
    pub is_synchronised: &'static str,
    /// How long it may take until it says so, once the gate is open.
    pub says_so_within: Duration,
    /// A script that has to succeed after a sleep; nothing, where there is nothing of its own to look at.
    pub afterwards: &'static str,
    /// A script that makes it meet a clock that is an hour wrong soon; nothing, where it does by itself.
    pub left_alone: &'static str,
    /// Whether it quits over that.
    pub quits: bool,
    /// What it does about a step of 300 ms by somebody else, with no agent beside it.
    pub small_step: SmallStep,
}

/// What a daemon does about a step of 300 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallStep {
    /// It takes it back to within 50 ms in this time.
    Corrected(Duration),
    /// It does not, for a reason.
    Outside(&'static str),
}

const SOON: Duration = Duration::from_secs(120);

/// All of them.
pub const DAEMONS: &[Daemon] = &[
    Daemon {
        name: "chrony",
        unit: Some("chrony.service"),
        files: &[(
            "/etc/chrony/chrony.conf",
            "server SERVER iburst minpoll 0 maxpoll 0\ndriftfile /run/chrony.drift\nmakestep 1 3\nrtcsync\n",
        )],
        is_synchronised: "chronyc -n tracking >/run/said; grep -q '(SERVER)' /run/said; grep -q 'Leap status.*: Normal' /run/said",
        ..PLAIN
    },
    Daemon {
        name: "timesyncd",
        unit: Some("systemd-timesyncd.service"),
        files: &[("/etc/systemd/timesyncd.conf.d/lab.conf", "[Time]\nNTP=SERVER\n")],
        is_synchronised: "test $(timedatectl show -p NTPSynchronized --value) = yes
            test $(timedatectl show-timesync -p ServerAddress --value) = SERVER",
        ..PLAIN
    },
    Daemon {
        name: "ntpsec",
        tree: Some("daemons/ntpsec/tree"),
        unit: Some("ntpsec.service"),
        files: &[(
            "/etc/ntpsec/ntp.conf",
            "driftfile /var/lib/ntpsec/ntp.drift\nserver SERVER iburst minpoll 3 maxpoll 4\n\
             restrict default kod nomodify nopeer noquery limited\nrestrict 127.0.0.1\nrestrict ::1\n",
        )],
        // As on a machine that has run for an hour: without it, it measures its rate first, and calls itself unsynchronised meanwhile.
        prepare: "echo 'u ntpsec - - /nonexistent' | systemd-sysusers -; install -o ntpsec -g ntpsec -d /var/lib/ntpsec
            echo 0.0 >/var/lib/ntpsec/ntp.drift",
        // Without -g it believes at its start what it believes after `stepout` otherwise.
        left_alone: "sed -i 's/-g//' /etc/default/ntpsec; systemctl restart ntpsec",
        ..NTPD
    },
    Daemon {
        name: "ntp",
        tree: Some("daemons/ntp/tree"),
        unit: Some("ntp.service"),
        files: &[(
            "/etc/ntp.conf",
            "driftfile /var/lib/ntp/ntp.drift\nserver SERVER iburst minpoll 3 maxpoll 4\n\
             restrict default kod nomodify notrap nopeer noquery limited\nrestrict 127.0.0.1\nrestrict ::1\n",
        )],
        prepare: "echo 'u ntp - - /nonexistent' | systemd-sysusers -; install -o ntp -g ntp -d /var/lib/ntp
            echo 0.0 >/var/lib/ntp/ntp.drift",
        left_alone: "sed -i 's/-g//' /etc/default/ntp; systemctl restart ntp",
        ..NTPD
    },
    Daemon {
        name: "openntpd",
        tree: Some("daemons/openntpd/tree"),
        unit: Some("openntpd.service"),
        files: &[("/etc/openntpd/ntpd.conf", "server SERVER\n")],
        prepare: "echo 'u ntpd - - /run/openntpd' | systemd-sysusers -",
        is_synchronised: "ntpctl -s all >/run/said; grep -q 'clock synced' /run/said; grep -q '^SERVER' /run/said",
        says_so_within: Duration::from_secs(600),
        // adjtime(3) takes 500 ppm, and it begins when the best of its last eight replies is of after the step.
        small_step: SmallStep::Corrected(Duration::from_secs(1200)),
        ..PLAIN
    },
    Daemon {
        name: "ntpd_rs",
        root: "trixie",
        tree: Some("daemons/ntpd-rs/tree"),
        unit: Some("ntpd-rs.service"),
        // The limit is below half an hour: a request that is under way when the clock is set back by an hour measures half of it.
        files: &[(
            "/etc/ntpd-rs/ntp.toml",
            "[observability]\nobservation-path = \"/var/run/ntpd-rs/observe\"\n[[source]]\nmode = \"server\"\naddress = \"SERVER\"\n\
             [synchronization]\nsingle-step-panic-threshold = 1000\nminimum-agreeing-sources = 1\n\
             startup-step-panic-threshold = { forward = \"inf\", backward = 86400 }\n",
        )],
        prepare: "echo 'u ntpd-rs - - /nonexistent' | systemd-sysusers -",
        is_synchronised: "ntp-ctl status >/run/said; grep -q 'Stratum: 3' /run/said; grep -q 'SERVER:123' /run/said",
        quits: true,
        ..PLAIN
    },
    Daemon {
        name: "connman",
        tree: Some("daemons/connman/tree"),
        unit: Some("connman.service"),
        files: &[
            ("/etc/connman/main.conf", "[General]\nEnableOnlineCheck=false\nAllowHostnameUpdates=false\n"),
            (
                "/var/lib/connman/lab.config",
                "[service_lab]\nType=ethernet\nIPv4=NETWORK.100/255.255.255.0/NETWORK.1\nTimeservers=SERVER\n",
            ),
        ],
        // The first service is the one with the default route.
        is_synchronised:
            "connmanctl clock >/run/said; connmanctl services $(connmanctl services | sed -n '1s/.* //p') >>/run/said
            grep -q 'TimeserverSynced = True' /run/said; grep -q '^ *Timeservers = .*SERVER' /run/said",
        small_step: SmallStep::Outside("it asks every 1024 s"),
        ..PLAIN
    },
    Daemon {
        name: "busybox",
        tree: Some("daemons/busybox/tree"),
        unit: Some("busybox-ntpd.service"),
        files: &[
            (
                "/etc/systemd/system/busybox-ntpd.service",
                "[Service]\nExecStart=/usr/sbin/ntpd -n -p SERVER -S /etc/ntp.script\n",
            ),
            ("/etc/ntp.script", "#!/bin/sh\necho $PPID $stratum $offset $1 >>/run/says\n"),
        ],
        prepare: "chmod +x /etc/ntp.script; systemctl daemon-reload",
        // It tells the kernel microseconds, which takes them for nanoseconds where somebody left it counting so (STA_NANO).
        afterwards: "status=$(busybox adjtimex | sed -n 's/^ *status: *\\([0-9]*\\).*/\\1/p'); test $((status & 0x2000)) = 0",
        // It tells its script what changes, and now and then that nothing did.
        is_synchronised: "set -- $(tail -n 1 /run/says)
            test $1 = $(systemctl show -p MainPID --value busybox-ntpd); test $2 -lt 16",
        ..PLAIN
    },
    Daemon {
        name: "nobody",
        unit: None,
        agent: "servers: [SERVER]\n",
        is_synchronised: "clockgate status",
        small_step: SmallStep::Outside("the agent corrects it, for nobody else does"),
        ..PLAIN
    },
];

const PLAIN: Daemon = Daemon {
    name: "",
    root: "guest",
    tree: None,
    unit: None,
    files: &[],
    prepare: "",
    agent: "{}\n",
    is_synchronised: "",
    says_so_within: SOON,
    afterwards: "",
    left_alone: "",
    quits: false,
    small_step: SmallStep::Corrected(SOON.saturating_mul(5)),
};

/// They do not believe in it before 300 s (ntpd) or 900 s (ntpsec) have passed, `stepout`, which cannot be made shorter.
/// Both that ntpd's own code is in.
const NTPD: Daemon = Daemon { is_synchronised: NTPQ, quits: true, small_step: AFTER_STEPOUT, ..PLAIN };

const AFTER_STEPOUT: SmallStep = SmallStep::Corrected(Duration::from_secs(1200));

const NTPQ: &str = "ntpq -n -c rv -c peers >/run/said; grep -q leap_none /run/said; grep -q '^\\*SERVER' /run/said";
