//! A guest at the other end of a hypervisor's socket, of which the test says what it answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::outcome::Outcome;

/// Lets `ask` speak to a guest, by the path of its socket, whose agent answers a notice by `answer`.
pub fn answering<T>(answer: &str, ask: impl FnOnce(&Path) -> T) -> Outcome<T> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("v.sock");
    let listener = UnixListener::bind(&path)?;
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| serve(listener.accept()?.0, answer));
        let asked = ask(&path);
        guest.join().map_err(|_| "the guest panicked")??;
        Ok(asked)
    })
}

/// The handshake of a hypervisor's socket, ours, one line and its answer.
///
/// # Errors
/// What the kernel said: mostly, who asked has gone away.
pub fn serve(stream: UnixStream, answer: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    stream.get_mut().write_all(b"OK 1\nclockgate 1\n")?;
    stream.read_line(&mut line)?;
    stream.get_mut().write_all(format!("answer {answer}\n").as_bytes())
}
