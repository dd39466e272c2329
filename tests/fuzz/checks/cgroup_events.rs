//! `cgroup.events` as the kernel writes it, and as it is in a folder of a user's: a line counts whole and with its end, so a text that is
//! cut says no more than the whole one.

use clockgate::sys::cgroup::is_said;

/// Far more than the kernel writes and than is read.
const LONGEST: usize = 512;

pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(LONGEST)];
    for event in ["populated", "frozen"] {
        let said = is_said(data, event);
        let cut = (0..data.len()).find(|end| !said && is_said(&data[..*end], event));
        assert_eq!(cut, None, "cut there it says what it does not say");
        let line = format!("{event} 1\n");
        assert!(is_said(&[line.as_bytes(), data].concat(), event), "whatever follows");
        assert!(is_said(&[data, b"\n", line.as_bytes()].concat(), event), "whatever comes before");
        let others = ["", " 1\n", "frozen 0\n", "populated 0\n", "frozen 10\n", "populated  1\n", "1\n"];
        let others: Vec<&[u8]> = others.iter().map(|other| other.as_bytes()).collect();
        assert!(others.iter().all(|other| is_said(&[other, data].concat(), event) == said || data.is_empty()));
        let has_line = data.split_inclusive(|byte| *byte == b'\n').any(|one| one == line.as_bytes());
        assert_eq!(said, has_line);
    }
}
