//! The agent as the bus sees it, played by the test, and those who call it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Output};
use std::time::Duration;

use clockgate::decision::{Epoch, Event, Gate, Offset, Snapshot, State};
use clockgate::disruption::notice::Notice;
use clockgate::disruption::notice_rate::Rate;
use clockgate::publish::bus::{Face, MetricsFace, NAME, PATH, peer_socket, system};
use clockgate::publish::held_starts::HeldStarts;
use clockgate::publish::metrics_reader::MetricsReader;
use clockgate::reference::caller::registry::Callers;
use futures_core::Stream as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant, Proxy, connection};

use crate::soon;
use crate::support::private_bus::PrivateBus;

pub const PROVEN: u32 = State::Synchronized.code();
pub const DISRUPTED: u32 = State::Disrupted.code();

/// The agent's side: what it publishes, and the notices it gets.
pub struct Agent {
    pub snapshots: watch::Sender<Snapshot>,
    pub notices: mpsc::Receiver<Notice>,
    pub face: Face,
}

impl Agent {
    pub fn new() -> Self {
        let first = Snapshot { state: PROVEN, gate: Gate::Proven, epoch: Epoch::new(3), ..Snapshot::default() };
        let (snapshots, seen) = watch::channel(first);
        let (sender, notices) = mpsc::channel(4);
        let (callers, root) = (Callers::default(), PathBuf::from("/nowhere"));
        let metrics = MetricsFace::new(MetricsReader::new(&root, &root, HeldStarts::default()));
        Self {
            snapshots,
            notices,
            face: Face {
                news: seen.clone(),
                snapshots: seen,
                notices: sender,
                callers,
                rate: Rate::default(),
                metrics,
                root,
            },
        }
    }

    pub fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshots.send_modify(change);
    }

    /// Takes the next notice, shuts the gate for it and answers.
    pub async fn takes(&mut self, event: Event) {
        let notice = soon(self.notices.recv()).await.unwrap();
        assert_eq!(notice.event, event);
        self.publish(|s| {
            s.state = DISRUPTED;
            s.gate = Gate::Shut;
            s.epoch = s.epoch.next();
            s.why = "measuring".into();
        });
        notice.answer.send(Ok(self.snapshots.borrow().clone())).unwrap();
    }

    pub fn proves(&self) {
        self.publish(|s| {
            s.state = PROVEN;
            s.gate = Gate::Proven;
            s.offset = Some(Offset::from_nanos(-5));
            s.bound = Some(Duration::from_nanos(7));
            s.why = "".into();
        });
    }

    pub fn on_bus(&self, bus: &PrivateBus) -> JoinHandle<()> {
        tokio::spawn(system::serve(Some(bus.address()), self.face.clone()))
    }

    pub fn on_socket(&self, path: &Path) -> JoinHandle<()> {
        let listener = peer_socket::Listener::bind(path, &self.face.root).unwrap();
        let face = self.face.clone();
        tokio::spawn(async move { listener.serve(face).await.unwrap() })
    }
}

/// A caller on the bus that waits for the agent's name.
pub async fn caller(bus: &PrivateBus) -> Proxy<'static> {
    let bus = connection::Builder::address(bus.address().as_str()).build().await.unwrap();
    let driver = zbus::fdo::DBusProxy::new(&bus).await.unwrap();
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(NAME)
        .build()
        .unwrap();
    let mut owners = MessageStream::for_match_rule(rule, &bus, None).await.unwrap();
    while !driver.name_has_owner(NAME.try_into().unwrap()).await.unwrap() {
        soon(next(&mut owners)).await;
    }
    Proxy::new(&bus, NAME, PATH, NAME).await.unwrap()
}

pub async fn next(stream: &mut MessageStream) -> Message {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await.unwrap().unwrap()
}

pub async fn changes(bus: &Connection) -> MessageStream {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface("org.freedesktop.DBus.Properties")
        .member("PropertiesChanged")
        .build()
        .unwrap();
    MessageStream::for_match_rule(rule, bus, None).await.unwrap()
}

pub fn changed(message: &Message) -> Vec<String> {
    let body = message.body();
    let (interface, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize().unwrap();
    assert_eq!(interface, NAME);
    let mut names: Vec<String> = changed.into_keys().collect();
    names.sort();
    names
}

pub struct Socket {
    pub folder: tempfile::TempDir,
}

impl Socket {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.path().display())
    }
}

/// `nobody`, who belongs to no group of ours.
pub const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

pub async fn run(mut command: Command) -> Output {
    soon(tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
