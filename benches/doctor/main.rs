//! How long `doctor` takes on a network without a fault and on dead ones, each in a namespace of its own, as a user without rights. Its
//! table goes to docs/performance.md.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[path = "../../tests/doctor/network.rs"]
#[allow(dead_code, reason = "the tests of doctor use the rest")]
mod network;
#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use network::{SERVER, apart, shell};
use report::{Table, median, met, millis};
use support::liar::{Liar, Manner};
use support::{CLOCKGATE, Outcome, lacks_program, lacks_root};

/// How often each is done.
const ROUNDS: usize = 5;
/// On a dead network and on a good one (issue "Why: explain the error, find the cause, know the past").
const DEAD: Duration = Duration::from_secs(3);
const GOOD: Duration = Duration::from_millis(500);
/// A server that no route leads to, and one that a name server would have to know.
const FAR: &str = "198.51.100.1";
const NAMED: &str = "ntp.example";

/// A network, the lines of shell that make it, the servers that doctor is told, and the goal.
struct World {
    what: &'static str,
    setup: &'static str,
    servers: &'static [&'static str],
    goal: Duration,
}

const WORLDS: &[World] = &[
    World {
        what: "four servers that answer",
        setup: "",
        servers: &[SERVER, "192.0.2.2", "192.0.2.3", "192.0.2.4"],
        goal: GOOD,
    },
    World {
        what: "nft drops UDP 123 on its way out",
        setup: "nft add table inet f; nft add chain inet f o '{ type filter hook output priority 0 ; }'; nft add rule inet f o udp dport 123 drop",
        servers: &[SERVER],
        goal: DEAD,
    },
    World {
        what: "nft drops everything from the server",
        setup: "nft add table inet f; nft add chain inet f i '{ type filter hook input priority 0 ; }'; nft add rule inet f i ip saddr 192.0.2.1 drop",
        servers: &[SERVER],
        goal: DEAD,
    },
    World { what: "no route", setup: "", servers: &[FAR], goal: DEAD },
    World { what: "a name server that is silent", setup: "resolver", servers: &[NAMED], goal: DEAD },
];

fn main() -> Outcome {
    if let Some(lacks) = lacks_root().or_else(|| lacks_program("ip")).or_else(|| lacks_program("nft")) {
        return Err(lacks.into());
    }
    let mut table = Table::new(&["network", "doctor", "at the latest", "goal"]);
    for world in WORLDS {
        let all = Arc::new(Mutex::new(vec![]));
        let taken = Arc::clone(&all);
        apart(move || {
            let took = measured(world)?;
            taken.lock().map_err(|_| "another thread panicked")?.extend(took);
            Ok(())
        })?;
        let all = all.lock().map_err(|_| "another thread panicked")?;
        let (middle, latest) = (median(&all), all.iter().max().copied().unwrap_or_default());
        let goal = format!("under {}: {}", millis(world.goal), met(middle < world.goal));
        table.row(&[&world.what, &millis(middle), &millis(latest), &goal]);
    }
    table.write("doctor")
}

fn measured(world: &World) -> Outcome<Vec<Duration>> {
    let mut servers = vec![];
    for last in 1..=4 {
        let address = format!("192.0.2.{last}");
        shell(&format!("ip addr add {address}/32 dev lo"))?;
        servers.push(Liar::that(SocketAddr::new(address.parse()?, 123), Manner::default())?);
    }
    let _resolver: Option<UdpSocket> = match world.setup {
        "resolver" => network::resolver("127.0.0.53")?,
        setup => {
            shell(setup)?;
            None
        }
    };
    (0..ROUNDS).map(|_| doctor(world.servers)).collect()
}

/// All of its checks. It ends with 1 where it finds something.
fn doctor(servers: &[&str]) -> Outcome<Duration> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--"]);
    command.args([CLOCKGATE, "doctor"]).args(servers.iter().flat_map(|server| ["--server", server]));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    report::timed(&mut command)
}
