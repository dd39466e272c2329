//! A real agent whose bus says what is no message, or what is of other types than it has to be: it goes on, says so in few lines, and is
//! there again when the bus is.

use std::future::poll_fn;
use std::pin::Pin;
use std::process::Command;
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::page::Page;
use futures_core::Stream as _;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, Variant, connection};

use crate::logind::Logind;
use crate::relay::Relay;
use crate::soon;
use crate::support::agent::CONFIG;
use crate::support::host::HostFolder;
use crate::support::liar::Liar;
use crate::support::private_bus::PrivateBus;
use crate::support::{Ours, clockgate};

/// Whose words the agent takes.
const NAMES: [&str; 5] = [
    "org.freedesktop.login1",
    "org.freedesktop.systemd1",
    "org.freedesktop.timesync1",
    "net.connman",
    "org.freedesktop.PolicyKit1",
];
/// As often as each is said.
const TIMES: usize = 20;
/// What is said of the bus at most, where it was lost so often: that it is lost, that it is there again, and our name on it.
const LINES_A_LOSS: usize = 3;
/// The same of services that are strange all the time: each kind of strangeness once.
const LINES_OF_STRANGERS: usize = 12;

/// An agent on that bus, its log, and a server that is right.
struct Subject {
    host: HostFolder,
    process: Ours,
    _truth: Liar,
}

impl Subject {
    fn start(address: &str) -> Self {
        let truth = Liar::here(Offset::ZERO).unwrap();
        let config = format!(
            "servers: ['{}']\nbus: {{system: true}}\nchrony: {{socket: /nonexistent/chronyd.sock, udp: none}}\n",
            truth.address()
        );
        let host = HostFolder::new(&[(CONFIG, &config)]).unwrap();
        let mut agent: Command = clockgate();
        agent.args(["agent", "--root"]).arg(host.path()).env("DBUS_SYSTEM_BUS_ADDRESS", address);
        let process = Ours::logged(&mut agent, &host.at("log")).unwrap();
        Self { host, process, _truth: truth }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.host.at("log")).unwrap_or_default()
    }

    async fn says(&self, words: &str, times: usize) {
        let said = async {
            while self.log().matches(words).count() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(60), said).await;
        assert!(said.is_ok(), "`{words}` was not said {times} times:\n{}", self.log());
    }

    async fn gate_is(&self, wanted: Gate) {
        let page = self.host.at("run/clockgate/public");
        let is = || Page::open(&page).is_ok_and(|page| page.read().gate == wanted);
        let became = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let became = tokio::time::timeout(Duration::from_secs(60), became).await;
        assert!(became.is_ok(), "the gate is not {wanted}:\n{}", self.log());
    }

    /// It lives, and has said of the bus no more than this.
    fn is_well(&mut self, lines: usize) {
        assert!(self.process.0.try_wait().unwrap().is_none(), "it ended:\n{}", self.log());
        let log = self.log();
        let of_the_bus = log.lines().filter(|line| line.contains("logind") || line.contains("bus")).count();
        assert!(of_the_bus <= lines && !log.contains("panicked"), "{of_the_bus} lines of the bus: {log}");
    }

    /// It hears what logind announces, and holds the sleep until the gate is shut.
    async fn hears(&self, logind: &mut Logind) {
        let mut inhibitor = soon(logind.given()).await;
        while logind.gave_another() {}
        self.gate_is(Gate::Proven).await;
        logind.prepare_for_sleep(true).await;
        self.gate_is(Gate::Shut).await;
        let _ = tokio::time::timeout(Duration::from_secs(20), inhibitor.released()).await;
        logind.prepare_for_sleep(false).await;
        self.gate_is(Gate::Proven).await;
    }
}

/// A signal of logind's, as its bytes are on the bus.
fn announcement(sender: &str) -> Vec<u8> {
    let signal = Message::signal("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep");
    signal.sender(sender.to_owned()).build(&true).unwrap().data().to_vec()
}

