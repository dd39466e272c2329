//! What several references say together: the interval that most voices share (Marzullo's algorithm, RFC 5905 section 11.2.1),
//! and whether those who have not answered yet could change that.

use std::collections::BTreeSet;
use std::time::Duration;

use super::reading::{Leap, Reading, ReferenceKind, Voice};
use super::time::{Boottime, Offset, Realtime};

mod disagreement;
mod rank;

pub use disagreement::Disagreement;
pub use rank::agree_by_rank;

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
    /// How many operators they have: what counts where two references are required.
    pub references: usize,
    /// That operator, where there is one alone; none for the daemon, which repeats what others say.
    pub operator: Option<String>,
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

    /// Whether any step is made by it: that of two references, or of a daemon that authenticates its own. One key alone may be stolen.
    #[must_use]
    pub const fn may_ask_for_anything(&self) -> bool {
        self.references >= 2 || (self.authenticated && self.operator.is_none())
    }

    /// From where to where it reaches, in nanoseconds of offset.
    fn edges(&self) -> (i128, i128) {
        let (middle, half) = (i128::from(self.offset.as_nanos()), i128::try_from(self.root_distance.as_nanos()));
        let half = half.unwrap_or(i128::MAX / 4);
        (middle - half, middle + half)
    }

    /// Whether the clock may well be right: the interval holds the local time.
    #[must_use]
    pub fn agrees_with_the_clock(&self) -> bool {
        self.offset.abs() <= self.root_distance
    }
}

/// The state of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeState {
    /// No outstanding answer can change it, or all have had their time.
    Decided(Agreement),
    /// Others may still answer. The hypervisor and a network reference may agree already, with no reference contradicting them.
    Open(Option<Agreement>),
    /// All have had their time, and they agree on nothing.
    Undecided(Disagreement),
}

/// What an exchange is judged by.
#[derive(Clone, Debug)]
pub struct AgreementInput<'a> {
    /// The answers.
    pub readings: &'a [Reading],
    /// Voices that were asked, or would have been, and have not answered.
    pub silent: &'a BTreeSet<String>,
    /// Voices that may still answer in time.
    pub waiting: &'a BTreeSet<String>,
    /// Voices that support nothing: falsetickers of the first exchange.
    pub outvoted: &'a BTreeSet<String>,
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
pub fn agree(question: &AgreementInput<'_>) -> ExchangeState {
    let ballot = Ballot::new(question);
    let answered = ballot.voices().len();
    let asked: BTreeSet<&str> = ballot.voices().into_iter().chain(names(question.silent)).collect();
    let all = asked.into_iter().chain(names(question.waiting)).collect::<BTreeSet<_>>().len();
    let missing = names(question.waiting).filter(|voice| !ballot.voices().contains(voice)).count();
    let best = ballot.best();
    if let Some(best) = &best {
        let is_majority = best.voices.len() * 2 > all && answered >= question.wanted;
        // A rival can win those whose answers are missing, and none of those that support the best.
        let rival = ballot.rival(best);
        if is_majority && rival.everyone < best.voices.len() && rival.others + missing < best.voices.len() {
            return ExchangeState::Decided(ballot.agreement(best, true));
        }
    }
    if missing > 0 {
        return ExchangeState::Open(best.as_ref().and_then(|best| ballot.with_hypervisor(best)));
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
    question: &'q AgreementInput<'a>,
    intervals: Vec<Interval<'a>>,
    /// Whether no answer is precise, so that the vague ones are all there is.
    all_vague: bool,
}

impl<'q, 'a> Ballot<'q, 'a> {
    fn new(question: &'q AgreementInput<'a>) -> Self {
        let mut intervals: Vec<Interval<'a>> = question.readings.iter().map(|r| interval(r, question)).collect();
        merge_twins(&mut intervals);
        let intervals = one_a_voice(intervals);
        let all_vague = !intervals.iter().any(|i| i.is_precise && !question.outvoted.contains(&i.voice.name));
        Self { question, intervals, all_vague }
    }

    fn voices(&self) -> BTreeSet<&'a str> {
        self.intervals.iter().map(|i| i.voice.name.as_str()).collect()
    }

    /// Those who have a voice in this exchange.
    fn with_a_voice(&self) -> BTreeSet<&'a str> {
        self.voices().into_iter().filter(|voice| !self.question.outvoted.contains(*voice)).collect()
    }

    /// Those whose answer can support something.
    fn supporting(&self) -> impl Iterator<Item = &Interval<'a>> {
        self.intervals
            .iter()
            .filter(|i| (i.is_precise || self.all_vague) && !self.question.outvoted.contains(&i.voice.name))
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

    /// All have had their time: a majority of those that answered is enough.
    fn conclude(&self, best: Option<&Best<'a>>, answered: usize) -> ExchangeState {
        let Some(best) = best else { return ExchangeState::Undecided(Disagreement::NoAnswer) };
        // A vague answer that does not exclude the best stretch is no vote against it.
        let abstains = |i: &&Interval<'a>| !i.is_precise && i.low <= best.high && i.high >= best.low;
        let abstaining: BTreeSet<&str> =
            self.intervals.iter().filter(abstains).map(|i| i.voice.name.as_str()).collect();
        let against =
            self.with_a_voice().into_iter().filter(|voice| !best.voices.contains(voice) && !abstaining.contains(voice));
        let is_shared = self.rival(best).everyone < best.voices.len() && against.count() < best.voices.len();
        let agreement = is_shared.then(|| self.agreement(best, false));
        if answered < self.question.wanted {
            let said = agreement.map(Box::new);
            return ExchangeState::Undecided(Disagreement::TooFew { answered, wanted: self.question.wanted, said });
        }
        match agreement {
            Some(agreement) => ExchangeState::Decided(agreement),
            None => ExchangeState::Undecided(Disagreement::NoMajority {
                answered,
                largest: best.voices.len(),
                each: self.each(),
                one_agrees: self.supporting().any(|i| i.covers(0)),
            }),
        }
    }

    /// The hypervisor and a network reference agree, and no reference has contradicted them yet.
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
        let operators: BTreeSet<&str> = supporters.iter().map(|i| i.voice.operator.as_str()).collect();
        let repeats = supporters.iter().any(|i| i.reading.kind == ReferenceKind::Daemon);
        let only = operators.first().filter(|_| operators.len() == 1 && !repeats);
        Agreement {
            offset: Offset::from_nanos(clamp_i64((best.low + best.high).div_euclid(2))),
            root_distance: half.max(second),
            as_of: question.now,
            local: local + super::time::forward(question.now.since(as_of)),
            supporters: best.voices.len(),
            references: operators.len(),
            operator: only.map(|name| (*name).to_owned()),
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

fn interval<'a>(reading: &'a Reading, question: &AgreementInput<'_>) -> Interval<'a> {
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
mod tests;
