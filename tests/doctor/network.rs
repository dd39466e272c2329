//! Every way in which NTP does not get through, in a network namespace of its own: each is told apart by what doctor prints, as a user
//! without rights.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use clockgate::sys::clock::boottime;
use libtest_mimic::{Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use super::support::liar::{Answer, Liar, Manner};
use super::support::{CLOCKGATE, Ours, lacks_program, lacks_root, needing};

type Outcome = Result<(), Failed>;

/// The server of every world, on the loopback interface of its namespace.
pub const SERVER: &str = "192.0.2.1";
/// "doctor within 3 s on a dead network, 0.5 s on a good one", with room for a machine that is busy.
const DEAD: Duration = Duration::from_secs(5);
const GOOD: Duration = Duration::from_secs(2);

/// Each blocked network with the check that fails and the cause that is named.
pub const EXPECTED: &[(&str, &str)] = &[
    ("net.firewall", "this host's own firewall blocks NTP"),
    ("net.route", "this host has no usable route to its time servers"),
    ("net.dns", "the names of the time servers are not resolved"),
    ("net.udp123", "UDP port 123 is blocked on the way"),
    ("net.refused", "the configured server is no NTP server"),
    ("net.kiss", "the time servers refuse to answer"),
    ("net.captive", "this network lets nothing through until a user has logged in"),
];

/// What a case does to its namespace, and what doctor says then.
struct World {
    name: &'static str,
    /// Commands in the namespace, one a line.
    setup: &'static str,
    manner: Option<Manner>,
    /// Whom doctor asks.
    server: &'static str,
    /// The check that fails; none where all is well.
    check: Option<&'static str>,
    /// Words of its title or evidence.
    says: &'static str,
}

fn worlds() -> Vec<World> {
    let honest = || Some(Manner::default());
    let world = |name, setup, check, says| World { name, setup, manner: honest(), server: SERVER, check, says };
    vec![
        world("a_network_without_a_fault_is_good", "", None, "1 of 1 server(s) answered"),
        world(
            "nft_drop_in_output_is_this_hosts_own_firewall",
            "nft add table inet f\nnft add chain inet f o '{ type filter hook output priority 0 ; }'\nnft add rule inet f o udp dport 123 drop",
            Some("net.firewall"),
            "EPERM",
        ),
        world(
            "nft_reject_in_output_is_this_hosts_own_firewall",
            "nft add table inet f\nnft add chain inet f o '{ type filter hook output priority 0 ; }'\nnft add rule inet f o udp dport 123 reject",
            Some("net.firewall"),
            "EPERM",
        ),
        world(
            "nft_drop_in_input_is_a_filter_behind_which_the_host_lives",
            "nft add table inet f\nnft add chain inet f i '{ type filter hook input priority 0 ; }'\nnft add rule inet f i udp sport 123 drop",
            Some("net.udp123"),
            "silent host(s) answer on TCP",
        ),
        world(
            "a_host_that_answers_on_udp_port_53_alone_shows_that_port_123_is_filtered",
            "nft add table inet f\nnft add chain inet f i '{ type filter hook input priority 0 ; }'\nnft add rule inet f i udp sport 123 drop\nnft add rule inet f i tcp sport '{ 443, 4460 }' drop",
            Some("net.udp123"),
            "silent host(s) answer on UDP port 53",
        ),
        world(
            "a_host_that_drops_everything_is_silent_on_tcp_too",
            "nft add table inet f\nnft add chain inet f i '{ type filter hook input priority 0 ; }'\nnft add rule inet f i ip saddr 192.0.2.1 drop",
            Some("net.udp123"),
            "nor on TCP",
        ),
        World {
            server: "198.51.100.1",
            ..world(
                "a_prohibiting_route_is_one_of_this_host",
                "ip route add prohibit 198.51.100.1",
                Some("net.route"),
                "EACCES",
            )
        },
        World {
            server: "198.51.100.1",
            ..world(
                "a_blackhole_is_a_route_of_this_host",
                "ip route add blackhole 198.51.100.1",
                Some("net.route"),
                "EINVAL",
            )
        },
        World {
            server: "198.51.100.1",
            ..world(
                "an_unreachable_route_is_one_of_this_host",
                "ip route add unreachable 198.51.100.1",
                Some("net.route"),
                "EHOSTUNREACH",
            )
        },
        World { server: "198.51.100.1", ..world("no_route_at_all_is_told", "", Some("net.route"), "ENETUNREACH") },
        World {
            manner: None,
            ..world("a_host_without_an_ntp_server_is_told_by_its_own_icmp", "", Some("net.refused"), "port unreachable")
        },
        World {
            manner: Some(Manner { answer: Answer::Kiss { code: *b"DENY", poll: 0 }, ..Manner::default() }),
            ..world("a_server_that_refuses_is_not_a_blocked_port", "", Some("net.kiss"), "DENY")
        },
        World {
            manner: Some(Manner::default().silent()),
            ..world("a_silent_server_on_a_host_that_lives_is_a_filter", "", Some("net.udp123"), "answer on TCP")
        },
        World {
            server: "ntp.example",
            ..world(
                "a_name_server_that_is_not_there_is_told",
                "resolver 127.0.0.1",
                Some("net.dns"),
                "no name server resolves ntp.example",
            )
        },
        World {
            server: "ntp.example",
            ..world(
                "a_name_server_that_is_silent_is_told",
                "resolver 127.0.0.53",
                Some("net.dns"),
                "no name server answers",
            )
        },
        World {
            server: "ntp.example",
            ..world(
                "a_name_that_is_wrong_is_told",
                "resolver 127.0.0.54",
                Some("net.dns"),
                "there is no such name: ntp.example",
            )
        },
    ]
}

pub fn trials() -> Vec<Trial> {
    let lacks = |world: &World| {
        let nft = world.setup.contains("nft").then(|| lacks_program("nft")).flatten();
        lacks_root().or_else(|| lacks_program("ip")).or(nft)
    };
    let mut all: Vec<Trial> = worlds()
        .into_iter()
        .map(|world| needing(lacks(&world), world.name, move || apart(move || run(&world))))
        .collect();
    all.push(needing(
        lacks_root().or_else(|| lacks_program("ip")),
        "two_servers_with_two_faults_are_two_failures",
        || apart(mixed),
    ));
    all.push(needing(
        lacks_root().or_else(|| lacks_program("ip")),
        "a_portal_that_answers_for_everybody_is_told_from_a_proxy",
        || apart(portal),
    ));
    all.push(needing(
        lacks_root().or_else(|| lacks_program("ip")),
        "the_router_behind_which_ntp_is_lost_is_named",
        || apart(routed),
    ));
    all
}

/// In a thread with a network of its own; what is started from there is in the same.
pub fn apart(test: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let within = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|error| format!("unshare(2): {error}"))?;
        shell("mount --make-rprivate /")?;
        shell("ip link set lo up")?;
        test()
    };
    std::thread::spawn(within).join().unwrap_or_else(|_| Err("the test panicked".into()))
}

