//! What several references say together, by example.

use super::*;
use crate::decision::reading::{ReferenceKind, Upstream};

pub(super) const NOW: Boottime = Boottime::from_nanos(1_000);

pub(super) fn says(source: &str, offset_ms: i64, distance_ms: u64) -> Reading {
    Reading {
        source: source.to_owned(),
        voice: Voice::server(source),
        kind: ReferenceKind::Ntp,
        as_of: NOW,
        local: Realtime::from_secs(1_800_000_000),
        offset: Offset::from_nanos(offset_ms * 1_000_000),
        root_distance: Duration::from_millis(distance_ms),
        authenticated: false,
        leap: Leap::None,
        stratum: Some(2),
        delay: None,
        upstream: None,
    }
}

impl Agreement {
    /// What one server says by itself.
    pub fn of_one(offset: Offset, root_distance: Duration) -> Self {
        Self {
            offset,
            root_distance,
            as_of: NOW,
            local: Realtime::from_secs(1_800_000_000),
            supporters: 1,
            references: 1,
            operator: None,
            is_majority: true,
            authenticated: false,
            leap: Leap::None,
            falsetickers: vec![],
            outvoted: BTreeSet::new(),
        }
    }
}

/// Who may still answer is marked by a question mark, who did not by a minus.
fn state_of(readings: &[Reading], others: &str) -> ExchangeState {
    stands_for(readings, others, 1)
}

fn stands_for(readings: &[Reading], others: &str, wanted: usize) -> ExchangeState {
    let with = |mark: char| others.split(' ').filter_map(|o| o.strip_suffix(mark)).map(str::to_owned).collect();
    agree(&AgreementInput {
        readings,
        silent: &with('-'),
        waiting: &with('?'),
        outvoted: &with('!'),
        now: NOW,
        drift_ppm: 0,
        threshold: Duration::from_millis(200),
        wanted,
    })
}

fn decided(standing: ExchangeState) -> Agreement {
    match standing {
        ExchangeState::Decided(agreement) => agreement,
        undecided @ (ExchangeState::Open(_) | ExchangeState::Undecided(_)) => panic!("{undecided:?}"),
    }
}

#[test]
fn one_reference_that_is_all_there_is_is_taken_at_its_word() {
    let all = decided(state_of(&[says("a", 40, 5)], ""));
    assert_eq!((all.offset.as_nanos(), all.root_distance), (40_000_000, Duration::from_millis(5)));
    assert!(all.is_majority && !all.is_supported());
}

#[test]
fn the_near_one_waits_for_the_majority_of_those_who_were_asked() {
    let near = [says("near", 30_000, 1)];
    assert_eq!(state_of(&near, "a? b? c?"), ExchangeState::Open(None));
    assert_eq!(state_of(&near, "a? b- c-"), ExchangeState::Open(None), "the silent ones are asked as well");
    let all = [says("near", 30_000, 1), says("a", 0, 80), says("b", 1, 80), says("c", -1, 80)];
    assert_eq!(state_of(&all[..3], "c?"), ExchangeState::Open(None), "two of four are no majority");
    assert_eq!(decided(state_of(&all, "")).falsetickers, ["near"]);
}

#[test]
fn three_of_four_decide_whoever_else_is_silent() {
    let three = [says("a", 0, 5), says("b", 2, 5), says("c", 1, 5)];
    assert!(decided(state_of(&three, "d?")).is_majority);
    assert!(decided(state_of(&three, "d-")).is_majority);
    assert_eq!(state_of(&three[..2], "c? d?"), ExchangeState::Open(None));
    assert!(!decided(state_of(&three[..2], "c- d-")).is_majority);
}

#[test]
fn two_near_liars_of_five_do_not_decide_and_are_outvoted() {
    let liars = [says("x", 90_000, 1), says("y", 90_000, 1)];
    assert_eq!(state_of(&liars, "a? b? c?"), ExchangeState::Open(None));
    let all: Vec<Reading> = liars.into_iter().chain([says("a", 0, 70), says("b", 0, 70), says("c", 0, 70)]).collect();
    assert_eq!(decided(state_of(&all, "")).falsetickers, ["x", "y"]);
}

#[test]
fn a_chain_of_which_the_ends_exclude_one_another_is_no_majority() {
    let chain = [says("a", 0, 5), says("b", 9, 5), says("c", 18, 5)];
    assert!(matches!(state_of(&chain, ""), ExchangeState::Undecided(Disagreement::NoMajority { largest: 2, .. })));
    assert_eq!(state_of(&chain[..2], "c? d?"), ExchangeState::Open(None));
}

#[test]
fn two_of_three_lying_alike_win_and_two_lying_apart_do_not() {
    let all = decided(state_of(&[says("a", 0, 5), says("b", 3000, 5), says("c", 3002, 5)], ""));
    assert_eq!(all.falsetickers, ["a"]);
    let apart = state_of(&[says("a", 0, 5), says("b", 3000, 5), says("c", -3000, 5)], "");
    assert!(matches!(apart, ExchangeState::Undecided(Disagreement::NoMajority { answered: 3, largest: 1, .. })));
}

