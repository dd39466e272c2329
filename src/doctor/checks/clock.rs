//! The system clock.

use std::time::Duration;

use super::CheckVerdict;
use crate::decision::{Offset, bound_in_words, forward, size_in_words};
use crate::doctor::facts::{DoctorFacts, MeasuredNow};
use crate::sys::adjtimex::NOMINAL_TICK_US;

/// Above this a request that is signed with the time is refused soon, and a log cannot be compared with another.
const WRONG: Duration = Duration::from_secs(1);
/// Above this the gate is shut (`threshold`).
const IMPRECISE: Duration = Duration::from_millis(200);
/// NTP_PHASE_LIMIT in include/linux/timex.h: at so large a maximum error STA_UNSYNC is set.
const FLAG_FALLS_AT: Duration = Duration::from_secs(16);
/// MAXFREQ in include/linux/timex.h: the maximum error grows by so much.
const GROWS_PPM: f64 = 500.0;
/// Zones lie apart by quarters of an hour.
const QUARTER: i64 = 900;
/// Who sets a clock by hand is off by a minute.
const BY_HAND_SECS: i64 = 90;

/// What the references agree on, where they do.
pub fn agreed(facts: &DoctorFacts) -> Option<MeasuredNow> {
    facts.network.measured.as_ref().and_then(|measured| measured.as_ref().ok()).copied()
}

/// The offset where the clock is wrong by more than a second, certainly.
pub fn certainly_wrong(facts: &DoctorFacts) -> Option<Offset> {
    agreed(facts).filter(|now| now.offset.abs() > WRONG.saturating_add(now.root_distance)).map(|now| now.offset)
}

pub fn offset(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let not_asked = if facts.is_image { "this root is not the running system" } else { "offline" };
    let now = match &facts.network.measured {
        None => return Some(CheckVerdict::skip(not_asked)),
        Some(Err(why)) => return Some(CheckVerdict::skip(format!("not measured: {why}"))),
        Some(Ok(now)) => now,
    };
    let bound = format!("to {}, by {} reference(s)", bound_in_words(now.root_distance), now.supporters);
    let words = format!("{} ({bound})", now.offset.in_words());
    let off = now.offset.abs();
    Some(if off > now.root_distance.saturating_add(WRONG) {
        CheckVerdict::fail(words).mend("sudo clockgate sync")
    } else if off > now.root_distance.saturating_add(IMPRECISE) {
        CheckVerdict::warn(words).mend("sudo clockgate sync")
    } else {
        CheckVerdict::ok(format!("right ({bound})")).because(format!("measured: {}", now.offset.in_words()))
    })
}

pub fn future(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let clock = &facts.clock;
    let Some(local) = clock.local else { return Some(CheckVerdict::skip("this root is not the running system")) };
    if local < clock.floor.highest() {
        let behind = clock.floor.highest() - local;
        let title = format!("at least {}: the clock is before {}", behind.in_words(), clock.floor.name());
        return Some(CheckVerdict::fail(title).mend("sudo clockgate sync"));
    }
    Some(match clock.future.first() {
        None => CheckVerdict::ok("no file is from the future"),
        Some(newest) => {
            let ahead = (newest.written - local).size_in_words();
            let title = format!("{} was written {ahead} in the future, or the clock is behind", newest.path.display());
            let files = clock.future.iter().map(|file| format!("{}: {}", file.path.display(), file.written.minute()));
            CheckVerdict::warn(title).because_all(files)
        }
    })
}

pub fn flag_stale(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let Some(kernel) = facts.clock.kernel else { return Some(CheckVerdict::skip("adjtimex(2) was not asked")) };
    let evidence = format!("adjtimex(2): maximum error {}", size_in_words(kernel.max_error));
    let wrong = certainly_wrong(facts);
    Some(if kernel.unsynchronised {
        let is_right = agreed(facts).is_some() && wrong.is_none();
        let though = if is_right { ", though the clock is right" } else { "" };
        let verdict = CheckVerdict::note(format!("the kernel reports `System clock synchronized: no`{though}"));
        let flag = facts.clock.has_systemds_flag;
        let flag = flag.then(|| "systemd's file `synchronized` is there all the same: nothing removes it".to_owned());
        verdict.because(evidence).because_all(flag)
    } else if let Some(wrong) = wrong {
        let left = FLAG_FALLS_AT.saturating_sub(kernel.max_error).mul_f64(1e6 / GROWS_PPM);
        let since = kernel.max_error.mul_f64(1e6 / GROWS_PPM);
        let title = format!(
            "the kernel reports `System clock synchronized: yes` and the clock is {}: for {} more, unless it is updated",
            wrong.in_words(),
            size_in_words(left)
        );
        CheckVerdict::warn(title)
            .because(evidence)
            .because(format!("the last update was {} ago at most", size_in_words(since)))
            .because("that flag falls when the maximum error passes 16 s at 500 ppm, 8 h 53 min after the last update")
    } else {
        CheckVerdict::ok("the kernel reports `System clock synchronized: yes`").because(evidence)
    })
}

