//! What doctor asks only with `-v`, in a network namespace of its own: each filter is told apart, within ten seconds.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clockgate::sys::clock::boottime;
use libtest_mimic::{Failed, Trial};
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use super::network::{SERVER, apart, shell};
use super::site::{Authority, Life};
use super::support::liar::{Liar, Manner};
use super::support::{CLOCKGATE, lacks_program, lacks_root, needing};

type Outcome = Result<(), Failed>;

/// Not 123, which doctor itself asks from.
const PORT: u16 = 1123;
/// 10 s, with room for a machine that is busy.
const LIMIT: Duration = Duration::from_secs(14);
const SIX: &str = "2001:db8::1";
const INPUT: &str = "nft add table inet f && nft add chain inet f i '{ type filter hook input priority 0 ; }'";

pub fn trials() -> Vec<Trial> {
    let lacks = || lacks_root().or_else(|| lacks_program("ip")).or_else(|| lacks_program("nft"));
    let trial = |name, test: fn() -> Outcome| needing(lacks(), name, move || apart(test));
    vec![
        trial("slow_questions_find_no_fault_where_there_is_none", none),
        trial("a_filter_by_length_and_one_by_port_are_told", filters),
        trial("a_firewall_that_passes_port_123_alone_is_told", port_123_alone),
        trial("ipv6_that_does_not_get_through_is_told_beside_ipv4_that_does", one_family),
        trial("a_certificate_of_nts_that_has_expired_is_told_from_one_that_holds", key_exchange),
        trial("a_dead_network_is_not_asked_for_longer_than_ten_seconds", dead),
    ]
}

/// A server, and everybody may ask from port 123.
fn served() -> Result<Liar, Failed> {
    shell(&format!("ip addr add {SERVER}/32 dev lo && echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start"))?;
    Ok(Liar::that(SocketAddr::new(SERVER.parse()?, PORT), Manner::default())?)
}

/// As a user without rights; what each check found, by its id.
fn doctor(server: &str, authority: Option<&Path>) -> Result<Value, Failed> {
    let began = boottime();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--"]);
    command.args([CLOCKGATE, "doctor", "-v", "--json", "--only", "clock.rate", "--only", "net", "--server", server]);
    if let Some(file) = authority {
        command.env("SSL_CERT_FILE", file);
    }
    let output = command.output()?;
    let took = boottime().since(began);
    let said: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    if took > LIMIT { Err(format!("it took {took:?}: {said:#}").into()) } else { Ok(said) }
}

/// Each of these has this result, and these words in its title or evidence.
fn holds(said: &Value, expected: &[(&str, &str, &str)]) -> Outcome {
    for (id, result, words) in expected {
        let check = said["checks"].as_array().into_iter().flatten().find(|check| check["id"] == *id);
        let check = check.ok_or_else(|| format!("{id} is not made: {said:#}"))?;
        if check["result"] != *result || !check.to_string().contains(words) {
            return Err(format!("{id}: expected {result} and `{words}`: {check:#}").into());
        }
    }
    Ok(())
}

fn address() -> String {
    format!("{SERVER}:{PORT}")
}

fn none() -> Outcome {
    let _server = served()?;
    let said = doctor(&address(), None)?;
    holds(
        &said,
        &[
            ("clock.rate", "ok", "ppm off"),
            ("net.size", "ok", "228 bytes are answered"),
            ("net.source-port", "ok", "as others are"),
            ("net.nts", "note", "TCP port 4460: refused"),
        ],
    )
}

fn filters() -> Outcome {
    let _server = served()?;
    // The length of UDP has its own header in it.
    shell(&format!("{INPUT} && nft add rule inet f i udp dport {PORT} udp length 100-65535 drop"))?;
    shell("nft add rule inet f i udp dport 123 drop")?;
    let said = doctor(&address(), None)?;
    holds(
        &said,
        &[
            ("net.udp123", "ok", "1 of 1"),
            ("net.size", "warn", "those of 228 bytes are lost"),
            ("net.source-port", "warn", "does not answer questions from port 123"),
        ],
    )
}

fn port_123_alone() -> Outcome {
    let _server = served()?;
    shell(&format!("{INPUT} && nft add rule inet f i udp dport {PORT} udp sport != 123 drop"))?;
    holds(&doctor(&address(), None)?, &[("net.source-port", "warn", "from port 123 alone")])
}

fn one_family() -> Outcome {
    let _server = served()?;
    shell(&format!("ip -6 addr add {SIX}/128 dev lo nodad"))?;
    let _six = Liar::that(SocketAddr::new(SIX.parse::<IpAddr>()?, PORT), Manner::default())?;
    let folder = tempfile::tempdir()?;
    let (hosts, switch) = (folder.path().join("hosts"), folder.path().join("nsswitch.conf"));
    std::fs::write(&hosts, format!("{SERVER} ntp.example\n{SIX} ntp.example\n"))?;
    std::fs::write(&switch, "hosts: files\n")?;
    shell(&format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/nsswitch.conf",
        hosts.display(),
        switch.display()
    ))?;
    let name = format!("ntp.example:{PORT}");
    holds(&doctor(&name, None)?, &[("net.family", "ok", "IPv4 and IPv6 get through")])?;
    shell(&format!("{INPUT} && nft add rule inet f i ip6 daddr {SIX} drop"))?;
    holds(&doctor(&name, None)?, &[("net.family", "warn", "IPv6 does not get through")])
}

fn key_exchange() -> Outcome {
    let _server = served()?;
    let authority = Authority::new();
    // Its folder is root's alone, and doctor is nobody.
    shell(&format!("chmod -R a+rX {}", authority.file().parent().unwrap_or(Path::new("/nowhere")).display()))?;
    let lives = [(-86_400, 86_400), (-172_800, -86_400)];
    let listener = TcpListener::bind((SERVER, 4460))?;
    let configs = lives.map(|(begins, ends)| {
        let mut config = ServerConfig::clone(&authority.signs(Life { name: SERVER, begins, ends }));
        config.alpn_protocols = vec![b"ntske/1".to_vec()];
        Arc::new(config)
    });
    std::thread::spawn(move || {
        for (config, stream) in configs.into_iter().zip(listener.incoming().flatten()) {
            let mut stream = stream;
            let Ok(mut connection) = ServerConnection::new(config) else { return };
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        }
    });
    holds(&doctor(&address(), Some(&authority.file()))?, &[("net.nts", "ok", "1 of 1 server(s) offer NTS")])?;
    holds(&doctor(&address(), Some(&authority.file()))?, &[("net.nts", "note", "it expired at")])
}

fn dead() -> Outcome {
    shell(&format!("ip addr add {SERVER}/32 dev lo && {INPUT} && nft add rule inet f i ip saddr {SERVER} drop"))?;
    let said = doctor(&address(), None)?;
    holds(
        &said,
        &[("net.udp123", "fail", "nor on TCP"), ("net.nts", "note", "silent"), ("clock.rate", "skip", "twice")],
    )
}
