//! org.clockgate.Agent1 on its own socket: who is served there, and what becomes of bad callers.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clockgate::decision::{Boottime, Cause, Epoch, Event, Notifier, Offset, RestoreSign};
use clockgate::publish::bus::client::{AgentClient, CallerTime, ClientError, NoticeKind, Outcome};
use clockgate::publish::bus::{NAME, PATH, peer_socket};
use clockgate::reference::caller::registry::Callers;
use clockgate::sys::clock::{boottime, realtime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use zbus::connection;

use crate::agent::{Agent, Socket, changed, changes, next, run, text};
use crate::soon;

async fn with_client<T: Send + 'static>(path: PathBuf, ask: impl FnOnce(AgentClient) -> T + Send + 'static) -> T {
    soon(tokio::task::spawn_blocking(move || ask(AgentClient::connect(&path).unwrap()))).await.unwrap()
}

pub async fn without_a_bus_our_own_client_syncs_and_notifies() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let call = tokio::spawn(with_client(socket.path(), |client| client.sync(Duration::from_secs(20))));
    agent.takes(Event::Disrupted(Cause::Requested)).await;
    agent.proves();
    let outcome = call.await.unwrap().unwrap();
    let expected = Outcome {
        state: "Synchronized".to_owned(),
        gate: "open".to_owned(),
        epoch: 4,
        offset_ns: Some(-5),
        bound_ns: Some(7),
        why: String::new(),
    };
    assert_eq!(outcome, expected);
    let wait = Duration::from_secs(20);
    let call = tokio::spawn(with_client(socket.path(), move |client| client.notify(NoticeKind::Suspend, wait)));
    agent.takes(Event::Sleeping(Notifier::Notify)).await;
    assert_eq!(call.await.unwrap().unwrap().gate, "shut");
    let call = with_client(socket.path(), |client| client.sync(Duration::from_millis(100))).await;
    assert!(matches!(call, Err(ClientError::StillShut(_))), "{call:?}");
}

pub async fn a_caller_that_tells_the_time_is_asked_until_the_clock_is_proven_or_disrupted_again() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let ask = |callers: Callers| async move { soon(callers.measure(Duration::from_secs(20))).await };
    let told =
        || CallerTime { at: realtime() + Offset::from_secs(60), as_of: boottime(), bound: Duration::from_millis(3) };
    let tell = |wait| {
        let now = told();
        tokio::spawn(with_client(socket.path(), move |client| {
            client.notify_with_time(NoticeKind::PostRestore, now, wait)
        }))
    };
    let call = tell(Duration::from_secs(20));
    agent.takes(Event::Disrupted(Cause::Restore(RestoreSign::Notice))).await;
    for _ in 0..2 {
        let reading = ask(agent.face.callers.clone()).await.unwrap().unwrap();
        assert!((reading.offset - Offset::from_secs(60)).abs() < Duration::from_secs(1), "{reading:?}");
        assert!(reading.root_distance >= Duration::from_millis(3) && !reading.authenticated, "{reading:?}");
    }
    agent.proves();
    assert_eq!(call.await.unwrap().unwrap().gate, "open");
    assert!(ask(agent.face.callers.clone()).await.is_none(), "off the line again");

    // Disrupted again, the machine may have stood still since: the word is void, and the caller waits for others.
    let call = tell(Duration::from_secs(20));
    agent.takes(Event::Disrupted(Cause::Restore(RestoreSign::Notice))).await;
    agent.publish(|s| s.epoch = s.epoch.next());
    let failure = ask(agent.face.callers.clone()).await.unwrap().unwrap_err();
    assert!(failure.why.contains("void"), "{failure:?}");
    agent.proves();
    assert_eq!(call.await.unwrap().unwrap().gate, "open");

    let call = tell(Duration::from_millis(100));
    agent.takes(Event::Disrupted(Cause::Restore(RestoreSign::Notice))).await;
    assert!(matches!(call.await.unwrap(), Err(ClientError::StillShut(_))));
}

