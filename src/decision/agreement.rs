//! What several references say together: the interval that most voices share (Marzullo's algorithm, RFC 5905 section 11.2.1),
//! and whether those who have not answered yet could change that.

use std::collections::BTreeSet;
use std::time::Duration;

use super::reading::{Leap, Reading, Voice};
use super::time::{Boottime, Offset, Realtime};

/// What the references agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Reference minus local: the middle of the shared interval.
    pub offset: Offset,
    /// Half the width of the shared interval at `as_of`, and no less than the distance of the second-narrowest supporter.
    pub root_distance: Duration,
    /// The moment that offset and distance hold for.
    pub as_of: Boottime,
    /// What the system clock said at `as_of`.
    pub local: Realtime,
    /// How many voices share the interval.
    pub supporters: usize,
    /// How many operators they have: what counts where two references are wanted.
    pub references: usize,
    /// Whether they are a majority of all who were asked, those who did not answer included.
    pub is_majority: bool,
    /// Whether every supporter was authenticated.
    pub authenticated: bool,
    /// The leap second warning of the supporters; any warning counts.
    pub leap: Leap,
    /// Those whose interval lies elsewhere, by source.
    pub falsetickers: Vec<String>,
    /// The voices of the falsetickers.
    pub outvoted: BTreeSet<String>,
}

impl Agreement {
    /// The most the clock can be wrong, as of `as_of`.
    #[must_use]
    pub fn bound(&self) -> Duration {
        self.offset.abs().saturating_add(self.root_distance)
    }

    /// The true time at `as_of`, as they have it.
    #[must_use]
    pub fn truth(&self) -> Realtime {
        self.local + self.offset
    }

    /// Whether it is believed without other evidence: two references of a majority, or an authenticated one.
    #[must_use]
    pub const fn is_supported(&self) -> bool {
        self.authenticated || self.references >= 2
    }

    /// Whether the clock may well be right: the interval holds the local time.
    #[must_use]
    pub fn agrees_with_the_clock(&self) -> bool {
        self.offset.abs() <= self.root_distance
    }
}

/// Why the references together say nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// No reference answered.
    #[error("no reference answered")]
    Nobody,
    /// Fewer answered than the policy wants.
    #[error("{answered} reference(s) answered, min-references is {wanted}")]
    TooFew {
        /// How many answered.
        answered: usize,
        /// `min-references`.
        wanted: usize,
        /// What those few say, if they agree: it may be that the clock is wrong.
        said: Option<Box<Agreement>>,
    },
    /// No majority shares an interval.
    #[error("{answered} references answered and at most {largest} of them agree ({each})")]
    NoMajority {
        /// How many answered.
        answered: usize,
        /// The largest group that shares an interval.
        largest: usize,
        /// Who said what.
        each: String,
        /// Whether one of them agrees with the clock.
        one_agrees: bool,
    },
}

/// How an exchange stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody who has yet to answer can change it, or everybody has had their time.
    Decided(Agreement),
    /// Others may still answer. The hypervisor and a network reference may agree already, and nobody contradict them.
    Open(Option<Agreement>),
    /// Everybody has had their time, and they agree on nothing.
    Undecided(Disagreement),
}

/// What an exchange is judged by.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The answers.
    pub readings: &'a [Reading],
    /// Voices that were asked, or would have been, and have not answered.
    pub silent: &'a BTreeSet<String>,
    /// Voices that may still answer in time.
    pub waiting: &'a BTreeSet<String>,
    /// Voices that support nothing: falsetickers of the first exchange.
    pub unheard: &'a BTreeSet<String>,
    /// The moment that the answers are compared at.
    pub now: Boottime,
    /// The rate at which their distances have grown, parts per million.
    pub drift_ppm: u32,
    /// A voice whose own distance is over this supports nothing, unless all are.
    pub threshold: Duration,
    /// How many voices have to answer (`min-references`).
    pub wanted: usize,
}

