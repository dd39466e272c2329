//! Those who may not, as `nobody`: on the bus, with and without polkit, and on the socket.

use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clockgate::decision::{Cause, Event, Notifier, RestoreSign};
use clockgate::publish::bus::{NAME, PATH};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zbus::message::Header;
use zbus::{OwnedVariant, connection};

use crate::agent::{Agent, NOBODY, Socket, caller, run, text};
use crate::daemon::system_bus;
use crate::soon;
use crate::support::private_bus::PrivateBus;
use crate::support::{CLOCKGATE, copy_program};

/// What root alone may call, as busctl takes it.
const ROOTS_OWN: [&[&str]; 4] = [
    &["NotifyWithTime", "su(xtt)", "post-restore", "9", "1800000000", "1", "1"],
    &["Accept"],
    &["Reckon", "u", "1000"],
    &["StepByDate", "sb(xtxt)", "https://a.example/", "true", "1800000000000000000", "1", "1", "1"],
];

/// polkit's answer to one question.
struct Polkit {
    lets: bool,
    asked: mpsc::UnboundedSender<(String, String)>,
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    async fn check_authorization(
        &self,
        subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        _details: HashMap<String, String>,
        _flags: u32,
        _cancellation: String,
        #[zbus(header)] _header: Header<'_>,
    ) -> (bool, bool, HashMap<String, String>) {
        self.asked.send((subject.0, action)).unwrap();
        (self.lets, false, HashMap::new())
    }
}

async fn busctl_as_nobody(bus: &PrivateBus, args: &[&str]) -> Output {
    run(busctl_command(bus, args)).await
}

fn busctl_command(bus: &PrivateBus, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(NOBODY).args(["busctl", "--timeout=20"]).arg(format!("--address={}", bus.address())).args(args);
    command
}

pub async fn on_the_bus_everybody_reads_and_strangers_act_only_by_polkit() {
    let bus = system_bus();
    let mut agent = Agent::new();
    let _served = agent.on_bus(&bus);
    drop(caller(&bus).await);
    let read = busctl_as_nobody(&bus, &["get-property", NAME, PATH, NAME, "Gate"]).await;
    assert_eq!(text(&read.stdout), "s \"open\"\n", "{}", text(&read.stderr));

    let notify = ["call", NAME, PATH, NAME, "Notify", "su", "resume", "0"];
    let refused = busctl_as_nobody(&bus, &notify).await;
    assert!(text(&refused.stderr).contains("uid 65534 is neither root nor in the group"), "{}", text(&refused.stderr));
    assert!(agent.notices.try_recv().is_err());

    let (sender, mut asked) = mpsc::unbounded_channel();
    let polkit = connection::Builder::address(bus.address().as_str())
        .serve_at("/org/freedesktop/PolicyKit1/Authority", Polkit { lets: false, asked: sender })
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await
        .unwrap();
    assert!(!busctl_as_nobody(&bus, &notify).await.status.success());
    let action = |name: &str| ("system-bus-name".to_owned(), name.to_owned());
    assert_eq!(asked.recv().await.unwrap(), action("org.clockgate.notify"));
    assert!(!busctl_as_nobody(&bus, &["call", NAME, PATH, NAME, "Sync", "u", "1"]).await.status.success());
    assert_eq!(asked.recv().await.unwrap(), action("org.clockgate.sync"));
    assert!(agent.notices.try_recv().is_err());

    let interface =
        polkit.object_server().interface::<_, Polkit>("/org/freedesktop/PolicyKit1/Authority").await.unwrap();
    interface.get_mut().await.lets = true;
    let allowed = busctl_as_nobody(&bus, &notify).await;
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    assert_eq!(soon(agent.notices.recv()).await.unwrap().event, Event::Woken(Notifier::Notify));

    // The time is root's to tell, and to take for meant, whatever polkit says of notices.
    assert!(asked.try_recv().is_ok());
    for call in ROOTS_OWN {
        let refused = busctl_as_nobody(&bus, &[["call", NAME, PATH, NAME].as_slice(), call].concat()).await;
        assert!(text(&refused.stderr).contains("only root may supply a time"), "{call:?}: {}", text(&refused.stderr));
        assert!(agent.notices.try_recv().is_err() && asked.try_recv().is_err(), "{call:?}");
    }

    // A flood is refused before polkit is asked: eight at once, and four that wait for their turn.
    interface.get_mut().await.lets = false;
    let calls: JoinSet<Output> = (0..40).map(|_| run(busctl_command(&bus, &notify))).collect();
    let flood = calls.join_all().await;
    let refused = flood.iter().filter(|call| text(&call.stderr).contains("called too often")).count();
    let mut questions = 0;
    while asked.try_recv().is_ok() {
        questions += 1;
    }
    assert!(refused > 0 && questions + refused == flood.len(), "{questions} questions to polkit, {refused} refused");

    // The actions that polkit is asked about are those that the file we ship defines.
    let policy =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/usr/share/polkit-1/actions/org.clockgate.policy");
    let policy = std::fs::read_to_string(policy).unwrap();
    for action in ["org.clockgate.sync", "org.clockgate.notify"] {
        assert!(policy.contains(&format!("<action id=\"{action}\">")));
    }
    // Nobody but root may pose as the agent.
    let pose = busctl_as_nobody(
        &bus,
        &["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", NAME, "0"],
    )
    .await;
    assert!(text(&pose.stderr).contains("Access denied"), "{}", text(&pose.stderr));
}

