//! Time daemons that can only be seen to run: their processes, and what their configuration says. Every file is somebody else's:
//! none is waited for, and no more than a bounded part of each is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::conf::{Listed, ntp_conf, ntp_toml, timesyncd_conf};
use super::sources::DaemonSources;
use crate::daemon::chrony::protocol::Error;
use crate::reference::{Server, ServerName};
use crate::sys::foreign;

/// The most processes looked at; more than any kernel's default `pid_max` of 32,768.
const MOST_PROCESSES: usize = 65_536;
/// The most bytes read of a configuration.
const MOST_OF_CONFIGURATION: u64 = 256 * 1024;

/// A program that keeps the clock.
struct Program {
    /// As /proc/PID/comm has it: 15 bytes at most.
    comm: &'static str,
    name: &'static str,
    /// Where its configuration lies below the root, unless its command line says where.
    files: &'static [&'static str],
    read: fn(&str) -> Listed,
}

const CHRONYD: &str = "chronyd";

const PROGRAMS: [Program; 6] = [
    Program { comm: CHRONYD, name: CHRONYD, files: &["etc/chrony/chrony.conf", "etc/chrony.conf"], read: ntp_conf },
    // ntpsec, the reference implementation, openntpd and busybox all call it that.
    Program {
        comm: "ntpd",
        name: "ntpd",
        files: &["etc/ntpsec/ntp.conf", "etc/ntp.conf", "etc/openntpd/ntpd.conf", "etc/ntpd.conf"],
        read: ntp_conf,
    },
    Program { comm: "ntp-daemon", name: "ntpd-rs", files: &["etc/ntpd-rs/ntp.toml"], read: ntp_toml },
    Program { comm: "ptp4l", name: "ptp4l", files: &[], read: nothing },
    Program { comm: "phc2sys", name: "phc2sys", files: &[], read: nothing },
    Program { comm: "timemaster", name: "timemaster", files: &[], read: nothing },
];

/// Their sources are hardware and PTP: nobody that we could ask.
fn nothing(_: &str) -> Listed {
    Listed::default()
}

/// Why chronyd itself did not tell its sources, and the socket that it was asked at.
#[derive(Debug)]
pub struct Untold<'a> {
    /// The socket.
    pub socket: &'a Path,
    /// What came of it.
    pub why: &'a Error,
}

/// The time daemons that run below this root, by their processes, and whom they ask, by their configuration. chronyd is among
/// them where it runs and did not tell.
pub fn daemons(root: &Path, chronyd: Option<&Untold<'_>>) -> DaemonSources {
    let processes = processes(&root.join("proc"));
    let mut all = DaemonSources::default();
    let mut names: Vec<&str> = vec![];
    let mut remarks = vec![];
    for program in PROGRAMS.iter().filter(|program| program.comm != CHRONYD || chronyd.is_some()) {
        let mut arguments = processes.iter().filter(|(comm, _)| comm == program.comm).map(|(_, arguments)| arguments);
        let Some(first) = arguments.next() else { continue };
        let arguments: Vec<String> = arguments.fold(first.clone(), |all, more| [all, more.clone()].concat());
        let (listed, remark) = list(root, program, &arguments, chronyd);
        names.push(program.name);
        all.servers.extend(listed.servers);
        all.others += listed.others;
        remarks.extend(remark);
    }
    all.daemon = (!names.is_empty()).then(|| names.join(" and "));
    all.remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    all
}

/// Whom one program asks, and what there is to say.
fn list(
    root: &Path,
    program: &Program,
    arguments: &[String],
    chronyd: Option<&Untold<'_>>,
) -> (Listed, Option<String>) {
    // ntpd's `-f` is its drift file, which lists nobody.
    let named = ["-c", "-f"].iter().flat_map(|flag| values(arguments, flag)).filter_map(|path| path.strip_prefix('/'));
    let files: Vec<PathBuf> = named.chain(program.files.iter().copied()).map(|file| root.join(file)).collect();
    let mut listed = Listed::default();
    for text in files.iter().filter_map(|file| read(file, MOST_OF_CONFIGURATION).ok()) {
        listed = (program.read)(&text);
        if !listed.is_empty() || listed.socket.is_some() {
            break;
        }
    }
    // busybox has its peers in its arguments; elsewhere `-p` is the file with the process's number.
    let peers = values(arguments, "-p").filter(|value| !value.contains('/'));
    listed.servers.extend(peers.filter_map(|peer| peer.parse::<ServerName>().ok()).map(Server::from));
    let remark = match chronyd.filter(|_| program.comm == CHRONYD) {
        Some(untold) => Some(elsewhere(untold, listed.socket.as_deref())),
        None => listed.is_empty().then(|| format!("{} keeps the clock, and whom it asks cannot be read", program.name)),
    };
    if listed.is_empty() {
        listed.others = 1;
    }
    (listed, remark)
}

