//! The kernel's own line that this machine was forked from an image: vmgenid, seen through /dev/kmsg.
//!
//! The uevent NEW_VMGENID was in no kernel but 6.8's first, which has the line as well, so it is not received here.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use tokio::sync::mpsc::Sender;
use tracing::{debug, warn};

use crate::decision::{Cause, Event, RestoreSign};
use crate::disruption::{DisruptionSource, LastMark};
use crate::sys::async_descriptor::readable;

/// Where the device is, below the root.
const DEVICE: &str = "dev/kmsg";
/// drivers/char/random.c, add_vmfork_randomness(): the line of Linux 5.18 and later.
const LINE: &str = "random: crng reseeded due to virtual machine fork";
/// No record is longer (PRINTKRB_RECORD_MAX); a shorter buffer would be refused.
const RECORD_MOST: usize = 8192;

/// The kernel's log, and the number of the last record that was read.
#[derive(Debug)]
pub struct KernelLog {
    root: PathBuf,
    last: LastMark<u64>,
}

impl KernelLog {
    /// The log below `root`.
    #[must_use]
    pub const fn new(root: PathBuf) -> Self {
        Self { root, last: LastMark::Unread }
    }

    /// What a record reports, after what was lost before it.
    fn take(&mut self, record: &[u8]) -> Vec<Event> {
        let mut events = vec![];
        if let Some(number) = number_of(record) {
            match std::mem::replace(&mut self.last, LastMark::Known(number)) {
                // Read before the log was lost.
                LastMark::Known(last) if number <= last => {
                    self.last = LastMark::Known(last);
                    return vec![];
                }
                LastMark::Known(last) if number > last + 1 => events.push(Event::Unseen(Self::NAME)),
                LastMark::Known(_) | LastMark::Lost | LastMark::Unread => {}
            }
        }
        let forks = record.split(|byte| *byte == b'\n').filter(|line| reports_a_fork(line));
        events.extend(forks.map(|_| Event::Disrupted(Cause::Restore(RestoreSign::KernelLine))));
        events
    }
}

impl DisruptionSource for KernelLog {
    const NAME: &'static str = "vmgenid";
    type Error = io::Error;

    /// Returns at once where the log is not for us.
    async fn watch(&mut self, events: &Sender<Event>) -> io::Result<()> {
        let path = self.root.join(DEVICE);
        let log = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
            Ok(log) => log,
            Err(error) if error.kind() == ErrorKind::NotFound && self.last.is_unread() => {
                debug!("there is no {}; the kernel cannot report a restore", path.display());
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied && self.last.is_unread() => {
                warn!(%error, "not permitted to read {}; a restore that the kernel reports is missed", path.display());
                return Ok(());
            }
            Err(error) => {
                self.last.lose();
                return Err(error);
            }
        };
        match self.last {
            // What was logged before we came is of no concern: nothing is proven yet.
            LastMark::Unread => {
                self.last.lose();
                (&log).seek(SeekFrom::End(0))?;
            }
            // From the oldest record on: what came meanwhile is behind the last that was read.
            LastMark::Known(_) => {}
            LastMark::Lost => {
                (&log).seek(SeekFrom::End(0))?;
                if events.send(Event::Unseen(Self::NAME)).await.is_err() {
                    return Ok(());
                }
            }
        }
        follow(self, log, events).await
    }
}

async fn follow(known: &mut KernelLog, log: File, events: &Sender<Event>) -> io::Result<()> {
    let log = readable(log)?;
    let mut buffer = vec![0; RECORD_MOST];
    loop {
        let mut ready = tokio::select! {
            () = events.closed() => return Ok(()),
            ready = log.readable() => ready?,
        };
        let read = match ready.try_io(|fd| fd.get_ref().read(&mut buffer)) {
            Ok(Ok(0)) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(Ok(len)) => known.take(&buffer[..len]),
            // EPIPE: the ring has run over what we had not read; the next read continues with what is left.
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                debug!("the kernel logs faster than the agent reads");
                known.last = LastMark::Lost;
                vec![Event::Unseen(KernelLog::NAME)]
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => continue,
        };
        for event in read {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A record's number: the second one of `6,1234,5678,-;text` (Documentation/ABI/testing/dev-kmsg).
fn number_of(record: &[u8]) -> Option<u64> {
    std::str::from_utf8(record.split(|byte| *byte == b',').nth(1)?).ok()?.parse().ok()
}

/// Whether a line is the kernel's own: `6,1234,5678,-;random: crng reseeded ...`. The first number is the facility times
/// eight, and the priority; the kernel's facility is 0, and no process can write it (Documentation/ABI/testing/dev-kmsg).
fn reports_a_fork(line: &[u8]) -> bool {
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
        let line = |head: &str, text: &str| reports_a_fork(format!("{head};{text}").as_bytes());
        assert!(line("5,1234,5678901,-", LINE));
        assert!(line("6,1,0,c,caller=T1", LINE));
        // A process that may write to the log can write this text, and gets facility 1 for it.
        assert!(!line("13,1234,5678901,-", LINE));
        assert!(!line("6,1234,5678901,-", "random: crng init done"));
        assert!(!line("6,1234,5678901,-", &format!("a user says: {LINE}")));
        assert!(!reports_a_fork(b" SUBSYSTEM=acpi") && !reports_a_fork(&[0xff, b';']));
    }

    #[tokio::test]
    async fn a_fifo_in_the_logs_place_reports_a_restore_and_its_end_is_a_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmsg");
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut kernel = OpenOptions::new().write(true).open(&path).unwrap();
        let (events, mut inbox) = channel(4);
        let mut known = KernelLog::new(folder.path().to_owned());
        let source = tokio::spawn(async move { follow(&mut known, log, &events).await });
        writeln!(kernel, "6,1,1,-;random: crng init done\n SUBSYSTEM=x").unwrap();
        writeln!(kernel, "5,2,2,-;{LINE}").unwrap();
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::KernelLine))));
        drop(kernel);
        assert_eq!(source.await.unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn without_a_log_the_source_ends_in_silence() {
        let root = tempfile::tempdir().unwrap();
        let (events, _inbox) = channel(4);
        assert!(KernelLog::new(root.path().to_owned()).watch(&events).await.is_ok());
    }

    #[tokio::test]
    async fn a_restore_that_was_logged_while_the_log_was_lost_is_reported_when_it_is_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        let path = root.path().join(DEVICE);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let (events, mut inbox) = channel(4);
        let mut known = KernelLog { last: LastMark::Known(6), ..KernelLog::new(root.path().to_owned()) };
        let mut kernel = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        writeln!(kernel, "5,7,2,-;{LINE}").unwrap();
        let _source = tokio::spawn(async move { known.watch(&events).await });
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::KernelLine))));
        assert!(inbox.try_recv().is_err());
    }

    #[test]
    fn missing_records_may_have_been_those_of_a_restore() {
        let mut known = KernelLog { last: LastMark::Known(6), ..KernelLog::new(PathBuf::new()) };
        assert_eq!(known.take(b"6,7,1,-;usb 1-1: new device"), []);
        assert_eq!(known.take(b"6,9,1,-;usb 1-1: new device"), [Event::Unseen("vmgenid")]);
        assert_eq!(known.take(format!("5,8,2,-;{LINE}").as_bytes()), [], "read before the log was lost");
        assert_eq!(
            known.take(format!("5,10,2,-;{LINE}").as_bytes()),
            [Event::Disrupted(Cause::Restore(RestoreSign::KernelLine))]
        );
    }
}
