//! An agent, a server by NTS, and between them a road on which round trips are counted.

use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::agent::Agent;
use super::chronyd::free_port;
use super::nts_server::{GOOD, NtsServer};
use super::outcome::{Outcome, expect, fail};
use super::process::clockgate;
use super::road::{Road, is_silence};
use super::wait::until;

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(60);
/// What comes within this time belongs to one flight of packets.
const FLIGHT: Duration = Duration::from_millis(20);
/// Where the time is asked for: the server says so with the keys.
const ROAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

/// A sleep, and a restore, as those who know of them say it.
pub const SLEEP: [&str; 2] = ["suspend", "resume"];
pub const RESTORE: [&str; 2] = ["pre-snapshot", "post-restore"];

/// How often something went there and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounds {
    /// For keys: to connect, and each flight of the client's that an answer was waited for.
    pub keys: usize,
    /// How often keys were exchanged.
    pub exchanges: usize,
    /// Questions for the time.
    pub time: usize,
}

/// An agent that has proven its clock by NTS.
#[derive(Debug)]
pub struct NtsAgent {
    pub agent: Agent,
    time: Road,
    keys: KeysRoad,
    _server: NtsServer,
}

impl NtsAgent {
    pub fn start() -> Outcome<Self> {
        let server = NtsServer::start(GOOD, &format!("ntsntpserver {ROAD}"))?;
        let at = |ip: Ipv4Addr, port| SocketAddr::from((ip, port));
        let time = Road::open(at(ROAD, server.port), at(Ipv4Addr::LOCALHOST, server.port), |meeting| {
            meeting.pass();
        })?;
        // Until it serves keys, an agent would wait longer with each attempt.
        until("the server of keys is there", SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, server.keys)).is_ok())?;
        let keys = KeysRoad::open(at(Ipv4Addr::LOCALHOST, server.keys))?;
        let config = format!(
            "servers: ['nts://localhost:{}']\nnts-ca-file: /etc/authority.pem\ncorrection: none\n\
             bus: {{system: false}}\nchrony: {{socket: /nonexistent/chronyd.sock, udp: none}}\n",
            keys.port,
        );
        let authority = std::fs::read_to_string(server.file("certificate.pem"))?;
        let agent = Agent::start_with(&config, &[("etc/authority.pem", &authority)])?;
        let started = Self { agent, time, keys, _server: server };
        let mut seen = None;
        let opened = until("the gate is open", SOON, || {
            seen = started.status().ok();
            seen.as_ref().is_some_and(|status| status["gate"] == "open")
        });
        match opened {
            Ok(()) => Ok(started),
            Err(failed) => fail(format!("{}: {seen:?}, {:?}", failed.message().unwrap_or_default(), started.passed())),
        }
    }

    /// `status --json`.
    pub fn status(&self) -> Outcome<serde_json::Value> {
        let page = self.agent.host.at("run/clockgate/public");
        let output = clockgate().args(["status", "--json", "--page"]).arg(page).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What has passed since the beginning.
    pub fn passed(&self) -> Rounds {
        Rounds {
            keys: self.keys.rounds.load(Ordering::Relaxed),
            exchanges: self.keys.exchanges.load(Ordering::Relaxed),
            time: self.time.questions(),
        }
    }

    /// What it takes from the second of these notices to the next proof, which is by authenticated references. Without the first, one
    /// that comes soon after another would say nothing new.
    fn rounds_to_proof(&self, [begins, ends]: [&str; 2]) -> Outcome<Rounds> {
        self.notify(begins)?;
        let before = self.passed();
        self.notify(ends)?;
        let after = self.passed();
        let status = self.status()?;
        if status["gate"] != "open" || status["authenticated"] != true {
            return fail(format!("after {ends}: {status}"));
        }
        Ok(Rounds {
            keys: after.keys - before.keys,
            exchanges: after.exchanges - before.exchanges,
            time: after.time - before.time,
        })
    }

    fn notify(&self, notice: &str) -> Outcome {
        let mut notify = clockgate();
        let output = notify.args(["notify", notice, "--wait", "--bus"]).arg(self.agent.bus()).output()?;
        expect(output.status.success(), &output)
    }

    /// The fewest of several times: a question is repeated where this machine was too busy to answer it in time.
    pub fn at_best(&self, notices: [&str; 2], times: usize) -> Outcome<Rounds> {
        let mut best: Option<Rounds> = None;
        for _ in 0..times {
            let rounds = self.rounds_to_proof(notices)?;
            best = Some(best.map_or(rounds, |best| best.min(rounds)));
        }
        best.ok_or_else(|| "it was never tried".into())
    }
}

/// A relay of TCP, a connection at a time.
#[derive(Debug)]
struct KeysRoad {
    port: u16,
    rounds: Arc<AtomicUsize>,
    exchanges: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeysRoad {
    fn open(server: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let (rounds, exchanges) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let over = Arc::<AtomicBool>::default();
        let (count, connections, ended) = (Arc::clone(&rounds), Arc::clone(&exchanges), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    clockgate::sys::nap(Duration::from_millis(1));
                    continue;
                };
                connections.fetch_add(1, Ordering::Relaxed);
                // To connect is a round trip as well.
                count.fetch_add(1, Ordering::Relaxed);
                // Who hangs up in between has ended the conversation all the same.
                let _ = converse(client, server, &count, &ended);
            }
        });
        Ok(Self { port, rounds, exchanges, over, thread: Some(thread) })
    }
}

impl Drop for KeysRoad {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Passes flights to and fro until one side hangs up.
fn converse(mut client: TcpStream, server: SocketAddr, rounds: &AtomicUsize, over: &AtomicBool) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nonblocking(false)?;
    for side in [&client, &server] {
        side.set_read_timeout(Some(FLIGHT))?;
    }
    while !over.load(Ordering::Relaxed) {
        let Some(flight) = flight(&mut client)? else { return Ok(()) };
        if !flight.is_empty() {
            rounds.fetch_add(1, Ordering::Relaxed);
            server.write_all(&flight)?;
        }
        let Some(answer) = self::flight(&mut server)? else { return Ok(()) };
        client.write_all(&answer)?;
    }
    Ok(())
}

/// What one side sends without waiting for the other; none where it has hung up.
fn flight(from: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (mut flight, mut piece) = (vec![], [0; 4096]);
    loop {
        match from.read(&mut piece) {
            Ok(0) if flight.is_empty() => return Ok(None),
            Ok(0) => return Ok(Some(flight)),
            Ok(length) => flight.extend_from_slice(&piece[..length]),
            Err(error) if is_silence(error.kind()) => return Ok(Some(flight)),
            Err(error) => return Err(error),
        }
    }
}
