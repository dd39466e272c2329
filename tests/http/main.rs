//! The `Date` of HTTP servers: real TLS on loopback, certificates that are fresh, expired or another's, and replies that lie.

#![allow(clippy::unwrap_used, reason = "a test that cannot make its server has failed")]

#[path = "../support/mod.rs"]
mod support;

mod authorities;
mod site;

use std::fs;
use std::process::Output;
use std::time::Duration;

use clockgate::decision::{Gate, HttpDate, PeerCheck};
use clockgate::page::{Page, View};
use clockgate::reference::http::{HttpQuestion, measure};
use serde_json::Value;
use site::{Authority, Life, Manner, Site, Vice, question, self_signed};
use support::{Ours, clockgate, until};

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
fn a_clock_that_is_years_off_either_way_verifies_at_the_time_received() {
    let authority = Authority::new();
    // A dead battery: our clock is twenty years behind. A clock nine days ahead: the server is behind it, above the floor.
    for ahead in [20 * 365 * DAY, -9 * DAY] {
        let site = Site::start(Manner { ahead, ..Manner::default() }, Some(authority.signs(fresh(ahead))));
        let date = ask(&site, "https", &question(&authority)).unwrap();
        assert!(is_measured(&date, ahead), "{ahead}: {date:?}");
    }
}

