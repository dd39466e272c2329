//! A line is complete in itself and has its checksum: one that is damaged or half-written takes no other with it.
//!
//! ```text
//! CHECKSUM freeze|thaw BOOT-ID SESSION INODE SINCE CGROUP
//! ```
//!
//! The time of the freeze is in nanoseconds of CLOCK_BOOTTIME, and the cgroup is relative to the hierarchy, last, since it may have blanks in
//! it. The word behind the checksum is the version of the line, too: a line with other fields has another word, such as `freeze2`. The
//! checksum is that of every version, so that a line of a later one is distinguished from a damaged one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Contents, Entry};
use crate::decision::Boottime;

/// The lines of some entries, begun with the end of a line: what another may have left half-written stays alone.
#[must_use]
pub fn lines(entries: &[Entry], verb: &str, boot: &str) -> Vec<u8> {
    let mut bytes = vec![b'\n'];
    for Entry { cgroup, inode, session, since } in entries {
        let since = since.as_nanos();
        let mut line = format!("{verb} {boot} {session:016x} {inode} {since} ").into_bytes();
        line.extend(cgroup.as_os_str().as_bytes());
        bytes.extend(format!("{:016x} ", checksum(&line)).into_bytes());
        bytes.extend(line);
        bytes.push(b'\n');
    }
    bytes
}

/// Reads every line that is whole; what was thawed by the same session that froze it is done.
#[must_use]
pub fn parse(bytes: &[u8], boot: &str) -> Contents {
    let (mut damaged, mut later) = (0, 0);
    let mut entries: Vec<Option<Entry>> = vec![];
    let mut frozen = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (verb, its_boot, entry) = match parse_line(line) {
            Ok(parsed) => parsed,
            Err(LineFault::Damaged) => {
                damaged += 1;
                continue;
            }
            Err(LineFault::Later) => {
                later += 1;
                continue;
            }
        };
        let key = entry.key();
        if its_boot != boot {
            continue;
        }
        if verb == "freeze" {
            frozen.entry(key).or_insert_with(|| {
                entries.push(Some(entry));
                entries.len() - 1
            });
        } else if let Some(at) = frozen.remove(&key) {
            entries[at] = None;
        }
    }
    Contents { entries: entries.into_iter().flatten().collect(), damaged, later }
}

/// Why a line says nothing to us.
enum LineFault {
    Damaged,
    Later,
}

fn parse_line(line: &[u8]) -> Result<(&str, &str, Entry), LineFault> {
    let whole = whole(line).ok_or(LineFault::Damaged)?;
    // What is whole and not ours was written by another clockgate: nothing else writes here.
    fields(whole).ok_or(LineFault::Later)
}

/// What follows the checksum, if that is right.
fn whole(line: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = line.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    (sum == checksum(rest)).then_some(rest)
}

fn fields(rest: &[u8]) -> Option<(&str, &str, Entry)> {
    let mut fields = rest.splitn(6, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let (verb, boot, session, inode, since) = (text()?, text()?, text()?, text()?, text()?);
    let entry = Entry {
        session: u64::from_str_radix(session, 16).ok()?,
        inode: inode.parse().ok()?,
        since: Boottime::from_nanos(since.parse().ok()?),
        cgroup: PathBuf::from(OsStr::from_bytes(fields.next()?)),
    };
    matches!(verb, "freeze" | "thaw").then_some((verb, boot, entry))
}

/// FNV-1a, 64 bits: against accidents, not against root, who alone can write here.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
