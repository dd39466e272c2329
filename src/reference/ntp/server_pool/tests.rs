//! Which servers are asked, which are not, and that none is asked too often.

use super::*;
use crate::reference::ntp::packet::Kiss;
use proptest::prelude::*;
use std::collections::HashSet;

fn name(text: &str) -> ServerName {
    text.parse().unwrap()
}

fn socket(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 123))
}

fn at(secs: u64) -> Boottime {
    Boottime::from_nanos(secs * 1_000_000_000)
}

fn servers(names: &[&str]) -> Vec<Server> {
    names.iter().map(|n| Server::from(name(n))).collect()
}

fn pool(names: &[&str]) -> ServerPool {
    let mut pool = ServerPool::default();
    pool.set(servers(names), at(0));
    pool
}

fn found(pool: &mut ServerPool, text: &str, last: &[u8]) {
    while pool.resolved(&name(text), Ok(last.iter().map(|l| socket(*l)).collect()), at(0)) {}
}

fn lost(pool: &mut ServerPool, text: &str) {
    while pool.resolved(&name(text), Err("no answer".to_owned()), at(0)) {}
}

fn asked(pool: &mut ServerPool, secs: u64) -> Vec<SocketAddr> {
    pool.invite(at(secs), Gate::Shut).targets.into_iter().map(|t| t.socket).collect()
}

#[test]
fn an_address_is_known_and_a_name_is_not_until_it_is_resolved() {
    let mut pool = pool(&["192.0.2.1", "ntp.example"]);
    let unresolved = Unresolved { name: name("ntp.example"), is_asked: false };
    let first = pool.invite(at(0), Gate::Shut);
    assert_eq!((first.targets.len(), first.names), (1, vec![unresolved]));
    assert_eq!(pool.look_up(&name("ntp.example")), LookUp::Never);
    assert_eq!(pool.take_names(), [name("ntp.example")]);
    assert_eq!(pool.take_new_names(), []);
    assert_eq!(pool.look_up(&name("ntp.example")), LookUp::UnderWay);
    found(&mut pool, "ntp.example", &[2, 1]);
    assert_eq!(asked(&mut pool, 0), [socket(1), socket(2)], "no server is asked twice");
    assert!(!pool.is_resolving() && pool.invite(at(0), Gate::Shut).names.is_empty());
}

#[test]
fn a_look_up_that_is_wanted_during_another_follows_it_once() {
    let mut pool = pool(&["ntp.example"]);
    assert_eq!(pool.take_names(), [name("ntp.example")]);
    (0..30).for_each(|_| assert_eq!(pool.take_names(), []));
    assert!(pool.resolved(&name("ntp.example"), Err("no network".to_owned()), at(0)) && pool.is_resolving());
    assert_eq!(pool.look_up(&name("ntp.example")), LookUp::UnderWay);
    assert!(!pool.resolved(&name("ntp.example"), Ok(vec![socket(1)]), at(0)) && !pool.is_resolving());
}

#[test]
fn a_name_that_no_longer_resolves_keeps_its_addresses() {
    let mut pool = pool(&["ntp.example"]);
    found(&mut pool, "ntp.example", &[2]);
    lost(&mut pool, "ntp.example");
    assert_eq!(asked(&mut pool, 0), [socket(2)]);
}

#[test]
fn a_name_that_was_never_resolved_is_asked_where_it_was_found_in_an_earlier_life_until_it_is_found_anew() {
    let mut pool = pool(&["ntp.example", "found.example"]);
    found(&mut pool, "found.example", &[3]);
    pool.remember(&[(name("ntp.example"), vec![socket(9)]), (name("found.example"), vec![socket(9)])]);
    assert_eq!(asked(&mut pool, 0), [socket(9), socket(3)]);
    let invited = pool.invite(at(0), Gate::Shut);
    assert_eq!(invited.names, [Unresolved { name: name("ntp.example"), is_asked: true }]);
    lost(&mut pool, "ntp.example");
    assert_eq!(asked(&mut pool, 0), [socket(9), socket(3)]);
    found(&mut pool, "ntp.example", &[4]);
    assert_eq!(asked(&mut pool, 0), [socket(4), socket(3)]);
    pool.set(vec![], at(0));
    pool.set(servers(&["ntp.example"]), at(0));
    assert_eq!(asked(&mut pool, 0), [socket(4)], "nor is a name forgotten that leaves for a while");
}

#[test]
fn addresses_from_the_daemon_are_asked_without_dns_and_before_what_dns_says() {
    let mut pool = ServerPool::default();
    let server = Server { addresses: vec![socket(7), socket(8)], ..Server::from(name("ntp.example")) };
    pool.set(vec![server], at(0));
    let invited = pool.invite(at(0), Gate::Shut);
    assert_eq!(invited.targets.iter().map(|t| t.socket).collect::<Vec<_>>(), [socket(7), socket(8)]);
    assert!(invited.targets.iter().all(|t| t.is_the_daemons && t.voice == Voice::server("ntp.example")));
    assert_eq!(pool.take_new_names(), [name("ntp.example")]);
    found(&mut pool, "ntp.example", &[8, 1]);
    assert_eq!(asked(&mut pool, 0), [socket(7), socket(8), socket(1)]);
}