#[test]
fn whoever_has_an_old_key_can_lie_within_its_life_above_the_floor_and_nowhere_else() {
    let authority = Authority::new();
    // It expired two days ago, and the floor is ten days ago.
    let life = Life { name: "localhost", begins: -12 * DAY, ends: -2 * DAY };
    for (ahead, words) in
        [(-5 * DAY, None), (-2 * DAY + HOUR, Some("it expired at")), (-11 * DAY, Some("before the release"))]
    {
        let site = Site::start(Manner { ahead, ..Manner::default() }, Some(authority.signs(life)));
        let said = ask(&site, "https", &question(&authority));
        match words {
            None => assert!(is_measured(&said.unwrap(), ahead)),
            Some(words) => assert!(said.as_ref().unwrap_err().contains(words), "{ahead}: {said:?}"),
        }
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

fn says(arguments: &[&str]) -> Output {
    clockgate().args(arguments).env_remove("CLOCKGATE_SERVERS").env_remove("SSL_CERT_FILE").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Nobody answers NTP there.
const NOBODY: &[&str] = &["--server", "127.0.0.1:1"];

#[test]
fn measure_prints_dates_beside_references_and_says_which_way_and_that_it_proves_nothing() {
    let authority = Authority::new();
    let site = Site::start(Manner { ahead: HOUR, ..Manner::default() }, Some(authority.signs(fresh(HOUR))));
    let url = format!("https://localhost:{}", site.port);
    let file = authority.file();
    let line = [&["measure", "--http", &url, "--ca-file", file.to_str().unwrap()], NOBODY].concat();
    let table = says(&line);
    let text = stdout(&table);
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    assert!(text.contains("1 h 0 min 0 s behind") || text.contains("59 min 59 s behind"), "{text}");
    assert!(text.contains(&format!("`sudo clockgate sync --http {url}`")), "{text}");
    assert!(text.contains("certificate verified at the time received"), "{text}");
    let json: Value = serde_json::from_slice(&says(&[&line[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(json["http"][0]["verified"], true);
    assert!(json["http"][0]["bound_ns"].as_u64() > Some(3_600_000_000_000), "{json}");
    assert!(json["references"].as_array().unwrap().is_empty() && json["agreement"].is_null(), "{json}");
    // Without its authority, and by the environment.
    let refused = says(&[&["measure", "--http", &url], NOBODY].concat());
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(stdout(&refused).contains("no authority that is trusted here"), "{refused:?}");
    let mut named = clockgate();
    named.args(["measure", "--http", &url]).args(NOBODY).env("SSL_CERT_FILE", &file);
    assert_eq!(named.output().unwrap().status.code(), Some(0));
}

#[test]
fn sync_by_a_date_says_that_it_is_coarse_and_keeps_its_hands_off_a_clock_that_may_be_right() {
    let wrong = Site::start(Manner { ahead: HOUR, ..Manner::default() }, None);
    let root = tempfile::tempdir().unwrap();
    let sync = |site: &Site, more: &[&str]| {
        let url = format!("http://127.0.0.1:{}", site.port);
        says(&[&["sync", "--root", root.path().to_str().unwrap(), "--http", &url], more].concat())
    };
    let planned = sync(&wrong, &["--dry-run"]);
    assert!(stdout(&planned).contains("the clock would be stepped by +3"), "{planned:?}");
    assert_eq!(planned.status.code(), Some(0));
    // A test has no right to set a clock.
    let refused = sync(&wrong, &[]);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    let right = Site::start(Manner::default(), None);
    let kept = sync(&right, &[]);
    assert!(stdout(&kept).contains("as right as a Date can tell") && kept.status.code() == Some(0), "{kept:?}");
    // One plain voice may not take the clock back by an hour.
    let back = Site::start(Manner { ahead: -HOUR, ..Manner::default() }, None);
    let refused = sync(&back, &[]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("https"), "{refused:?}");
}

/// An agent whose NTP server is silent and whose web server is this.
struct Host {
    root: tempfile::TempDir,
    _agent: Ours,
}

impl Host {
    fn with(site: &Site) -> Self {
        Self::correcting(site, "none")
    }

    fn correcting(site: &Site, correction: &str) -> Self {
        Self::asking(&format!("http://127.0.0.1:{}", site.port), None, correction)
    }

    /// One that trusts this authority.
    fn asking(url: &str, authority: Option<&Authority>, correction: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/clockgate")).unwrap();
        let trusts = authority.map(|authority| {
            fs::copy(authority.file(), root.path().join("ca.pem")).unwrap();
            "ca-file: /ca.pem\n"
        });
        let config = format!(
            "servers: ['127.0.0.1:1']\nhttp-references: ['{url}']\ncorrection: {correction}\ndeadline: 2s\n{}\
             measure-timeout: 1s\nbus: {{system: false}}\nfreeze: {{engines: []}}\n",
            trusts.unwrap_or_default()
        );
        fs::write(root.path().join("etc/clockgate/config.yaml"), config).unwrap();
        let mut command = clockgate();
        command.arg("agent").arg("--root").arg(root.path()).env_remove("CLOCKGATE_SERVERS");
        let log = fs::File::create(root.path().join("log")).unwrap();
        let agent = Ours::spawn(command.stderr(log)).unwrap();
        Self { root, _agent: agent }
    }

    fn becomes(&self, what: &str, wanted: impl Fn(&View) -> bool) {
        let folder = self.root.path().join("run/clockgate/public");
        let mut seen = None;
        let found = until(what, Duration::from_secs(40), || {
            seen = Page::open(&folder).ok().map(|page| page.read());
            assert!(seen.as_ref().is_none_or(|view| view.gate != Gate::Proven), "proven by a Date: {seen:?}");
            seen.as_ref().is_some_and(&wanted)
        });
        let log = fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
        assert!(found.is_ok(), "{what}: {seen:?}\n{log}");
    }
}

#[test]
fn two_dates_of_a_verified_server_serve_a_tolerance_and_those_of_plain_http_serve_none() {
    let authority = Authority::new();
    let site = |tls| Site::start(Manner { ahead: 40, ..Manner::default() }, tls);
    let (verified, plain) = (site(Some(authority.signs(fresh(40)))), site(None));
    let host = Host::asking(&format!("https://localhost:{}", verified.port), Some(&authority), "none");
    let other = Host::with(&plain);
    let wait = |host: &Host, tolerance: &str| {
        let page = host.root.path().join("run/clockgate/public");
        says(&["wait", "--page", page.to_str().unwrap(), "--tolerance", tolerance, "--max-wait", "100ms"])
    };
    host.becomes("a tolerance is served", |view| view.served_tolerance().is_some());
    let goes_on = wait(&host, "60s");
    assert_eq!(goes_on.status.code(), Some(0), "{goes_on:?}");
    assert_eq!(wait(&host, "30s").status.code(), Some(75));
    host.becomes("the gate stays shut", |view| view.gate == Gate::Shut);
    // The other one has been asked for more than two.
    other.becomes("asked again and again", |_| plain.asked() >= 24);
    other.becomes("held by what it says", |view| view.why.contains("by the Date of") && view.measured.is_none());
    assert_eq!(wait(&other, "60s").status.code(), Some(75));
}

#[test]
fn an_agent_whose_references_are_silent_is_held_by_a_date_that_contradicts_the_clock() {
    let site = Site::start(Manner { ahead: HOUR, ..Manner::default() }, None);
    let host = Host::with(&site);
    host.becomes("held", |view| view.gate == Gate::Shut && view.why.contains("behind by the Date of http://127.0.0.1"));
    host.becomes("past the deadline", |view| view.why.contains("held shut") && view.why.contains("by the Date of"));
}

#[test]
fn beside_an_agent_it_is_the_agent_that_steps() {
    if let Some(lack) = support::lacks_root() {
        clockgate::sys::output::say(&format!("skipped: {lack}\n"));
        return;
    }
    let site = Site::start(Manner { ahead: HOUR, ..Manner::default() }, None);
    let host = Host::correcting(&site, "clockgate");
    host.becomes("begun", |view| view.gate == Gate::Shut);
    let url = format!("http://127.0.0.1:{}", site.port);
    let root = host.root.path().to_str().unwrap();
    let sync = |more: &[&str]| says(&[&["sync", "--root", root, "--http", &url], more].concat());
    // It has been asked to, and has no right to set a clock here; this command does not try it in its place.
    let refused = sync(&[]);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(words.contains("the agent has not stepped the clock") && words.contains("clockgate status"), "{words}");
    let log = fs::read_to_string(host.root.path().join("log")).unwrap();
    assert!(log.contains("step by date") && log.contains("may not set the clock"), "{log}");
    // What needs no step needs no agent.
    let planned = sync(&["--dry-run"]);
    assert!(stdout(&planned).contains("the clock would be stepped by +3"), "{planned:?}");
}

#[test]
fn a_date_that_agrees_with_the_clock_opens_nothing_but_what_the_policy_opens() {
    let site = Site::start(Manner::default(), None);
    let host = Host::with(&site);
    host.becomes("open without a proof", |view| view.gate == Gate::Unproven);
    let before = site.asked();
    host.becomes("asked again, and still not proven", |view| view.gate == Gate::Unproven && site.asked() > before);
}
