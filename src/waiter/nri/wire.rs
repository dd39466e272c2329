//! How the Node Resource Interface talks (containerd/nri, pkg/net/multiplex; containerd/ttrpc, PROTOCOL.md): frames of two logical
//! connections on one socket, and in each of them requests and responses of ttrpc.

use std::io::{self, Read, Write};

use super::protobuf::{self, FieldValue, MalformedMessage, MessageBytes};

/// The largest message of ttrpc (`messageLengthMax` in channel.go).
const MESSAGE_MAX: usize = 4 << 20;
/// A header of ttrpc: length, stream, kind, flags.
const HEADER: usize = 10;
/// The reader at the other end has a buffer of so many bytes, and fails for a longer frame (bufio in ttrpc's channel.go, `Read` in mux.go).
const FRAME_MAX: usize = 4096;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Why the conversation has ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The runtime has closed the connection, as it does when it ends or when an answer was late.
    #[error("the runtime closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// A length that no message has.
    #[error("a frame or message of {0} bytes")]
    TooLong(usize),
    /// Not what was expected of ttrpc.
    #[error("malformed message")]
    Malformed(#[from] MalformedMessage),
}

/// The logical connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalConnection {
    /// On which the runtime asks.
    Plugin = 1,
    /// On which we ask.
    Runtime = 2,
}

/// What the runtime sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// It asks.
    Request {
        /// To be named in the answer.
        stream: u32,
        /// What is to be done.
        method: String,
        /// A message.
        payload: Vec<u8>,
    },
    /// It answered our request: well, or with what it refused and why.
    Answer(Result<(), String>),
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestAnswer {
    /// With a message.
    Payload(MessageBytes),
    /// Not now: the reason is shown to the caller (`FAILED_PRECONDITION` of gRPC).
    Refused(String),
}

/// A socket with what was read of each logical connection.
#[derive(Debug)]
pub struct MuxStream<S> {
    socket: S,
    plugin: Vec<u8>,
    runtime: Vec<u8>,
}

impl<S: Read + Write> MuxStream<S> {
    /// Nothing was said yet.
    pub const fn new(socket: S) -> Self {
        Self { socket, plugin: vec![], runtime: vec![] }
    }

    /// The socket.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// Asks the runtime.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn ask(&mut self, service: &str, method: &str, payload: MessageBytes) -> Result<(), WireError> {
        let request =
            MessageBytes::default().with(1, service.as_bytes()).with(2, method.as_bytes()).with(3, &payload.bytes());
        self.send(LogicalConnection::Runtime, (1, REQUEST), &request.bytes())
    }

    /// Answers the request of this stream.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn answer(&mut self, stream: u32, answer: RequestAnswer) -> Result<(), WireError> {
        /// google.rpc.Code
        const FAILED_PRECONDITION: u64 = 9;
        let response = match answer {
            RequestAnswer::Payload(payload) => MessageBytes::default().with(2, &payload.bytes()),
            RequestAnswer::Refused(why) => {
                let status = MessageBytes::default().with_number(1, FAILED_PRECONDITION).with(2, why.as_bytes());
                MessageBytes::default().with(1, &status.bytes())
            }
        };
        self.send(LogicalConnection::Plugin, (stream, RESPONSE), &response.bytes())
    }

    /// The next message, whichever connection it came on.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn receive(&mut self) -> Result<Incoming, WireError> {
        loop {
            for connection in [LogicalConnection::Plugin, LogicalConnection::Runtime] {
                while let Some((stream, kind, data)) = self.whole_message(connection)? {
                    match (connection, kind) {
                        (LogicalConnection::Plugin, REQUEST) => return request(stream, &data),
                        (LogicalConnection::Runtime, RESPONSE) => return answered(&data),
                        // Parts of streams, which no method has.
                        (LogicalConnection::Plugin | LogicalConnection::Runtime, _) => {}
                    }
                }
            }
            self.read_frame()?;
        }
    }

    fn send(&mut self, to: LogicalConnection, (stream, kind): (u32, u8), data: &[u8]) -> Result<(), WireError> {
        let length = u32::try_from(data.len()).map_err(|_| WireError::TooLong(data.len()))?;
        let message = [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], data].concat();
        for frame in message.chunks(FRAME_MAX) {
            let length = u32::try_from(frame.len()).map_err(|_| WireError::TooLong(frame.len()))?;
            let framed = [&(to as u32).to_be_bytes()[..], &length.to_be_bytes(), frame].concat();
            self.socket.write_all(&framed).map_err(WireError::Io)?;
        }
        Ok(())
    }

    fn read_frame(&mut self) -> Result<(), WireError> {
        let mut header = [0; 8];
        self.fill(&mut header)?;
        let (connection, length) = (word(&header, 0), usize::try_from(word(&header, 4)).unwrap_or(usize::MAX));
        if length > HEADER + MESSAGE_MAX {
            return Err(WireError::TooLong(length));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        match connection {
            1 => self.plugin.extend(payload),
            2 => self.runtime.extend(payload),
            // It was not opened.
            _ => {}
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        self.socket.read_exact(bytes).map_err(|error| {
            let is_end = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
            if is_end { WireError::Closed } else { WireError::Io(error) }
        })
    }

    /// Stream, kind and data of a message that is there whole.
    fn whole_message(&mut self, of: LogicalConnection) -> Result<Option<(u32, u8, Vec<u8>)>, WireError> {
        let read = match of {
            LogicalConnection::Plugin => &mut self.plugin,
            LogicalConnection::Runtime => &mut self.runtime,
        };
        if read.len() < HEADER {
            return Ok(None);
        }
        let length = usize::try_from(word(read, 0)).unwrap_or(usize::MAX);
        if length > MESSAGE_MAX {
            return Err(WireError::TooLong(length));
        }
        if read.len() < HEADER + length {
            return Ok(None);
        }
        let (stream, kind) = (word(read, 4), read.get(8).copied().unwrap_or_default());
        let data = read.drain(..HEADER + length).skip(HEADER).collect();
        Ok(Some((stream, kind, data)))
    }
}

/// Four bytes as the network orders them; zero behind the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn request(stream: u32, data: &[u8]) -> Result<Incoming, WireError> {
    let (mut method, mut payload) = (String::new(), vec![]);
    for (number, value) in protobuf::fields(data)? {
        match number {
            2 => method = value.text(),
            3 => payload = value.bytes().to_vec(),
            // The service, of which there is one; the time-out, which `Configure` has; metadata.
            _ => {}
        }
    }
    Ok(Incoming::Request { stream, method, payload })
}

