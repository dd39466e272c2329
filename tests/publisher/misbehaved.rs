//! A server that fails, each time in another way: what the publisher asks of it meanwhile, what it logs, and what it writes afterwards.

use std::path::Path;
use std::time::Duration;

use clockgate::decision::{Cause, Snapshot};
use clockgate::sys::nap;
use serde_json::json;

use crate::authority::Authority;
use crate::cluster::kubeconfig;
use crate::publisher::Publisher;
use crate::support::{Outcome, ensure, until_answered};
use crate::unruly::{Manner, Unruly};
use crate::{at_once, proven_in, restored};

/// How the server fails; what is logged of that; and for how long it asks to be left alone, seconds.
const FAILURES: [(Manner, &str, u64); 12] = [
    (Manner::ClosesAtOnce, "no TLS with localhost:", 0),
    (Manner::ResetsAtOnce, "no TLS with localhost:", 0),
    (Manner::Silent, "no answer within 5s", 0),
    (Manner::Plain, "no TLS with localhost:", 0),
    (Manner::HalfCloses, "no answer of localhost:", 0),
    (Manner::Resets, "no answer of localhost:", 0),
    (Manner::Drips, "no answer within 5s", 0),
    (Manner::Answers("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), "no answer of localhost:", 0),
    (
        Manner::Answers("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 900\r\n\r\n{\"mess"),
        "no answer within 5s",
        0,
    ),
    (
        Manner::Answers(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 27\r\n\r\n{\"message\": \"etcd is gone\"}",
        ),
        "answered 503 Service Unavailable: etcd is gone",
        0,
    ),
    (
        Manner::Answers("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"),
        "answered 429 Too Many Requests: it does not say why",
        3,
    ),
    (
        Manner::Answers("HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n"),
        "answered 302 Found: it does not say why",
        0,
    ),
];

pub fn all(program: &Path) -> Outcome {
    at_once(&FAILURES, |failure| one(program, *failure))
}

fn one(program: &Path, (manner, words, asks_for): (Manner, &str, u64)) -> Outcome {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path())?;
    authority.signs_server("server", &["localhost"], 0)?;
    authority.signs_client("node", "system:node:node", "system:nodes")?;
    let server = Unruly::start(folder.path(), manner)?;
    let cluster = json!({ "server": format!("https://localhost:{}", server.port) });
    let kubeconfig = kubeconfig(folder.path(), "node", "node.conf", cluster)?;
    let mut publisher = Publisher::start(program, &kubeconfig, &proven_in(1))?;
    server.until_asked(1)?;
    publisher.page_says(&restored(2))?;
    server.until_asked(4)?;
    publisher.says(words)?;
    // Each failure doubles the pause.
    let times = server.accepted();
    for (pair, pause) in times.windows(2).zip([1, 2, 4]) {
        let pause = Duration::from_secs(pause.max(asks_for));
        ensure(pair[1].since(pair[0]) >= pause, format!("not {pause:?} apart: {times:?}"))?;
    }
    // The agent goes on writing its page.
    let latest = Snapshot { cause: Cause::Pause { lost: Duration::ZERO }, ..restored(3) };
    publisher.page_says(&latest)?;
    server.behaves(Manner::Well);
    until_answered("it is written", Duration::from_secs(300), || {
        publisher.page_says(&latest)?;
        Ok((!server.taken().is_empty()).then_some(()))
    })?;
    let asked = server.accepted().len();
    publisher.says("the API server takes the condition again")?;
    // The latest state alone, and on no connection that is kept.
    let taken = server.taken();
    let condition = &taken[0]["status"]["conditions"][0];
    ensure(taken.len() == 1 && condition["reason"] == "Paused", format!("{taken:?}"))?;
    server.until_closed()?;
    for _ in 0..5 {
        publisher.page_says(&latest)?;
        nap(Duration::from_secs(1));
    }
    ensure(server.accepted().len() == asked, format!("it is not idle: {}", publisher.log()))
}
