//! The verdict: the text, the clock now, and the clock's past, joined.

use std::time::Duration;

use super::context::Wording;
use super::extract::Match;
use super::hints::hints;
use super::lifetime::{Lifetime, TokenKind};
use super::pattern::{Direction, Otherwise, Proves};
use super::verdict::{Explanation, Verdict};
use super::world::{PastMoment, Then, World};
use crate::decision::{Offset, Realtime};

/// Where no tolerance is known, a clock that is off by less has refused nothing.
const LEAST: Duration = Duration::from_secs(1);
/// Two times of one moment in a text are as near as this.
const SAME: Duration = Duration::from_secs(60);

/// Judges what was found in a text; `past` is how far off the clock was at a moment, if that is known.
pub fn judge<'p>(found: Vec<Match<'p>>, world: &World, past: impl Fn(PastMoment) -> Option<Then>) -> Explanation<'p> {
    let matches = ranked(found);
    let first = matches.first();
    let then = first.and_then(|one| Some((one, past(moment(one)?)?)));
    let then = then.filter(|(one, then)| is_supported(one, then)).map(|(_, then)| then);
    let lifetimes = lifetimes(world);
    let verdict = match first.map(|one| verdict(one, world, then.as_ref())) {
        Some(Verdict::Unknown) => over(&lifetimes).unwrap_or(Verdict::Unknown),
        judged => judged.unwrap_or(Verdict::Unknown),
    };
    let direction = first.filter(|one| one.wording == Wording::Report).map_or(Direction::None, |one| one.direction);
    let offset = first.and_then(|one| one.said).map(|said| said.offset);
    let hints = hints(verdict, first, world, then.as_ref());
    Explanation { verdict, direction, offset, matches, now: world.now.clone(), then, lifetimes, hints }
}

/// How long each is still valid, where the true time is known.
fn lifetimes(world: &World) -> Vec<(Lifetime, Option<Offset>)> {
    let real = world.now.as_ref().and_then(|now| Some(world.local? + now.offset));
    world.lifetimes.iter().map(|one| (*one, real.and_then(|real| one.left(real)))).collect()
}

/// What is over explains a refusal.
fn over(lifetimes: &[(Lifetime, Option<Offset>)]) -> Option<Verdict> {
    let (one, _) = lifetimes.iter().find(|(_, left)| left.is_some_and(Offset::is_backward))?;
    Some(match one.kind {
        TokenKind::Certificate => Verdict::Certificate,
        TokenKind::Jwt
        | TokenKind::SignedUrl
        | TokenKind::SharedAccess
        | TokenKind::Credentials
        | TokenKind::Session => Verdict::Credentials,
    })
}

/// What says most comes first; what repeats it on the same line, or says less there, is not listed.
fn ranked(mut found: Vec<Match<'_>>) -> Vec<Match<'_>> {
    // A stable sort: of equals the first of the text.
    found.sort_by_key(rank);
    let mut kept: Vec<Match<'_>> = vec![];
    for one in found {
        let is_less = |other: &Match<'_>| {
            let repeats = other.pattern.id == one.pattern.id && one.said.is_none();
            other.line == one.line && (repeats || (other.proves == Proves::Clock && one.proves != Proves::Clock))
        };
        if !kept.iter().any(is_less) {
            kept.push(one);
        }
    }
    kept
}

/// What says most comes first.
fn rank(one: &Match<'_>) -> (bool, u8, bool, bool) {
    let proof = match one.proves {
        Proves::Clock => 0,
        Proves::Either => 1,
        Proves::Other => 2,
    };
    (one.wording == Wording::Mention, proof, one.said.is_none(), one.direction == Direction::Either)
}

/// Whether what is known of the past holds for that moment: where it is not known since when, the text has to say the same.
fn is_supported(one: &Match<'_>, then: &Then) -> bool {
    then.since.is_some() || (one.proves == Proves::Clock && explains(one, then.offset))
}

/// The moment that a text speaks of.
fn moment(one: &Match<'_>) -> Option<PastMoment> {
    let logged = one.logged.filter(|(_, zoned)| *zoned).map(|(at, _)| at);
    one.theirs.map(PastMoment::True).or_else(|| one.ours.or(logged).map(PastMoment::Local))
}