/// Finds the interval that most voices share, and says whether that is decided.
#[must_use]
pub fn agree(question: &Question<'_>) -> Standing {
    let ballot = Ballot::new(question);
    let answered = ballot.voices().len();
    let asked: BTreeSet<&str> = ballot.voices().into_iter().chain(names(question.silent)).collect();
    let all = asked.into_iter().chain(names(question.waiting)).collect::<BTreeSet<_>>().len();
    let missing = names(question.waiting).filter(|voice| !ballot.voices().contains(voice)).count();
    let best = ballot.best();
    if let Some(best) = &best {
        let is_majority = best.voices.len() * 2 > all && answered >= question.wanted;
        // A rival can win those who are missing, and nobody who supports the best.
        let rival = ballot.rival(best);
        if is_majority && rival.everyone < best.voices.len() && rival.others + missing < best.voices.len() {
            return Standing::Decided(ballot.agreement(best, true));
        }
    }
    if missing > 0 {
        return Standing::Open(best.as_ref().and_then(|best| ballot.with_hypervisor(best)));
    }
    ballot.conclude(best.as_ref(), answered)
}

fn names(voices: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    voices.iter().map(String::as_str)
}

/// An answer as an interval.
#[derive(Clone, Debug)]
struct Interval<'a> {
    low: i128,
    high: i128,
    distance: Duration,
    voice: &'a Voice,
    reading: &'a Reading,
    is_precise: bool,
}

impl Interval<'_> {
    const fn covers(&self, point: i128) -> bool {
        self.low <= point && point <= self.high
    }
}

/// The narrowest stretch that the most voices share.
#[derive(Clone, Debug)]
struct Best<'a> {
    low: i128,
    high: i128,
    voices: BTreeSet<&'a str>,
}

/// How many voices share a point outside of the best stretch.
struct Rival {
    everyone: usize,
    others: usize,
}

struct Ballot<'q, 'a> {
    question: &'q Question<'a>,
    intervals: Vec<Interval<'a>>,
    /// Whether no answer is precise, so that the vague ones are all there is.
    all_vague: bool,
}

impl<'q, 'a> Ballot<'q, 'a> {
    fn new(question: &'q Question<'a>) -> Self {
        let mut intervals: Vec<Interval<'a>> = question.readings.iter().map(|r| interval(r, question)).collect();
        merge_twins(&mut intervals);
        let intervals = one_a_voice(intervals);
        let all_vague = !intervals.iter().any(|i| i.is_precise && !question.unheard.contains(&i.voice.name));
        Self { question, intervals, all_vague }
    }