#[test]
fn four_of_one_name_are_asked_and_two_of_each_of_four() {
    let nine: Vec<u8> = (1..=9).collect();
    let mut one = pool(&["a.example"]);
    found(&mut one, "a.example", &nine);
    assert_eq!(asked(&mut one, 0).len(), 4);
    let mut four = pool(&["a.example", "b.example", "c.example", "192.0.2.200"]);
    found(&mut four, "a.example", &nine);
    found(&mut four, "b.example", &nine);
    assert_eq!(asked(&mut four, 0), [socket(1), socket(2), socket(3), socket(4), socket(200)]);
}

#[test]
fn a_name_whose_every_address_is_anothers_takes_no_voice() {
    let mut pool = pool(&["a.example", "b.example"]);
    found(&mut pool, "a.example", &[1]);
    found(&mut pool, "b.example", &[1]);
    let invited = pool.invite(at(0), Gate::Shut);
    assert_eq!((invited.targets.len(), invited.failures.len()), (1, 1));
    assert!(invited.failures[0].voice.is_none() && invited.failures[0].source == "b.example");
}

#[test]
fn who_is_asked_too_often_is_not_asked_and_two_questions_come_with_a_real_disruption() {
    let mut pool = pool(&["192.0.2.1"]);
    (0..8).for_each(|_| assert_eq!(asked(&mut pool, 0).len(), 1));
    let invited = pool.invite(at(0), Gate::Shut);
    assert!(invited.targets.is_empty() && !invited.failures[0].asked, "{invited:?}");
    assert_eq!(invited.failures[0].voice, Some(Voice::server("192.0.2.1")));
    pool.set(servers(&["192.0.2.2"]), at(0));
    pool.set(servers(&["192.0.2.1"]), at(0));
    assert!(asked(&mut pool, 0).is_empty(), "to be named anew is no way around it");
    pool.replenish(at(0));
    assert_eq!((0..3).filter(|_| !asked(&mut pool, 0).is_empty()).count(), 2);
}

#[test]
fn deny_is_heeded_until_the_server_is_named_or_looked_up_anew() {
    let mut pool = pool(&["192.0.2.1"]);
    pool.at(socket(1)).heed(Kiss::Deny, at(0));
    assert!(asked(&mut pool, 1_000).is_empty());
    pool.set(servers(&["192.0.2.1"]), at(0));
    assert_eq!(asked(&mut pool, 0), [socket(1)]);
    pool.at(socket(1)).heed(Kiss::Deny, at(0));
    assert_eq!(pool.take_names(), []);
    assert_eq!(asked(&mut pool, 0), [socket(1)]);
}

#[test]
fn a_name_that_stays_keeps_what_is_known_of_it() {
    let mut pool = pool(&["a.example", "b.example"]);
    found(&mut pool, "a.example", &[1]);
    pool.at(socket(1)).heed(Kiss::Rate { poll: Duration::from_secs(8) }, at(0));
    pool.set(servers(&["c.example", "a.example", "a.example"]), at(0));
    assert!(asked(&mut pool, 7).is_empty());
    assert_eq!(asked(&mut pool, 8), [socket(1)]);
    assert_eq!(pool.take_names(), [name("c.example"), name("a.example")]);
    lost(&mut pool, "c.example");
    assert_eq!(pool.take_new_names(), [], "only a refresh tries again");
    pool.set(servers(&["d.example", "c.example"]), at(8));
    assert_eq!(pool.take_new_names(), [name("d.example")]);
    pool.set(vec![], at(8));
    let none = pool.invite(at(8), Gate::Shut);
    assert!(none.targets.is_empty() && none.failures.is_empty() && none.names.is_empty());
}

#[test]
fn a_road_that_is_another_voids_the_delays_and_nothing_else() {
    let mut pool = pool(&["192.0.2.1"]);
    pool.at(socket(1)).answered(Duration::from_millis(500));
    assert_eq!(pool.invite(at(0), Gate::Shut).targets[0].patience, Duration::from_millis(1500));
    pool.void_delays();
    assert_eq!(pool.invite(at(0), Gate::Shut).targets[0].patience, Duration::from_secs(1));
    assert_eq!(pool.at(socket(1)).reach(), (1, 1));
}

/// Something that happens to a pool of four names.
#[derive(Clone, Debug)]
enum Happening {
    Found(usize, Vec<u8>),
    Lost(usize),
    Kiss(u8, u64),
    Refresh,
    Replenish,
    Invite(u64),
}

const NAMES: [&str; 4] = ["a.example", "b.example", "2.pool.ntp.org", "192.0.2.200"];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..3_usize, proptest::collection::vec(1..12_u8, 1..6)).prop_map(|(n, a)| Happening::Found(n, a)),
        (0..3_usize).prop_map(Happening::Lost),
        (1..12_u8, 0..2000_u64).prop_map(|(last, poll)| Happening::Kiss(last, poll)),
        Just(Happening::Refresh),
        Just(Happening::Replenish),
        (0..4_u64).prop_map(Happening::Invite),
    ]
}