pub async fn a_time_with_an_announcement_or_from_another_moment_is_refused() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let refused = |what, as_of| {
        let told = CallerTime { at: realtime(), as_of, bound: Duration::from_millis(3) };
        let path = socket.path();
        async move {
            let called =
                with_client(path, move |client| client.notify_with_time(what, told, Duration::from_secs(5))).await;
            let Err(ClientError::Refused(why)) = called else { panic!("{called:?}") };
            why
        }
    };
    assert!(refused(NoticeKind::PreSnapshot, boottime()).await.contains("resume and post-restore only"));
    assert!(refused(NoticeKind::PostRestore, boottime() + Duration::from_secs(60)).await.contains("in the future"));
    assert!(refused(NoticeKind::PostRestore, Boottime::from_nanos(0)).await.contains("ms old"));
    for (line, why) in [
        ("post-restore --time yesterday --bound 1s", "invalid time `yesterday`"),
        ("post-restore --time 1800000000 --bound 1s", "expected 2026-11-24T12:00:00.25Z or @1795521600.25"),
        ("post-restore --time @1800000000", "--bound"),
        ("post-restore --time @1800000000 --bound 1", "unknown unit"),
        ("post-restore --bound 1s", "--time"),
        ("pre-snapshot --time @1800000000 --bound 1s", "resume and post-restore only"),
        ("vm post-restore --cid 7 --time @1800000000", "--bound 50ms"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clockgate"));
        let (verb, rest) = if let Some(rest) = line.strip_prefix("vm ") {
            (&["vm", "notify"][..], rest)
        } else {
            (&["notify"][..], line)
        };
        command.args(verb).args(rest.split(' '));
        let said = run(command).await;
        assert!(said.status.code() == Some(2) && text(&said.stderr).contains(why), "{line}: {}", text(&said.stderr));
    }
    assert!(agent.notices.try_recv().is_err());
}

pub async fn libdbus_is_served_on_the_socket_and_peers_hear_of_changes() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let mut send = Command::new("dbus-send");
    send.arg(format!("--peer={}", socket.address())).args(["--print-reply", PATH]);
    send.args(["org.freedesktop.DBus.Properties.Get", &format!("string:{NAME}"), "string:Gate"]);
    let said = run(send).await;
    assert!(text(&said.stdout).contains("string \"open\""), "{}", text(&said.stderr));
    let mut send = Command::new("dbus-send");
    send.arg(format!("--peer={}", socket.address())).args(["--print-reply", PATH]);
    send.args([&format!("{NAME}.Notify"), "string:resume", "uint32:0"]);
    let said = run(send).await;
    assert!(text(&said.stdout).contains("string \"Synchronized\""), "{}", text(&said.stderr));
    assert_eq!(soon(agent.notices.recv()).await.unwrap().event, Event::Woken(Notifier::Notify));

    let stream = std::os::unix::net::UnixStream::connect(socket.path()).unwrap();
    let bus = connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
    let mut signals = changes(&bus).await;
    agent.publish(|s| s.epoch = Epoch::new(77));
    assert_eq!(changed(&soon(next(&mut signals)).await), ["Epoch"]);
}

