//! Whom chronyd asks, by its own list.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::protocol::{AuthMode, ChronyClient, ChronyError, Problem, SourceAddress, SourceData, SourceMode};
use super::{Chronyd, LOOK, NAME, authority};
use crate::daemon::sources::{DaemonSources, name};
use crate::decision::Boottime;
use crate::reference::{KEY_EXCHANGE_PORT, NTP_PORT, Server};
use crate::sys::clock::boottime;

/// An NTP source as chronyd reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ChronySource {
    /// The name it was configured with; before 4.0 chronyd does not report it, and it is the address.
    host: String,
    /// The UDP port; none before the name is resolved.
    port: Option<u16>,
    /// Where it was found; none before that, and none that is of no use to us.
    ip: Option<IpAddr>,
    /// Whether it is asked by NTS, and outranks those that are not.
    by_nts: bool,
}

impl Chronyd {
    /// Every source it has, over UDP where the socket is closed to us: there it does not report who is authenticated.
    ///
    /// # Errors
    /// [`ChronyError`], as the socket had it.
    pub fn sources(&self) -> Result<DaemonSources, ChronyError> {
        let over_socket = read(&mut self.client(LOOK));
        match (over_socket, self.udp) {
            (Err(error), Some(udp)) if !error.is_silent() => {
                read(&mut ChronyClient::udp(udp, until())).map_err(|_| error)
            }
            (outcome, _) => outcome,
        }
    }
}

fn until() -> Boottime {
    boottime() + LOOK
}

fn read(client: &mut ChronyClient) -> Result<DaemonSources, ChronyError> {
    let all = client.sources()?;
    let others = all.iter().filter(|source| source.mode == SourceMode::RefClock).count();
    // One that does not report it ranks no source. One that is silent is no list: its sources would be asked without keys.
    let outranking = unless_refused(authority::outranking(client))?.flatten().unwrap_or_default();
    let mut sources = vec![];
    for source in all.iter().filter(|source| source.mode != SourceMode::RefClock) {
        let outranks = outranking.contains(&source.address);
        let authentication = if outranks { unless_refused(client.authentication(source))? } else { None };
        let by_nts = matches!(authentication, Some(AuthMode::Nts { .. }));
        sources.extend(reported(client, source)?.map(|source| ChronySource { by_nts, ..source }));
    }
    Ok(DaemonSources { daemon: Some(NAME.to_owned()), servers: grouped(sources), others, remark: None })
}

/// What chronyd reports of one source. Over UDP it does not report the port, and then it is NTP's own.
fn reported(client: &mut ChronyClient, source: &SourceData) -> Result<Option<ChronySource>, ChronyError> {
    let name = unless_refused(client.name(source.address))?;
    let (ip, port) = match source.address {
        SourceAddress::Ip(ip) => {
            let data = unless_refused(client.ntp_data(source.address))?;
            (Some(ip), Some(data.map_or(NTP_PORT, |data| data.port)))
        }
        SourceAddress::Unresolved(_) | SourceAddress::Unspecified => (None, None),
    };
    let host = name.or_else(|| ip.map(|ip| ip.to_string()));
    // A link-local address is of no use without its interface, which chronyd does not report.
    let ip = ip.filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
    Ok(host.map(|host| ChronySource { host, port, ip, by_nts: false }))
}

