//! Who is at the other end of a unix socket, by the kernel's word (unix(7)).
#![expect(unsafe_code, reason = "SO_PEERGROUPS is in no safe crate")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{getsockopt, sockopt};

/// The kernel's word on the other end, as of its connect(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its groups, the first one and the supplementary ones.
    pub gids: Vec<u32>,
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
    use std::os::unix::net::UnixStream;

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
}