pub async fn the_socket_is_roots_alone_and_replaces_a_dead_one_but_never_a_living_one() {
    let socket = Socket::new();
    let path = socket.path();
    // A socket that its owner left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let root = tempfile::tempdir().unwrap();
    let mode = || std::fs::symlink_metadata(&path).unwrap().mode() & 0o777;
    drop(peer_socket::Listener::bind(&path, root.path()).unwrap());
    // A group of the host at this root, whatever groups the machine has that the test runs on; it is our own, to be given away to.
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/group"), format!("clockgate:x:{}:\n", nix::unistd::getegid())).unwrap();
    let listener = peer_socket::Listener::bind(&path, root.path()).unwrap();
    assert_eq!(mode(), 0o660);
    drop(listener);
    let nowhere = Path::new("/nowhere");
    let listener = peer_socket::Listener::bind(&path, nowhere).unwrap();
    assert_eq!(mode(), 0o600);
    assert_eq!(std::fs::read_dir(socket.folder.path()).unwrap().count(), 1, "nothing else is left behind");
    assert!(matches!(peer_socket::Listener::bind(&path, nowhere), Err(peer_socket::PeerSocketError::InUse(_))));
    drop(listener);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(peer_socket::Listener::bind(&path, nowhere), Err(peer_socket::PeerSocketError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

pub async fn garbage_on_the_socket_harms_nobody_else() {
    let socket = Socket::new();
    let agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let uid: String = nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    let greeted = format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").into_bytes();
    let endless = [b"\0AUTH ".to_vec(), vec![b'x'; 1 << 16]].concat();
    let huge = [greeted.clone(), b"l\x01\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\xff\xff\xff\x00".to_vec()].concat();
    let wrong = [greeted.clone(), vec![0xaa; 4096]].concat();
    let lines = [b"\0".to_vec(), b"NONSENSE\r\n".repeat(100)].concat();
    let empty_line = [greeted[..greeted.len() - 7].to_vec(), b"\n\r\n\n".to_vec()].concat();
    let cases: [&[u8]; 9] =
        [b"\n", b"\0\n", b"GET / HTTP/1.1\r\n\r\n", &endless, &lines, &wrong, &huge, &empty_line, b"\0\xff\xfe\r\n"];
    for garbage in cases {
        let mut stream = UnixStream::connect(socket.path()).await.unwrap();
        // The other side may have hung up before all of it is sent.
        drop(stream.write_all(garbage).await);
        drop(stream.shutdown().await);
        let mut answer = vec![];
        drop(soon(stream.read_to_end(&mut answer)).await);
    }
}

pub async fn silent_connections_make_room_and_those_that_wait_for_an_answer_do_not() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let waits = tokio::spawn(with_client(socket.path(), |client| client.sync(Duration::from_secs(60))));
    agent.takes(Event::Disrupted(Cause::Requested)).await;
    // As many as are served at all, silent and kept open.
    let mut silent = vec![];
    for _ in 0..64 {
        silent.push(UnixStream::connect(socket.path()).await.unwrap());
    }
    let path = socket.path();
    let call = tokio::task::spawn_blocking(move || {
        let until = boottime() + Duration::from_secs(20);
        loop {
            match AgentClient::connect(&path).and_then(|client| client.notify(NoticeKind::Resume, Duration::ZERO)) {
                Err(ClientError::Stuck { .. }) if boottime() < until => {}
                done => return done,
            }
        }
    });
    assert_eq!(soon(agent.notices.recv()).await.unwrap().event, Event::Woken(Notifier::Notify));
    soon(call).await.unwrap().unwrap();
    agent.proves();
    assert_eq!(soon(waits).await.unwrap().unwrap().gate, "open", "who waited was not sent away");
    drop(silent);
}

pub async fn a_flood_of_notices_is_turned_away_and_said_so() {
    let socket = Socket::new();
    let agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    let stream = std::os::unix::net::UnixStream::connect(socket.path()).unwrap();
    let bus = connection::Builder::unix_stream(stream).p2p().build().await.unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move {
                bus.call_method(None::<&str>, PATH, Some(NAME), "Notify", &("post-restore", 0_u32)).await.map(drop)
            })
        })
        .collect();
    let taken = tokio::spawn(async move {
        let (mut taken, mut agent) = (0, agent);
        while agent.notices.recv().await.is_some() {
            taken += 1;
            if taken == 12 {
                break;
            }
        }
        (taken, agent)
    });
    let mut refused = 0;
    for call in calls {
        if let Err(zbus::Error::MethodError(name, ..)) = soon(call).await.unwrap() {
            assert_eq!(name.as_str(), "org.clockgate.Error.TooOften");
            refused += 1;
        }
    }
    assert_eq!((refused, soon(taken).await.unwrap().0), (8, 12));
}
