//! The `Date` of HTTP servers: real TLS on loopback, certificates that are fresh, expired or another's, and replies that lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its server has failed")]

mod site;

use std::time::Duration;

use clockgate::decision::{HttpDate, PeerCheck};
use clockgate::reference::http::{HttpQuestion, measure};
use site::{Authority, Life, Manner, Site, Vice, question, self_signed};

const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// What a fresh certificate has: it began five minutes ago by the server's clock.
const FRESH: i64 = -300;

fn fresh(ahead: i64) -> Life {
    Life { name: "localhost", begins: ahead + FRESH, ends: ahead + 7 * DAY }
}

fn ask(site: &Site, scheme: &str, question: &HttpQuestion) -> Result<HttpDate, String> {
    let url = format!("{scheme}://localhost:{}/", site.port).parse().unwrap();
    measure(&url, question).map_err(|error| error.to_string())
}

/// Whether the truth, which is the server's clock, lies within what was measured; both clocks are this machine's.
fn is_measured(date: &HttpDate, ahead: i64) -> bool {
    let error = (date.offset.as_nanos() - ahead * 1_000_000_000).unsigned_abs();
    Duration::from_nanos(error) <= date.measured + Duration::from_millis(20)
}

#[test]
fn a_fresh_certificate_is_verified_at_the_time_received_with_a_clock_an_hour_off_either_way() {
    let authority = Authority::new();
    for ahead in [HOUR, -HOUR, 0] {
        let site = Site::start(Manner { ahead, ..Manner::default() }, Some(authority.signs(fresh(ahead))));
        let date = ask(&site, "https", &question(&authority)).unwrap();
        assert!(is_measured(&date, ahead), "{ahead}: {date:?}");
        assert_eq!(date.peer, PeerCheck::Verified);
    }
}

#[test]
fn questions_around_the_edge_of_a_second_bring_the_bound_below_a_fifth() {
    let site = Site::start(Manner { ahead: 17, ..Manner::default() }, None);
    let date = ask(&site, "http", &question(&Authority::new())).unwrap();
    assert!(is_measured(&date, 17), "{date:?}");
    assert!(date.measured <= Duration::from_millis(200), "{date:?}");
    assert!(date.answers > 1 && date.answers == site.asked(), "{date:?}");
    assert_eq!(date.peer, PeerCheck::Unverified);
}

#[test]
fn a_server_that_hangs_up_or_talks_after_each_answer_is_measured_all_the_same() {
    let authority = Authority::new();
    for vice in [Vice::HangsUp, Vice::Talks] {
        let site = Site::start(Manner { vice, ..Manner::default() }, Some(authority.signs(fresh(0))));
        let date = ask(&site, "https", &question(&authority)).unwrap();
        assert!(is_measured(&date, 0) && date.measured <= Duration::from_millis(200), "{date:?}");
    }
}

#[test]
fn an_expired_certificate_with_an_old_date_that_fits_is_refused_below_the_floor() {
    let authority = Authority::new();
    // Whoever has an old key answers with a date within its life.
    let life = Life { name: "localhost", begins: -40 * DAY, ends: -20 * DAY };
    let site = Site::start(Manner { ahead: -30 * DAY, ..Manner::default() }, Some(authority.signs(life)));
    let said = ask(&site, "https", &question(&authority)).unwrap_err();
    assert!(said.contains("expired at") && said.contains("cannot be earlier"), "{said}");
    assert_eq!(site.asked(), 0, "nothing is asked of somebody who cannot be it");
    // By a certificate that still holds, an old date is refused by its own.
    let life = Life { name: "localhost", begins: -40 * DAY, ends: DAY };
    let site = Site::start(Manner { ahead: -30 * DAY, ..Manner::default() }, Some(authority.signs(life)));
    let said = ask(&site, "https", &question(&authority)).unwrap_err();
    assert!(said.contains("before the release"), "{said}");
}

