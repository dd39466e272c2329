//! `metrics.listen` and `metrics.textfile` of a real agent.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use clockgate::decision::Offset;
use clockgate::metrics::MetricsFormat;

use crate::status::{SOON, number};
use crate::support::agent::Agent;
use crate::support::liar::Liar;
use crate::support::prometheus::free_port;
use crate::support::{clockgate, until, until_some};

/// An agent with a reference of its own, and these metrics.
pub struct Served {
    pub agent: Agent,
    pub server: Liar,
}

impl Served {
    pub fn start(metrics: &str) -> Self {
        let server = Liar::here(Offset::ZERO).unwrap();
        let config = format!("servers: ['{}']\ncorrection: none\nmetrics: {metrics}\n", server.address());
        Self { agent: Agent::start(&config).unwrap(), server }
    }

    /// Has the clock proven anew, which begins an epoch.
    pub fn proves_anew(&self) {
        let synced = clockgate().args(["sync", "--root"]).arg(self.agent.host.path()).output().unwrap();
        assert!(synced.status.success(), "{synced:?}");
    }
}

fn ask(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub fn get(port: u16, path: &str, accept: &str) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    ask(stream, &format!("GET {path} HTTP/1.1\r\nHost: here\r\nAccept: {accept}\r\n\r\n"))
}

