//! Which time daemons run here, by their processes, and which servers each has in its configuration: for daemons that do not report them.

use std::path::{Path, PathBuf};

use super::facts::Daemon;
use super::inclusions::{self, text};
use super::process::{Process, processes};
use super::program::{PROGRAMS, Role};
use super::server_lines::{Listed, ntp_conf, timesyncd_conf};
use super::{busybox, connman, ntpd_rs};
use crate::reference::Server;

/// A time daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningDaemon {
    /// Which one it is.
    pub who: Who,
    /// Its processes, as one: a daemon that has several divides its work among them.
    pub process: Process,
}

/// Which program keeps the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A time daemon that is known.
    Daemon(Daemon),
    /// A program of PTP: its sources are hardware, and none of them can be asked over the network.
    Ptp(&'static str),
}

impl Who {
    /// Its name in texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daemon(daemon) => daemon.facts().name,
            Self::Ptp(name) => name,
        }
    }
}

impl Who {
    /// Whether it asks more than one address of a name that has many.
    pub const fn asks_several_of_a_pool(self) -> bool {
        match self {
            Self::Daemon(Daemon::Chrony | Daemon::Ntpsec | Daemon::Ntp | Daemon::NtpdRs | Daemon::Openntpd) => true,
            Self::Daemon(Daemon::Timesyncd | Daemon::Busybox | Daemon::Connman) | Self::Ptp(_) => false,
        }
    }
}

/// The time daemons that run below this root, each once.
pub fn look(root: &Path) -> Vec<RunningDaemon> {
    let mut all: Vec<RunningDaemon> = vec![];
    let processes = processes(root);
    for process in processes.iter().filter(|process| process.is_the_hosts) {
        let Some(who) = who(process, &processes, root) else { continue };
        match all.iter_mut().find(|seen| seen.who == who) {
            Some(seen) => seen.process.arguments.extend(process.arguments.iter().cloned()),
            None => all.push(RunningDaemon { who, process: process.clone() }),
        }
    }
    // It manages the network in the first place, and others keep the clock beside it.
    all.sort_by_key(|seen| seen.who == Who::Daemon(Daemon::Connman));
    all
}

fn who(process: &Process, all: &[Process], root: &Path) -> Option<Who> {
    let program = PROGRAMS.iter().find(|program| program.comm() == process.comm)?;
    Some(match program.name {
        "chronyd" => Who::Daemon(Daemon::Chrony),
        "systemd-timesyncd" => Who::Daemon(Daemon::Timesyncd),
        "ntpd" => Who::Daemon(ntpd(process, all, root)),
        "ntpsec" => Who::Daemon(Daemon::Ntpsec),
        "openntpd" => Who::Daemon(Daemon::Openntpd),
        "ntp-daemon" | "ntpd-rs" => Who::Daemon(Daemon::NtpdRs),
        "connmand" => Who::Daemon(Daemon::Connman),
        ptp if program.role == Role::Keeper => Who::Ptp(ptp),
        _ => return None,
    })
}

/// Which of the four that call themselves ntpd: by the unit, by what it calls its processes, by its arguments, by its files.
fn ntpd(process: &Process, all: &[Process], root: &Path) -> Daemon {
    let is_engine = |other: &Process| {
        let title = other.arguments.first().is_some_and(|title| title.starts_with("ntpd:"));
        title && other.unit == process.unit
    };
    let exists = |file: &str| root.join(file).exists();
    match process.unit.as_deref() {
        Some("openntpd.service") => Daemon::Openntpd,
        Some("ntpsec.service") => Daemon::Ntpsec,
        _ if all.iter().any(is_engine) => Daemon::Openntpd,
        _ if busybox::is(process) => Daemon::Busybox,
        _ if exists("etc/ntpsec/ntp.conf") => Daemon::Ntpsec,
        _ if exists("etc/ntp.conf") => Daemon::Ntp,
        _ if exists("etc/openntpd/ntpd.conf") || exists("etc/ntpd.conf") => Daemon::Openntpd,
        _ => Daemon::Ntp,
    }
}

