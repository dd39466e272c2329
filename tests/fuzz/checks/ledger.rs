//! The ledger after anything was written into it: what is noted behind that is read, and what was thawed is done.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clockgate::decision::Boottime;
use clockgate::workload::ledger::{Entry, lines, parse};

const BOOT: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

pub fn check(data: &[u8]) {
    let before = parse(data, BOOT);
    let written = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(before.entries.len() + before.damaged + before.later <= written);
    // Nothing that another boot froze is thawed in this one.
    let other = parse(data, "00000000-0000-0000-0000-000000000000");
    assert_eq!((other.damaged, other.later), (before.damaged, before.later));
    assert!(other.entries.len() + before.entries.len() <= written);
    // What is left can be written anew.
    let anew = parse(&lines(&before.entries, "freeze", BOOT), BOOT);
    assert_eq!((&anew.entries, anew.damaged, anew.later), (&before.entries, 0, 0));
    let fresh = entries(data);
    let noted = [data, &lines(&fresh, "freeze", BOOT)].concat();
    let after = parse(&noted, BOOT);
    assert!(fresh.iter().all(|entry| after.entries.iter().any(|found| found.key() == entry.key())));
    assert!(before.entries.iter().all(|entry| after.entries.contains(entry)));
    assert!(after.damaged <= before.damaged + 1 && after.later == before.later);
    let thawed = parse(&[noted, lines(&fresh, "thaw", BOOT)].concat(), BOOT);
    assert!(fresh.iter().all(|entry| thawed.entries.iter().all(|found| found.key() != entry.key())));
}

/// Two cgroups of these names; the kernel makes none with the end of a line in it.
fn entries(data: &[u8]) -> Vec<Entry> {
    let names = data.split(|byte| *byte == b'\n').filter(|name| !name.is_empty()).take(2);
    let entry = |(number, name): (u64, &[u8])| Entry {
        cgroup: PathBuf::from(OsStr::from_bytes(name)),
        inode: u64::MAX - number,
        session: u64::MAX - name.len() as u64,
        since: Boottime::from_nanos(number),
    };
    (0..).zip(names).map(entry).collect()
}
