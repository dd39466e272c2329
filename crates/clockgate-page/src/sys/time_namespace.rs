//! By how much this process's time namespace shifts the clocks that count from boot (time_namespaces(7)).

use std::fs;
use std::path::Path;

/// What the namespace adds to the host's clocks, nanoseconds; nothing in the host's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// To `CLOCK_MONOTONIC` and `CLOCK_MONOTONIC_RAW`.
    pub mono: i64,
    /// To `CLOCK_BOOTTIME`.
    pub boot: i64,
}

/// The shift of this process; none where it cannot be known: without /proc, or where the kernel shows only that of our children.
#[must_use]
pub fn shift() -> Option<Shift> {
    shift_by(Path::new("/proc"))
}

fn shift_by(proc: &Path) -> Option<Shift> {
    let namespace = |name: &str| fs::read_link(proc.join("self/ns").join(name));
    match (namespace("time"), namespace("time_for_children")) {
        // `timens_offsets` shows the namespace of the children (fs/proc/base.c, timens_offsets_show).
        (Ok(own), Ok(of_children)) if own == of_children => {
            parse(&fs::read_to_string(proc.join("self/timens_offsets")).ok()?)
        }
        (Ok(_), Ok(_)) => None,
        // A kernel without time namespaces, if it can be asked at all.
        (Err(_), _) | (_, Err(_)) => fs::exists(proc.join("self/ns")).ok()?.then(Shift::default),
    }
}

fn parse(offsets: &str) -> Option<Shift> {
    let mut shift = Shift::default();
    for line in offsets.lines() {
        let mut words = line.split_whitespace();
        let (clock, secs, nanos) =
            (words.next()?, words.next()?.parse::<i64>().ok()?, words.next()?.parse::<i64>().ok()?);
        let by = secs.checked_mul(1_000_000_000)?.checked_add(nanos)?;
        match clock {
            "monotonic" | "1" => shift.mono = by,
            "boottime" | "7" => shift.boot = by,
            _ => return None,
        }
    }
    Some(shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_offsets_of_the_children_are_ours_where_we_are_in_their_namespace_alone() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(shift_by(proc.path()), None, "no /proc");
        let ns = proc.path().join("self/ns");
        fs::create_dir_all(&ns).unwrap();
        assert_eq!(shift_by(proc.path()), Some(Shift::default()), "a kernel without time namespaces");
        fs::write(proc.path().join("self/timens_offsets"), "monotonic 7 0\nboottime 8 0\n").unwrap();
        symlink("time:[1]", ns.join("time")).unwrap();
        symlink("time:[2]", ns.join("time_for_children")).unwrap();
        assert_eq!(shift_by(proc.path()), None, "unshare(2) moves only the children");
        fs::remove_file(ns.join("time_for_children")).unwrap();
        symlink("time:[1]", ns.join("time_for_children")).unwrap();
        assert_eq!(shift_by(proc.path()), Some(Shift { mono: 7_000_000_000, boot: 8_000_000_000 }));
    }

    #[test]
    fn the_kernels_lines_are_read_and_nothing_is_guessed() {
        let text = "monotonic           0         0\nboottime        -1000 500000000\n";
        assert_eq!(parse(text), Some(Shift { mono: 0, boot: -999_500_000_000 }));
        assert_eq!(parse("1 7 0\n7 8 1\n"), Some(Shift { mono: 7_000_000_000, boot: 8_000_000_001 }));
        for rubbish in ["boottime", "boottime x 0", "tai 0 0", "boottime 99999999999999 0"] {
            assert_eq!(parse(rubbish), None, "{rubbish}");
        }
    }
}