/// The servers in its configuration: of the file that its command line names, else of the first usual one that names any.
pub fn configured(root: &Path, seen: &RunningDaemon) -> Listed {
    let Who::Daemon(daemon) = seen.who else { return Listed::default() };
    let texts = texts(root, daemon, &seen.process);
    let first = |read: fn(&str) -> Listed| {
        let mut listed = texts.iter().map(|text| read(text));
        listed.find(|listed| !listed.is_empty() || listed.socket.is_some()).unwrap_or_default()
    };
    match daemon {
        Daemon::Chrony | Daemon::Ntpsec | Daemon::Ntp | Daemon::Openntpd => first(ntp_conf),
        Daemon::NtpdRs => first(ntpd_rs::configured),
        Daemon::Connman => first(connman::configured),
        Daemon::Busybox => busybox::configured(&seen.process, texts.first().map_or("", String::as_str)),
        Daemon::Timesyncd => Listed { servers: timesyncds(root), ..Listed::default() },
    }
}

/// The texts of its configuration, that of its command line first, each with what it includes.
fn texts(root: &Path, daemon: Daemon, process: &Process) -> Vec<String> {
    if daemon == Daemon::Timesyncd {
        return timesyncds_texts(root);
    }
    let flag = match daemon {
        Daemon::Chrony | Daemon::Openntpd => "-f",
        // Their `-f` is the drift file.
        Daemon::Ntpsec | Daemon::Ntp | Daemon::NtpdRs | Daemon::Connman => "-c",
        Daemon::Busybox | Daemon::Timesyncd => "",
    };
    let named = process.values(flag).filter_map(|path| path.strip_prefix('/'));
    let files = named.chain(daemon.facts().files.iter().copied()).map(|file| root.join(file));
    files.filter_map(|file| inclusions::read(root, &file)).collect()
}

/// The text that the daemon goes by: that of timesyncd is of several files, and of the others the first one counts.
pub fn text_in_force(root: &Path, daemon: Daemon, process: &Process) -> String {
    let texts = texts(root, daemon, process);
    if daemon == Daemon::Timesyncd { texts.join("\n") } else { texts.into_iter().next().unwrap_or_default() }
}

/// The servers in systemd-timesyncd's files, for where no bus reports them.
pub fn timesyncds(root: &Path) -> Vec<Server> {
    timesyncd_conf(&timesyncds_texts(root))
}

/// Whether systemd-timesyncd has none but the servers that it falls back to: neither a file of its own names one, nor the network, as
/// systemd-networkd notes it of each link (systemd's sd-network.c).
pub fn timesyncd_falls_back(root: &Path) -> bool {
    let links = std::fs::read_dir(root.join("run/systemd/netif/links")).into_iter().flatten().flatten();
    let of_the_network = links.filter_map(|link| text(&link.path()));
    let is_named = |text: &String| {
        let mut named = text.lines().filter_map(|line| line.trim().strip_prefix("NTP")?.trim().strip_prefix('='));
        // An empty one takes back what was said before.
        named.next_back().is_some_and(|value| !value.trim().is_empty())
    };
    ![timesyncds_texts(root).join("\n")].into_iter().chain(of_the_network).any(|text| is_named(&text))
}

