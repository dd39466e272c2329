//! Sentences below a verdict: what to do next, and what else it may be.

use super::context::Wording;
use super::extract::Match;
use super::pattern::Proves;
use super::verdict::Verdict;
use super::world::{Then, World};

/// What to do next, and what else it may be.
pub(super) fn hints(verdict: Verdict, first: Option<&Match<'_>>, world: &World, then: Option<&Then>) -> Vec<String> {
    let mut hints = vec![];
    let mut say = |text: &str| hints.push(text.to_owned());
    match verdict {
        Verdict::ClockNow => say("Next: sudo clockgate sync"),
        Verdict::ClockThen => {
            say("Next: run the same command again.");
            if then.is_none() {
                say("Nothing is known of this clock's past: only the text says so.");
            }
        }
        Verdict::ClockUnmeasured => say("Next: clockgate measure"),
        Verdict::Credentials | Verdict::Certificate => match first.map(|one| one.pattern.next.as_str()) {
            Some(next) if !next.is_empty() => say(&format!("Next: {next}")),
            Some(_) | None if verdict == Verdict::Credentials => {
                say("Next: get new credentials, or look at their dates.")
            }
            Some(_) | None => say("Next: look at the dates of the certificate, the key or the signature."),
        },
        Verdict::StaleRequest => say("Next: sign the request again just before it is sent."),
        Verdict::TimeZone => say("Next: make the program use UTC; no time server mends this."),
        Verdict::TheirClock => say("Next: tell who runs the other side."),
        Verdict::Unknown if first.is_none() => say("If the program speaks another language: run it with LC_ALL=C."),
        Verdict::Unknown => say("Next: clockgate measure; if the clock is right, it was something else."),
    }
    let Some(one) = first else {
        return hints;
    };
    if one.wording == Wording::Mention {
        hints.push(format!("Line {} only names this message, in a sentence or in source code.", one.line));
    }
    if verdict.is_our_clock() || verdict == Verdict::Unknown {
        if one.is_of_another_zone(world.zone_secs) {
            hints.push("Whole quarter hours: perhaps a time zone, or a hardware clock in local time.".to_owned());
        }
        if one.pattern.refused_before_effect && one.proves == Proves::Clock {
            hints.push("The request was refused before it had an effect.".to_owned());
        }
        if !one.pattern.may_mean.is_empty() {
            hints.push(format!("Or: {}.", one.pattern.may_mean));
        }
    } else if !one.pattern.may_mean.is_empty() && one.proves != Proves::Clock {
        hints.push(format!("It means: {}.", one.pattern.may_mean));
    }
    hints
}
