//! The other end of a unix socket (unix(7)): connecting to it, and its user and groups as the kernel reports them.
#![expect(unsafe_code, reason = "SO_PEERGROUPS is in no safe crate")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as nix_connect, getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// The other end as the kernel recorded it at its connect(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its groups, the first one and the supplementary ones.
    pub gids: Vec<u32>,
}

/// Connects; waits for `limit` at most for a listener that does not accept.
///
/// # Errors
/// What connect(2) said, [`io::ErrorKind::WouldBlock`] when the time ended.
pub fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // A connect to a full queue waits as long as a send would; for ever, unless a limit is set.
    let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).max(1);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(millis))?;
    nix_connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(0))?;
    Ok(fd.into())
}

/// Asks the kernel.
///
/// # Errors
/// What getsockopt(2) said.
pub fn credentials(socket: &impl AsFd) -> io::Result<Peer> {
    let main = getsockopt(&socket.as_fd(), sockopt::PeerCredentials)?;
    let mut gids = groups(socket)?;
    gids.push(main.gid());
    Ok(Peer { uid: main.uid(), gids })
}

/// The supplementary groups; the kernel says how many there are when the buffer is too small.
fn groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut gids = vec![0_u32; 64];
    loop {
        let size = gids.len() * size_of::<u32>();
        let mut len = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
        // SAFETY: the buffer has `len` bytes, and any bits are a group's number.
        let done = unsafe {
            libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, gids.as_mut_ptr().cast(), &raw mut len)
        };
        let count = usize::try_from(len).map_err(io::Error::other)? / size_of::<u32>();
        if done == 0 {
            gids.truncate(count);
            return Ok(gids);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= gids.len() {
            return Err(error);
        }
        gids.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, listen};

    #[test]
    fn the_other_end_of_our_own_pair_is_ourselves() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = credentials(&ours).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert!(peer.gids.contains(&nix::unistd::getegid().as_raw()));
        for gid in nix::unistd::getgroups().unwrap() {
            assert!(peer.gids.contains(&gid.as_raw()));
        }
    }

    #[test]
    fn a_listener_that_accepts_no_connection_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        assert_eq!(connect(&path, Duration::from_secs(1)).unwrap_err().kind(), io::ErrorKind::NotFound);
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        assert_eq!(connect(&path, Duration::from_secs(1)).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        listen(&fd, Backlog::new(1).unwrap()).unwrap();
        let (mut taken, limit) = (vec![], Duration::from_millis(20));
        let error = loop {
            match connect(&path, limit) {
                Ok(stream) => taken.push(stream),
                Err(error) => break error,
            }
        };
        assert!(taken.len() <= 2, "{}", taken.len());
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
