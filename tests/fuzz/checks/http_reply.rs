//! The head of a web server's reply: what is read of it ends where the head ends, only a date that nothing speaks against is believed,
//! and nothing of a stranger is printed as it came.

use clockgate::reference::http::reply::{Head, LONGEST_HEAD, parse};

/// Sixty characters are repeated of a field, and each is written in ten at most.
const LONGEST_SAID: usize = 600;
/// The end of the year 9999, which has the last four digits.
const LAST_DATE: i64 = 253_402_300_800;

pub fn check(data: &[u8]) {
    let read = parse(data);
    let Ok(Some((head, length))) = &read else { return };
    assert!((1..=data.len()).contains(length), "a head of {length} bytes in {}", data.len());
    assert_eq!(parse(&data[..*length]), read, "without what follows");
    assert_eq!(parse(&[data, b"\r\nAge: 1\r\n\r\n"].concat()), read, "with more behind it");
    if *length <= LONGEST_HEAD {
        assert_eq!(parse(&data[..*length - 1]), Ok(None), "without its last byte");
    }
    for said in [&head.age, &head.via, &head.hit].into_iter().flatten() {
        assert!(!said.contains(char::is_control), "{said:?}");
    }
    for said in [&head.age, &head.via].into_iter().flatten() {
        assert!(said.chars().count() <= LONGEST_SAID, "{} characters", said.chars().count());
    }
    ["https://a.example", "http://a.example/generate_204"].iter().for_each(|url| judged(head, url));
}

fn judged(head: &Head, url: &str) {
    match head.judge(&url.parse().unwrap()) {
        Ok(date) => {
            assert_eq!(head.dates, [Some(date)]);
            assert!((0..LAST_DATE).contains(&date), "{date}");
            assert_eq!((&head.age, &head.via, &head.hit), (&None, &None, &None), "a cache or a proxy");
            assert!(!matches!(head.status, 101 | 407 | 511), "status {}", head.status);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}
