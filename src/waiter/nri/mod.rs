//! The start gate of pods: a plugin of the Node Resource Interface (NRI), by which container runtimes of Kubernetes ask before they make
//! a container, whatever runs it. A container is refused while the gate is shut, and the kubelet comes again after some seconds.
//!
//! ```text
//! socket      the runtime's socket, awaited for ever       wire        frames and ttrpc
//! start_gate  the answer                                   pod         who is to be made
//! protobuf    fields of messages
//! ```

pub mod pod;
pub mod protobuf;
mod socket;
mod start_gate;
pub mod wire;

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::exemption;
use crate::container::runtime_list::{self, RuntimeList};
use crate::error_chain::in_full;
use crate::sys::foreign::shown;
use crate::sys::nap;
use crate::sys::output::{Priority, log};

use pod::PodList;
use protobuf::{MessageBytes, fields};
use start_gate::{StartGate, USUAL_TIMEOUT};
use wire::{Incoming, MuxStream, RequestAnswer, WireError};

/// Where runtimes have the socket unless their configuration names another.
pub const SOCKET: &str = "/var/run/nri/nri.sock";

const SERVICE: &str = "nri.pkg.api.v1alpha1.Runtime";
const NAME: &str = "clockgate";
/// Plugins are asked in the order of their indexes, which have two digits.
const INDEX: &str = "00";
/// The bit of `CREATE_CONTAINER` among the events that a plugin can subscribe to.
const CREATE_CONTAINER: u64 = 1 << 3;
/// How long a runtime may take from the registration to the last list of its pods; its own patience is 5 s.
const REGISTERED_WITHIN: Duration = Duration::from_secs(30);
/// How long to pause before the next connection: twice as long each time a runtime ends it before it has registered us.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const AGAIN_AFTER_AT_MOST: Duration = Duration::from_secs(10);

/// Why a session with the runtime ended.
#[derive(Debug, thiserror::Error)]
enum NriError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the runtime refused the plugin: {0}")]
    Refused(String),
    #[error("cannot wait for {0}")]
    Socket(String, #[source] io::Error),
}

/// Answers the runtime behind the socket, and waits for the next one when it has gone. With the settings of the host and of the
/// program that was called as `argv0`.
pub fn run(argv0: PathBuf, socket: &Path) -> ! {
    let mut gate = StartGate::new(argv0);
    let mut pause = AGAIN_AFTER;
    loop {
        let Err(error) = converse_by(socket, &mut gate, &mut pause);
        log(Priority::Warning, &in_full(&error));
        nap(pause);
        pause = AGAIN_AFTER_AT_MOST.min(pause * 2);
    }
}

fn converse_by(path: &Path, gate: &mut StartGate, pause: &mut Duration) -> Result<Infallible, NriError> {
    let shown_path = shown(&path.to_string_lossy());
    let waits =
        |error: &io::Error| log(Priority::Info, &format!("waiting for a container runtime at {shown_path}: {error}"));
    let failed = |error| NriError::Socket(shown_path.clone(), error);
    let stream = socket::connect(path, &mut { waits }).map_err(failed)?;
    stream.set_read_timeout(Some(REGISTERED_WITHIN)).map_err(failed)?;
    let mut session = NriSession::begin(stream)?;
    loop {
        let news = session.answer_next(gate)?;
        if news == News::Registered {
            *pause = AGAIN_AFTER;
            // From here on it says something when a container is to be made.
            session.stream.socket().set_read_timeout(None).map_err(failed)?;
            let NriSession { runtime, timeout, .. } = &session;
            let ms = timeout.as_millis();
            log(
                Priority::Info,
                &format!("connected to {runtime} at {shown_path}; its time-out for a request is {ms} ms"),
            );
        }
    }
}

/// What a message of the runtime meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It asks us from now on.
    Registered,
    /// Nothing that had to be known.
    Nothing,
}

