//! As much of a container runtime as asks the start gate of pods: ttrpc messages in the frames of NRI's one connection.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::Ours;

/// On the connection to the plugin are requests of odd streams, of this kind.
const TO_THE_PLUGIN: u32 = 1;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
/// Far more than an answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct FakeRuntime {
    socket: UnixStream,
    stream: u32,
    _plugin: Ours,
}

impl FakeRuntime {
    /// Starts the plugin, which registers.
    pub fn new(path: &Path, plugin: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let plugin = Ours::spawn(Command::new(plugin).arg("--socket").arg(path)).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut runtime = Self { socket, stream: 1, _plugin: plugin };
        let (connection, stream, _) = runtime.receive();
        runtime.send(connection, (stream, RESPONSE), &[]);
        runtime
    }

    /// What the plugin answers.
    pub fn asks_to_make_a_container(&mut self) -> String {
        let text =
            |number: u8, text: &str| [&[number << 3 | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let request = [text(1, "nri.pkg.api.v1alpha1.Plugin"), text(2, "CreateContainer"), text(3, "")].concat();
        self.send(TO_THE_PLUGIN, (self.stream, REQUEST), &request);
        let (_, stream, answer) = self.receive();
        assert_eq!(stream, self.stream);
        self.stream += 2;
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn send(&mut self, connection: u32, (stream, kind): (u32, u8), data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        let message = [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], data].concat();
        let length = u32::try_from(message.len()).unwrap();
        self.socket.write_all(&[&connection.to_be_bytes()[..], &length.to_be_bytes(), &message].concat()).unwrap();
    }

    /// Connection, stream and data of a message in one frame.
    fn receive(&mut self) -> (u32, u32, Vec<u8>) {
        let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut header = [0; 8];
        self.socket.read_exact(&mut header).unwrap();
        let mut frame = vec![0; usize::try_from(word(&header, 4)).unwrap()];
        self.socket.read_exact(&mut frame).unwrap();
        (word(&header, 0), word(&frame, 4), frame.split_off(10))
    }
}
