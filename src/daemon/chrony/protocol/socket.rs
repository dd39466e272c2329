//! The two ways to chronyd: its Unix datagram socket, for everything, and its UDP port, for reading.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use crate::sys::random;

use super::error::Problem;

const OURS: &str = "clockgate-";
/// The shortest timeout that is not "for ever" to setsockopt(2).
const SHORTEST: Duration = Duration::from_micros(1);

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// With the file that chronyd answers to.
    Unix {
        /// Bound beside chronyd's and connected to it.
        socket: UnixDatagram,
        /// Removes the file when the socket goes.
        file: OwnFile,
    },
    /// Connected, so that only that address can answer.
    Udp(UdpSocket),
}

/// The socket file of a client, removed when it is done with.
#[derive(Debug)]
pub struct OwnFile(PathBuf);

impl Drop for OwnFile {
    fn drop(&mut self) {
        // A failure is ignored: the next client sweeps the folder.
        drop(fs::remove_file(&self.0));
    }
}

impl Socket {
    /// Connects to chronyd's own socket from one beside it: chronyd answers to a file alone (an unnamed or abstract socket
    /// gets no reply), has to be able to write to it, and is confined to its folder by AppArmor, SELinux and its unit.
    pub fn unix(path: &Path) -> Result<Self, Problem> {
        // Asked first with a socket that has no file: what goes wrong here is about chronyd, what comes after about us.
        UnixDatagram::unbound().and_then(|s| s.connect(path)).map_err(|e| problem(e, Problem::Abandoned))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        sweep(folder);
        let number = random::number().map_err(Problem::Io)? as u32;
        let own = folder.join(format!("{OURS}{}-{number:08x}.sock", process::id()));
        let failed = |source| Problem::OwnSocket { path: own.clone(), source };
        let socket = UnixDatagram::bind(&own).map_err(failed)?;
        let file = OwnFile(own.clone());
        open_to_others(&own).map_err(failed)?;
        socket.connect(path).map_err(|e| problem(e, Problem::Abandoned))?;
        Ok(Self::Unix { socket, file })
    }

    /// Connects to chronyd's UDP port.
    pub fn udp(address: SocketAddr) -> Result<Self, Problem> {
        let any = match address.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).map_err(|e| problem(e, Problem::NotListening))?;
        socket.connect(address).map_err(|e| problem(e, Problem::NotListening))?;
        Ok(Self::Udp(socket))
    }

    /// Whether an answer can come: the file that chronyd answers to may have been removed with its folder.
    pub fn can_be_answered(&self) -> bool {
        match self {
            Self::Unix { file: OwnFile(path), .. } => path.exists(),
            Self::Udp(_) => true,
        }
    }

    /// Sends a packet; a queue that stays full for so long is silence, said as `WouldBlock`.
    pub fn send(&self, packet: &[u8], limit: Duration) -> io::Result<()> {
        let limit = Some(limit.max(SHORTEST));
        match self {
            Self::Unix { socket, .. } => socket.set_write_timeout(limit).and_then(|()| socket.send(packet)),
            Self::Udp(socket) => socket.set_write_timeout(limit).and_then(|()| socket.send(packet)),
        }
        .map(|_| ())
    }

    /// Waits for a packet so long; none is `WouldBlock`.
    pub fn receive<'a>(&self, buffer: &'a mut [u8], limit: Duration) -> io::Result<&'a [u8]> {
        let limit = Some(limit.max(SHORTEST));
        let len = match self {
            Self::Unix { socket, .. } => socket.set_read_timeout(limit).and_then(|()| socket.recv(buffer)),
            Self::Udp(socket) => socket.set_read_timeout(limit).and_then(|()| socket.recv(buffer)),
        }?;
        Ok(&buffer[..len])
    }

    /// What an error of `send` and `receive` means here.
    pub fn problem(&self, error: io::Error) -> Problem {
        match self {
            Self::Unix { .. } => problem(error, Problem::Abandoned),
            Self::Udp(_) => problem(error, Problem::NotListening),
        }
    }
}

fn problem(error: io::Error, refused: Problem) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        Problem::NotThere
    } else if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) {
        refused
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        Problem::Closed
    } else {
        Problem::Io(error)
    }
}

/// chronyd runs as its own user and has dropped the right to override modes. The folder is that user's, who could put a link in place of
/// the socket: none is followed.
fn open_to_others(own: &Path) -> io::Result<()> {
    let read_and_write = Mode::from_bits_truncate(0o666);
    Ok(fchmodat(AT_FDCWD, own, read_and_write, FchmodatFlags::NoFollowSymlink)?)
}

/// Removes the sockets that killed processes left in the folder: an unused socket refuses a connection, one in use does not.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(OURS) && name.ends_with(".sock"));
        let probe = || UnixDatagram::unbound().and_then(|s| s.connect(entry.path()));
        if ours && probe().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> io::Result<u32> {
        Ok(fs::metadata(path)?.permissions().mode() & 0o777)
    }

    #[test]
    fn a_link_in_place_of_our_socket_opens_no_other_file() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (secret, own) = (folder.path().join("secret"), folder.path().join("clockgate-1-0badcafe.sock"));
        fs::write(&secret, "")?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        symlink(&secret, &own)?;
        assert!(open_to_others(&own).is_err());
        assert_eq!(mode(&secret)?, 0o600);
        fs::remove_file(&own)?;
        let _socket = UnixDatagram::bind(&own)?;
        open_to_others(&own)?;
        assert_eq!(mode(&own)?, 0o666);
        Ok(())
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_is_in_use_is_not() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let daemon = UnixDatagram::bind(folder.path().join("chronyd.sock"))?;
        let stale = folder.path().join("clockgate-1-0badcafe.sock");
        drop(UnixDatagram::bind(&stale)?);
        let first = Socket::unix(&folder.path().join("chronyd.sock")).map_err(io::Error::other)?;
        let second = Socket::unix(&folder.path().join("chronyd.sock")).map_err(io::Error::other)?;
        assert!(!stale.exists());
        assert_eq!(fs::read_dir(folder.path())?.count(), 3);
        drop((first, second));
        assert_eq!(fs::read_dir(folder.path())?.count(), 1, "our own files are removed with us");
        drop(daemon);
        Ok(())
    }
}