fn verdict(one: &Match<'_>, world: &World, then: Option<&Then>) -> Verdict {
    if one.wording == Wording::Mention {
        let is_now = world.now.as_ref().is_some_and(|now| now.is_wrong() && explains(one, now.offset));
        return if is_now { Verdict::ClockNow } else { Verdict::Unknown };
    }
    if is_stale(one, world.zone_secs) {
        return Verdict::StaleRequest;
    }
    match &world.now {
        Some(now) if now.is_wrong() && explains(one, now.offset) => Verdict::ClockNow,
        Some(now) => right_now(one, world, then, now.is_wrong()),
        None => unmeasured(one, then),
    }
}

/// Whether a clock that is so far off gets this answer.
fn explains(one: &Match<'_>, offset: Offset) -> bool {
    let side = match one.direction {
        Direction::Behind => !offset.is_backward(),
        Direction::Ahead => offset.is_backward(),
        Direction::Either => true,
        // Who does not know how late it is takes dead credentials for live ones.
        Direction::None => !offset.is_backward() && one.proves != Proves::Other,
    };
    let same = |said: Offset| {
        let apart = (said - offset).abs();
        apart <= SAME || apart <= said.abs() / 10
    };
    side && (offset.abs() > one.tolerance().max(LEAST) || one.said.is_some_and(|said| same(said.offset)))
}

fn right_now(one: &Match<'_>, world: &World, then: Option<&Then>, is_wrong: bool) -> Verdict {
    if let Some(then) = then {
        return if explains(one, then.offset) && then.offset != Offset::ZERO {
            Verdict::ClockThen
        } else if one.proves == Proves::Clock {
            if one.is_of_another_zone(world.zone_secs) { Verdict::TimeZone } else { Verdict::TheirClock }
        } else {
            otherwise(one)
        };
    }
    match one.proves {
        Proves::Clock if one.is_of_another_zone(world.zone_secs) => Verdict::TimeZone,
        Proves::Clock if is_theirs(one, world) => Verdict::TheirClock,
        // Wrong then, and the text is the witness.
        Proves::Clock => Verdict::ClockThen,
        // Right to within what others tolerate, or wrong the other way.
        Proves::Either if is_wrong && one.pattern.otherwise == Otherwise::Unknown => Verdict::Unknown,
        Proves::Either | Proves::Other => otherwise(one),
    }
}

fn unmeasured(one: &Match<'_>, then: Option<&Then>) -> Verdict {
    match (one.proves, then) {
        (_, Some(then)) if then.offset != Offset::ZERO && explains(one, then.offset) => Verdict::ClockThen,
        (Proves::Clock, Some(_)) => Verdict::TheirClock,
        (Proves::Clock, None) => Verdict::ClockUnmeasured,
        (Proves::Either, Some(_)) | (Proves::Other, _) => otherwise(one),
        (Proves::Either, None) => Verdict::Unknown,
    }
}

fn otherwise(one: &Match<'_>) -> Verdict {
    match one.pattern.otherwise {
        Otherwise::Credentials => Verdict::Credentials,
        Otherwise::Certificate => Verdict::Certificate,
        Otherwise::StaleRequest => Verdict::StaleRequest,
        Otherwise::TimeZone => Verdict::TimeZone,
        Otherwise::TheirClock => Verdict::TheirClock,
        Otherwise::Unknown => Verdict::Unknown,
    }
}

/// The log's own time agrees with theirs, and ours is old: signed long before it was sent.
fn is_stale(one: &Match<'_>, zone_secs: i64) -> bool {
    let (Some(ours), Some(theirs), Some((logged, zoned)), Direction::Behind) =
        (one.ours, one.theirs, one.logged, one.direction)
    else {
        return false;
    };
    let local = Realtime::from_nanos(logged.as_nanos().saturating_sub(zone_secs.saturating_mul(1_000_000_000)));
    let candidates = if zoned { [logged, logged] } else { [logged, local] };
    let near = |a: Realtime, b: Realtime| (a - b).abs() <= SAME;
    !candidates.iter().any(|at| near(*at, ours)) && candidates.iter().any(|at| near(*at, theirs))
}

/// Our time in the text is the true one of now, and theirs is not.
fn is_theirs(one: &Match<'_>, world: &World) -> bool {
    let (Some(now), Some(local), Some(ours), Some(theirs)) = (&world.now, world.local, one.ours, one.theirs) else {
        return false;
    };
    let real = local + now.offset;
    (real - ours).abs() <= SAME && (real - theirs).abs() > one.tolerance().max(SAME)
}
