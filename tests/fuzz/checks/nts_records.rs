//! The server's answer in a key exchange: what is agreed on is within the limits, and is the same when it is written again.

use clockgate::reference::ntp::nts::records::{Agreed, LONGEST_ANSWER, LONGEST_COOKIE, MOST_COOKIES, parse};

pub fn check(data: &[u8]) {
    let Ok(Some(agreed)) = parse(data) else {
        let is_endless = data.len() < LONGEST_ANSWER || parse(data).is_err();
        assert!(is_endless, "more is read than {LONGEST_ANSWER} bytes");
        return;
    };
    assert!((1..=MOST_COOKIES).contains(&agreed.cookies.len()));
    assert!(agreed.cookies.iter().all(|cookie| (1..=LONGEST_COOKIE).contains(&cookie.len())));
    assert_ne!(agreed.port, 0);
    assert!(agreed.server.as_ref().is_none_or(|server| server.port() == 123 && !server.host().is_empty()));
    // No part of it was an answer before its end came, nor is it one with more behind it.
    for length in [data.len() - 1, data.len() / 2, data.len().saturating_sub(4)] {
        assert!(!matches!(parse(&data[..length]), Ok(Some(_))), "an answer of {length} bytes");
    }
    assert!(parse(&[data, &[0]].concat()).is_err());
    assert_eq!(parse(&written(&agreed)), Ok(Some(agreed)));
}

/// As a server writes it.
fn written(agreed: &Agreed) -> Vec<u8> {
    let mut bytes = vec![];
    let mut record = |kind: u16, body: &[u8]| {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
    };
    record(0x8001, &[0, 0]);
    record(0x8004, &[0, 15]);
    if let Some(server) = &agreed.server {
        record(0x8006, server.host().as_bytes());
    }
    record(7, &agreed.port.to_be_bytes());
    agreed.cookies.iter().for_each(|cookie| record(5, cookie));
    record(0x8000, &[]);
    bytes
}