    fn voices(&self) -> BTreeSet<&'a str> {
        self.intervals.iter().map(|i| i.voice.name.as_str()).collect()
    }

    /// Those who have a voice in this exchange.
    fn heard(&self) -> BTreeSet<&'a str> {
        self.voices().into_iter().filter(|voice| !self.question.unheard.contains(*voice)).collect()
    }

    /// Those whose answer can support something.
    fn supporting(&self) -> impl Iterator<Item = &Interval<'a>> {
        self.intervals
            .iter()
            .filter(|i| (i.is_precise || self.all_vague) && !self.question.unheard.contains(&i.voice.name))
    }

    fn covering(&self, point: i128) -> impl Iterator<Item = &Interval<'a>> {
        self.supporting().filter(move |i| i.covers(point))
    }

    fn best(&self) -> Option<Best<'a>> {
        // The best stretch begins at the low edge of one of the intervals and ends at the nearest high edge.
        let mut best: Option<Best<'a>> = None;
        for Interval { low, .. } in self.supporting() {
            let voices: BTreeSet<&str> = self.covering(*low).map(|i| i.voice.name.as_str()).collect();
            let high = self.covering(*low).map(|i| i.high).min().unwrap_or(*low);
            if best.as_ref().is_none_or(|b| voices.len() > b.voices.len()) {
                best = Some(Best { low: *low, high, voices });
            }
        }
        best
    }

    fn rival(&self, best: &Best<'a>) -> Rival {
        let edges = self.supporting().flat_map(|i| [i.low, i.high]);
        let outside: Vec<i128> = edges.filter(|edge| *edge < best.low || *edge > best.high).collect();
        let most = |others_only: bool| {
            let count = |point: &i128| {
                let voices: BTreeSet<&str> = self.covering(*point).map(|i| i.voice.name.as_str()).collect();
                voices.iter().filter(|voice| !others_only || !best.voices.contains(*voice)).count()
            };
            outside.iter().map(count).max().unwrap_or(0)
        };
        Rival { everyone: most(false), others: most(true) }
    }

    /// Everybody has had their time: a majority of those who answered will do.
    fn conclude(&self, best: Option<&Best<'a>>, answered: usize) -> Standing {
        let Some(best) = best else { return Standing::Undecided(Disagreement::Nobody) };
        // A vague answer that does not exclude the best stretch is no vote against it.
        let abstains = |i: &&Interval<'a>| !i.is_precise && i.low <= best.high && i.high >= best.low;
        let abstaining: BTreeSet<&str> =
            self.intervals.iter().filter(abstains).map(|i| i.voice.name.as_str()).collect();
        let against =
            self.heard().into_iter().filter(|voice| !best.voices.contains(voice) && !abstaining.contains(voice));
        let is_shared = self.rival(best).everyone < best.voices.len() && against.count() < best.voices.len();
        let agreement = is_shared.then(|| self.agreement(best, false));
        if answered < self.question.wanted {
            let said = agreement.map(Box::new);
            return Standing::Undecided(Disagreement::TooFew { answered, wanted: self.question.wanted, said });
        }
        match agreement {
            Some(agreement) => Standing::Decided(agreement),
            None => Standing::Undecided(Disagreement::NoMajority {
                answered,
                largest: best.voices.len(),
                each: self.each(),
                one_agrees: self.supporting().any(|i| i.covers(0)),
            }),
        }
    }

    /// The hypervisor and a network reference agree, and nobody has contradicted them yet.
    fn with_hypervisor(&self, best: &Best<'a>) -> Option<Agreement> {
        let hypervisor = Voice::hypervisor();
        let is_unopposed = self.intervals.iter().all(|i| i.low <= best.high && i.high >= best.low);
        let agree = best.voices.len() >= 2 && best.voices.contains(hypervisor.name.as_str());
        (agree && is_unopposed && best.voices.len() >= self.question.wanted).then(|| self.agreement(best, false))
    }

    fn agreement(&self, best: &Best<'a>, is_majority: bool) -> Agreement {
        let question = self.question;
        let supports = |i: &&Interval<'a>| i.low <= best.low && i.high >= best.high;
        let supporters: Vec<&Interval<'a>> = self.supporting().filter(supports).collect();
        let lies_elsewhere = |i: &&Interval<'a>| i.low > best.high || i.high < best.low;
        let elsewhere: Vec<&Interval<'a>> = self.intervals.iter().filter(lies_elsewhere).collect();
        // Of each voice its best answer; then the second of them.
        let mut distances: Vec<Duration> = best
            .voices
            .iter()
            .filter_map(|v| supporters.iter().filter(|i| i.voice.name == **v).map(|i| i.distance).min())
            .collect();
        distances.sort_unstable();
        let second = distances.get(1).or(distances.first()).copied().unwrap_or_default();
        let half = Duration::from_nanos(u64::try_from((best.high - best.low + 1) / 2).unwrap_or(u64::MAX));
        let newest = supporters.iter().map(|i| i.reading).max_by_key(|r| r.as_of);
        let (as_of, local) = newest.map_or((question.now, Realtime::default()), |r| (r.as_of, r.local));
        Agreement {
            offset: Offset::from_nanos(clamp_i64((best.low + best.high).div_euclid(2))),
            root_distance: half.max(second),
            as_of: question.now,
            local: local + super::time::forward(question.now.since(as_of)),
            supporters: best.voices.len(),
            references: supporters.iter().map(|i| i.voice.operator.as_str()).collect::<BTreeSet<_>>().len(),
            is_majority,
            authenticated: !supporters.is_empty() && supporters.iter().all(|i| i.reading.authenticated),
            leap: supporters.iter().map(|i| i.reading.leap).find(|l| *l != Leap::None).unwrap_or_default(),
            falsetickers: elsewhere.iter().map(|i| i.reading.source.clone()).collect(),
            outvoted: elsewhere
                .iter()
                .map(|i| i.voice.name.clone())
                .filter(|voice| !best.voices.contains(voice.as_str()))
                .collect(),
        }
    }

    fn each(&self) -> String {
        let said = |i: &Interval<'a>| format!("{} {}", i.reading.source, i.reading.offset);
        self.intervals.iter().map(said).collect::<Vec<_>>().join(", ")
    }
}