/// What a runtime and we have said to each other.
struct NriSession<S> {
    stream: MuxStream<S>,
    /// Its name and version.
    runtime: String,
    /// After which it no longer waits for our answer.
    timeout: Duration,
    /// What it has listed so far.
    pods: PodList,
    /// Who of that is exempt, for the freezer; its lock says that we are connected.
    list: Option<RuntimeList>,
}

impl<S: Read + Write> NriSession<S> {
    fn begin(socket: S) -> Result<Self, NriError> {
        let mut stream = MuxStream::new(socket);
        let plugin = MessageBytes::default().with(1, NAME.as_bytes()).with(2, INDEX.as_bytes());
        stream.ask(SERVICE, "RegisterPlugin", plugin)?;
        Ok(Self { stream, runtime: String::new(), timeout: USUAL_TIMEOUT, pods: PodList::default(), list: None })
    }

    fn answer_next(&mut self, gate: &mut StartGate) -> Result<News, NriError> {
        let (stream, method, payload) = match self.stream.receive()? {
            Incoming::Answer(Ok(())) => return Ok(News::Nothing),
            Incoming::Answer(Err(why)) => return Err(NriError::Refused(shown(&why))),
            Incoming::Request { stream, method, payload } => (stream, method, payload),
        };
        let (answer, news) = match method.as_str() {
            "Configure" => (self.configure(&payload)?, News::Nothing),
            "Synchronize" => self.synchronize(&payload, gate.page())?,
            "CreateContainer" => {
                let (answer, lines) = gate.admit(&payload, self.timeout);
                let is_made = answer.is_ok();
                let answer = match answer {
                    Ok(()) => RequestAnswer::Payload(MessageBytes::default()),
                    Err(why) => RequestAnswer::Refused(why),
                };
                // The answer first: it is awaited.
                self.stream.answer(stream, answer)?;
                if is_made {
                    self.note_exempt(&payload);
                }
                lines.iter().for_each(|(priority, line)| log(*priority, line));
                return Ok(News::Nothing);
            }
            // A notice that the runtime ends, or of an event that was not subscribed to, takes no action.
            _ => (RequestAnswer::Payload(MessageBytes::default()), News::Nothing),
        };
        self.stream.answer(stream, answer)?;
        Ok(news)
    }

    /// It says who it is; we, what we want to be asked.
    fn configure(&mut self, payload: &[u8]) -> Result<RequestAnswer, WireError> {
        let (mut name, mut version) = (String::new(), String::new());
        for (number, value) in fields(payload)? {
            match number {
                2 => name = shown(&value.text()),
                3 => version = shown(&value.text()),
                // Older runtimes do not have it.
                5 if value.number() > 0 => self.timeout = Duration::from_millis(value.number()),
                _ => {}
            }
        }
        self.runtime = format!("{name} {version}").trim().to_owned();
        Ok(RequestAnswer::Payload(MessageBytes::default().with_number(2, CREATE_CONTAINER)))
    }

    /// It lists the running pods and containers, in one message or in several. They do not concern the gate; the freezer leaves those
    /// alone that are exempt.
    fn synchronize(&mut self, payload: &[u8], page: &Path) -> Result<(RequestAnswer, News), WireError> {
        let more = fields(payload)?.into_iter().any(|(number, value)| number == 3 && value.number() != 0);
        let answer = MessageBytes::default();
        // What cannot be read of it is known by its cgroup and its bundle.
        if let Err(error) = self.pods.add(payload) {
            log(Priority::Warning, &format!("not all that the runtime lists is kept for the freezer: {error}"));
        }
        if more {
            return Ok((RequestAnswer::Payload(answer.with_number(2, 1)), News::Nothing));
        }
        let exempt = std::mem::take(&mut self.pods).exempt(&exemption::built_in());
        let path = runtime_list::beside(page);
        self.list = RuntimeList::publish(&path, &self.runtime, &exempt).map_err(|error| not_written(&error)).ok();
        Ok((RequestAnswer::Payload(answer), News::Registered))
    }

