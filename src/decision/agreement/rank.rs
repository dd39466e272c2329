//! Whose answers count: beside references that prove who they are, those that do not prove nothing.

use std::collections::BTreeSet;

use super::{Agreement, AgreementInput, Disagreement, ExchangeState, agree, interval};
use crate::decision::reading::Reading;

/// What the answers say where those of `authenticated` voices outrank all others: these alone decide. Who contradicts them is a
/// falseticker; who agrees adds nothing, for an attacker on the only way out is all plain servers at once.
#[must_use]
pub fn agree_by_rank(question: &AgreementInput<'_>, authenticated: &BTreeSet<String>) -> ExchangeState {
    let (proven, plain): (Vec<Reading>, Vec<Reading>) =
        question.readings.iter().cloned().partition(|r| r.authenticated);
    let among = |voices: &BTreeSet<String>| voices.intersection(authenticated).cloned().collect::<BTreeSet<String>>();
    let (silent, waiting) = (among(question.silent), among(question.waiting));
    let plain_voices: BTreeSet<&str> = plain.iter().map(|r| r.voice.name.as_str()).collect();
    // `min-references` counts who answers, and not who proves what.
    let wanted = question.wanted.saturating_sub(plain_voices.len()).max(1);
    let ranked = AgreementInput { readings: &proven, silent: &silent, waiting: &waiting, wanted, ..question.clone() };
    match agree(&ranked) {
        ExchangeState::Decided(agreement) => ExchangeState::Decided(against(agreement, &plain, question)),
        // What plain ones say is worth a word.
        ExchangeState::Undecided(Disagreement::NoAnswer) if !question.waiting.is_empty() => ExchangeState::Open(None),
        ExchangeState::Undecided(Disagreement::NoAnswer) if !plain.is_empty() => {
            let unproven = AgreementInput { readings: &plain, ..question.clone() };
            let said = match agree(&unproven) {
                ExchangeState::Decided(agreement) => Some(Box::new(agreement)),
                ExchangeState::Open(_) | ExchangeState::Undecided(_) => None,
            };
            ExchangeState::Undecided(Disagreement::Unauthenticated { said })
        }
        // The hypervisor proves nothing either.
        ExchangeState::Open(_) => ExchangeState::Open(None),
        ExchangeState::Undecided(why) => ExchangeState::Undecided(why),
    }
}

/// The same, with the plain ones that contradict it among those that are wrong.
fn against(mut agreement: Agreement, plain: &[Reading], question: &AgreementInput<'_>) -> Agreement {
    let (low, high) = agreement.edges();
    for reading in plain {
        let theirs = interval(reading, question);
        if theirs.low > high || theirs.high < low {
            agreement.falsetickers.push(reading.source.clone());
            agreement.outvoted.insert(reading.voice.name.clone());
        }
    }
    agreement
}

#[cfg(test)]
mod tests {
    use super::super::tests::{self, NOW};
    use super::*;
    use crate::decision::Offset;
    use proptest::prelude::*;
    use std::time::Duration;

    fn says(source: &str, offset_ms: i64) -> Reading {
        Reading { authenticated: source.starts_with("nts"), ..tests::says(source, offset_ms, 10) }
    }

    /// Who may still answer is marked by a question mark, who did not by a minus.
    fn stands(readings: &[Reading], others: &str, wanted: usize) -> ExchangeState {
        let with = |mark: char| others.split(' ').filter_map(|o| o.strip_suffix(mark)).map(str::to_owned).collect();
        let (silent, waiting, none): (BTreeSet<String>, BTreeSet<String>, _) = (with('-'), with('?'), BTreeSet::new());
        let names = readings.iter().map(|r| &r.voice.name).chain(&silent).chain(&waiting);
        let authenticated = names.filter(|name| name.starts_with("nts")).cloned().collect();
        let question = AgreementInput {
            readings,
            silent: &silent,
            waiting: &waiting,
            outvoted: &none,
            now: NOW,
            drift_ppm: 0,
            threshold: Duration::from_millis(200),
            wanted,
        };
        agree_by_rank(&question, &authenticated)
    }

    #[test]
    fn one_authenticated_answer_decides_against_any_number_of_plain_ones() {
        let readings = [says("nts-a", 0), says("b", 5000), says("c", 5000), says("d", 5000), says("e", 3)];
        let ExchangeState::Decided(agreed) = stands(&readings, "f?", 1) else { panic!("undecided") };
        assert_eq!((agreed.offset, agreed.supporters, agreed.references), (Offset::ZERO, 1, 1));
        assert!(agreed.authenticated && agreed.operator.as_deref() == Some("nts-a"));
        assert_eq!(agreed.falsetickers, ["b", "c", "d"]);
    }

    #[test]
    fn plain_answers_alone_decide_nothing_and_are_quoted() {
        let readings = [says("b", 5000), says("c", 5000)];
        assert_eq!(stands(&readings, "nts-a?", 1), ExchangeState::Open(None), "it may still answer");
        let ExchangeState::Undecided(Disagreement::Unauthenticated { said }) = stands(&readings, "nts-a-", 1) else {
            panic!("decided by plain answers")
        };
        assert_eq!(said.unwrap().offset, Offset::from_secs(5));
        assert_eq!(stands(&[], "nts-a- b?", 1), ExchangeState::Open(None));
        assert_eq!(stands(&[], "nts-a- b-", 1), ExchangeState::Undecided(Disagreement::NoAnswer));
    }

    #[test]
    fn authenticated_ones_that_contradict_one_another_agree_on_nothing_whatever_plain_ones_say() {
        let readings = [says("nts-a", 0), says("nts-b", 5000), says("c", 0), says("d", 0)];
        assert!(matches!(stands(&readings, "", 1), ExchangeState::Undecided(Disagreement::NoMajority { .. })));
    }

    #[test]
    fn plain_answers_count_for_the_number_of_references_that_is_wanted() {
        assert!(matches!(stands(&[says("nts-a", 0)], "b-", 2), ExchangeState::Undecided(Disagreement::TooFew { .. })));
        assert!(matches!(stands(&[says("nts-a", 0), says("b", 0)], "", 2), ExchangeState::Decided(_)));
    }

    proptest! {
        #[test]
        fn no_plain_answer_changes_what_the_authenticated_ones_say(
            proven in proptest::collection::vec(-300..300_i64, 1..4),
            plain in proptest::collection::vec(-10_000..10_000_i64, 0..6),
        ) {
            let keyed: Vec<Reading> = proven.iter().enumerate().map(|(n, ms)| says(&format!("nts-{n}"), *ms)).collect();
            let others = plain.iter().enumerate().map(|(n, ms)| says(&format!("plain-{n}"), *ms));
            let all: Vec<Reading> = keyed.iter().cloned().chain(others).collect();
            let of = |state| match state {
                ExchangeState::Decided(agreed) => Some((agreed.offset, agreed.root_distance, agreed.references)),
                ExchangeState::Open(_) | ExchangeState::Undecided(_) => None,
            };
            prop_assert_eq!(of(stands(&all, "", 1)), of(stands(&keyed, "", 1)));
        }
    }
}
