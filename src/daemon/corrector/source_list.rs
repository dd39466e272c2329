//! The running daemons' sources and their reports of the clock; no daemon gets an order here.

use std::path::Path;

use tokio::task::spawn_blocking;

use super::Corrector;
use crate::daemon::chrony::Chronyd;
use crate::daemon::chrony::protocol::ChronyError;
use crate::daemon::detection::{self, RunningDaemon, Who};
use crate::daemon::facts::Daemon;
use crate::daemon::server_lines::Listed;
use crate::daemon::sources::DaemonSources;
use crate::decision::Reading;
use crate::reference::Server;
use crate::sys::clock::{boottime, realtime};

impl Corrector {
    /// The servers that the running daemon asks; empty where none runs or it has no source. Does not block; asks chronyd two
    /// questions a source, and the bus, `/proc` and the other daemons only where it has no answer.
    pub async fn servers(&self) -> DaemonSources {
        let (reported, untold) = match self.with_chronyd(Chronyd::sources).await {
            Ok(Ok(reported)) if !reported.is_empty() => return reported,
            Ok(Ok(reported)) => (reported, None),
            Ok(Err(error)) => (DaemonSources::default(), Some(error)),
            Err(why) => return DaemonSources { others: 1, remark: Some(why), ..DaemonSources::default() },
        };
        let root = self.root.clone();
        let seen = match self.timesyncd.servers().await {
            Ok(Some(servers)) => timesyncds(servers),
            // It starts, or there is no bus that we could ask.
            Ok(None) | Err(_) if self.timesyncd.is_started() => {
                let of_the_files = spawn_blocking(move || detection::timesyncds(&root)).await;
                timesyncds(of_the_files.unwrap_or_default())
            }
            Ok(None) | Err(_) => self.servers_of_those_seen(untold.as_ref()).await,
        };
        if seen.daemon.is_some() { seen } else { reported }
    }

    /// Each daemon's own list, or that of its configuration where it reports none.
    async fn servers_of_those_seen(&self, untold: Option<&ChronyError>) -> DaemonSources {
        let root = self.root.clone();
        let look = move || {
            let seen = detection::look(&root);
            seen.into_iter().map(|seen| (detection::configured(&root, &seen), seen)).collect::<Vec<_>>()
        };
        let mut all = vec![];
        for (configured, seen) in spawn_blocking(look).await.unwrap_or_default() {
            all.extend(self.list(configured, &seen, untold).await);
        }
        // One that has quit is started again, and had a list that an operator chose.
        if all.is_empty()
            && let Some((daemon, Listed { servers, others, .. })) = self.others.listed_by_an_ended_one().await
        {
            let daemon = Some(daemon.facts().name.to_owned());
            all.push(DaemonSources { daemon, servers, others, remark: None });
        }
        joined(all)
    }

    /// Whom one of them asks; none where it leaves the clock alone.
    async fn list(
        &self,
        mut listed: Listed,
        seen: &RunningDaemon,
        untold: Option<&ChronyError>,
    ) -> Option<DaemonSources> {
        let mut silence = None;
        // One that says itself that it has no source has none.
        let mut has_reported = false;
        match seen.who {
            Who::Daemon(Daemon::Chrony) => {
                let why = untold?;
                silence = Some(elsewhere(&self.chronyd.socket, why, listed.socket.as_deref()));
            }
            // It is on no bus and has no folder, so it is on its way out.
            Who::Daemon(Daemon::Timesyncd) => return None,
            Who::Daemon(daemon) => match self.others.ask(daemon, seen).await {
                Ok(None) => return None,
                Ok(Some(reported)) if reported.is_empty() => has_reported = true,
                Ok(Some(reported)) => {
                    listed = Listed { servers: reported.servers, others: reported.others, ..Listed::default() }
                }
                Err(why) => silence = Some(why),
            },
            Who::Ptp(_) => {}
        }
        let is_chronyd = seen.who == Who::Daemon(Daemon::Chrony);
        let unread = || {
            let name = seen.who.name();
            let why = silence.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{name} runs, and its servers cannot be read{why}")
        };
        let is_unread = listed.is_empty() && !has_reported;
        let remark = if is_chronyd { silence.clone() } else { is_unread.then(unread) };
        let others = if is_unread { 1 } else { listed.others };
        Some(DaemonSources { daemon: Some(seen.who.name().to_owned()), servers: listed.servers, others, remark })
    }

    /// What the daemon says of the clock just now, proof or not; needs no privilege.
    pub async fn describe(&self) -> Option<Reading> {
        if let Ok(Some(reading)) = self.with_chronyd(Chronyd::describe).await {
            return Some(reading);
        }
        if let Ok(Some(message)) = self.timesyncd.message().await {
            let server = self.timesyncd.server().await.ok().flatten();
            return Some(message.reading(server.as_ref(), boottime(), realtime()));
        }
        let daemon = self.others.keeper().await?.daemon;
        let reported = self.others.reported(daemon).await.ok()??;
        reported.reading(daemon.facts().name, boottime(), realtime())
    }
}