/// Whether this is a whole number of quarter hours to so many seconds, and so the work of a time zone.
pub fn is_zone(offset: Offset, slack_secs: i64) -> bool {
    let secs = offset.as_nanos() / 1_000_000_000;
    let quarters = (secs + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
    quarters.abs() >= 2 * QUARTER && (secs - quarters).abs() <= slack_secs
}

/// Many faults are of an hour: it is a time zone's only where this host has that zone, or its RTC keeps local time.
pub fn quarter_hours(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let offset = certainly_wrong(facts).filter(|offset| is_zone(*offset, BY_HAND_SECS))?;
    let zone = facts.clock.zone.offset_secs.filter(|secs| *secs != 0);
    let secs = offset.as_nanos() / 1_000_000_000;
    let is_ours = zone.is_some_and(|zone| (secs.abs() - zone.abs()).abs() <= BY_HAND_SECS);
    // What was set from the RTC sets it in turn.
    let mend = format!("sudo clockgate sync && {}", facts.daemon.manager.keep_utc());
    let verdict = if is_ours {
        CheckVerdict::warn(
            "the offset is that of this host's time zone: local time was set as UTC, or the RTC keeps local time",
        )
        .mend(mend)
    } else if facts.hardware.keeps_local {
        CheckVerdict::warn(
            "the offset is a whole number of quarter hours, as time zones are, and the RTC keeps local time",
        )
        .mend(mend)
    } else {
        CheckVerdict::note("the offset is a whole number of quarter hours, as time zones are")
    };
    Some(verdict.because(format!("measured: {}", offset.in_words())))
}

pub fn zone(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let zone = &facts.clock.zone;
    if let Some(tz) = &zone.tz_without_data {
        let title = format!("TZ={tz} has no file in /usr/share/zoneinfo: programs use UTC and do not report it");
        return Some(CheckVerdict::warn(title).mend("install the package tzdata"));
    }
    if zone.localtime.is_some() && !zone.localtime_exists {
        let title = "/etc/localtime leads to a zone that is not installed: programs use UTC and do not report it";
        return Some(CheckVerdict::warn(title).mend("install the package tzdata"));
    }
    let manager = facts.daemon.manager;
    let set = |name: &str| if facts.is_image { manager.set_zone_of_an_image(name) } else { manager.set_zone(name) };
    Some(
        match (&zone.localtime, &zone.timezone) {
            (Some(localtime), Some(timezone)) if localtime != timezone => {
                let title = format!("/etc/localtime is {localtime} and /etc/timezone says {timezone}");
                CheckVerdict::warn(title).mend(set(localtime))
            }
            (None, Some(timezone)) if !zone.localtime_exists && !timezone.ends_with("UTC") => {
                let title = format!("/etc/timezone says {timezone}, and without /etc/localtime programs use UTC");
                CheckVerdict::warn(title).mend(set(timezone))
            }
            (Some(localtime), _) => CheckVerdict::ok(localtime.clone()),
            (None, _) if zone.localtime_exists => CheckVerdict::ok("/etc/localtime is a file of its own"),
            (None, _) => CheckVerdict::ok("UTC: there is no /etc/localtime"),
        }
        .because_all(zone.offset_secs.map(|secs| format!("local time is UTC {secs:+} s"))),
    )
}

/// A tick that chronyd bent and did not bend back: the clock runs on at that rate.
pub fn tick(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let kernel = facts.clock.kernel?;
    let bent = kernel.tick_us - NOMINAL_TICK_US;
    // Where the host's processes are not seen, it may be its daemon that slews at this rate.
    if bent == 0 || !facts.daemon.running.is_empty() || !facts.daemon.sees_the_host {
        return None;
    }
    let gains =
        forward(Duration::from_secs(3600).mul_f64(bent.unsigned_abs() as f64 / NOMINAL_TICK_US as f64)).size_in_words();
    let title = format!(
        "the kernel's tick is {} ppm off and no time daemon runs: {} an hour",
        bent * 100,
        if bent > 0 { format!("it gains {gains}") } else { format!("it loses {gains}") }
    );
    Some(CheckVerdict::fail(title).mend("sudo clockgate sync, or start the time daemon again"))
}