#[test]
fn plain_servers_are_asked_as_the_configuration_says() {
    for (policy, asked, held_back) in [
        (AuthenticationPolicy::Mix, 1, false),
        (AuthenticationPolicy::Prefer, 0, true),
        (AuthenticationPolicy::Require, 0, false),
    ] {
        let mut pool = pool(&["192.0.2.1", "nts://192.0.2.2"]);
        pool.secure(policy, KeyRing::default());
        let invited = pool.invite(at(0), Gate::Shut);
        assert_eq!((invited.targets.len(), invited.names.len()), (asked, 1), "{policy:?}");
        assert_eq!(pool.holds_plain_back(), held_back);
        assert_eq!(pool.authenticated().collect::<Vec<_>>(), ["nts://192.0.2.2"]);
        if held_back {
            assert_eq!(pool.invite_plain(at(0), Gate::Shut).targets.len(), 1);
        }
    }
    let mut plain = pool(&["192.0.2.1"]);
    plain.secure(AuthenticationPolicy::Prefer, KeyRing::default());
    assert_eq!(plain.invite(at(0), Gate::Shut).targets.len(), 1, "no other server is preferred to it");
    plain.secure(AuthenticationPolicy::Require, KeyRing::default());
    let invited = plain.invite(at(0), Gate::Shut);
    assert!(invited.targets.is_empty() && invited.failures[0].why.contains("name one as nts://HOST"), "{invited:?}");
}

#[test]
fn keys_that_are_not_to_be_had_are_tried_again_later_and_later_and_at_once_after_a_refresh() {
    let mut pool = pool(&["nts://a.example", "b.example?key=7"]);
    let keys = name("nts://a.example");
    assert!(pool.may_authenticate(Hope::BeforeKeys) && !pool.may_authenticate(Hope::AfterKeys));
    assert_eq!(pool.take_new_names(), [keys.clone(), name("b.example?key=7")]);
    assert!(!pool.exchanged(&keys, Err("no".to_owned()), at(0)));
    assert!(!pool.may_authenticate(Hope::BeforeKeys));
    assert_eq!(pool.look_up(&keys), LookUp::Failed("no".to_owned()));
    assert_eq!(pool.take_unfound_names(at(1)), []);
    assert_eq!(pool.take_unfound_names(at(2)), std::slice::from_ref(&keys));
    assert!(!pool.exchanged(&keys, Err("no".to_owned()), at(2)));
    assert_eq!(pool.take_unfound_names(at(5)), []);
    assert_eq!(pool.take_names(), [keys]);
    let without = pool.invite(at(6), Gate::Shut);
    assert!(without.failures.iter().any(|f| f.why.contains("`keys-file` is not configured")), "{without:?}");
}

proptest! {
    #[test]
    fn no_name_is_without_a_voice_and_none_is_asked_twice_or_too_often(
        happenings in proptest::collection::vec(happening(), 1..80),
    ) {
        let (mut pool, mut now) = (pool(&NAMES), 0);
        let mut questions: HashMap<SocketAddr, Vec<u64>> = HashMap::new();
        let mut replenished = 0;
        for happening in happenings {
            match happening {
                Happening::Found(n, last) => found(&mut pool, NAMES[n], &last),
                Happening::Lost(n) => lost(&mut pool, NAMES[n]),
                Happening::Kiss(last, poll) => {
                    pool.at(socket(last)).heed(Kiss::Rate { poll: Duration::from_secs(poll) }, at(now));
                }
                Happening::Refresh => drop(pool.take_names()),
                Happening::Replenish => {
                    replenished += 2;
                    pool.replenish(at(now));
                }
                Happening::Invite(gap) => {
                    now += gap;
                    let invited = pool.invite(at(now), Gate::Shut);
                    let sockets: HashSet<_> = invited.targets.iter().map(|t| t.socket).collect();
                    prop_assert_eq!(sockets.len(), invited.targets.len());
                    let is_mentioned = |text: &&str| {
                        invited.targets.iter().any(|t| t.voice.operator == **text)
                            || invited.failures.iter().any(|f| f.source == **text)
                            || invited.failures.iter().filter_map(|f| f.voice.as_ref()).any(|v| v.operator == **text)
                            || invited.names.iter().any(|u| u.name.to_string() == **text && !u.is_asked)
                    };
                    prop_assert!(NAMES.iter().all(is_mentioned), "{:?}", invited);
                    sockets.into_iter().for_each(|socket| questions.entry(socket).or_default().push(now));
                }
            }
        }
        for times in questions.values() {
            for (first, from) in times.iter().enumerate() {
                for (last, until) in times.iter().enumerate().skip(first) {
                    prop_assert!((last - first + 1) as u64 <= 8 + (until - from) / 2 + replenished);
                }
            }
        }
    }
}