fn timesyncds_texts(root: &Path) -> Vec<String> {
    let mut files = vec![root.join("etc/systemd/timesyncd.conf")];
    for folder in ["usr/lib", "run", "etc"] {
        let fragments = std::fs::read_dir(root.join(folder).join("systemd/timesyncd.conf.d")).into_iter();
        let mut fragments: Vec<PathBuf> = fragments.flatten().flatten().map(|entry| entry.path()).collect();
        fragments.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        fragments.sort();
        files.extend(fragments);
    }
    files.iter().filter_map(|file| text(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::{Runs, root};
    use super::*;

    fn names(root: &Path) -> Vec<(&'static str, Vec<String>)> {
        let of = |seen: &RunningDaemon| {
            let listed = configured(root, seen);
            (seen.who.name(), listed.servers.iter().map(|server| server.name.to_string()).collect())
        };
        look(root).iter().map(of).collect()
    }

    fn one(runs: Runs, files: &[(&str, &str)]) -> (&'static str, Vec<String>) {
        let root = root(&[runs], files);
        names(root.path()).pop().unwrap_or_default()
    }

    #[test]
    fn the_four_programs_named_ntpd_are_recognised() {
        let ntp = ("etc/ntp.conf", "server a.example\n");
        let who = |arguments, unit, files: &[(&str, &str)]| one(Runs("ntpd", arguments, "9", unit), files).0;
        assert_eq!(who("/usr/sbin/ntpd -p /run/ntpd.pid -g -N", "ntpsec.service", &[ntp]), "ntpsec");
        assert_eq!(
            who("/usr/sbin/ntpd -p /run/ntpd.pid -g", "ntp.service", &[("etc/ntpsec/ntp.conf", ""), ntp]),
            "ntpsec"
        );
        assert_eq!(who("/usr/sbin/ntpd -p /run/ntpd.pid -g", "ntp.service", &[ntp]), "ntpd");
        assert_eq!(who("/usr/sbin/ntpd -f /etc/openntpd/ntpd.conf", "openntpd.service", &[ntp]), "openntpd");
        assert_eq!(who("/usr/sbin/ntpd", "ntpd.service", &[("etc/ntpd.conf", "servers a.example\n")]), "openntpd");
        assert_eq!(who("ntpd -n -N -p pool.ntp.org", "", &[]), "busybox ntpd");
        assert_eq!(who("/bin/busybox ntpd -n", "", &[ntp]), "busybox ntpd");
        let several = root(
            &[Runs("ntpd", "/usr/sbin/ntpd", "9", "x.service"), Runs("ntpd", "ntpd: ntp engine", "10", "x.service")],
            &[ntp, ("etc/ntpd.conf", "servers b.example\n")],
        );
        assert_eq!(names(several.path()), [("openntpd", vec!["b.example".to_owned()])], "one daemon of two processes");
    }

    #[test]
    fn its_servers_are_read_from_where_its_command_line_says() {
        let files = [("etc/ntp.conf", "server old.example\n"), ("run/ntp.conf.dhcp", "server lan.example iburst\n")];
        let dhcp = Runs("ntpd", "/usr/sbin/ntpd -p /run/ntpd.pid -c /run/ntp.conf.dhcp -g", "9", "ntpsec.service");
        assert_eq!(one(dhcp, &files).1, ["lan.example"]);
        assert_eq!(one(Runs("ntpd", "/usr/sbin/ntpd -g", "9", "ntpsec.service"), &files).1, ["old.example"]);
        assert_eq!(one(Runs("ntpd", "ntpd -N -p pool.ntp.org", "9", ""), &files).1, ["pool.ntp.org"]);
        let rs = [("etc/ntpd-rs/ntp.toml", "[[source]]\nmode = \"server\"\naddress = \"rs.example\"\n")];
        assert_eq!(one(Runs("ntp-daemon", "/usr/bin/ntp-daemon", "9", "ntpd-rs.service"), &rs).1, ["rs.example"]);
        let connman = [("etc/connman/main.conf", "FallbackTimeservers = c.example\n")];
        assert_eq!(one(Runs("connmand", "/usr/sbin/connmand -n", "9", "connman.service"), &connman).1, ["c.example"]);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_never_waited_for() {
        let root =
            root(&[Runs("ntpd", "ntpd", "9", "openntpd.service")], &[("etc/ntpd.conf", "servers pool.example\n")]);
        std::fs::create_dir_all(root.path().join("etc/openntpd")).unwrap();
        nix::unistd::mkfifo(&root.path().join("etc/openntpd/ntpd.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(names(root.path()), [("openntpd", vec!["pool.example".to_owned()])]);
    }
}