    /// The container of this request is made: where it is exempt, the freezer knows.
    fn note_exempt(&mut self, payload: &[u8]) {
        let Some(list) = &mut self.list else { return };
        let exempt = pod::exempt(payload, &exemption::built_in()).unwrap_or_default();
        if let Err(error) = exempt.iter().try_for_each(|(id, why)| list.add(id, why)) {
            not_written(&error);
        }
    }
}

fn not_written(error: &io::Error) {
    log(Priority::Warning, &format!("cannot write the list of exempt containers for the freezer: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const REQUEST: u8 = 1;
    const RESPONSE: u8 = 2;

    /// A runtime that says what containerd 2.1.9 does.
    struct FakeRuntime(UnixStream);

    impl FakeRuntime {
        fn send(&mut self, connection: u32, (stream, kind): (u32, u8), data: &[u8]) {
            let length = u32::try_from(data.len()).unwrap();
            let message = [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], data].concat();
            // As its writer does: the header first, in a frame of its own.
            for part in [&message[..10], &message[10..]].into_iter().filter(|part| !part.is_empty()) {
                let length = u32::try_from(part.len()).unwrap();
                self.0.write_all(&[&connection.to_be_bytes()[..], &length.to_be_bytes(), part].concat()).unwrap();
            }
        }

        /// Connection, stream, kind and data of a message in one frame.
        fn receive(&mut self) -> (u32, u32, u8, Vec<u8>) {
            let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            let mut header = [0; 8];
            self.0.read_exact(&mut header).unwrap();
            let mut frame = vec![0; usize::try_from(word(&header, 4)).unwrap()];
            self.0.read_exact(&mut frame).unwrap();
            (word(&header, 0), word(&frame, 4), frame[8], frame.split_off(10))
        }

        fn asks(&mut self, stream: u32, method: &str, payload: &[u8]) {
            let request = MessageBytes::default().with(1, b"nri.pkg.api.v1alpha1.Plugin").with(2, method.as_bytes());
            self.send(1, (stream, REQUEST), &request.with(3, payload).bytes());
        }

        /// The answer to a request, by its bytes.
        fn is_answered(&mut self, stream: u32, answer: &[u8]) {
            assert_eq!(self.receive(), (1, stream, RESPONSE, answer.to_vec()));
        }
    }

    fn session() -> (FakeRuntime, NriSession<UnixStream>) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        (FakeRuntime(theirs), NriSession::begin(ours).unwrap())
    }

    #[test]
    fn a_runtime_is_told_who_we_are_and_asks_before_it_makes_a_container() {
        let folder = tempfile::tempdir().unwrap();
        let argv0 = folder.path().join("clockgate-nri");
        let public = folder.path().join("public");
        let conf = format!("page = {}\nno-agent = hold\n", public.display());
        std::fs::write(argv0.with_extension("conf"), conf).unwrap();
        let mut gate = StartGate::new(argv0);
        let list = runtime_list::beside(&public);
        let (mut runtime, mut session) = session();
        let (connection, stream, kind, data) = runtime.receive();
        assert_eq!((connection, stream, kind), (2, 1, REQUEST));
        assert_eq!(
            data,
            b"\x0a\x1cnri.pkg.api.v1alpha1.Runtime\x12\x0eRegisterPlugin\x1a\x0f\x0a\x09clockgate\x12\x0200"
        );
        runtime.send(2, (1, RESPONSE), &[]);
        assert_eq!(session.answer_next(&mut gate).unwrap(), News::Nothing);

        let who = MessageBytes::default().with(2, b"containerd").with(3, b"v2.1.9").with_number(4, 5000);
        runtime.asks(1, "Configure", &who.with_number(5, 600).bytes());
        assert_eq!(session.answer_next(&mut gate).unwrap(), News::Nothing);
        // Container creation, and no other event.
        runtime.is_answered(1, b"\x12\x02\x10\x08");
        assert_eq!((session.runtime.as_str(), session.timeout), ("containerd v2.1.9", Duration::from_millis(600)));

        // A pod that the kubelet has from a file, in the first message, and its container in the second.
        let source = MessageBytes::default().with(1, b"kubernetes.io/config.source").with(2, b"file").bytes();
        let etcd = MessageBytes::default().with(1, b"p7").with(2, b"etcd-node1").with(6, &source).bytes();
        let pods = MessageBytes::default().with(1, &etcd).with(2, b"");
        runtime.asks(3, "Synchronize", &pods.with_number(3, 1).bytes());
        assert_eq!(session.answer_next(&mut gate).unwrap(), News::Nothing);
        runtime.is_answered(3, b"\x12\x02\x10\x01");
        assert!(runtime_list::connected(&list).is_none());
        let container = MessageBytes::default().with(1, b"c7").with(2, b"p7").bytes();
        let other = MessageBytes::default().with(1, b"c8").with(2, b"p8").bytes();
        runtime.asks(5, "Synchronize", &MessageBytes::default().with(2, &container).with(2, &other).bytes());
        assert_eq!(session.answer_next(&mut gate).unwrap(), News::Registered);
        runtime.is_answered(5, b"\x12\x00");
        let exempt = || {
            let mut found: Vec<_> = runtime_list::exempt(&list).into_iter().map(|(id, why)| id + " " + &why).collect();
            found.sort();
            found
        };
        assert_eq!(exempt(), ["c7 static-pod", "p7 static-pod"]);
        assert_eq!(runtime_list::connected(&list).as_deref(), Some("containerd v2.1.9"));

        runtime.asks(7, "CreateContainer", &pod::tests::request(&[], &[], &["/bin/web"]));
        session.answer_next(&mut gate).unwrap();
        let (_, stream, _, answer) = runtime.receive();
        let why =
            b"clockgate: refusing to create container web of pod default/shop-0: there is no agent (no-agent = hold)";
        let status = MessageBytes::default().with_number(1, 9).with(2, why);
        assert_eq!((stream, answer), (7, MessageBytes::default().with(1, &status.bytes()).bytes()));
        runtime.asks(9, "CreateContainer", &pod::tests::request(&[("clockgate.exempt", "true")], &[], &[]));
        session.answer_next(&mut gate).unwrap();
        runtime.is_answered(9, b"\x12\x00");
        let label = "clockgate.exempt=true";
        assert_eq!(
            exempt(),
            [format!("c1 {label}"), "c7 static-pod".into(), format!("p1 {label}"), "p7 static-pod".into()]
        );
        // What a later version may ask is no reason to refuse anything.
        runtime.asks(11, "StateChange", b"");
        session.answer_next(&mut gate).unwrap();
        runtime.is_answered(11, b"\x12\x00");
        drop(runtime);
        assert!(matches!(session.answer_next(&mut gate), Err(NriError::Wire(WireError::Closed))));
        drop(session);
        assert!(runtime_list::connected(&list).is_none() && exempt().len() == 4);
    }

    #[test]
    fn a_runtime_that_refuses_the_plugin_and_one_that_says_no_time_out() {
        let mut gate = StartGate::new("clockgate-nri".into());
        let (mut runtime, mut session) = session();
        runtime.receive();
        let status = MessageBytes::default().with_number(1, 2).with(2, b"invalid\nindex").bytes();
        runtime.send(2, (1, RESPONSE), &MessageBytes::default().with(1, &status).bytes());
        let refused = session.answer_next(&mut gate).unwrap_err().to_string();
        assert_eq!(refused, "the runtime refused the plugin: invalid\\nindex");
        runtime.asks(1, "Configure", &MessageBytes::default().with(2, b"containerd").bytes());
        session.answer_next(&mut gate).unwrap();
        assert_eq!((session.runtime.as_str(), session.timeout), ("containerd", USUAL_TIMEOUT));
    }
}
