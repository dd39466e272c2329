//! What answers in the place of a machine that is not there: nothing of it is printed as it came, and what follows the head is not read.

use clockgate::reference::probe::portal_reply;

pub fn check(data: &[u8]) {
    let Some(reply) = portal_reply(data) else { return };
    assert!((100..1000).contains(&reply.status), "status {}", reply.status);
    assert_eq!(
        portal_reply(&[data, b"<html>\r\nLocation: /x\r\n\r\n"].concat()).as_ref(),
        Some(&reply),
        "with more behind it"
    );
    assert_eq!(reply.is_portal(), matches!(reply.status, 200..=399 | 511));
    if let Some(location) = &reply.location {
        assert!(!location.contains(char::is_control), "{location:?}");
        // A character that is not printed as it came is written in ten at most.
        assert!(location.chars().count() <= 10 * data.len());
    }
}
