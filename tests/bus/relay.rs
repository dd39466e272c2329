//! A road to a bus, on which somebody can speak in the bus's name.

use std::io::{IoSlice, IoSliceMut, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::support::private_bus::PrivateBus;

/// As many descriptors as one message may have here.
const DESCRIPTORS: usize = 16;

/// A road that is open until the test ends.
pub struct Relay {
    folder: tempfile::TempDir,
    clients: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    pub fn to(bus: &PrivateBus) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("bus")).unwrap();
        let clients = Arc::<Mutex<Vec<UnixStream>>>::default();
        let (beyond, known) = (bus.path(), Arc::clone(&clients));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(bus) = UnixStream::connect(&beyond) else { continue };
                known.lock().unwrap().push(client.try_clone().unwrap());
                pass_on(client.try_clone().unwrap(), bus.try_clone().unwrap());
                pass_on(bus, client);
            }
        });
        Self { folder, clients }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.path().display())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    /// Says this to every client that is connected; how many heard it.
    pub fn says(&self, bytes: &[u8]) -> usize {
        let mut clients = self.clients.lock().unwrap();
        clients.retain_mut(|client| client.write_all(bytes).is_ok());
        clients.len()
    }
}

/// All that comes, with its descriptors, until one side hangs up.
fn pass_on(from: UnixStream, to: UnixStream) {
    thread::spawn(move || {
        while pass(from.as_raw_fd(), to.as_raw_fd()).is_some() {}
        for side in [from, to] {
            // It is shut down already, or will be by who reads.
            let _ = side.shutdown(Shutdown::Both);
        }
    });
}

fn pass(from: RawFd, to: RawFd) -> Option<()> {
    let mut bytes = [0; 65536];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg::<()>(from, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).ok()?;
    let descriptors: Vec<RawFd> = got
        .cmsgs()
        .ok()?
        .filter_map(|message| if let ControlMessageOwned::ScmRights(all) = message { Some(all) } else { None })
        .flatten()
        .collect();
    let length = got.bytes;
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let sent = (length > 0)
        .then(|| sendmsg::<()>(to, &[IoSlice::new(&bytes[..length])], rights, MsgFlags::MSG_NOSIGNAL, None));
    descriptors.iter().for_each(|descriptor| nix::unistd::close(*descriptor).unwrap());
    (sent?.ok()? == length).then_some(())
}
