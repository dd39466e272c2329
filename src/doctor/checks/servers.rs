//! Time servers and the network between: who refused each question, by the errno, by ICMP, by the control questions.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::CheckVerdict;
use crate::decision::size_in_words;
use crate::doctor::facts::DoctorFacts;
use crate::reference::probe::{AddressProbe, Hops, LookUpFault, NtpOutcome, ServerProbe};

/// A fault is a failure where no server answers, and a warning beside one that does.
fn graded(facts: &DoctorFacts, title: String) -> CheckVerdict {
    if facts.network.servers_answered == 0 { CheckVerdict::fail(title) } else { CheckVerdict::warn(title) }
}

fn asked(facts: &DoctorFacts) -> bool {
    facts.network.measured.is_some() && !facts.network.servers.is_empty()
}

/// Addresses whose outcome is of this kind, with their servers.
fn of_kind(facts: &DoctorFacts, is_it: impl Fn(&AddressProbe) -> bool) -> Vec<(&ServerProbe, &AddressProbe)> {
    let all = facts.network.silent.iter().flat_map(|server| {
        let addresses = server.addresses.iter().flatten();
        addresses.map(move |probe| (server, probe))
    });
    all.filter(|(_, probe)| is_it(probe)).collect()
}

fn at(server: &ServerProbe, address: SocketAddr) -> String {
    if server.name.address().is_some() { address.to_string() } else { format!("{} ({address})", server.name.host()) }
}

pub fn dns(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !asked(facts) {
        return facts.network.measured.is_none().then(|| CheckVerdict::skip(skipped(facts)));
    }
    let faults: Vec<(&ServerProbe, &LookUpFault)> =
        facts.network.silent.iter().filter_map(|server| Some((server, server.addresses.as_ref().err()?))).collect();
    let Some((server, fault)) = faults.first() else { return Some(CheckVerdict::ok("every name has an address")) };
    let host = server.name.host();
    let (title, fix) = match fault {
        LookUpFault::NoSuchName => (format!("there is no such name: {host}"), "correct the name of the server"),
        LookUpFault::NoAddress => {
            (format!("{host} has no address of a kind that this host has"), "name another server")
        }
        LookUpFault::NoNameServer => (
            format!(
                "no name server resolves {host}: none is reachable, or it fails, as DNSSEC does with a wrong clock"
            ),
            "see `resolvectl status` or /etc/resolv.conf; a server's address needs no name server",
        ),
        LookUpFault::Refused => (format!("the name server refused to resolve {host}"), "name another name server"),
        LookUpFault::Silent => (
            format!("no name server answers ({host})"),
            "see `resolvectl status` or /etc/resolv.conf; a server's address needs no name server",
        ),
        LookUpFault::Other(said) => (format!("cannot resolve {host}: {said}"), "see /etc/resolv.conf"),
    };
    let all = faults.iter().map(|(server, fault)| format!("{}: {fault:?}", server.name.host()));
    Some(graded(facts, title).because_all(all).mend(fix))
}

fn skipped(facts: &DoctorFacts) -> &'static str {
    if facts.is_image { "this root is not the running system" } else { "offline" }
}

/// nft(8) and iptables(8): a packet that OUTPUT drops or rejects fails at send(2) with EPERM.
pub fn firewall(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let found = of_kind(facts, |probe| probe.outcome == NtpOutcome::NotSent(Errno::EPERM));
    let (_, probe) = found.first()?;
    let title = format!("this host's own firewall drops outgoing UDP port {} (EPERM)", probe.address.port());
    let all = found.iter().map(|(server, probe)| format!("{}: send(2) failed with EPERM", at(server, probe.address)));
    Some(
        graded(facts, title)
            .because_all(all)
            .mend("sudo nft list ruleset  # and allow udp dport 123 in the output chain"),
    )
}