pub fn shell(line: &str) -> Outcome {
    let output = Command::new("sh").args(["-euc", line]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// A name server at that address: 127.0.0.53 is silent, 127.0.0.54 knows no name, at 127.0.0.1 there is none.
pub fn resolver(address: &str) -> Result<Option<UdpSocket>, Failed> {
    let folder = tempfile::tempdir()?.keep();
    let (file, switch, hosts) = (folder.join("resolv.conf"), folder.join("nsswitch.conf"), folder.join("hosts"));
    fs::write(&file, format!("nameserver {address}\n"))?;
    fs::write(&switch, "hosts: files dns\n")?;
    fs::write(&hosts, "127.0.0.1 localhost\n")?;
    for (from, to) in [(&file, "/etc/resolv.conf"), (&switch, "/etc/nsswitch.conf"), (&hosts, "/etc/hosts")] {
        shell(&format!("mount --bind {} \"$(readlink -f {to})\"", from.display()))?;
    }
    // Mounted, it needs no name any more.
    fs::remove_dir_all(&folder)?;
    if address == "127.0.0.1" {
        return Ok(None);
    }
    let socket = UdpSocket::bind((address, 53))?;
    if address == "127.0.0.54" {
        let answering = socket.try_clone()?;
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = answering.recv_from(&mut question) {
                // A reply, recursion available, NXDOMAIN; the question as it came (RFC 1035 section 4.1.1).
                let mut reply = question[..length].to_vec();
                reply[2] = 0x81;
                reply[3] = 0x83;
                // An additional record of EDNS is left out.
                reply[10..12].copy_from_slice(&[0, 0]);
                let _ = answering.send_to(&reply, from);
            }
        });
    }
    Ok(Some(socket))
}

