//! A route or an address was added: servers that did not answer may answer now (rtnetlink(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;

use super::{DisruptionSource, LastMark};
use crate::decision::Event;
use crate::sys::async_descriptor::readable;

/// RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and RTMGRP_IPV6_ROUTE of linux/rtnetlink.h.
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// The first change is reported at once, and then all of so long together: a link that comes up brings thirty addresses in half a
/// second.
const GATHER: Duration = Duration::from_secs(1);

/// The kernel's messages about routes and addresses.
#[derive(Debug, Default)]
pub struct NetworkMonitor(LastMark<()>);

impl DisruptionSource for NetworkMonitor {
    const NAME: &'static str = "network";
    type Error = io::Error;

    async fn watch(&mut self, events: &Sender<Event>) -> io::Result<()> {
        let was_lost = self.0.begins_again();
        let socket = readable(subscribe()?)?;
        if was_lost {
            // For all changes meanwhile; a full queue has an event in it that says the same or more.
            drop(events.try_send(Event::NetworkChanged));
        }
        follow(&socket, events).await
    }
}

/// Sends an event for each burst of changes, until no receiver is left.
async fn follow(socket: &AsyncFd<OwnedFd>, events: &Sender<Event>) -> io::Result<()> {
    loop {
        let mut ready = socket.readable().await?;
        match ready.try_io(|fd| drain(fd.get_ref())) {
            Ok(Ok(())) if events.is_closed() => return Ok(()),
            Ok(Ok(())) => {
                // A full queue has an event in it that says the same or more.
                drop(events.try_send(Event::NetworkChanged));
                // What comes meanwhile waits in the socket, and is one event more.
                tokio::time::sleep(GATHER).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

fn subscribe() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(fd)
}

/// Reads what is there; the messages say no more than that something changed.
fn drain(fd: &OwnedFd) -> io::Result<()> {
    let mut buffer = [0; 8192];
    let mut any = false;
    loop {
        match recv(fd.as_fd().as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(_) | Err(nix::errno::Errno::ENOBUFS) => any = true,
            Err(nix::errno::Errno::EAGAIN) if any => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_change_that_was_missed_may_be_a_route_to_servers_that_did_not_answer() {
        let (events, mut inbox) = mpsc::channel(4);
        let mut network = NetworkMonitor::default();
        // Lost at once: the answer is not waited for.
        drop(timeout(Duration::ZERO, network.watch(&events)).await);
        while inbox.try_recv().is_ok() {}
        let again = tokio::spawn(async move { network.watch(&events).await });
        assert_eq!(timeout(SOON, inbox.recv()).await.unwrap(), Some(Event::NetworkChanged));
        again.abort();
    }
}
