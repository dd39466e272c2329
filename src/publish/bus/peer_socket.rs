//! The socket for those who come without a bus: the command line, hooks, hosts that have none.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, warn};
use zbus::{Guid, connection};

use super::access::{Door, GROUP, group_id};
use super::connection_limits::{ConnectionActivity, Guest, Guests};
use super::object::BusObject;
use super::transport::Authenticated;
use super::{Face, PATH, handshake, say_changes};
use crate::sys::clock::boottime;
use crate::sys::unix_peer::{connect, credentials};
use crate::sys::{public_files, random};

/// clockgate's own client needs less than a millisecond.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
const BACKLOG: i32 = 64;
/// How long another agent may take to show that it lives.
const LIVING_WITHIN: Duration = Duration::from_millis(200);

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PeerSocketError {
    /// Something else has the path.
    #[error("{} exists and is not a socket; remove it, or configure another path", .0.display())]
    NotASocket(PathBuf),
    /// Another agent has it.
    #[error("another agent answers on {}", .0.display())]
    InUse(PathBuf),
    /// The kernel said no.
    #[error("cannot {what} {}", path.display())]
    Cannot {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The socket, listened on; it is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    listener: StdListener,
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Takes the place of a dead agent's socket, never that of a living one, and opens it to the group of the host at `root`.
    ///
    /// # Errors
    /// [`PeerSocketError`]
    pub fn bind(path: &Path, root: &Path) -> Result<Self, PeerSocketError> {
        Self::bind_and(path, |fresh| {
            let Some(gid) = group_id(root, GROUP) else { return Ok(()) };
            let open = |()| fs::set_permissions(fresh, fs::Permissions::from_mode(0o660));
            if let Err(error) = chown(fresh, None, Some(gid)).and_then(open) {
                warn!(%error, socket = %path.display(), "cannot give the socket to the group {GROUP}: only root can use it");
            }
            Ok(())
        })
    }

    /// The same, open to everybody.
    ///
    /// # Errors
    /// [`PeerSocketError`]
    pub fn bind_public(path: &Path) -> Result<Self, PeerSocketError> {
        Self::bind_and(path, |fresh| fs::set_permissions(fresh, fs::Permissions::from_mode(0o666)))
    }

    fn bind_and(path: &Path, open: impl FnOnce(&Path) -> io::Result<()>) -> Result<Self, PeerSocketError> {
        let cannot = |what, path: &Path| {
            let path = path.to_owned();
            move |source| PeerSocketError::Cannot { what, path, source }
        };
        if let Some(folder) = path.parent() {
            public_files::folder(folder).map_err(cannot("create", folder))?;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.file_type().is_socket() => return Err(PeerSocketError::NotASocket(path.to_owned())),
            Ok(_) if answers(path) => return Err(PeerSocketError::InUse(path.to_owned())),
            Ok(_) | Err(_) => {}
        }
        // Bound under a name of its own and moved: at no moment is there no socket, or one with the wrong mode.
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        drop(fs::remove_file(&fresh));
        let listener = bind_private(&fresh).map_err(|errno| cannot("bind", &fresh)(errno.into()))?;
        open(&fresh).map_err(cannot("open to others", &fresh))?;
        fs::rename(&fresh, path).map_err(cannot("put in its place", &fresh))?;
        let inode = fs::symlink_metadata(path).map_err(cannot("look at", path))?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// The listening end, without blocking.
    ///
    /// # Errors
    /// What dup(2) said.
    pub(in crate::publish) fn accepting(&self) -> io::Result<StdListener> {
        self.listener.try_clone()
    }

    /// Serves every client, until it is dropped.
    ///
    /// # Errors
    /// What the runtime said about the socket.
    pub async fn serve(&self, face: Face) -> io::Result<()> {
        let listener = UnixListener::from_std(self.accepting()?)?;
        // One of zbus's own opens a file for it, and panics where it cannot.
        let digits = format!("{:016x}{:016x}", random::number()?, random::number()?);
        let guid = Guid::try_from(digits).map_err(io::Error::other)?;
        let (mut clients, mut guests) = (JoinSet::new(), Guests::default());
        loop {
            tokio::select! {
                Some(ended) = clients.join_next_with_id() => {
                    guests.went(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => match credentials(&stream) {
                        Ok(peer) if guests.make_room(peer.uid, boottime()) => {
                            let (uid, activity) = (peer.uid, ConnectionActivity::new());
                            let door = Door::Socket(peer, activity.clone(), face.root.clone());
                            let task = clients.spawn(client(stream, guid.clone(), BusObject { face: face.clone(), door }));
                            guests.came(Guest { uid, activity, task });
                        }
                        // Closed at once: a queue of waiting connections would keep other users out.
                        Ok(peer) => debug!(uid = peer.uid, "too many connections of one user"),
                        Err(error) => debug!(%error, "a caller without credentials"),
                    },
                    // Out of descriptors, most likely: one client that leaves is a descriptor again.
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Whether a program listens there, if only with a full queue.
fn answers(path: &Path) -> bool {
    match connect(path, LIVING_WITHIN) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// The mode of the descriptor becomes the mode of the file.
fn bind_private(path: &Path) -> nix::Result<StdListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(fd.into())
}

async fn client(stream: UnixStream, guid: Guid<'static>, agent: BusObject) {
    if let Err(error) = serve_client(stream, guid, agent).await {
        debug!(error = &*error, "a connection was refused");
    }
}

async fn serve_client(
    stream: UnixStream,
    guid: Guid<'static>,
    agent: BusObject,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Door::Socket(peer, activity, _) = &agent.door else { return Ok(()) };
    timeout(HANDSHAKE_WITHIN, handshake::serve(&stream, peer.uid, guid.as_str())).await??;
    let news = agent.face.news.clone();
    let said = news.borrow().clone();
    let socket = Authenticated { stream, activity: activity.clone() };
    let bus = connection::Builder::authenticated_socket(socket, guid).p2p().serve_at(PATH, agent).build().await?;
    say_changes(&bus, news, said).await;
    // Calls that are still being answered continue as long as the connection does.
    bus.closed().await;
    Ok(())
}