fn unless_refused<T>(outcome: Result<T, ChronyError>) -> Result<Option<T>, ChronyError> {
    match outcome {
        Ok(reported) => Ok(Some(reported)),
        Err(error) if matches!(error.problem, Problem::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// chronyd does not report where it exchanges keys: it is the usual port, or they are out of our reach.
fn keyed(host: &str) -> Option<Server> {
    name(host, NTP_PORT).map(|name| Server::from(name.by_nts(KEY_EXCHANGE_PORT)))
}

/// Several sources of one name and port are those of a pool. In the order in which the names first appear, so that what did not
/// change reads the same.
fn grouped(sources: Vec<ChronySource>) -> Vec<Server> {
    // By NTS it is asked where the keys say.
    let (by_nts, sources): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.by_nts);
    let mut groups: Vec<(String, Option<u16>, usize, BTreeSet<SocketAddr>)> = vec![];
    // Those whose port is known first: what is not resolved yet is counted for them.
    let (known, unknown): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.port.is_some());
    for ChronySource { host, port, ip, .. } in known.into_iter().chain(unknown) {
        let socket = ip.map(|ip| SocketAddr::new(ip, port.unwrap_or(NTP_PORT)));
        match groups.iter_mut().find(|(h, p, ..)| h == host && (port.is_none() || p == port)) {
            Some((_, _, count, sockets)) => {
                *count += 1;
                sockets.extend(socket);
            }
            None => groups.push((host.clone(), *port, 1, socket.into_iter().collect())),
        }
    }
    groups.sort_by_key(|(host, ..)| sources.iter().position(|source| source.host == *host));
    let server = |(host, port, count, sockets): (String, Option<u16>, usize, BTreeSet<SocketAddr>)| {
        let server = Server::from(name(&host, port.unwrap_or(NTP_PORT))?);
        // That of an address is itself.
        let addresses = if server.name.address().is_some() { vec![] } else { sockets.into_iter().collect() };
        Some(Server { addresses, is_pool: server.is_pool || count > 1, ..server })
    };
    let mut servers: Vec<Server> = by_nts.iter().filter_map(|source| keyed(&source.host)).collect();
    servers.dedup();
    servers.extend(groups.into_iter().filter_map(server));
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::source_reports;

    fn source(host: &str, port: Option<u16>, ip: Option<&str>) -> ChronySource {
        ChronySource { host: host.to_owned(), port, ip: ip.map(|ip| ip.parse().unwrap()), by_nts: false }
    }

    fn described(sources: Vec<ChronySource>) -> Vec<String> {
        source_reports::tests::described(&grouped(sources))
    }

    #[test]
    fn several_sources_of_one_name_are_a_pool_and_one_is_a_server() {
        let sources = vec![
            source("ntp.example", Some(1123), Some("192.0.2.1")),
            source("many.example", None, None),
            source("many.example", Some(123), Some("192.0.2.9")),
            source("many.example", Some(123), Some("192.0.2.8")),
            source("2001:db8::1", Some(123), Some("2001:db8::1")),
            source("0.pool.ntp.org", None, None),
        ];
        assert_eq!(
            described(sources),
            [
                "ntp.example:1123 server 192.0.2.1:1123",
                "many.example pool 192.0.2.8:123,192.0.2.9:123",
                "2001:db8::1 server ",
                "0.pool.ntp.org pool ",
            ]
        );
    }

    #[test]
    fn sources_by_nts_that_outrank_others_are_asked_by_nts() {
        let by_nts = |host, ip| ChronySource { by_nts: true, ..source(host, Some(123), Some(ip)) };
        let sources = vec![
            by_nts("nts.example", "192.0.2.1"),
            by_nts("192.0.2.3", "192.0.2.3"),
            source("ntp.example", Some(123), Some("192.0.2.2")),
        ];
        assert_eq!(
            described(sources),
            ["nts://nts.example server ", "nts://192.0.2.3 server ", "ntp.example server 192.0.2.2:123"]
        );
    }

    #[test]
    fn two_ports_of_one_host_are_two_servers() {
        let sources =
            vec![source("127.0.0.1", Some(11), Some("127.0.0.1")), source("127.0.0.1", Some(12), Some("127.0.0.1"))];
        assert_eq!(described(sources), ["127.0.0.1:11 server ", "127.0.0.1:12 server "]);
    }

    #[test]
    fn an_address_without_its_interface_leaves_the_name() {
        assert_eq!(described(vec![source("fe80::1%eth0", Some(123), None)]), ["fe80::1%eth0 server "]);
        assert_eq!(described(vec![source("lan.example", Some(123), None)]), ["lan.example server "]);
    }
}
