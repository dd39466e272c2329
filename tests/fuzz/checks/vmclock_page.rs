//! The hypervisor's page of the time: any bytes are a page, one that is being written, or an error that names the field.

use clockgate::sys::vmclock::{LEN, VmClockPageError, parse};

pub fn check(data: &[u8]) {
    let read = match parse(data) {
        Ok(read) => read,
        Err(VmClockPageError::Unknown { field, .. }) => return assert!(!field.is_empty()),
        Err(other) => panic!("{other} of bytes that were read"),
    };
    let sequence = u32::from_le_bytes(data[12..16].try_into().unwrap());
    let Some(page) = read else { return assert_eq!(sequence % 2, 1, "a page that is whole") };
    assert_eq!((page.sequence, sequence % 2), (sequence, 0), "a page that is being written");
    if data.len() >= LEN {
        assert_eq!(parse(&[data, &[0xff; 8]].concat()).unwrap(), Some(page), "with more behind it");
        assert_eq!(parse(&data[..LEN]).unwrap(), Some(page), "without what is behind it");
    }
    for length in 0..data.len().min(LEN) {
        let Ok(Some(cut)) = parse(&data[..length]) else { continue };
        assert_eq!((cut.sequence, cut.disruption_marker), (page.sequence, page.disruption_marker));
        assert!(cut.generation.is_none() || cut.generation == page.generation, "cut to {length} bytes");
        assert!(cut.time.is_none() || cut.time == page.time, "cut to {length} bytes");
    }
}
