use super::*;
use crate::decision::{Cause, Epoch, Offset, RestoreSign};
use crate::disruption::notice::NoticeKind;
use crate::sys::clock::realtime;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// A hypervisor's end of a socket pair, in place of a vsock, and the agent's desk.
struct HypervisorCall {
    host: BufReader<UnixStream>,
    notices: mpsc::Receiver<Notice>,
    publish: watch::Sender<Snapshot>,
    callers: Callers,
}

fn call() -> HypervisorCall {
    call_with(Rate::default())
}

fn call_with(rate: Rate) -> HypervisorCall {
    let (host, guest) = UnixStream::pair().unwrap();
    let (sender, notices) = mpsc::channel(4);
    let (publish, published) = watch::channel(proven(1));
    let callers = Callers::default();
    let desk = Desk { notices: sender, published, callers: callers.clone(), rate };
    tokio::spawn(listen_to(guest, desk));
    HypervisorCall { host: BufReader::new(host), notices, publish, callers }
}

impl HypervisorCall {
    async fn says(&mut self, line: &str) {
        self.host.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn receives(&mut self) -> String {
        let mut line = String::new();
        self.host.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn receives_answer(&mut self) -> serde_json::Value {
        let line = self.receives().await;
        let Ok(protocol::AgentMessage::Answer(json)) = protocol::AgentMessage::parse(&line) else { panic!("{line}") };
        json
    }
}

fn proven(epoch: u64) -> Snapshot {
    Snapshot { state: State::Synchronized.code(), gate: Gate::Proven, epoch: Epoch::new(epoch), ..Snapshot::default() }
}

fn shut(epoch: u64) -> Snapshot {
    Snapshot { state: State::Disrupted.code(), gate: Gate::Shut, epoch: Epoch::new(epoch), ..Snapshot::default() }
}

#[tokio::test]
async fn a_snapshot_is_answered_when_the_gate_is_shut() {
    let mut call = call();
    assert_eq!(call.receives().await, "clockgate 1");
    call.says("notify pre-snapshot wait=10000").await;
    let notice = call.notices.recv().await.unwrap();
    assert_eq!(notice.event, Event::Disrupted(Cause::Snapshot));
    notice.answer.send(Ok(shut(2))).unwrap();
    let answer = call.receives_answer().await;
    assert_eq!((&answer["gate"], &answer["epoch"]), (&"shut".into(), &2.into()));
}

#[tokio::test]
async fn after_a_restore_the_hypervisor_is_asked_for_the_time_until_the_clock_is_proven() {
    let mut call = call();
    call.receives().await;
    call.says("notify post-restore wait=10000 time=yes").await;
    let notice = call.notices.recv().await.unwrap();
    assert_eq!(notice.event, Event::Disrupted(Cause::Restore(RestoreSign::Notice)));
    call.publish.send_replace(shut(2));
    notice.answer.send(Ok(shut(2))).unwrap();
    for ahead in [60, 0] {
        let callers = call.callers.clone();
        let asked = tokio::spawn(async move { callers.measure(Duration::from_secs(10)).await });
        let Ok(protocol::AgentMessage::Time(nonce)) = protocol::AgentMessage::parse(&call.receives().await) else {
            panic!("no question")
        };
        let at = realtime() + Offset::from_secs(ahead);
        // An answer to another question is skipped.
        call.says(&protocol::TimeAnswer { nonce: nonce ^ 1, at, bound: Duration::ZERO }.to_string()).await;
        call.says(&protocol::TimeAnswer { nonce, at, bound: Duration::from_millis(3) }.to_string()).await;
        let reading = asked.await.unwrap().unwrap().unwrap();
        assert!((reading.offset - Offset::from_secs(ahead)).abs() <= reading.root_distance, "{reading:?}");
        assert!(reading.root_distance >= Duration::from_millis(3) && !reading.authenticated, "{reading:?}");
    }
    call.publish.send_replace(proven(2));
    assert_eq!(call.receives_answer().await["gate"], "open");
    // Off the line again.
    assert!(call.callers.measure(Duration::from_secs(1)).await.is_none());
}

#[tokio::test]
async fn a_host_that_does_not_wait_is_answered_at_once_and_not_asked() {
    let mut call = call();
    call.receives().await;
    call.says("notify suspend").await;
    assert_eq!(call.receives_answer().await["gate"], "open");
    assert_eq!(call.notices.recv().await.unwrap().event.clone(), NoticeKind::Suspend.event());
    assert!(call.callers.measure(Duration::from_secs(1)).await.is_none());
}

#[tokio::test]
async fn nonsense_is_refused_and_sends_the_agent_no_event() {
    for nonsense in ["GET / HTTP/1.1", "notify lunch", &"x".repeat(600)] {
        let mut call = call();
        call.receives().await;
        call.says(nonsense).await;
        assert!(call.receives().await.starts_with("refused "), "{nonsense}");
        assert!(call.notices.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_notifies_without_end_is_slowed_down_and_refused() {
    let rate = Rate::default();
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..8 {
        let mut call = call_with(rate.clone());
        call.receives().await;
        call.says("notify suspend").await;
        taken += u32::from(call.receives().await.starts_with("answer "));
    }
    // Each of these waits longer for its turn than the one before it.
    let many: Vec<_> = (0..8)
        .map(|_| {
            let rate = rate.clone();
            tokio::spawn(async move {
                let mut call = call_with(rate);
                call.receives().await;
                call.says("notify suspend").await;
                call.receives().await
            })
        })
        .collect();
    for said in many {
        refused += u32::from(
            said.await.unwrap() == "refused the hypervisor has sent too many notifications in the last seconds",
        );
    }
    assert!(taken == 8 && refused >= 3, "{taken} taken, {refused} refused");
}

#[tokio::test]
async fn a_port_that_was_lost_and_found_may_have_missed_a_call() {
    let (sender, _notices) = mpsc::channel(1);
    let (_publish, published) = watch::channel(proven(1));
    let desk = Desk { notices: sender, published, callers: Callers::default(), rate: Rate::default() };
    let mut calls = Calls::new(Port { port: 9123, peer: 2 }, desk);
    let (events, mut inbox) = mpsc::channel(4);
    let folder = tempfile::tempdir().unwrap();
    // In place of a vsock, which no hypervisor connects to.
    let listen = |name: &'static str| {
        let path = folder.path().join(name);
        move |_port| std::os::unix::net::UnixListener::bind(path).map(OwnedFd::from)
    };
    let quiet = Duration::from_millis(50);
    assert!(tokio::time::timeout(quiet, calls.watch_by(listen("first"), &events)).await.is_err());
    assert!(inbox.try_recv().is_err(), "nothing was missed before it began");
    let lost = calls.watch_by(|_port| Err(io::ErrorKind::Other.into()), &events).await;
    assert!(lost.is_err() && inbox.try_recv().is_err(), "it is not back yet");
    assert!(tokio::time::timeout(quiet, calls.watch_by(listen("second"), &events)).await.is_err());
    assert_eq!(inbox.try_recv(), Ok(Event::Unseen("vsock")));
}

#[tokio::test(start_paused = true)]
async fn a_hypervisor_that_says_nothing_is_not_waited_for() {
    let mut call = call();
    call.receives().await;
    assert_eq!(call.receives().await, "refused the hypervisor sends nothing");
}

#[tokio::test(start_paused = true)]
async fn still_shut_is_an_answer_when_the_time_is_over() {
    let mut call = call();
    call.receives().await;
    call.says("notify post-restore wait=2000").await;
    call.notices.recv().await.unwrap().answer.send(Ok(shut(2))).unwrap();
    call.publish.send_replace(shut(2));
    assert_eq!(call.receives_answer().await["gate"], "shut");
}

#[tokio::test]
async fn a_hypervisor_that_hangs_up_is_off_the_line() {
    let mut call = call();
    call.receives().await;
    call.says("notify post-restore wait=10000 time=yes").await;
    let notice = call.notices.recv().await.unwrap();
    notice.answer.send(Ok(shut(2))).unwrap();
    drop(call.host);
    let asked = call.callers.measure(Duration::from_secs(10)).await.unwrap();
    assert_eq!(asked.unwrap_err().source, SOURCE);
}

#[test]
fn refused_connections_have_one_line_in_a_minute_that_counts_those_without() {
    let (mut refusals, begun) = (RefusedConnections::default(), Instant::now());
    assert_eq!(refusals.count(begun), Some(0));
    for _ in 0..10_000 {
        assert_eq!(refusals.count(begun + Duration::from_secs(59)), None);
    }
    assert_eq!(refusals.count(begun + Duration::from_secs(60)), Some(10_000));
    assert_eq!(refusals.count(begun + Duration::from_secs(120)), Some(0));
}