fn interval<'a>(reading: &'a Reading, question: &Question<'_>) -> Interval<'a> {
    let distance = reading.root_distance_at(question.now, question.drift_ppm);
    let middle = i128::from(reading.offset.as_nanos());
    let half = i128::try_from(distance.as_nanos()).unwrap_or(i128::MAX / 4);
    Interval {
        low: middle - half,
        high: middle + half,
        distance,
        voice: &reading.voice,
        reading,
        is_precise: distance <= question.threshold,
    }
}

/// Answers with the same upstream that overlap are one voice, by what both share and the wider distance: two names of one
/// machine are no second opinion. Who says something else is no twin, and has a voice of its own.
fn merge_twins(intervals: &mut [Interval<'_>]) {
    for later in 1..intervals.len() {
        let (before, rest) = intervals.split_at_mut(later);
        let Some(this) = rest.first_mut() else { return };
        let is_twin = |other: &&mut Interval<'_>| {
            other.reading.upstream.is_some()
                && other.reading.upstream == this.reading.upstream
                && other.low <= this.high
                && other.high >= this.low
        };
        if let Some(first) = before.iter_mut().find(is_twin) {
            let middle = (first.low.max(this.low) + first.high.min(this.high)).div_euclid(2);
            let distance = first.distance.max(this.distance);
            let half = i128::try_from(distance.as_nanos()).unwrap_or(i128::MAX / 4);
            let is_precise = first.is_precise && this.is_precise;
            for one in [&mut *first, &mut *this] {
                (one.low, one.high, one.distance, one.is_precise) =
                    (middle - half, middle + half, distance, is_precise);
            }
            this.voice = first.voice;
        }
    }
}