pub fn route(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let why = |probe: &AddressProbe| match &probe.outcome {
        NtpOutcome::NotSent(Errno::EPERM) => None,
        NtpOutcome::NotSent(errno) => Some((*errno, None)),
        NtpOutcome::Refused(icmp) if icmp.errno != Errno::ECONNREFUSED => Some((icmp.errno, icmp.from)),
        NtpOutcome::Refused(_)
        | NtpOutcome::Answered { .. }
        | NtpOutcome::Kiss(_)
        | NtpOutcome::Unusable(_)
        | NtpOutcome::Silent { .. }
        | NtpOutcome::NoSocket(_) => None,
    };
    let found = of_kind(facts, |probe| why(probe).is_some());
    let (server, probe) = found.first()?;
    let (errno, from) = why(probe)?;
    let target = at(server, probe.address);
    let title = match (errno, from) {
        (Errno::EACCES, None) => format!("a route of this host prohibits {target}, or a security module does (EACCES)"),
        (Errno::EINVAL, None) => format!("a route of this host discards packets to {target} (blackhole, EINVAL)"),
        (Errno::ENETUNREACH, None) => format!("this host has no route to {target} (ENETUNREACH)"),
        (Errno::EHOSTUNREACH, None) => {
            format!("a route of this host makes {target} unreachable, or no neighbour answers (EHOSTUNREACH)")
        }
        (errno, None) => format!("this host cannot send to {target} ({errno:?})"),
        (errno, Some(router)) => format!("{router} reports that {target} cannot be reached ({errno:?}, ICMP)"),
    };
    let all = found.iter().map(|(server, probe)| format!("{}: {:?}", at(server, probe.address), probe.outcome));
    Some(graded(facts, title).because_all(all).mend(format!("ip route get {}", probe.address.ip())))
}

pub fn refused(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let is_it =
        |probe: &AddressProbe| matches!(&probe.outcome, NtpOutcome::Refused(icmp) if icmp.errno == Errno::ECONNREFUSED);
    let found = of_kind(facts, is_it);
    let (server, probe) = found.first()?;
    let title = format!("{} is there and has no NTP server (port unreachable)", at(server, probe.address));
    let all = found.iter().map(|(server, probe)| format!("{}: ICMP port unreachable", at(server, probe.address)));
    Some(graded(facts, title).because_all(all).mend("name another server, or start the NTP service there"))
}

pub fn kiss(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let words = |probe: &AddressProbe| match &probe.outcome {
        NtpOutcome::Kiss(kiss) => Some(format!("refuses to answer (kiss code {kiss})")),
        NtpOutcome::Unusable(why) => Some(why.clone()),
        NtpOutcome::NotSent(_)
        | NtpOutcome::Refused(_)
        | NtpOutcome::Answered { .. }
        | NtpOutcome::Silent { .. }
        | NtpOutcome::NoSocket(_) => None,
    };
    let found = of_kind(facts, |probe| words(probe).is_some());
    let (server, probe) = found.first()?;
    let title = format!("{}: {}", at(server, probe.address), words(probe)?);
    let all =
        found.iter().filter_map(|(server, probe)| Some(format!("{}: {}", at(server, probe.address), words(probe)?)));
    Some(graded(facts, title).because_all(all).mend("the network is fine: name another server"))
}