pub fn by_tcp() {
    let port = free_port().unwrap();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}'}}"));
    until("ready", SOON, || get(port, "/readyz", "*/*").starts_with("HTTP/1.1 200 OK\r\n")).unwrap();
    let open = get(port, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let before = clock();
    let plain = get(port, "/metrics?name=x", "*/*");
    let time = number(&plain, "clockgate_time_seconds").unwrap();
    assert!(before <= time && time <= clock(), "{before} {time}");
    for (answer, format) in [(&open, MetricsFormat::OpenMetrics), (&plain, MetricsFormat::Prometheus)] {
        assert!(answer.contains(&format!("\r\nContent-Type: {}\r\n", format.content_type())), "{answer}");
        assert_eq!(number(answer, "clockgate_gate_proven"), Some(1.0), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    }
    assert!(open.ends_with("# EOF\n") && !plain.contains("# EOF"));
    assert!(get(port, "/livez", "").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(port, "/", "").starts_with("HTTP/1.1 404 "));
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(ask(connect(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    let head = ask(connect(), "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask(connect(), "\u{1}\u{2} nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    // A clock that a reference contradicts shuts the gate.
    served.server.change(|manner| manner.offset = Offset::from_secs(3600));
    drop(clockgate().args(["notify", "resume", "--bus"]).arg(served.agent.bus()).output().unwrap());
    let refused =
        until_some("not ready", SOON, || Some(get(port, "/readyz", "")).filter(|said| said.contains(" 503 ")));
    assert!(refused.unwrap().contains("\r\n\r\nshut: "));
    assert!(get(port, "/livez", "").starts_with("HTTP/1.1 200 OK\r\n"), "it is shut, and lives");
}

pub fn by_socket() {
    let served = Served::start("{listen: /run/clockgate/metrics}");
    let path = served.agent.host.at("run/clockgate/metrics");
    until("the socket", SOON, || path.exists()).unwrap();
    let answer = ask(UnixStream::connect(&path).unwrap(), "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
}

/// The host's clock in seconds, as a metric has it.
fn clock() -> f64 {
    Duration::from_nanos(clockgate::sys::clock::realtime().as_nanos().cast_unsigned()).as_secs_f64()
}

/// How long a proof takes, and that is what a person waits for.
fn proof(served: &Served) -> Duration {
    let began = clockgate::sys::clock::boottime();
    served.proves_anew();
    clockgate::sys::clock::boottime().since(began)
}

pub fn slow_scrapers() {
    let port = free_port().unwrap();
    let served = Served::start(&format!("{{listen: '127.0.0.1:{port}'}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Some say nothing, some stop within the request, some never read the answer.
    let mut slow: Vec<TcpStream> = (0..150).map(|_| connect()).collect();
    for stream in slow.iter_mut().skip(50).take(50) {
        stream.write_all(b"GET /met").unwrap();
    }
    for stream in slow.iter_mut().skip(100) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    }
    let took = proof(&served);
    assert!(took < Duration::from_secs(20), "a proof took {took:?} beside slow scrapers");
    // The others are sent away after their time, and who asks well is answered.
    let answer = get(port, "/metrics", "");
    assert_eq!(number(&answer, "clockgate_disruptions_total{cause=\"requested\"}"), Some(1.0), "{answer}");
    let mut rest = vec![];
    slow[0].set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(slow[0].read_to_end(&mut rest).unwrap_or_default(), 0, "who says nothing is hung up on");
}

/// What the threat model promises of a listener: 64 at once, 3 s for each, a head of 8 KiB.
pub fn limits() {
    const AT_ONCE: usize = 64;
    const WITHIN: Duration = Duration::from_secs(3);
    let port = free_port().unwrap();
    let _served = Served::start(&format!("{{listen: '127.0.0.1:{port}'}}"));
    until("ready", SOON, || get(port, "/readyz", "").contains(" 200 ")).unwrap();
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let head = |of: usize| {
        let request = "GET /livez HTTP/1.1\r\nX: ";
        format!("{request}{}\r\n\r\n", "x".repeat(of - request.len() - 4))
    };
    assert!(ask(connect(), &head(8192)).starts_with("HTTP/1.1 200 "));
    // What is left of it is not read, and the answer may be lost with it.
    let mut long = connect();
    long.write_all(&head(8193).as_bytes()[..8192]).unwrap();
    let mut answer = String::new();
    long.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Who says nothing has a place until its time is over; one more waits for that, and is answered then.
    let began = clockgate::sys::clock::boottime();
    let silent: Vec<TcpStream> = (0..AT_ONCE).map(|_| connect()).collect();
    let answer = get(port, "/livez", "");
    let waited = clockgate::sys::clock::boottime().since(began);
    assert!(answer.starts_with("HTTP/1.1 200 ") && waited >= WITHIN, "after {waited:?}: {answer}");
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0, "who says nothing is hung up on");
    }
    // Beside one less nobody waits for that.
    let silent: Vec<TcpStream> = (1..AT_ONCE).map(|_| connect()).collect();
    let answered = (0..3).any(|_| {
        let began = clockgate::sys::clock::boottime();
        get(port, "/livez", "").starts_with("HTTP/1.1 200 ")
            && clockgate::sys::clock::boottime().since(began) < WITHIN / 2
    });
    assert!(answered, "63 silent scrapers keep another one waiting");
    drop(silent);
}

pub fn taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = Served::start(&format!("{{listen: '{}'}}", taken.local_addr().unwrap()));
    served.proves_anew();
}

fn written(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub fn textfile() {
    let served = Served::start("{textfile: /clockgate.prom}");
    let path = served.agent.host.at("clockgate.prom");
    until("an open gate", SOON, || number(&written(&path), "clockgate_gate_proven") == Some(1.0)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(number(&written(&path), "clockgate_time_seconds"), None, "a file is read later than it is written");
    let first = number(&written(&path), "clockgate_written_boottime_seconds").unwrap();
    served.proves_anew();
    let requested = || number(&written(&path), "clockgate_disruptions_total{cause=\"requested\"}") == Some(1.0);
    until("the change, long before the minute", Duration::from_secs(20), requested).unwrap();
    assert!(number(&written(&path), "clockgate_written_boottime_seconds").unwrap() > first);
    let is_left = || {
        let names = fs::read_dir(served.agent.host.path()).unwrap().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".new"))
    };
    // It is there while the next text is written.
    until("nothing is left of the writing", SOON, || !is_left()).unwrap();
    until("the gate is open again", SOON, || number(&written(&path), "clockgate_gate_proven") == Some(1.0)).unwrap();
    // Killed, it leaves an open gate; what systemd runs then says so in the file too.
    let Served { agent, .. } = served;
    let Agent { host, process } = agent;
    drop(process);
    assert_eq!(number(&written(&path), "clockgate_gate_proven"), Some(1.0));
    let shut = clockgate().args(["agent", "--shut-gate", "--root"]).arg(host.path()).output().unwrap();
    assert!(shut.status.success(), "{shut:?}");
    assert_eq!(number(&written(&path), "clockgate_gate_proven"), Some(0.0));
    assert_eq!(number(&written(&path), "clockgate_state{state=\"Ended\"}"), Some(1.0));
}

pub fn unwritable() {
    let served = Served::start("{textfile: /nowhere/clockgate.prom}");
    served.proves_anew();
}
