//! Messages as a peer on the bus may send them: read by zbus as from a socket, and decoded by all that decodes any. What is of another type is
//! an error; what is read is the same when it is written again; and whatever cannot be a message ends the connection, and no more.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;

use async_trait::async_trait;
use clockgate::daemon::bus::value;
use clockgate::daemon::connman::{Properties, body};
use clockgate::daemon::timesyncd::{Message as NtpMessage, MessageFields};
use clockgate::disruption::logind::{goes_to_sleep, new_owner};
use futures_core::Stream as _;
use tokio::runtime::{Builder, Runtime};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::message::Message;
use zbus::{Guid, MessageStream, OwnedObjectPath, connection};

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(Builder::new_current_thread().enable_all().build().unwrap());
}

/// What a socket takes at once.
const LONGEST: usize = 64 * 1024;

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    RUNTIME.with_borrow(|runtime| runtime.block_on(receive(data)));
}

/// Says this, and hangs up.
#[derive(Debug)]
struct Peer(Vec<u8>);

#[derive(Debug)]
struct Ear;

impl Socket for Peer {
    type ReadHalf = Self;
    type WriteHalf = Ear;

    fn split(self) -> Split<Self, Ear> {
        Split::new(self, Ear)
    }
}

#[async_trait]
impl ReadHalf for Peer {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let length = self.0.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0.drain(..length);
        Ok((length, vec![]))
    }
}

#[async_trait]
impl WriteHalf for Ear {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Until the connection ends, as it does behind the last byte.
async fn receive(data: &[u8]) {
    let peer = Peer(data.to_vec());
    let bus = connection::Builder::authenticated_socket(peer, Guid::generate()).p2p().build().await.unwrap();
    let mut messages = MessageStream::from(&bus);
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await {
        decode(&message);
    }
}

fn decode(message: &Message) {
    let signature = message.body().signature().to_string();
    // Of several values it is that of the struct which they would be.
    let signature = signature.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(&signature);
    if let Ok(sleeps) = goes_to_sleep(message) {
        assert_eq!(signature, "b");
        let again = Message::signal("/", "a.b", "C").build(&sleeps).unwrap();
        assert_eq!(goes_to_sleep(&again).unwrap(), sleeps);
    }
    if new_owner(message).is_some() {
        assert_eq!(
            (message.header().sender().map(|name| name.as_str()), signature),
            (Some("org.freedesktop.DBus"), "sss")
        );
    }
    properties(message);
    // Each takes its own type, and refuses all others.
    let _ = value::<String>(message, "ActiveState");
    let _ = value::<Vec<String>>(message, "SystemNTPServers");
    let _ = value::<(i32, Vec<u8>)>(message, "ServerAddress");
    let _ = value::<u64>(message, "InhibitDelayMaxUSec");
    if let Ok(fields) = value::<MessageFields>(message, "NTPMessage") {
        let (leap, mode) = (fields.0, fields.2);
        assert!(NtpMessage::from(fields).answered().is_none() || (leap < 3 && mode == 4));
    }
    let authorized = body::<(bool, bool, std::collections::HashMap<String, String>)>(message, "CheckAuthorization");
    assert!(authorized.is_err() || signature == "bba{ss}", "{signature}");
}

/// As ConnMan has them.
fn properties(message: &Message) {
    let _ = body::<Properties>(message, "Clock.GetProperties");
    let _ = body::<Vec<(OwnedObjectPath, Properties)>>(message, "Manager.GetServices");
}