#[test]
fn one_against_one_is_no_majority_and_says_whether_one_agrees_with_the_clock() {
    let split = state_of(&[says("a", 0, 5), says("b", 400, 5)], "");
    assert!(matches!(split, ExchangeState::Undecided(Disagreement::NoMajority { one_agrees: true, .. })));
    let both_off = state_of(&[says("a", 100, 5), says("b", 400, 5)], "");
    assert!(matches!(both_off, ExchangeState::Undecided(Disagreement::NoMajority { one_agrees: false, .. })));
}

#[test]
fn all_addresses_of_a_name_are_one_voice_and_a_name_that_contradicts_itself_is_none() {
    let named = |source, offset| Reading { voice: Voice::server("ntp.example"), ..says(source, offset, 5) };
    let one = decided(state_of(&[named("v4", 0), named("v6", 1)], ""));
    assert_eq!((one.supporters, one.references), (1, 1));
    let split = state_of(&[named("v4", 0), named("v6", 700)], "");
    assert!(matches!(split, ExchangeState::Undecided(Disagreement::NoMajority { .. })));
    let decided = decided(state_of(&[named("v4", 0), named("v6", 700), says("a", 0, 5)], ""));
    assert_eq!((decided.supporters, decided.falsetickers.len()), (2, 1));
    assert!(decided.outvoted.is_empty(), "the name has a voice: one of its addresses agrees");
}

#[test]
fn a_pool_has_many_voices_and_is_one_reference() {
    let of = |source: &str| Reading { voice: Voice::of_pool(source, "pool"), ..says(source, 0, 5) };
    let pool = decided(state_of(&[of("1"), of("2"), of("3")], ""));
    assert_eq!((pool.supporters, pool.references), (3, 1));
    assert!(!pool.is_supported());
    assert!(decided(state_of(&[of("1"), of("2"), says("a", 0, 5)], "")).is_supported());
}

#[test]
fn twins_count_once_by_what_both_share_and_the_wider_distance() {
    let twin = |source: &str, offset, distance| Reading {
        upstream: Some(Upstream { id: *b"GPS\0", set: 77 }),
        ..says(source, offset, distance)
    };
    let both = decided(state_of(&[twin("a", 0, 5), twin("b", 4, 9)], ""));
    assert_eq!((both.supporters, both.root_distance), (1, Duration::from_millis(9)));
    // Who says something else is no twin, however it calls itself.
    let liar = state_of(&[twin("liar", 700_000, 5), twin("honest", 0, 5)], "");
    assert!(matches!(liar, ExchangeState::Undecided(Disagreement::NoMajority { answered: 2, .. })));
}

#[test]
fn a_vague_voice_supports_nothing_and_contradicts_only_what_it_excludes() {
    let vague = says("vague", 0, 900);
    let beside = decided(state_of(&[says("a", 700, 5), vague.clone()], ""));
    assert_eq!((beside.supporters, beside.references), (1, 1));
    assert!(matches!(
        state_of(&[says("a", 2000, 5), vague.clone()], ""),
        ExchangeState::Undecided(Disagreement::NoMajority { .. })
    ));
    // Alone it says what it can.
    assert_eq!(decided(state_of(&[vague], "")).root_distance, Duration::from_millis(900));
}

#[test]
fn the_distance_is_that_of_the_second_narrowest_supporter_at_least() {
    let all = decided(state_of(&[says("a", 0, 1), says("b", 10, 60), says("c", -20, 150)], ""));
    assert_eq!((all.offset, all.root_distance), (Offset::ZERO, Duration::from_millis(60)));
}

#[test]
fn the_hypervisor_and_a_reference_are_told_early_unless_somebody_contradicts() {
    let hypervisor = |offset| Reading { voice: Voice::hypervisor(), ..says("ptp0", offset, 1) };
    let early = state_of(&[hypervisor(0), says("a", 1, 5)], "b? c?");
    assert!(matches!(early, ExchangeState::Open(Some(ref agreement)) if agreement.supporters == 2), "{early:?}");
    assert_eq!(state_of(&[hypervisor(0), says("a", 1, 5), says("b", 900, 5)], "c? d?"), ExchangeState::Open(None));
    assert_eq!(
        state_of(&[hypervisor(0)], "a? b?"),
        ExchangeState::Open(None),
        "the hypervisor alone does not replace the others"
    );
    // PTP clock, VMClock and the caller's time are one voice.
    let twice = [hypervisor(0), Reading { source: "vmclock0".into(), ..hypervisor(0) }];
    assert_eq!(decided(state_of(&twice, "")).supporters, 1);
}

#[test]
fn fewer_than_wanted_say_what_they_say_and_decide_nothing() {
    let few = stands_for(&[says("a", 5000, 5)], "b-", 2);
    assert!(
        matches!(&few, ExchangeState::Undecided(Disagreement::TooFew { answered: 1, wanted: 2, said: Some(said) }) if !said.agrees_with_the_clock()),
        "{few:?}"
    );
    assert_eq!(stands_for(&[says("near", 0, 1)], "far?", 2), ExchangeState::Open(None));
    assert!(decided(stands_for(&[says("near", 0, 1), says("far", 0, 75)], "", 2)).is_supported());
}

#[test]
fn a_falseticker_of_the_first_exchange_has_no_voice_in_the_second() {
    let both = [says("liar", 0, 5), says("a", 0, 5)];
    assert_eq!(decided(state_of(&both, "liar!")).supporters, 1);
}