pub fn udp123(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if facts.network.measured.is_none() {
        return Some(CheckVerdict::skip(skipped(facts)));
    }
    if facts.network.servers.is_empty() {
        return Some(CheckVerdict::skip(format!("no server to ask: {}", facts.network.origin)));
    }
    let found = of_kind(facts, |probe| matches!(probe.outcome, NtpOutcome::Silent { .. }));
    let Some((_, first)) = found.first() else {
        return (facts.network.servers_answered > 0).then(|| {
            CheckVerdict::ok(format!(
                "{} of {} server(s) answered",
                facts.network.servers_answered,
                facts.network.servers.len()
            ))
        });
    };
    let alive = found.iter().filter(|(_, probe)| probe.host_answers == Some(true)).count();
    let last = found.iter().find_map(|(_, probe)| probe.hops.as_ref()?.last());
    let port = first.address.port();
    let names = |probe: &AddressProbe| probe.name_port.as_ref().is_some_and(|names| names.answers);
    let by_names = found.iter().filter(|(_, probe)| names(probe)).count();
    let title = if alive > 0 {
        format!("UDP port {port} is filtered: {alive} of {} silent host(s) answer on TCP", found.len())
    } else if by_names > 0 {
        format!("UDP port {port} is filtered: {by_names} of {} silent host(s) answer on UDP port 53", found.len())
    } else {
        format!("no answer on UDP port {port} from {} address(es), nor on TCP: filtered, or not there", found.len())
    };
    let silence = found.iter().map(|(server, probe)| {
        let waited =
            if let NtpOutcome::Silent { waited } = &probe.outcome { size_in_words(*waited) } else { String::new() };
        let said = |answers: bool| if answers { "answers" } else { "does not answer" };
        let (tcp, udp) = (said(probe.host_answers == Some(true)), said(names(probe)));
        format!("{}: silent for {waited}; TCP 443 or 4460 {tcp}; UDP port 53 {udp}", at(server, probe.address))
    });
    let hop = last.map(|(distance, router)| {
        format!("the last router that reports these packets is {router}, at hop {distance}: look there or behind it")
    });
    let farther = found.iter().find_map(|(_, probe)| {
        let reached = probe.hops.as_ref().and_then(Hops::last).map_or(0, |(distance, _)| distance);
        probe.name_port.as_ref()?.hops.as_ref()?.last().filter(|(distance, _)| *distance > reached)
    });
    let way = farther.map(|(distance, router)| {
        format!("packets to UDP port 53 get to {router}, at hop {distance}, and those to port {port} do not: the filter is between")
    });
    let fix = match (last, farther) {
        (Some((_, router)), _) => format!("allow UDP port 123 outward, and the answers in, at {router} or behind it"),
        (None, Some((_, router))) => {
            format!("allow UDP port 123 outward, and the answers in, at {router} or in front of it")
        }
        (None, None) => "allow UDP port 123 outward, and the answers in: first in this host's own input rules (sudo nft list ruleset)".to_owned(),
    };
    Some(graded(facts, title).because_all(silence).because_all(hop).because_all(way).mend(fix))
}

/// A reply in the name of an address that no host has.
pub fn captive(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let names = facts
        .network
        .are_names_taken
        .then(|| "192.0.2.113, which no host has, answers questions about names (UDP port 53)".to_owned());
    let Some(portal) = facts.network.portal.as_ref() else {
        let title = "a machine on the way answers questions about names that are sent to any address";
        return names.map(|evidence| CheckVerdict::note(title).because(evidence));
    };
    let evidence = format!("192.0.2.113, which no host has, answers over HTTP with status {}", portal.status);
    if !portal.is_portal() {
        let title = "a proxy on the way takes HTTP connections to any address";
        return Some(CheckVerdict::note(title).because(evidence).because_all(names));
    }
    let page = portal.location.as_ref().map(|location| format!("it sends browsers to {location}"));
    let title = "this network has a portal: nothing gets through until a user has logged in there";
    Some(
        graded(facts, title.to_owned())
            .because(evidence)
            .because_all(page)
            .because_all(names)
            .mend("log in with a browser, or use another network"),
    )
}

pub fn falsetickers(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let names = &facts.network.falsetickers;
    let first = names.first()?;
    let title = if names.len() == 1 {
        format!("{first} contradicts the majority")
    } else {
        format!("{} servers contradict the majority", names.len())
    };
    Some(CheckVerdict::warn(title).because_all(names.clone()).mend(format!("remove {first} from the servers")))
}

/// A cloud's own servers are near, need no rule of a firewall, and smear leap seconds where the pool does not.
pub fn cloud(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let cloud = facts.network.cloud.as_ref()?;
    let first = cloud.servers.first()?;
    let evidence = format!("{} offers {}", cloud.name, cloud.servers.join(", "));
    Some(if !cloud.is_used {
        let title =
            format!("this is {} and {first} is not used: it needs no internet and no firewall rule", cloud.name);
        CheckVerdict::warn(title)
            .because(evidence)
            .because_all(facts.network.servers.iter().map(|server| format!("asked instead: {server}")))
            .mend(format!("name {first} in the time daemon's configuration: server {first} prefer iburst"))
    } else if cloud.is_mixed {
        let title =
            format!("the servers of {} are mixed with others, which do not smear leap seconds as it does", cloud.name);
        CheckVerdict::note(title).because(evidence)
    } else {
        CheckVerdict::ok(format!("{first} is used")).because(evidence)
    })
}
