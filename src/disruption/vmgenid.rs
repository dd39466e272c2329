//! The kernel's own line that this machine was forked from an image: vmgenid, seen through /dev/kmsg.
//!
//! The uevent NEW_VMGENID was in no kernel but 6.8's first, which has the line as well, so nobody listens for it here.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use tokio::sync::mpsc::Sender;
use tracing::{debug, warn};

use crate::decision::{Cause, Event};
use crate::sys::readable::readable;

/// Where the device is, below the root.
const DEVICE: &str = "dev/kmsg";
/// drivers/char/random.c, add_vmfork_randomness(): the line of Linux 5.18 and later.
const LINE: &str = "random: crng reseeded due to virtual machine fork";
/// No record is longer (PRINTKRB_RECORD_MAX); a shorter buffer would be refused.
const RECORD_MOST: usize = 8192;

/// Sends a restore for each such line, until nobody listens. Returns at once where the log is not for us.
///
/// # Errors
/// What open(2) or read(2) said; the caller reports the source as lost.
pub async fn watch(root: PathBuf, events: Sender<Event>) -> io::Result<()> {
    let path = root.join(DEVICE);
    let log = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            debug!("there is no {}; the kernel cannot tell us of a restore", path.display());
            return Ok(());
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            warn!(%error, "may not read {}; what the kernel says of a restore goes unheard", path.display());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    // What was logged before we came is of no concern: nothing is proven yet.
    (&log).seek(SeekFrom::End(0))?;
    follow(log, events).await
}

async fn follow(log: File, events: Sender<Event>) -> io::Result<()> {
    let log = readable(log)?;
    let mut buffer = vec![0; RECORD_MOST];
    loop {
        let mut ready = tokio::select! {
            () = events.closed() => return Ok(()),
            ready = log.readable() => ready?,
        };
        let record = match ready.try_io(|fd| fd.get_ref().read(&mut buffer)) {
            Ok(Ok(0)) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(Ok(len)) => &buffer[..len],
            // EPIPE: the ring has run over what we had not read; the next read goes on with what is left.
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                warn!("the kernel logs faster than we read; a restore told in what is lost goes unheard");
                continue;
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => continue,
        };
        for _ in record.split(|byte| *byte == b'\n').filter(|line| tells_of_a_fork(line)) {
            if events.send(Event::Disrupted(Cause::Restore)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Whether a line is the kernel's own: `6,1234,5678,-;random: crng reseeded ...`. The first number is the facility times
/// eight, and the priority; the kernel's facility is 0, and nobody else can write it (Documentation/ABI/testing/dev-kmsg).
fn tells_of_a_fork(line: &[u8]) -> bool {
    let Some((head, text)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(';')) else {
        return false;
    };
    let kernels = head.split(',').next().and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number < 8);
    kernels && text.starts_with(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::io::Write as _;
    use tokio::sync::mpsc::channel;

    #[test]
    fn only_the_kernels_own_line_counts() {
        let line = |head: &str, text: &str| tells_of_a_fork(format!("{head};{text}").as_bytes());
        assert!(line("5,1234,5678901,-", LINE));
        assert!(line("6,1,0,c,caller=T1", LINE));
        // Whoever may write to the log can write this text, and gets facility 1 for it.
        assert!(!line("13,1234,5678901,-", LINE));
        assert!(!line("6,1234,5678901,-", "random: crng init done"));
        assert!(!line("6,1234,5678901,-", &format!("somebody says: {LINE}")));
        assert!(!tells_of_a_fork(b" SUBSYSTEM=acpi") && !tells_of_a_fork(&[0xff, b';']));
    }

    #[tokio::test]
    async fn a_fifo_in_the_logs_place_tells_of_a_restore_and_its_end_is_a_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmsg");
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut kernel = OpenOptions::new().write(true).open(&path).unwrap();
        let (events, mut inbox) = channel(4);
        let source = tokio::spawn(follow(log, events));
        writeln!(kernel, "6,1,1,-;random: crng init done\n SUBSYSTEM=x").unwrap();
        writeln!(kernel, "5,2,2,-;{LINE}").unwrap();
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore)));
        drop(kernel);
        assert_eq!(source.await.unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn without_a_log_the_source_ends_in_silence() {
        let root = tempfile::tempdir().unwrap();
        let (events, _inbox) = channel(4);
        assert!(watch(root.path().to_owned(), events).await.is_ok());
    }
}