/// As a user without rights, but for those of the test's own folder.
fn doctor(servers: &[&str]) -> Result<(Value, Duration), Failed> {
    let began = boottime();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--"]);
    command.args([CLOCKGATE, "doctor", "--json", "--only", "clock.offset", "--only", "net"]);
    command.args(servers.iter().flat_map(|server| ["--server", server]));
    let output = command.output()?;
    let took = boottime().since(began);
    let said = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
    Ok((said, took))
}

fn run(world: &World) -> Outcome {
    shell(&format!("ip addr add {SERVER}/32 dev lo"))?;
    let _server = match &world.manner {
        Some(manner) => Some(Liar::that(SocketAddr::new(SERVER.parse()?, 123), manner.clone())?),
        None => None,
    };
    let mut resolvers = vec![];
    for line in world.setup.lines() {
        match line.split_once(' ') {
            Some(("resolver", address)) => resolvers.push(resolver(address)?),
            Some(_) | None => shell(line)?,
        }
    }
    let (said, took) = doctor(&[world.server])?;
    let failed = |check: &&Value| check["result"] == "fail";
    let checks = said["checks"].as_array().ok_or("no checks")?;
    let failures: Vec<&Value> = checks.iter().filter(failed).collect();
    let text = serde_json::to_string(if failures.is_empty() { checks.as_slice() } else { &[] })?
        + &serde_json::to_string(&failures)?;
    let ids: Vec<&str> = failures.iter().filter_map(|check| check["id"].as_str()).collect();
    let expected: Vec<&str> = world.check.into_iter().collect();
    if ids != expected || !text.contains(world.says) {
        return Err(format!("expected {expected:?} and `{}`: {said:#}", world.says).into());
    }
    if let Some((_, cause)) = EXPECTED.iter().find(|(id, _)| Some(*id) == world.check)
        && said["causes"][0]["words"] != *cause
    {
        return Err(format!("expected the cause `{cause}`: {said:#}").into());
    }
    let limit = if world.check.is_none() { GOOD } else { DEAD };
    if took > limit { Err(format!("it took {took:?}, and {limit:?} are allowed").into()) } else { Ok(()) }
}

/// Of two servers one has no name and one is silent: no server answers, so each is a failure.
fn mixed() -> Outcome {
    let _resolver = resolver("127.0.0.54")?;
    shell("ip route add prohibit 198.51.100.1")?;
    let (said, took) = doctor(&["198.51.100.1", "ntp.example"])?;
    let failed = |id: &str| {
        said["checks"]
            .as_array()
            .is_some_and(|checks| checks.iter().any(|check| check["id"] == id && check["result"] == "fail"))
    };
    if failed("net.dns") && failed("net.route") && took < DEAD {
        Ok(())
    } else {
        Err(format!("{took:?}: {said:#}").into())
    }
}