/// What a bus never says.
fn garbage(sender: &str) -> Vec<(&'static str, Vec<u8>)> {
    let whole = announcement(sender);
    let changed = |at: usize, to: u8| {
        let mut bytes = whole.clone();
        bytes[at] = to;
        bytes
    };
    let last = whole.len() - 4;
    vec![
        ("zeros", vec![0; 256]),
        ("a text", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("nothing but ones", vec![0xff; 4096]),
        ("another order of bytes", changed(0, b'B')),
        ("no such type of message", changed(1, 0)),
        ("another version", changed(3, 9)),
        ("a body without an end", changed(7, 0xff)),
        ("fields without an end", changed(15, 0xff)),
        ("a boolean that is none", changed(last, 7)),
        ("fields that are none", [&whole[..16], &[0xee; 64], &whole[80..]].concat()),
    ]
}

pub async fn a_bus_that_says_what_is_no_message_is_left_and_joined_again() {
    let bus = PrivateBus::start().unwrap();
    let relay = Relay::to(&bus);
    let mut logind = Logind::start(&bus.address()).await;
    let mut subject = Subject::start(&relay.address());
    subject.hears(&mut logind).await;
    subject.says("on the system bus", 1).await;
    let sender = logind.unique_name();
    for (losses, (what, bytes)) in garbage(&sender).into_iter().enumerate() {
        let heard = relay.says(&bytes);
        assert!(heard > 0, "{what}: no connection is there");
        // One that was left is made anew; one that was not hears the next signal.
        soon_again(&subject, &mut logind, what).await;
        subject.is_well(LINES_A_LOSS * (losses + 2));
    }
    assert!(subject.log().contains("logind unavailable: suspend is seen at resume only"), "{}", subject.log());
    subject.says("logind is available again", 1).await;
}

/// A sleep that is announced shuts the gate, once the agent is there again.
async fn soon_again(subject: &Subject, logind: &mut Logind, what: &str) {
    let again = async {
        loop {
            subject.gate_is(Gate::Proven).await;
            logind.prepare_for_sleep(true).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            let page = subject.host.at("run/clockgate/public");
            let is_shut = Page::open(&page).is_ok_and(|page| page.read().gate == Gate::Shut);
            logind.prepare_for_sleep(false).await;
            if is_shut {
                return;
            }
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(60), again).await;
    assert!(again.is_ok(), "after {what} it hears nothing of logind:\n{}", subject.log());
}

/// Owns every name, and answers every call with something else than what was asked for.
async fn strangers(address: &str) -> Connection {
    let mut builder = connection::Builder::address(address);
    for name in NAMES {
        builder = builder.name(name);
    }
    let bus = builder.build().await.unwrap();
    let mut calls = MessageStream::from(&bus);
    let answers = bus.clone();
    tokio::spawn(async move {
        // Until its connection is closed.
        for turn in 0_usize.. {
            let Some(Ok(call)) = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await else { return };
            if call.message_type() != Type::MethodCall {
                continue;
            }
            let header = call.header();
            let answered = match turn % 6 {
                0 => answers.reply(&header, &"nonsense").await,
                1 => answers.reply(&header, &()).await,
                2 => answers.reply(&header, &Variant::from(7_u64)).await,
                3 => answers.reply(&header, &Variant::from("nonsense")).await,
                4 => answers.reply(&header, &(1_u8, vec![-1.5_f64, f64::NAN])).await,
                _ => answers.reply(&header, &vec![(u32::MAX, Variant::from(vec!["a"; 300]))]).await,
            };
            // Who asked may be gone.
            let _ = answered;
        }
    });
    bus
}

pub async fn services_that_answer_with_other_types_than_their_own_harm_nothing() {
    let bus = PrivateBus::start().unwrap();
    let strange = strangers(&bus.address()).await;
    let mut subject = Subject::start(&bus.address());
    subject.gate_is(Gate::Proven).await;
    subject.says("cannot take logind's inhibitor", 1).await;
    let path = "/org/freedesktop/login1";
    let emit = |member: &'static str| {
        let strange = strange.clone();
        async move {
            let manager = "org.freedesktop.login1.Manager";
            strange.emit_signal(None::<&str>, path, manager, member, &"true").await.unwrap();
            strange.emit_signal(None::<&str>, path, manager, member, &()).await.unwrap();
            strange.emit_signal(None::<&str>, path, manager, member, &(true, 1_u8)).await.unwrap();
            strange.emit_signal(None::<&str>, path, manager, member, &Variant::from(true)).await.unwrap();
        }
    };
    for _ in 0..TIMES {
        emit("PrepareForSleep").await;
    }
    subject.says("cannot read logind's PrepareForSleep", 1).await;
    // A real one takes the name, and all is as it should be.
    strange.close().await.unwrap();
    let mut logind = Logind::start(&bus.address()).await;
    subject.hears(&mut logind).await;
    subject.is_well(LINES_OF_STRANGERS);
}