#[test]
fn a_date_outside_of_the_certificates_life_is_refused() {
    let authority = Authority::new();
    for (life, ahead, words) in [
        (Life { name: "localhost", begins: -5 * DAY, ends: -2 * DAY }, 0, "it expired at"),
        (Life { name: "localhost", begins: 2 * DAY, ends: 9 * DAY }, 0, "it begins at"),
        (Life { name: "localhost", begins: -DAY, ends: DAY }, 5 * DAY, "it expired at"),
    ] {
        let site = Site::start(Manner { ahead, ..Manner::default() }, Some(authority.signs(life)));
        let said = ask(&site, "https", &question(&authority)).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn another_name_another_authority_and_nobodys_signature_are_refused() {
    let authority = Authority::new();
    let asks = question(&authority);
    let other = Life { name: "other.example", ..fresh(0) };
    let site = Site::start(Manner::default(), Some(authority.signs(other)));
    let said = ask(&site, "https", &asks).unwrap_err();
    assert!(said.contains("another name"), "{said}");
    for identity in [self_signed(fresh(0)), Authority::new().signs(fresh(0))] {
        let site = Site::start(Manner::default(), Some(identity));
        let said = ask(&site, "https", &asks).unwrap_err();
        assert!(said.contains("no authority") && said.contains("--ca-file"), "{said}");
        assert_eq!(site.asked(), 0);
    }
    // Plain HTTP where TLS is due.
    let site = Site::start(Manner::default(), None);
    let said = ask(&site, "https", &HttpQuestion { timeout: Duration::from_secs(2), ..asks }).unwrap_err();
    assert!(said.contains("TLS handshake"), "{said}");
}

#[test]
fn caches_proxies_portals_and_other_hosts_are_refused_with_words() {
    let authority = Authority::new();
    let asks = question(&authority);
    for (status, fields, words) in [
        ("200 OK", "Age: 5\r\n", "cache"),
        ("200 OK", "Via: 1.1 squid\r\n", "proxy"),
        ("200 OK", "X-Cache: HIT\r\n", "cache"),
        ("302 Found", "Location: http://login.hotel.example/\r\n", "another host"),
        ("511 Network Authentication Required", "", "captive portal"),
        ("503 Service Unavailable", "", "gateway"),
        ("200 OK", "Date: Fri, 15 Jan 2027 12:00:00 GMT\r\n", "several Date"),
    ] {
        let manner = Manner { status, fields: fields.to_owned(), ..Manner::default() };
        let site = Site::start(manner, Some(authority.signs(fresh(0))));
        let said = ask(&site, "https", &asks).unwrap_err();
        assert!(said.contains(words), "{status} {fields:?}: {said}");
        assert_eq!(site.asked(), 1, "{fields:?}");
    }
    let portal = Site::start(Manner::default(), None);
    let url = format!("http://127.0.0.1:{}/generate_204", portal.port).parse().unwrap();
    let said = measure(&url, &asks).unwrap_err().to_string();
    assert!(said.contains("204") && said.contains("captive portal"), "{said}");
}

#[test]
fn an_answer_that_is_old_beside_the_first_makes_all_of_them_worthless() {
    let site = Site::start(Manner { vice: Vice::Ages, ..Manner::default() }, None);
    let said = ask(&site, "http", &question(&Authority::new())).unwrap_err();
    assert!(said.contains("contradict"), "{said}");
}

#[test]
fn slow_cut_mute_dateless_and_huge_replies_end_in_words_and_in_time() {
    let authority = Authority::new();
    let asks = HttpQuestion { timeout: Duration::from_secs(2), ..question(&authority) };
    for (vice, fields, words) in [
        (Vice::Cuts, String::new(), "cut off"),
        (Vice::Mute, String::new(), "no answer in time"),
        (Vice::Slow(4000), String::new(), "no answer in time"),
        (Vice::Dateless, String::new(), "no Date"),
        (Vice::None, "X: ".to_owned() + &"x".repeat(100 * 1024) + "\r\n", "larger than"),
        (Vice::None, "X: y\r\n".repeat(4000), "larger than"),
    ] {
        for tls in [None, Some(authority.signs(fresh(0)))] {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let site = Site::start(Manner { vice, fields: fields.clone(), ..Manner::default() }, tls);
            let said = ask(&site, scheme, &asks).unwrap_err();
            assert!(said.contains(words), "{scheme}: {said}");
        }
    }
}

#[test]
fn a_round_trip_that_is_long_widens_what_was_measured() {
    let site = Site::start(Manner { vice: Vice::Slow(700), ..Manner::default() }, None);
    let date = ask(&site, "http", &question(&Authority::new())).unwrap();
    assert!(is_measured(&date, 0), "{date:?}");
    assert!(date.measured >= Duration::from_millis(300), "{date:?}");
    assert!(date.delay >= Duration::from_millis(700), "{date:?}");
}

#[test]
fn nobody_there_is_said_in_words() {
    let asks = question(&Authority::new());
    for (url, words) in
        [("http://127.0.0.1:1/", "cannot connect to 127.0.0.1:1"), ("https://no-such-name.invalid/", "cannot resolve")]
    {
        let said = measure(&url.parse().unwrap(), &asks).unwrap_err().to_string();
        assert!(said.contains(words), "{url}: {said}");
    }
}