/// Who answers at an address that nobody has: a page to log in at, or a proxy.
fn portal() -> Outcome {
    shell("ip addr add 192.0.2.113/32 dev lo && ip route add prohibit 198.51.100.1")?;
    let listener = TcpListener::bind("192.0.2.113:80")?;
    let replies = ["302 Found\r\nLocation: http://login.hotel.example/", "504 Gateway Timeout"];
    std::thread::spawn(move || {
        for (reply, stream) in replies.iter().zip(listener.incoming().flatten()) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.1 {reply}\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (said, _) = doctor(&["198.51.100.1"])?;
    let is_told = said["causes"][0]["words"] == EXPECTED.last().map_or("", |(_, cause)| cause)
        && said.to_string().contains("http://login.hotel.example/");
    if !is_told {
        return Err(format!("the portal is not told: {said:#}").into());
    }
    let (said, _) = doctor(&["198.51.100.1"])?;
    let notes = |said: &Value| {
        let checks = said["checks"].as_array();
        checks.is_some_and(|all| all.iter().any(|check| check["id"] == "net.captive" && check["result"] == "note"))
    };
    if !notes(&said) || said.to_string().contains("answers questions about names") {
        return Err(format!("the proxy is not told: {said:#}").into());
    }
    // Whoever takes questions about names for others, and no connection.
    let names = UdpSocket::bind("192.0.2.113:53")?;
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = names.recv_from(&mut question) {
            question[2] |= 0x80;
            let _ = names.send_to(&question[..length], from);
        }
    });
    let (said, _) = doctor(&["198.51.100.1"])?;
    let is_told = notes(&said) && said.to_string().contains("answers questions about names");
    if is_told { Ok(()) } else { Err(format!("it is not told: {said:#}").into()) }
}

/// A router in a namespace of its own, which loses what it is to pass on.
fn routed() -> Outcome {
    let router = Ours::spawn(Command::new("unshare").args(["--net", "sleep", "600"]))?;
    let pid = router.pid();
    let inside = |line: &str| shell(&format!("nsenter --target {pid} --net sh -euc '{line}'"));
    super::support::until("the router has a namespace", Duration::from_secs(20), || {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        of(&pid.to_string()) != of("thread-self")
    })?;
    shell(&format!("ip link add near type veth peer name far netns {pid}"))?;
    shell("ip addr add 10.9.0.2/24 dev near && ip link set near up && ip route add default via 10.9.0.1")?;
    inside("ip link set lo up && ip addr add 10.9.0.1/24 dev far && ip link set far up")?;
    inside(
        "ip link add lost type veth peer name sink && ip link set lost up && ip link set sink up && ip addr add 203.0.113.254/24 dev lost && ip neigh add 203.0.113.1 lladdr 02:00:00:00:00:01 dev lost",
    )?;
    // It reports each packet: by default one each second to each host.
    inside("echo 1 > /proc/sys/net/ipv4/ip_forward && echo 0 > /proc/sys/net/ipv4/icmp_ratelimit")?;
    let (said, _) = doctor(&["203.0.113.1"])?;
    let text = said.to_string();
    let is_named = text.contains("net.udp123") && text.contains("10.9.0.1, at hop 1");
    if !is_named || text.contains("packets to UDP port 53 get to") {
        return Err(format!("the router is not named: {said:#}").into());
    }
    // A filter of port 123 in the router, before it counts the hops: other questions get to it.
    inside(
        "nft add table ip f && nft add chain ip f p \"{ type filter hook prerouting priority 0 ; }\" && nft add rule ip f p udp dport 123 drop",
    )?;
    let (said, _) = doctor(&["203.0.113.1"])?;
    let is_between =
        said.to_string().contains("packets to UDP port 53 get to 10.9.0.1, at hop 1, and those to port 123");
    if is_between { Ok(()) } else { Err(format!("the filter is not named: {said:#}").into()) }
}
