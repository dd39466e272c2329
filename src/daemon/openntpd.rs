//! OpenNTPD, asked by its own `ntpctl`: the messages of its control socket are C structures of one version. It takes no orders.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::source_reports::{Claim, DaemonReport, length, offset};
use super::sources::name;
use crate::decision::Leap;
use crate::reference::{NTP_PORT, Server};
use crate::sys::clock::boottime;
use crate::sys::timed_output::output_by;

/// Where distributions and its own installation have it.
const PROGRAMS: [&str; 3] = ["usr/sbin/ntpctl", "usr/bin/ntpctl", "usr/local/sbin/ntpctl"];
/// It answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);
/// A peer is two lines.
const LONGEST: u64 = 256 * 1024;

/// The report of the openntpd of this root; blocks, and costs a process.
///
/// # Errors
/// In words.
pub fn ask(root: &Path) -> Result<DaemonReport, String> {
    let program = PROGRAMS.iter().map(|path| root.join(path)).find(|path| path.is_file());
    let Some(program) = program else { return Err("cannot ask openntpd: there is no ntpctl".to_owned()) };
    let mut command = Command::new(&program);
    command.args(["-s", "all"]).stderr(Stdio::null()).env_clear();
    let said = output_by(&mut command, LONGEST, boottime() + PATIENCE)
        .map_err(|error| format!("cannot ask openntpd by {}: {error}", program.display()))?;
    reported(&said.stdout).ok_or_else(|| format!("cannot parse the output of {}", program.display()))
}

/// `ntpctl -s all`: a line about all of it, and two for each peer, the one that it follows with `*`.
pub fn reported(text: &str) -> Option<DaemonReport> {
    let mut lines = text.lines();
    let status = lines.by_ref().find(|line| !line.trim().is_empty())?;
    let synced = status.split(", ").any(|part| part.trim() == "clock synced");
    if !synced && !status.contains("clock unsynced") {
        return None;
    }
    let mut reported = DaemonReport::default();
    let mut section = Section::Head;
    let mut described = "";
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), section) {
            (["peer"], _) => section = Section::Peers,
            (["sensor"], _) => section = Section::Sensors,
            ([] | ["wt", ..], _) | (_, Section::Head) => {}
            // Its figures are set in; a name is not.
            (_, Section::Peers) if !line.starts_with(' ') => {
                described = line;
                reported.plain += 1;
                add(&mut reported.servers, line);
            }
            (_, Section::Sensors) if !line.starts_with(' ') => reported.others += 1,
            (["*", figures @ ..], Section::Peers) if synced && !described.is_empty() => reported.claim = claim(figures),
            (_, Section::Peers | Section::Sensors) => {}
        }
    }
    Some(reported)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Head,
    Peers,
    Sensors,
}

/// `192.0.2.1 from pool NAME`, `192.0.2.1 NAME` or `192.0.2.1`, and with `not resolved` in the address' place.
fn add(servers: &mut Vec<Server>, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (at, rest) = match words.as_slice() {
        ["not", "resolved", rest @ ..] => (None, rest),
        [address, rest @ ..] => (address.parse::<IpAddr>().ok(), rest),
        [] => return,
    };
    let (host, is_pool) = match rest {
        ["from", "pool", host, ..] => (Some(*host), true),
        [host, ..] => (Some(host.trim_matches(['(', ')'])), false),
        [] => (None, false),
    };
    let Some(host) = host.map(str::to_owned).or_else(|| at.map(|ip| ip.to_string())) else { return };
    let Some(server) = name(&host, NTP_PORT).map(Server::from) else { return };
    let at = at.filter(|_| server.name.address().is_none()).map(|ip| SocketAddr::new(ip, NTP_PORT));
    match servers.iter_mut().find(|known| known.name == server.name) {
        Some(known) => known.addresses.extend(at),
        None => {
            servers.push(Server { addresses: at.into_iter().collect(), is_pool: is_pool || server.is_pool, ..server })
        }
    }
}