/// What there is to do about a chronyd that runs and cannot be asked; `configured` is its `bindcmdaddress`.
fn elsewhere(untold: &Untold<'_>, configured: Option<&str>) -> String {
    match configured {
        Some("/") => {
            "chronyd runs without a command socket (`bindcmdaddress /`): it can neither be asked nor made to forget; \
             take that line out of its configuration"
                .to_owned()
        }
        Some(socket) if Path::new(socket) != untold.socket => {
            format!("chronyd's command socket is {socket}: set `chrony.socket: {socket}`")
        }
        None if untold.why.is_absent() => format!(
            "chronyd runs, and its command socket is not {}: set `chrony.socket` to its `bindcmdaddress`",
            untold.socket.display()
        ),
        Some(_) | None => untold.why.to_string(),
    }
}

/// The servers in systemd-timesyncd's files, for where no bus tells them.
pub fn timesyncds(root: &Path) -> Vec<Server> {
    let mut files = vec![root.join("etc/systemd/timesyncd.conf")];
    for folder in ["usr/lib", "run", "etc"] {
        let fragments =
            fs::read_dir(root.join(folder).join("systemd/timesyncd.conf.d")).into_iter().flatten().flatten();
        let mut fragments: Vec<PathBuf> = fragments.map(|entry| entry.path()).collect();
        fragments.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        fragments.sort();
        files.extend(fragments);
    }
    let texts: Vec<String> = files.iter().filter_map(|file| read(file, MOST_OF_CONFIGURATION).ok()).collect();
    timesyncd_conf(&texts)
}

/// The values of one flag on a command line.
fn values<'a>(arguments: &'a [String], flag: &str) -> impl Iterator<Item = &'a str> {
    arguments.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1].as_str())
}

/// The processes of our programs that are in this /proc's own PID namespace, and the arguments of each: a container's daemon is
/// not the host's.
fn processes(proc: &Path) -> Vec<(String, Vec<String>)> {
    let Ok(entries) = fs::read_dir(proc) else { return vec![] };
    let folders = entries.flatten().map(|entry| entry.path());
    let is_process = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
    };
    let ours = |folder: PathBuf| {
        let comm = foreign::text(&folder.join("comm")).ok()?.trim_end().to_owned();
        let is_ours = PROGRAMS.iter().any(|program| program.comm == comm);
        (is_ours && !is_in_a_container(&folder)).then(|| (comm, arguments(&folder)))
    };
    folders.filter(is_process).take(MOST_PROCESSES).filter_map(ours).collect()
}

fn arguments(folder: &Path) -> Vec<String> {
    let text = foreign::text(&folder.join("cmdline")).unwrap_or_default();
    text.split('\0').map(str::to_owned).collect()
}

