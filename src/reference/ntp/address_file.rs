//! The last addresses of every name, on disk: a machine whose resolver is dead after a reboot still knows whom to ask. (One that
//! checks DNSSEC is dead as long as the clock is wrong.)
//!
//! A line says `clockgate addresses 1`; each other one a name and its addresses, separated by blanks. Anything else in the file
//! is not ours: it is ignored, and replaced when a name is next found elsewhere.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::server_name::ServerName;

const HEAD: &str = "clockgate addresses 1";
/// The most names kept, the latest found first.
const MOST_NAMES: usize = 64;
/// The most addresses kept of a name.
const MOST_ADDRESSES: usize = 16;
/// The most bytes read: 64 names of 253 characters with 16 addresses of 47 are less.
const MOST_BYTES: u64 = 128 * 1024;

/// The last addresses of every name.
#[derive(Debug, Default)]
pub struct AddressFile {
    path: Option<PathBuf>,
    names: Vec<(ServerName, Vec<SocketAddr>)>,
}

impl AddressFile {
    /// What is in the file; nothing where there is none, or one that is not ours.
    pub fn read(path: PathBuf) -> Self {
        let mut bytes = vec![];
        let read = File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        let names = if read.is_ok() { parse(&bytes) } else { vec![] };
        Self { path: Some(path), names }
    }

    /// Every name that is remembered, and its addresses.
    pub fn names(&self) -> &[(ServerName, Vec<SocketAddr>)] {
        &self.names
    }

    /// Notes what a name was found at, and says whether there is anything new in it.
    pub fn note(&mut self, name: &ServerName, sockets: &[SocketAddr]) -> bool {
        // DNS gives them in another order each time.
        let mut sorted: Vec<SocketAddr> = sockets.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut kept: Vec<SocketAddr> = sockets.iter().take(MOST_ADDRESSES).copied().collect();
        let known = self.names.iter().position(|(known, _)| known == name);
        let mut before = known.map(|at| self.names.remove(at).1).unwrap_or_default();
        if sockets.len() > MOST_ADDRESSES && before.iter().all(|b| sorted.contains(b)) && before.len() == kept.len() {
            // Of more than we keep, those that we have are as good as any.
            kept.clone_from(&before);
        }
        self.names.insert(0, (name.clone(), kept.clone()));
        self.names.truncate(MOST_NAMES);
        before.sort_unstable();
        kept.sort_unstable();
        before != kept
    }