fn timesyncds(servers: Vec<Server>) -> DaemonSources {
    let daemon = Some(Daemon::Timesyncd.facts().name.to_owned());
    DaemonSources { daemon, servers, ..DaemonSources::default() }
}

fn joined(all: Vec<DaemonSources>) -> DaemonSources {
    let mut sources = DaemonSources::default();
    let mut names: Vec<String> = vec![];
    let mut remarks: Vec<String> = vec![];
    for DaemonSources { daemon, servers, others, remark } in all {
        names.extend(daemon);
        sources.servers.extend(servers);
        sources.others += others;
        remarks.extend(remark);
    }
    sources.daemon = (!names.is_empty()).then(|| names.join(" and "));
    sources.remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    sources
}

/// What there is to do about a chronyd that runs and cannot be asked; `configured` is its `bindcmdaddress`.
fn elsewhere(socket: &Path, why: &ChronyError, configured: Option<&str>) -> String {
    match configured {
        Some("/") => {
            "chronyd runs without a command socket (`bindcmdaddress /`): it can neither be queried nor reset; remove that line from its configuration"
                .to_owned()
        }
        Some(other) if Path::new(other) != socket => {
            format!("chronyd's command socket is {other}: set `chrony.socket: {other}`")
        }
        None if why.is_absent() => format!(
            "chronyd runs, and its command socket is not {}: set `chrony.socket` to its `bindcmdaddress`",
            socket.display()
        ),
        Some(_) | None => why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::daemon::process::tests::{Runs, root};
    use crate::daemon::{BusAddress, CorrectorSettings};
    use crate::sys::step::SystemClock;

    /// What is seen where chronyd's usual socket is not there.
    async fn servers(root: &Path) -> DaemonSources {
        let settings = CorrectorSettings {
            chrony_socket: root.join("run/chrony/chronyd.sock"),
            chrony_udp: None,
            root: root.to_owned(),
            bus: BusAddress::Nowhere,
            set_ntp: false,
        };
        Corrector::new(Arc::new(SystemClock::new()), settings).servers().await
    }

    fn names(sources: &DaemonSources) -> Vec<String> {
        sources.servers.iter().map(|server| server.name.to_string()).collect()
    }

    #[tokio::test]
    async fn a_daemon_that_reports_no_servers_has_those_of_its_configuration() {
        let files = [("etc/ntp.conf", "server a.example\n"), ("etc/ntpd-rs/ntp.toml", "")];
        let ntp = root(&[Runs("ntpd", "/usr/sbin/ntpd -g", "100", "ntpsec.service")], &files);
        let found = servers(ntp.path()).await;
        assert_eq!((found.daemon.as_deref(), names(&found)), (Some("ntpsec"), vec!["a.example".to_owned()]));
        assert_eq!((found.others, found.remark), (0, None));
    }

    #[tokio::test]
    async fn a_daemon_whose_list_cannot_be_read_has_sources_all_the_same() {
        for program in ["ntpd", "ntp-daemon", "ptp4l", "phc2sys", "timemaster", "statime"] {
            let found = servers(root(&[Runs(program, program, "100", "")], &[]).path()).await;
            assert!(found.servers.is_empty() && found.others == 1 && found.remark.is_some(), "{program}: {found:?}");
        }
        let runs = [Runs("ptp4l", "ptp4l -i eth0", "100", ""), Runs("phc2sys", "phc2sys -a", "101", "")];
        let both = servers(root(&runs, &[]).path()).await;
        assert_eq!((both.daemon.as_deref(), both.others), (Some("ptp4l and phc2sys"), 2));
    }

    #[tokio::test]
    async fn where_no_daemon_runs_no_file_counts() {
        let files = [("etc/ntp.conf", "server a.example\n")];
        let runs =
            [Runs("sh", "sh", "100", ""), Runs("ntpd", "ntpd", "101 1", ""), Runs("qemu-ga", "qemu-ga", "102", "")];
        assert_eq!(servers(root(&runs, &files).path()).await, DaemonSources::default());
        assert_eq!(servers(Path::new("/nonexistent")).await, DaemonSources::default());
    }

    #[tokio::test]
    async fn a_chronyd_whose_socket_is_elsewhere_is_said_to_be_with_the_key_to_set() {
        let conf = async |line: &str| {
            let text = format!("pool 2.debian.pool.ntp.org iburst\n{line}\n");
            let files = [("etc/chrony/chrony.conf", text.as_str())];
            servers(root(&[Runs("chronyd", "/usr/sbin/chronyd -F 1", "100", "chrony.service")], &files).path()).await
        };
        let elsewhere = conf("bindcmdaddress /run/chrony/other.sock").await;
        assert_eq!(names(&elsewhere), ["2.debian.pool.ntp.org"]);
        assert!(elsewhere.remark.unwrap_or_default().contains("set `chrony.socket: /run/chrony/other.sock`"));
        assert!(conf("bindcmdaddress /").await.remark.unwrap_or_default().contains("without a command socket"));
        assert!(conf("bindcmdaddress 127.0.0.1").await.remark.unwrap_or_default().contains("set `chrony.socket`"));
    }
}
