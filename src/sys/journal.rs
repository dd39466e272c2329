//! The journal's native protocol (systemd's docs/JOURNAL_NATIVE_PROTOCOL.md): one datagram an entry, in a sealed memfd where that is too
//! small.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// Where journald receives entries.
pub const SOCKET: &str = "run/systemd/journal/socket";

/// A connection to journald.
#[derive(Debug)]
pub struct JournalSocket(UnixDatagram);

impl JournalSocket {
    /// Connects to the journal of the host at `root`.
    ///
    /// # Errors
    /// What socket(2) or connect(2) said.
    pub fn connect(root: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(root.join(SOCKET))?;
        // A journal that does not keep up keeps nothing else waiting.
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends an entry.
    ///
    /// # Errors
    /// What sendmsg(2) said; `WouldBlock` where the journal does not keep up.
    pub fn send(&self, entry: &JournalFields) -> io::Result<()> {
        match self.0.send(&entry.0) {
            Ok(_) => Ok(()),
            Err(error) if is_too_large(&error) => self.send_file(&entry.0),
            Err(error) => Err(error),
        }
    }

    fn send_file(&self, entry: &[u8]) -> io::Result<()> {
        let memory = memfd_create(c"clockgate-journal", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(entry)?;
        // journald takes none that could change while it reads.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let descriptors = [file.as_raw_fd()];
        let nothing = [IoSlice::new(&[])];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        sendmsg::<()>(self.0.as_raw_fd(), &nothing, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }
}

fn is_too_large(error: &io::Error) -> bool {
    [Errno::EMSGSIZE, Errno::ENOBUFS].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// The fields of an entry as they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFields(Vec<u8>);

impl JournalFields {
    /// Adds a field; its name is of upper case letters, digits and underscores.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSliceMut, Read as _, Seek as _};
    use std::os::fd::FromRawFd as _;

    use nix::sys::socket::{ControlMessageOwned, recvmsg};

    #[test]
    fn a_value_of_several_lines_is_sent_with_its_length() {
        let mut entry = JournalFields::default();
        entry.add("MESSAGE", "one");
        entry.add("WHY", "a\nb");
        assert_eq!(entry.0, b"MESSAGE=one\nWHY\n\x03\0\0\0\0\0\0\0a\nb\n");
    }

    #[test]
    #[expect(unsafe_code, reason = "a descriptor that was received has no other owner")]
    fn an_entry_that_is_too_large_for_a_datagram_is_sent_as_a_sealed_file() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/systemd/journal")).unwrap();
        let journal = UnixDatagram::bind(root.path().join(SOCKET)).unwrap();
        let mut entry = JournalFields::default();
        entry.add("MESSAGE", &"x".repeat(4 << 20));
        JournalSocket::connect(root.path()).unwrap().send(&entry).unwrap();
        let (mut buffer, mut space) = ([0; 16], nix::cmsg_space!([i32; 1]));
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(journal.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).unwrap();
        assert_eq!(message.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(descriptors)) = message.cmsgs().unwrap().next() else {
            panic!("no descriptor")
        };
        // SAFETY: the kernel has just made it for us.
        let mut file = unsafe { File::from_raw_fd(descriptors[0]) };
        let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS).unwrap());
        assert!(seals.contains(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK));
        let mut read = vec![];
        file.rewind().unwrap();
        file.read_to_end(&mut read).unwrap();
        assert!(read == entry.0);
    }
}