    /// Writes the file anew, whole or not at all.
    ///
    /// # Errors
    /// What the file system said; a host without the folder has no state to keep, which is no error.
    pub fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        match write(path, &text(&self.names)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // Whatever the umask: who can write it says whom we ask.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    // A crash would leave an empty file under the good one's name.
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn text(names: &[(ServerName, Vec<SocketAddr>)]) -> String {
    let mut text = format!("{HEAD}\n");
    for (name, sockets) in names {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}");
        for socket in sockets {
            let _ = write!(text, " {socket}");
        }
        text.push('\n');
    }
    text
}

/// Reads what [`text`] wrote. A line that it could not have written is left out.
fn parse(bytes: &[u8]) -> Vec<(ServerName, Vec<SocketAddr>)> {
    let mut lines = std::str::from_utf8(bytes).unwrap_or_default().lines();
    if lines.next() != Some(HEAD) {
        return vec![];
    }
    let mut names: Vec<(ServerName, Vec<SocketAddr>)> = vec![];
    for (name, sockets) in lines.filter_map(parse_line).take(MOST_NAMES) {
        if names.iter().all(|(known, _)| *known != name) {
            names.push((name, sockets));
        }
    }
    names
}

fn parse_line(line: &str) -> Option<(ServerName, Vec<SocketAddr>)> {
    let mut words = line.split(' ');
    let name: ServerName = words.next()?.parse().ok()?;
    let sockets: Vec<SocketAddr> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    let is_one = |s: &SocketAddr| s.port() == name.port() && !s.ip().is_unspecified();
    let is_ours =
        name.address().is_none() && (1..=MOST_ADDRESSES).contains(&sockets.len()) && sockets.iter().all(is_one);
    is_ours.then_some((name, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    fn of(memory: &AddressFile, text: &str) -> Vec<SocketAddr> {
        memory.names().iter().find(|(known, _)| *known == name(text)).map(|(_, of)| of.clone()).unwrap_or_default()
    }

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn what_was_noted_is_there_after_a_reboot_and_another_order_is_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("addresses");
        let both = sockets(&["192.0.2.1:123", "[2001:db8::1]:123"]);
        let mut memory = AddressFile::read(path.clone());
        assert!(memory.note(&name("ntp.example"), &both));
        assert!(!memory.note(&name("ntp.example"), &[both[1], both[0]]));
        memory.write().unwrap();
        let again = AddressFile::read(path);
        assert_eq!(of(&again, "ntp.example"), [both[1], both[0]]);
        assert_eq!(of(&again, "other.example"), []);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn whom_we_ask_its_owner_alone_writes_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("addresses");
        let mut memory = AddressFile::read(path.clone());
        assert!(memory.note(&name("ntp.example"), &sockets(&["192.0.2.1:123"])));
        memory.write().unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o133, 0);
    }

    #[test]
    fn a_name_that_moved_is_something_new_and_the_oldest_is_forgotten() {
        let mut memory = AddressFile::default();
        for number in 0..MOST_NAMES + 1 {
            assert!(memory.note(&name(&format!("n{number}.example")), &sockets(&["192.0.2.1:123"])));
        }
        assert_eq!(of(&memory, "n0.example"), []);
        assert!(memory.note(&name("n1.example"), &sockets(&["192.0.2.2:123"])));
        assert_eq!(of(&memory, "n1.example"), sockets(&["192.0.2.2:123"]));
    }

    #[test]
    fn a_pool_of_many_in_another_order_is_nothing_new() {
        let many: Vec<SocketAddr> = (1..=40).map(|last| SocketAddr::from(([192, 0, 2, last], 123))).collect();
        let turned: Vec<SocketAddr> = many.iter().rev().copied().collect();
        let mut memory = AddressFile::default();
        assert!(memory.note(&name("pool.example"), &many) && !memory.note(&name("pool.example"), &turned));
    }

    #[test]
    fn what_is_not_ours_is_ignored_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("addresses");
        let good = format!("{HEAD}\nntp.example 192.0.2.1:123\n");
        for (content, known) in [
            (good.clone(), 1),
            (
                format!(
                    "{HEAD}\nntp.example 192.0.2.1:123\nntp.example 192.0.2.2:123\nbroken\n192.0.2.1 192.0.2.1:123\n"
                ),
                1,
            ),
            (
                format!(
                    "{HEAD}\nntp.example 192.0.2.1:9\nntp.example 0.0.0.0:123\nntp.example nonsense\nntp.example\n"
                ),
                0,
            ),
            ("clockgate addresses 2\nntp.example 192.0.2.1:123\n".to_owned(), 0),
            ("{}".to_owned(), 0),
            (String::new(), 0),
        ] {
            fs::write(&path, &content).unwrap();
            let mut memory = AddressFile::read(path.clone());
            assert_eq!(of(&memory, "ntp.example").len(), known, "{content}");
            memory.note(&name("ntp.example"), &sockets(&["192.0.2.1:123"]));
            memory.write().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), good);
        }
        fs::write(&path, [0xff; 300]).unwrap();
        assert_eq!(AddressFile::read(path).names.len(), 0);
    }

    #[test]
    fn a_host_without_the_folder_has_no_memory_and_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = AddressFile::read(folder.path().join("none/addresses"));
        memory.note(&name("ntp.example"), &sockets(&["192.0.2.1:123"]));
        assert!(memory.write().is_ok());
    }

    /// What such a file could be made of, and what it could not.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let of = |texts: &'static [&'static str]| (0..texts.len()).prop_map(|at| texts[at].as_bytes().to_vec());
        prop_oneof![
            4 => of(&["ntp.example", "other.example:1123", "192.0.2.1", "[2001:db8::1]", "clockgate addresses 1"]),
            8 => of(&["192.0.2.1:123", "192.0.2.2:123", "[2001:db8::1]:123", "192.0.2.1:1123", "0.0.0.0:123", "::1"]),
            8 => of(&[" ", "\n"]),
            1 => of(&["\r", "\t", "%", "  "]),
            1 => proptest::collection::vec(any::<u8>(), 0..9),
        ]
    }

    proptest! {
        #[test]
        fn no_content_breaks_it_and_what_it_takes_is_bounded(
            pieces in proptest::collection::vec(piece(), 0..200),
            is_headed: bool,
        ) {
            let head = if is_headed { format!("{HEAD}\n") } else { String::new() };
            let content = [head.into_bytes(), pieces.concat()].concat();
            let names = parse(&content);
            prop_assert!(is_headed || names.is_empty() || content.starts_with(HEAD.as_bytes()));
            prop_assert!(names.len() <= MOST_NAMES);
            prop_assert!(names.iter().all(|(_, s)| (1..=MOST_ADDRESSES).contains(&s.len())));
            prop_assert_eq!(parse(text(&names).as_bytes()), names);
        }

        #[test]
        fn what_is_written_is_read(
            known in proptest::collection::vec((any::<u8>(), proptest::collection::vec(1_u128.., 1..20)), 0..80),
        ) {
            let mut memory = AddressFile::default();
            for (number, addresses) in known {
                let ip = |bits: &u128| match u32::try_from(*bits >> 96) {
                    Ok(four) if four % 2 == 1 => std::net::IpAddr::from(four.to_be_bytes()),
                    _ => std::net::IpAddr::from(bits.to_be_bytes()),
                };
                let of: Vec<SocketAddr> = addresses.iter().map(|bits| SocketAddr::new(ip(bits), 123)).collect();
                memory.note(&name(&format!("n{number}.example")), &of);
            }
            prop_assert_eq!(parse(text(&memory.names).as_bytes()), memory.names);
        }
    }
}