pub async fn a_stranger_on_the_socket_is_turned_away_and_told_with_77() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    let _served = agent.on_socket(&socket.path());
    // Where it lies, the built binary may be out of a stranger's reach.
    let binary = socket.folder.path().join("clockgate");
    copy_program(CLOCKGATE.as_ref(), &binary).unwrap();
    let notify = |bus: PathBuf, stranger: bool| {
        let mut command = Command::new(if stranger { "setpriv".into() } else { binary.clone() });
        if stranger {
            command.args(NOBODY).arg(&binary);
        }
        command.args(["notify", "resume", "--bus"]).arg(bus);
        run(command)
    };
    let outside = notify(socket.path(), true).await;
    assert_eq!(outside.status.code(), Some(77), "{}", text(&outside.stderr));
    assert!(
        text(&outside.stderr).contains("run as root, or as a member of the group clockgate"),
        "{}",
        text(&outside.stderr)
    );

    // Even one who got past the file's mode.
    std::fs::set_permissions(socket.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let inside = notify(socket.path(), true).await;
    assert_eq!(inside.status.code(), Some(77), "{}", text(&inside.stderr));
    assert!(text(&inside.stderr).contains("uid 65534"), "{}", text(&inside.stderr));
    assert!(agent.notices.try_recv().is_err());

    let ours = notify(socket.path(), false).await;
    assert_eq!(ours.status.code(), Some(0), "{}", text(&ours.stderr));
    assert_eq!(soon(agent.notices.recv()).await.unwrap().event, Event::Woken(Notifier::Notify));

    let nobody_there = notify(socket.folder.path().join("none"), false).await;
    assert_eq!(nobody_there.status.code(), Some(69));
    assert!(text(&nobody_there.stderr).contains("to start it: "), "{}", text(&nobody_there.stderr));
}

/// The number of the group clockgate where this machine has none.
const GID: &str = "4711";

/// A host with the group: a mount namespace of our own, in which this program runs again; the host's file is left alone.
pub async fn a_member_of_the_group_is_let_in_on_a_host_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("group");
    std::fs::write(&file, format!("root:x:0:\nclockgate:x:{GID}:\n")).unwrap();
    let mut host = Command::new("unshare");
    host.args(["--mount", "--propagation", "private", "sh", "-c", "mount --bind \"$0\" /etc/group && exec \"$1\""]);
    host.arg(file).arg(std::env::current_exe().unwrap()).env(crate::INSIDE, "1");
    let inside = run(host).await;
    assert!(inside.status.success(), "{}{}", text(&inside.stdout), text(&inside.stderr));
}

pub async fn as_a_member() {
    let socket = Socket::new();
    let mut agent = Agent::new();
    agent.face.root = PathBuf::from("/");
    let _served = agent.on_socket(&socket.path());
    let meta = std::fs::symlink_metadata(socket.path()).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.gid().to_string().as_str()), (0o660, GID));
    let binary = socket.folder.path().join("clockgate");
    copy_program(CLOCKGATE.as_ref(), &binary).unwrap();
    for groups in [["--regid=65534", "--groups=4711"], ["--regid=4711", "--clear-groups"]] {
        let mut command = Command::new("setpriv");
        command.arg("--reuid=65534").args(groups).arg(&binary).args(["notify", "post-restore", "--bus"]);
        command.arg(socket.path());
        let told = run(command).await;
        assert!(told.status.success(), "{}", text(&told.stderr));
        assert_eq!(
            soon(agent.notices.recv()).await.unwrap().event,
            Event::Disrupted(Cause::Restore(RestoreSign::Notice))
        );
        // A member may say that something happened, and not what time it is.
        let mut command = Command::new("setpriv");
        command.arg("--reuid=65534").args(groups).arg(&binary).args(["notify", "post-restore", "--bus"]);
        command.arg(socket.path()).args(["--time", "@1800000000", "--bound", "50ms"]);
        let refused = run(command).await;
        assert_eq!(refused.status.code(), Some(77), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("only root may supply a time"), "{}", text(&refused.stderr));
        assert!(agent.notices.try_recv().is_err());
        // Nor that it is the right one.
        let mut command = Command::new("setpriv");
        command.arg("--reuid=65534").args(groups).arg(&binary).args(["accept", "--bus"]).arg(socket.path());
        let refused = run(command).await;
        assert_eq!(refused.status.code(), Some(77), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("only root may supply a time"), "{}", text(&refused.stderr));
        assert!(agent.notices.try_recv().is_err());
    }
}