/// `wt tl st next poll offset delay jitter`, without the star: what is left of its offset is slewed.
fn claim(figures: &[&str]) -> Option<Claim> {
    let [_, _, stratum, _, _, at, delay, jitter] = figures else { return None };
    let secs = |text: &str| text.strip_suffix("ms")?.parse::<f64>().ok().map(|ms| ms / 1e3);
    // It does not report the server's own distance: nothing is proven by this.
    let root_distance = length(secs(delay)? / 2.0 + secs(jitter)?)?;
    Some(Claim {
        offset: offset(secs(at)?)?,
        root_distance,
        leap: Leap::None,
        stratum: stratum.parse().ok(),
        updated: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 6.2p3 prints it.
    const ALL: &str = "2/4 peers valid, 1/1 sensors valid, clock synced, stratum 3\n\npeer\n   wt tl st  next  poll          offset       \
        delay      jitter\n192.0.2.1 from pool 0.debian.pool.ntp.org\n    1 10  3   56s   63s         9.271ms    44.662ms     2.678ms\n\
        192.0.2.2 from pool 0.debian.pool.ntp.org\n *  1 10  2   45s  980s        -9.901ms    67.000ms    29.000ms\n\
        192.0.2.3 ntp.example\n    1  2  -  203s  300s             ---- peer not valid ----\nnot resolved lan.example\n    1  2  -   12s   \
        15s             ---- peer not valid ----\n\nsensor\n   wt gd st  next  poll          offset  correction\nnmea0  GPS\n * 10  1  \
        0    1s   15s        -0.673ms     0.600ms\n";

    #[test]
    fn its_peers_are_reported_by_name_with_their_addresses() {
        let reported = reported(ALL).unwrap();
        let of = |s: &Server| (s.name.to_string(), s.is_pool, s.addresses.len());
        let servers: Vec<_> = reported.servers.iter().map(of).collect();
        let expected = [("0.debian.pool.ntp.org", true, 2), ("ntp.example", false, 1), ("lan.example", false, 0)];
        assert_eq!(servers, expected.map(|(name, is_pool, found)| (name.to_owned(), is_pool, found)));
        assert_eq!((reported.others, reported.authority()), (1, None));
    }

    #[test]
    fn what_it_makes_of_the_clock_is_that_of_the_peer_with_the_star() {
        let claim = reported(ALL).unwrap().claim.unwrap();
        assert_eq!((claim.offset.as_nanos(), claim.stratum), (-9_901_000, Some(2)));
        assert_eq!(claim.root_distance, Duration::from_micros(62_500));
    }

    #[test]
    fn an_unsynced_one_makes_nothing_of_the_clock_and_rubbish_is_nothing() {
        let unsynced = ALL.replace("clock synced, stratum 3", "clock unsynced, clock offset is 3600000.000ms");
        let reported_then = reported(&unsynced).unwrap();
        assert_eq!((reported_then.servers.len(), reported_then.claim), (3, None));
        for rubbish in ["", "\n\n", "ntpctl: cannot connect\n", "*"] {
            assert_eq!(reported(rubbish), None, "{rubbish:?}");
        }
    }

    /// As 6.2p3 printed it a minute after its start, with `server 10.77.0.1`.
    #[test]
    fn a_peer_by_its_address_has_no_name_behind_it() {
        let text = "1/1 peers valid, clock unsynced\n\npeer\n   wt tl st  next  poll          offset       delay      jitter\n\
            10.77.0.1 \n    1  9  2    7s   33s         0.134ms     0.172ms     0.087ms\n";
        let reported = reported(text).unwrap();
        assert_eq!(reported.servers.iter().map(|server| server.name.to_string()).collect::<Vec<_>>(), ["10.77.0.1"]);
        assert_eq!((reported.plain, reported.claim), (1, None));
    }

    #[test]
    fn a_program_that_prints_without_end_and_one_that_is_not_there_are_named() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join(PROGRAMS[0]);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/usr/bin/yes", &program).unwrap();
        assert!(ask(root.path()).unwrap_err().contains("cannot parse the output of"));
        assert!(ask(Path::new("/nonexistent")).unwrap_err().contains("there is no ntpctl"));
    }
}
