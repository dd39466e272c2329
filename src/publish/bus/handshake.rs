//! The beginning of a connection without a bus: SASL as the D-Bus specification has it ("Authentication Protocol").
//!
//! zbus has one of its own. It takes an empty line for a fault of the program and panics, and waits for a line's end no matter how long
//! the line grows; this one assumes nothing, since any user may connect.

use std::io;

use tokio::net::UnixStream;

/// The longest line that means anything is `AUTH EXTERNAL` and a user's number in hexadecimal digits.
const LINE_MAX: usize = 128;
/// A client that needs more than these has lost its way.
const LINES_MAX: usize = 16;

/// Why a client was refused.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The socket broke, or the client left.
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    /// It does not speak D-Bus.
    #[error("not a D-Bus client: {0}")]
    Garbage(&'static str),
}

/// What a line is answered with.
#[derive(Debug, PartialEq, Eq)]
enum AuthReply {
    Ok,
    Data,
    Rejected,
    Error,
    /// No answer: messages follow.
    Begin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthStep {
    Auth,
    Data,
    Begin,
}

/// Lets a client authenticate itself as the user that the kernel says it is.
///
/// # Errors
/// [`HandshakeError`]; the connection is of no use then.
pub async fn serve(stream: &UnixStream, uid: u32, guid: &str) -> Result<(), HandshakeError> {
    if read_byte(stream).await? != 0 {
        return Err(HandshakeError::Garbage("the first byte is not zero"));
    }
    let mut step = AuthStep::Auth;
    for _ in 0..LINES_MAX {
        let line = read_line(stream).await?;
        let (next, reply) = answer(step, &line, uid);
        step = next;
        match reply {
            AuthReply::Ok => write(stream, &format!("OK {guid}\r\n")).await?,
            AuthReply::Data => write(stream, "DATA\r\n").await?,
            AuthReply::Rejected => write(stream, "REJECTED EXTERNAL\r\n").await?,
            AuthReply::Error => write(stream, "ERROR\r\n").await?,
            AuthReply::Begin => return Ok(()),
        }
    }
    Err(HandshakeError::Garbage("it does not finish the authentication"))
}

fn answer(step: AuthStep, line: &str, uid: u32) -> (AuthStep, AuthReply) {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (step, command) {
        (AuthStep::Auth | AuthStep::Data, "AUTH") => match rest.split_once(' ').unwrap_or((rest, "")) {
            ("EXTERNAL", "") => (AuthStep::Data, AuthReply::Data),
            ("EXTERNAL", name) => identified(name, uid),
            _ => (AuthStep::Auth, AuthReply::Rejected),
        },
        // An empty identity is the one that the socket has.
        (AuthStep::Data, "DATA") if rest.is_empty() => (AuthStep::Begin, AuthReply::Ok),
        (AuthStep::Data, "DATA") => identified(rest, uid),
        (AuthStep::Begin, "BEGIN") => (AuthStep::Begin, AuthReply::Begin),
        (_, "CANCEL" | "ERROR") => (AuthStep::Auth, AuthReply::Rejected),
        // NEGOTIATE_UNIX_FD is among these: nothing here has a descriptor to pass.
        (step, _) => (step, AuthReply::Error),
    }
}

/// The identity is the user's number as decimal text, in hexadecimal digits.
fn identified(name: &str, uid: u32) -> (AuthStep, AuthReply) {
    let expected: String = uid.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    if name == expected { (AuthStep::Begin, AuthReply::Ok) } else { (AuthStep::Auth, AuthReply::Rejected) }
}

/// Byte by byte, since what follows `BEGIN` is not ours to read.
async fn read_line(stream: &UnixStream) -> Result<String, HandshakeError> {
    let mut line = vec![];
    while line.len() < LINE_MAX {
        line.push(read_byte(stream).await?);
        if let Some(text) = line.strip_suffix(b"\r\n") {
            let text = text.is_ascii().then(|| String::from_utf8_lossy(text).into_owned());
            return text.ok_or(HandshakeError::Garbage("a line is not ASCII text"));
        }
    }
    Err(HandshakeError::Garbage("a line does not end"))
}

async fn read_byte(stream: &UnixStream) -> io::Result<u8> {
    let mut byte = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(stream: &UnixStream, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(lines: &[&str]) -> Vec<AuthReply> {
        let mut step = AuthStep::Auth;
        let mut replies = vec![];
        for line in lines {
            let (next, reply) = answer(step, line, 1000);
            step = next;
            replies.push(reply);
        }
        replies
    }

    #[test]
    fn libdbus_sd_bus_and_zbus_are_understood() {
        let libdbus = ["AUTH", "AUTH EXTERNAL 31303030", "NEGOTIATE_UNIX_FD", "BEGIN"];
        assert_eq!(replies(&libdbus), [AuthReply::Rejected, AuthReply::Ok, AuthReply::Error, AuthReply::Begin]);
        let sd_bus = ["AUTH EXTERNAL", "DATA", "NEGOTIATE_UNIX_FD", "BEGIN"];
        assert_eq!(replies(&sd_bus), [AuthReply::Data, AuthReply::Ok, AuthReply::Error, AuthReply::Begin]);
        let named = ["AUTH EXTERNAL", "DATA 31303030", "BEGIN"];
        assert_eq!(replies(&named), [AuthReply::Data, AuthReply::Ok, AuthReply::Begin]);
    }

    #[test]
    fn a_client_that_claims_another_uid_or_none_is_refused() {
        assert_eq!(replies(&["AUTH EXTERNAL 30", "BEGIN"]), [AuthReply::Rejected, AuthReply::Error]);
        assert_eq!(
            replies(&["AUTH ANONYMOUS 30", "DATA", "BEGIN"]),
            [AuthReply::Rejected, AuthReply::Error, AuthReply::Error]
        );
        assert_eq!(
            replies(&["AUTH EXTERNAL", "DATA 30", "BEGIN"]),
            [AuthReply::Data, AuthReply::Rejected, AuthReply::Error]
        );
        assert_eq!(replies(&["", " ", "BEGIN", "GET / HTTP/1.1"]), [const { AuthReply::Error }; 4]);
        let late = ["AUTH EXTERNAL 31303030", "CANCEL", "BEGIN"];
        assert_eq!(replies(&late), [AuthReply::Ok, AuthReply::Rejected, AuthReply::Error]);
    }
}