/// `NSpid` of proc_pid_status(5) has one number for each PID namespace from this /proc's own down to the process's.
pub(super) fn is_in_a_container(folder: &Path) -> bool {
    let status = foreign::text(&folder.join("status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.is_some_and(|pids| pids.split_whitespace().count() > 1)
}

/// The beginning of a regular file.
pub(super) fn read(path: &Path, most: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&foreign::read(path, most)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::chrony::protocol::Problem;
    use tempfile::TempDir;

    /// A root where these processes run: comm, arguments separated by blanks, and the numbers of its `NSpid`.
    fn root(processes: &[(&str, &str, &str)], files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (pid, (comm, arguments, ns_pid)) in (100..).zip(processes) {
            let folder = root.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(folder.join("cmdline"), arguments.replace(' ', "\0") + "\0").unwrap();
            fs::write(folder.join("status"), format!("Name:\t{comm}\nNSpid:\t{ns_pid}\nThreads:\t1\n")).unwrap();
        }
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    /// What is seen where chronyd's usual socket is not there.
    fn daemons(root: &Path) -> DaemonSources {
        let (socket, problem) = (Path::new("/run/chrony/chronyd.sock"), Problem::NotThere);
        let why = Error { command: "sources", socket: socket.display().to_string(), problem };
        super::daemons(root, Some(&Untold { socket, why: &why }))
    }

    fn names(sources: &DaemonSources) -> Vec<String> {
        sources.servers.iter().map(|server| server.name.to_string()).collect()
    }

    #[test]
    fn ntpsecs_servers_are_read_from_where_its_command_line_says() {
        let files = [("etc/ntp.conf", "server old.example\n"), ("run/ntp.conf.dhcp", "server lan.example iburst\n")];
        let dhcp = root(&[("ntpd", "/usr/sbin/ntpd -p /run/ntpd.pid -c /run/ntp.conf.dhcp -g", "100")], &files);
        let found = daemons(dhcp.path());
        assert_eq!((found.daemon.as_deref(), names(&found)), (Some("ntpd"), vec!["lan.example".to_owned()]));
        assert_eq!((found.others, found.remark), (0, None));
        let plain = root(&[("ntpd", "/usr/sbin/ntpd -g", "100")], &files);
        assert_eq!(names(&daemons(plain.path())), ["old.example"]);
        let busybox = root(&[("ntpd", "ntpd -N -p pool.ntp.org", "100")], &[]);
        assert!(daemons(busybox.path()).servers.iter().all(|server| server.is_pool));
        assert_eq!(names(&daemons(busybox.path())), ["pool.ntp.org"]);
    }

    #[test]
    fn a_daemon_whose_list_cannot_be_read_has_sources_all_the_same() {
        for program in ["ntpd", "ntp-daemon", "ptp4l", "phc2sys", "timemaster"] {
            let found = daemons(root(&[(program, program, "100")], &[]).path());
            assert!(found.servers.is_empty() && found.others == 1 && found.remark.is_some(), "{program}: {found:?}");
        }
        let both = daemons(root(&[("ptp4l", "ptp4l -i eth0", "100"), ("phc2sys", "phc2sys -a", "101")], &[]).path());
        assert_eq!((both.daemon.as_deref(), both.others), (Some("ptp4l and phc2sys"), 2));
    }

    #[test]
    fn where_no_daemon_runs_no_file_counts() {
        let files = [("etc/ntp.conf", "server a.example\n")];
        let container =
            root(&[("sh", "sh", "100"), ("ntpd", "ntpd", "101 1"), ("chronyd", "chronyd -x", "102 7")], &files);
        assert_eq!(daemons(container.path()), DaemonSources::default(), "a container's daemon is not the host's");
        assert_eq!(daemons(Path::new("/nonexistent")), DaemonSources::default());
    }

    #[test]
    fn a_chronyd_whose_socket_is_elsewhere_is_said_to_be_with_the_key_to_set() {
        let conf = |line: &str| {
            let text = format!("pool 2.debian.pool.ntp.org iburst\n{line}\n");
            let files = [("etc/chrony/chrony.conf", text.as_str())];
            daemons(root(&[("chronyd", "/usr/sbin/chronyd -F 1", "100")], &files).path())
        };
        let elsewhere = conf("bindcmdaddress /run/chrony/other.sock");
        assert_eq!(names(&elsewhere), ["2.debian.pool.ntp.org"]);
        assert!(elsewhere.remark.unwrap_or_default().contains("set `chrony.socket: /run/chrony/other.sock`"));
        assert!(conf("bindcmdaddress /").remark.unwrap_or_default().contains("without a command socket"));
        assert!(conf("bindcmdaddress 127.0.0.1").remark.unwrap_or_default().contains("set `chrony.socket`"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_never_waited_for() {
        let root = root(&[("ntpd", "ntpd", "100")], &[("etc/ntpd.conf", "servers pool.example\n")]);
        nix::unistd::mkfifo(&root.path().join("etc/ntp.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(names(&daemons(root.path())), ["pool.example"]);
    }
}