fn answered(data: &[u8]) -> Result<Incoming, WireError> {
    let (mut code, mut why) = (0, String::new());
    for (_, status) in protobuf::fields(data)?.into_iter().filter(|(number, _)| *number == 1) {
        for (number, value) in protobuf::fields(FieldValue::bytes(status))? {
            match number {
                1 => code = value.number(),
                2 => why = value.text(),
                _ => {}
            }
        }
    }
    Ok(Incoming::Answer(if code == 0 { Ok(()) } else { Err(why) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A socket that has said this.
    fn said(bytes: Vec<u8>) -> MuxStream<Cursor<Vec<u8>>> {
        MuxStream::new(Cursor::new(bytes))
    }

    fn frame(connection: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&connection.to_be_bytes()[..], &length.to_be_bytes(), payload].concat()
    }

    fn message(stream: u32, kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        [&length.to_be_bytes()[..], &stream.to_be_bytes(), &[kind, 0], data].concat()
    }

    fn create(payload: &[u8]) -> Vec<u8> {
        let data = MessageBytes::default().with(1, b"x.Plugin").with(2, b"CreateContainer").with(3, payload);
        message(7, REQUEST, &data.bytes())
    }

    #[test]
    fn a_message_is_read_in_whatever_frames_it_comes() {
        let payload = vec![5; 10_000];
        let message = create(&payload);
        for size in [1, 9, 10, 11, 4096, message.len()] {
            let frames: Vec<u8> = message.chunks(size).flat_map(|part| frame(1, part)).collect();
            // Of a connection that was not opened.
            let bytes = [frame(9, b"noise"), frames].concat();
            let expected =
                Incoming::Request { stream: 7, method: "CreateContainer".to_owned(), payload: payload.clone() };
            assert_eq!(said(bytes).receive().unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn an_answer_to_our_request_says_whether_it_was_refused() {
        let refused = MessageBytes::default().with_number(1, 3).with(2, b"invalid index").bytes();
        for (data, expected) in [
            (vec![], Ok(())),
            (MessageBytes::default().with(2, b"").bytes(), Ok(())),
            (MessageBytes::default().with(1, &refused).bytes(), Err("invalid index".to_owned())),
        ] {
            assert_eq!(said(frame(2, &message(1, RESPONSE, &data))).receive().unwrap(), Incoming::Answer(expected));
        }
    }

    #[test]
    fn no_frame_is_longer_than_the_buffer_at_the_other_end() {
        let mut stream = said(vec![]);
        stream.answer(7, RequestAnswer::Refused("x".repeat(9000))).unwrap();
        let written = stream.socket.into_inner();
        let (mut at, mut frames) = (0, vec![]);
        while at < written.len() {
            assert_eq!(word(&written, at), LogicalConnection::Plugin as u32);
            frames.push(usize::try_from(word(&written, at + 4)).unwrap());
            at += 8 + frames.last().unwrap();
        }
        assert!(frames.len() == 3 && frames.iter().all(|length| *length <= FRAME_MAX), "{frames:?}");
    }

    #[test]
    fn what_is_cut_short_too_long_or_malformed_is_an_error() {
        let whole = frame(1, &create(b"payload"));
        for length in 0..whole.len() {
            assert!(matches!(said(whole[..length].to_vec()).receive(), Err(WireError::Closed)), "{length}");
        }
        let long = [&1_u32.to_be_bytes()[..], &u32::MAX.to_be_bytes()].concat();
        assert!(matches!(said(long).receive(), Err(WireError::TooLong(_))));
        let long = frame(1, &[&u32::MAX.to_be_bytes()[..], &[0; 6]].concat());
        assert!(matches!(said(long).receive(), Err(WireError::TooLong(_))));
        assert!(matches!(said(frame(1, &message(1, REQUEST, &[0xff]))).receive(), Err(WireError::Malformed(_))));
    }
}
