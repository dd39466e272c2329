//! The runtime's socket, which comes and goes with it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::sys::nap;

/// Between the moment at which a socket has its name and that at which it listens.
const SOON: Duration = Duration::from_millis(20);
/// How often that is tried: a socket that a killed runtime left does not listen any more.
const TRIES: u32 = 50;
/// How often to look where nothing was seen to change: a folder above may have been replaced.
const LOOK_ANYWAY_EVERY_MS: u16 = 10_000;

/// Connects as soon as a runtime listens there, however long that takes. `on_wait` is called once, with the reason for the wait.
///
/// # Errors
/// What inotify(7) or poll(2) said.
pub fn connect(path: &Path, on_wait: &mut dyn FnMut(&io::Error)) -> io::Result<UnixStream> {
    let (mut tries, mut is_reported) = (0, false);
    loop {
        // Subscribed first, and looked at second.
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE_SELF;
        for folder in path.ancestors().skip(1).filter(|folder| folder.is_dir()).take(1) {
            inotify.add_watch(folder, flags)?;
        }
        let error = match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::ConnectionRefused && tries < TRIES {
            tries += 1;
            nap(SOON);
            continue;
        }
        if !std::mem::replace(&mut is_reported, true) {
            on_wait(&error);
        }
        let mut changed = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut changed, PollTimeout::from(LOOK_ANYWAY_EVERY_MS)) {
            // Something is there now, or a runtime may have come back to what it left.
            Ok(1..) => tries = 0,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    #[test]
    fn a_socket_is_found_when_it_comes_also_after_its_folder_and_in_place_of_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nri/nri.sock");
        let (waits, wait) = mpsc::channel();
        for make_folder in [true, false] {
            let (to, waits) = (path.clone(), waits.clone());
            let connecting = std::thread::spawn(move || connect(&to, &mut |error| waits.send(error.kind()).unwrap()));
            wait.recv().unwrap();
            if make_folder {
                std::fs::create_dir(path.parent().unwrap()).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            let listener = UnixListener::bind(&path).unwrap();
            assert!(connecting.join().unwrap().is_ok());
            // Its file stays, and no process listens.
            drop(listener);
        }
    }
}