/// The addresses of a voice that agree are one answer, the narrowest of them; those that contradict one another stay apart.
fn one_a_voice(intervals: Vec<Interval<'_>>) -> Vec<Interval<'_>> {
    let mut kept: Vec<Interval<'_>> = vec![];
    for (at, this) in intervals.iter().enumerate() {
        let same = |other: &&Interval<'_>| other.voice.name == this.voice.name;
        let low = intervals.iter().filter(same).map(|i| i.low).max().unwrap_or(this.low);
        let high = intervals.iter().filter(same).map(|i| i.high).min().unwrap_or(this.high);
        let narrowest = intervals.iter().enumerate().filter(|(_, i)| same(i)).min_by_key(|(_, i)| i.distance);
        let is_the_one = narrowest.is_some_and(|(narrowest, _)| narrowest == at);
        if low > high || is_the_one {
            kept.push(this.clone());
        }
    }
    kept
}

fn clamp_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::reading::{Kind, Upstream};

    const NOW: Boottime = Boottime::from_nanos(1_000);

    fn says(source: &str, offset_ms: i64, distance_ms: u64) -> Reading {
        Reading {
            source: source.to_owned(),
            voice: Voice::server(source),
            kind: Kind::Ntp,
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

    /// Who may still answer is marked by a question mark, who did not by a minus.
    fn stands(readings: &[Reading], others: &str) -> Standing {
        stands_for(readings, others, 1)
    }

    fn stands_for(readings: &[Reading], others: &str, wanted: usize) -> Standing {
        let with = |mark: char| others.split(' ').filter_map(|o| o.strip_suffix(mark)).map(str::to_owned).collect();
        agree(&Question {
            readings,
            silent: &with('-'),
            waiting: &with('?'),
            unheard: &with('!'),
            now: NOW,
            drift_ppm: 0,
            threshold: Duration::from_millis(200),
            wanted,
        })
    }

    fn decided(standing: Standing) -> Agreement {
        match standing {
            Standing::Decided(agreement) => agreement,
            undecided @ (Standing::Open(_) | Standing::Undecided(_)) => panic!("{undecided:?}"),
        }
    }

    #[test]
    fn one_reference_that_is_all_there_is_is_taken_at_its_word() {
        let all = decided(stands(&[says("a", 40, 5)], ""));
        assert_eq!((all.offset.as_nanos(), all.root_distance), (40_000_000, Duration::from_millis(5)));
        assert!(all.is_majority && !all.is_supported());
    }

    #[test]
    fn the_near_one_waits_for_the_majority_of_those_who_were_asked() {
        let near = [says("near", 30_000, 1)];
        assert_eq!(stands(&near, "a? b? c?"), Standing::Open(None));
        assert_eq!(stands(&near, "a? b- c-"), Standing::Open(None), "the silent ones are asked as well");
        let all = [says("near", 30_000, 1), says("a", 0, 80), says("b", 1, 80), says("c", -1, 80)];
        assert_eq!(stands(&all[..3], "c?"), Standing::Open(None), "two of four are no majority");
        assert_eq!(decided(stands(&all, "")).falsetickers, ["near"]);
    }

    #[test]
    fn three_of_four_decide_whoever_else_is_silent() {
        let three = [says("a", 0, 5), says("b", 2, 5), says("c", 1, 5)];
        assert!(decided(stands(&three, "d?")).is_majority);
        assert!(decided(stands(&three, "d-")).is_majority);
        assert_eq!(stands(&three[..2], "c? d?"), Standing::Open(None));
        assert!(!decided(stands(&three[..2], "c- d-")).is_majority);
    }

    #[test]
    fn two_near_liars_of_five_do_not_decide_and_are_outvoted() {
        let liars = [says("x", 90_000, 1), says("y", 90_000, 1)];
        assert_eq!(stands(&liars, "a? b? c?"), Standing::Open(None));
        let all: Vec<Reading> =
            liars.into_iter().chain([says("a", 0, 70), says("b", 0, 70), says("c", 0, 70)]).collect();
        assert_eq!(decided(stands(&all, "")).falsetickers, ["x", "y"]);
    }

    #[test]
    fn a_chain_of_which_the_ends_exclude_one_another_is_no_majority() {
        let chain = [says("a", 0, 5), says("b", 9, 5), says("c", 18, 5)];
        assert!(matches!(stands(&chain, ""), Standing::Undecided(Disagreement::NoMajority { largest: 2, .. })));
        assert_eq!(stands(&chain[..2], "c? d?"), Standing::Open(None));
    }

    #[test]
    fn two_of_three_lying_alike_win_and_two_lying_apart_do_not() {
        let all = decided(stands(&[says("a", 0, 5), says("b", 3000, 5), says("c", 3002, 5)], ""));
        assert_eq!(all.falsetickers, ["a"]);
        let apart = stands(&[says("a", 0, 5), says("b", 3000, 5), says("c", -3000, 5)], "");
        assert!(matches!(apart, Standing::Undecided(Disagreement::NoMajority { answered: 3, largest: 1, .. })));
    }

    #[test]
    fn one_against_one_is_no_majority_and_says_whether_one_agrees_with_the_clock() {
        let split = stands(&[says("a", 0, 5), says("b", 400, 5)], "");
        assert!(matches!(split, Standing::Undecided(Disagreement::NoMajority { one_agrees: true, .. })));
        let both_off = stands(&[says("a", 100, 5), says("b", 400, 5)], "");
        assert!(matches!(both_off, Standing::Undecided(Disagreement::NoMajority { one_agrees: false, .. })));
    }

    #[test]
    fn all_addresses_of_a_name_are_one_voice_and_a_name_that_contradicts_itself_is_none() {
        let named = |source, offset| Reading { voice: Voice::server("ntp.example"), ..says(source, offset, 5) };
        let one = decided(stands(&[named("v4", 0), named("v6", 1)], ""));
        assert_eq!((one.supporters, one.references), (1, 1));
        let split = stands(&[named("v4", 0), named("v6", 700)], "");
        assert!(matches!(split, Standing::Undecided(Disagreement::NoMajority { .. })));
        let decided = decided(stands(&[named("v4", 0), named("v6", 700), says("a", 0, 5)], ""));
        assert_eq!((decided.supporters, decided.falsetickers.len()), (2, 1));
        assert!(decided.outvoted.is_empty(), "the name has a voice: one of its addresses agrees");
    }

    #[test]
    fn a_pool_has_many_voices_and_is_one_reference() {
        let of = |source: &str| Reading { voice: Voice::of_pool(source, "pool"), ..says(source, 0, 5) };
        let pool = decided(stands(&[of("1"), of("2"), of("3")], ""));
        assert_eq!((pool.supporters, pool.references), (3, 1));
        assert!(!pool.is_supported());
        assert!(decided(stands(&[of("1"), of("2"), says("a", 0, 5)], "")).is_supported());
    }

    #[test]
    fn twins_count_once_by_what_both_share_and_the_wider_distance() {
        let twin = |source: &str, offset, distance| Reading {
            upstream: Some(Upstream { id: *b"GPS\0", set: 77 }),
            ..says(source, offset, distance)
        };
        let both = decided(stands(&[twin("a", 0, 5), twin("b", 4, 9)], ""));
        assert_eq!((both.supporters, both.root_distance), (1, Duration::from_millis(9)));
        // Who says something else is no twin, however it calls itself.
        let liar = stands(&[twin("liar", 700_000, 5), twin("honest", 0, 5)], "");
        assert!(matches!(liar, Standing::Undecided(Disagreement::NoMajority { answered: 2, .. })));
    }

    #[test]
    fn a_vague_voice_supports_nothing_and_contradicts_only_what_it_excludes() {
        let vague = says("vague", 0, 900);
        let beside = decided(stands(&[says("a", 700, 5), vague.clone()], ""));
        assert_eq!((beside.supporters, beside.references), (1, 1));
        assert!(matches!(
            stands(&[says("a", 2000, 5), vague.clone()], ""),
            Standing::Undecided(Disagreement::NoMajority { .. })
        ));
        // Alone it says what it can.
        assert_eq!(decided(stands(&[vague], "")).root_distance, Duration::from_millis(900));
    }

    #[test]
    fn the_distance_is_that_of_the_second_narrowest_supporter_at_least() {
        let all = decided(stands(&[says("a", 0, 1), says("b", 10, 60), says("c", -20, 150)], ""));
        assert_eq!((all.offset, all.root_distance), (Offset::ZERO, Duration::from_millis(60)));
    }

    #[test]
    fn the_hypervisor_and_a_reference_are_told_early_unless_somebody_contradicts() {
        let hypervisor = |offset| Reading { voice: Voice::hypervisor(), ..says("ptp0", offset, 1) };
        let early = stands(&[hypervisor(0), says("a", 1, 5)], "b? c?");
        assert!(matches!(early, Standing::Open(Some(ref agreement)) if agreement.supporters == 2), "{early:?}");
        assert_eq!(stands(&[hypervisor(0), says("a", 1, 5), says("b", 900, 5)], "c? d?"), Standing::Open(None));
        assert_eq!(stands(&[hypervisor(0)], "a? b?"), Standing::Open(None), "nobody is asked instead of the others");
        // PTP clock, VMClock and told time are one voice.
        let twice = [hypervisor(0), Reading { source: "vmclock0".into(), ..hypervisor(0) }];
        assert_eq!(decided(stands(&twice, "")).supporters, 1);
    }

    #[test]
    fn fewer_than_wanted_say_what_they_say_and_decide_nothing() {
        let few = stands_for(&[says("a", 5000, 5)], "b-", 2);
        assert!(
            matches!(&few, Standing::Undecided(Disagreement::TooFew { answered: 1, wanted: 2, said: Some(said) }) if !said.agrees_with_the_clock()),
            "{few:?}"
        );
        assert_eq!(stands_for(&[says("near", 0, 1)], "far?", 2), Standing::Open(None));
        assert!(decided(stands_for(&[says("near", 0, 1), says("far", 0, 75)], "", 2)).is_supported());
    }

    #[test]
    fn a_falseticker_of_the_first_exchange_has_no_voice_in_the_second() {
        let both = [says("liar", 0, 5), says("a", 0, 5)];
        assert_eq!(decided(stands(&both, "liar!")).supporters, 1);
    }
}
