//! A socket between us and a real chronyd that changes packets on their way, to play what this chronyd does not do.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::lab::Daemon;

/// A number that no chronyd has a command for.
const NO_COMMAND: u8 = 200;

/// Changes a request on its way; what it returns changes the answer on its way back.
pub type Edit = Box<dyn Fn(&mut [u8]) -> Option<fn(&mut [u8])> + Send>;

pub struct Relay {
    folder: TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn before(daemon: &Daemon, edit: Edit) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ours = UnixDatagram::bind(folder.path().join("chronyd.sock"))?;
        ours.set_read_timeout(Some(Duration::from_millis(20)))?;
        let theirs = UnixDatagram::bind(folder.path().join("relay.sock"))?;
        theirs.set_read_timeout(Some(Duration::from_secs(1)))?;
        theirs.connect(daemon.socket())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut packet = [0; 1024];
            while !stopped.load(Ordering::Relaxed) {
                // The pause is there to look at `stopped`; a chronyd that does not answer makes us silent, too.
                let Ok((len, client)) = ours.recv_from(&mut packet) else { continue };
                let back = edit(&mut packet[..len]);
                let Some(client) = client.as_pathname() else { continue };
                let Ok(len) = theirs.send(&packet[..len]).and_then(|_| theirs.recv(&mut packet)) else { continue };
                if let Some(back) = back {
                    back(&mut packet[..len]);
                }
                drop(ours.send_to(&packet[..len], client));
            }
        });
        Ok(Self { folder, stop, thread: Some(thread) })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("chronyd.sock")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Plays a chronyd that is older than some commands: it gets numbers that it does not know, and we get its answers to those.
pub fn renumber(unknown: &'static [u8]) -> Edit {
    Box::new(move |request| {
        let command = request[5];
        if !unknown.contains(&command) {
            return None;
        }
        request[5] = NO_COMMAND;
        Some(match command {
            65 => |answer| answer[5] = 65,
            67 => |answer| answer[5] = 67,
            69 => |answer| answer[5] = 69,
            _ => |answer| answer[5] = 66,
        })
    })
}

/// Plays a chronyd that is silent to these commands: what comes back is no answer.
pub fn mute(silent: &'static [u8]) -> Edit {
    Box::new(|request| {
        let garbled: fn(&mut [u8]) = |answer| answer.fill(0);
        silent.contains(&request[5]).then_some(garbled)
    })
}

/// Plays a chronyd that says it did what it did not: a failed makestep comes back as done.
pub fn boast() -> Edit {
    Box::new(|request| {
        let makestep: fn(&mut [u8]) = |answer| answer[8..10].fill(0);
        (request[5] == 43).then_some(makestep)
    })
}
