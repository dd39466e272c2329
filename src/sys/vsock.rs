//! Stream sockets between a virtual machine and its hypervisor (vsock(7)).
#![expect(unsafe_code, reason = "accept4(2) gives a bare number")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, VsockAddr, accept4, bind, connect as nix_connect,
    getpeername, listen as nix_listen, socket,
};

/// VMADDR_CID_ANY.
const ANY: u32 = u32::MAX;
/// More at once than one hypervisor needs.
const WAITING: i32 = 4;

/// Listens on a port of this machine.
///
/// # Errors
/// What socket(2), bind(2) or listen(2) said; EAFNOSUPPORT where the kernel has no such sockets.
pub fn listen(port: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &VsockAddr::new(ANY, port))?;
    nix_listen(&fd, Backlog::new(WAITING)?)?;
    Ok(fd)
}

/// Takes the next connection, and the CID of its other end as the kernel reports it; none if that is no vsock.
///
/// # Errors
/// What accept4(2) said, [`io::ErrorKind::WouldBlock`] when there is none.
pub fn accept(listener: &OwnedFd) -> io::Result<(UnixStream, Option<u32>)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: the kernel has just made this descriptor for us, and it has no other owner.
    let stream = stream(unsafe { OwnedFd::from_raw_fd(fd) });
    let peer: SockaddrStorage = getpeername(stream.as_raw_fd())?;
    let cid = peer.as_vsock_addr().map(VsockAddr::cid);
    Ok((stream, cid))
}

/// Connects to a port of a machine; the kernel gives up after two seconds (net/vmw_vsock/af_vsock.c).
///
/// # Errors
/// What socket(2) or connect(2) said: ENODEV where there is no such machine, ECONNRESET where no program listens in it,
/// ETIMEDOUT where it is paused.
pub fn connect(cid: u32, port: u32) -> io::Result<UnixStream> {
    let fd = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    nix_connect(fd.as_raw_fd(), &VsockAddr::new(cid, port))?;
    Ok(stream(fd))
}

/// A connected stream is a stream: nothing of a unix socket's own is ever asked of it.
fn stream(fd: OwnedFd) -> UnixStream {
    fd.into()
}
