//! Causes, as a table: a rule over the results of checks, and the command that mends it.

use super::check::{Check, CheckOutcome};

/// One cause.
#[derive(Clone, Copy, Debug)]
pub struct CauseRule {
    /// Its stable name.
    pub id: &'static str,
    /// In words.
    pub words: &'static str,
    /// The checks that have to be bad, each of them: the fix of the first one that has one mends the cause.
    pub required: &'static [&'static str],
    /// The checks that make it likelier where they are bad.
    pub supporting: &'static [&'static str],
    /// The checks that make it unlikely where they are bad.
    pub contradicting: &'static [&'static str],
    /// When it counts.
    pub counts: Counts,
}

/// When a cause counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Beside others.
    Always,
    /// Where there is no other, for it says little.
    Alone,
}

const fn cause(id: &'static str, words: &'static str, required: &'static [&'static str]) -> CauseRule {
    CauseRule { id, words, required, supporting: &[], contradicting: &[], counts: Counts::Always }
}

/// All of them: of two that are as likely the first one counts, since it explains the other.
pub const CAUSES: &[CauseRule] = &[
    CauseRule {
        supporting: &["net.udp123", "net.dns", "net.route", "daemon.unreached", "clock.offset"],
        ..cause("captive-portal", "this network lets nothing through until a user has logged in", &["net.captive"])
    },
    CauseRule {
        supporting: &["daemon.unreached", "clock.offset"],
        ..cause("firewall-here", "this host's own firewall blocks NTP", &["net.firewall"])
    },
    CauseRule {
        supporting: &["daemon.unreached", "clock.offset"],
        ..cause("no-route", "this host has no usable route to its time servers", &["net.route"])
    },
    CauseRule {
        supporting: &["daemon.unreached", "clock.offset"],
        ..cause("no-name-server", "the names of the time servers are not resolved", &["net.dns"])
    },
    CauseRule {
        supporting: &["daemon.unreached", "clock.offset"],
        ..cause("udp123-blocked", "UDP port 123 is blocked on the way", &["net.udp123"])
    },
    CauseRule {
        supporting: &["daemon.unreached", "clock.offset"],
        ..cause("no-ntp-there", "the configured server is no NTP server", &["net.refused"])
    },
    CauseRule {
        supporting: &["daemon.unreached"],
        ..cause("server-refuses", "the time servers refuse to answer", &["net.kiss"])
    },
    CauseRule {
        supporting: &["clock.offset", "clock.flag-stale", "daemon.none"],
        ..cause("bent-rate", "a time daemon ended while it slewed, and the clock goes on at that rate", &["clock.tick"])
    },
    CauseRule {
        supporting: &["clock.offset", "vm.clocksource"],
        ..cause("broken-timer", "the timer of this machine runs at a wrong rate", &["clock.rate"])
    },
    CauseRule {
        supporting: &["clock.offset", "clock.flag-stale", "daemon.none"],
        ..cause(
            "daemon-gave-up",
            "the clock is off by more than the time daemon corrects: it ends itself",
            &["daemon.exit-limit"],
        )
    },
    CauseRule {
        supporting: &["clock.offset", "clock.flag-stale", "daemon.condition"],
        ..cause("no-daemon", "no time daemon keeps this clock", &["daemon.none"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause("daemon-observes", "the time daemon was started so that it sets nothing", &["daemon.observes"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause("daemon-powerless", "the time daemon may not set the clock", &["daemon.powerless"])
    },
    CauseRule {
        supporting: &["clock.offset", "daemon.powerless"],
        ..cause("daemon-denied", "the time daemon was not allowed to set the clock", &["daemon.denied"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause("sources-offline", "the time daemon was ordered not to ask its sources", &["daemon.offline"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause("no-majority", "the time daemon's sources contradict each other", &["daemon.no-majority"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause("sources-too-far", "the time daemon's sources are not synchronised themselves", &["daemon.distance"])
    },
    CauseRule {
        supporting: &["clock.offset"],
        ..cause(
            "authenticated-silent",
            "the authenticated sources are silent, and without them no other counts",
            &["daemon.authentication"],
        )
    },
    CauseRule {
        supporting: &["daemon.setters", "daemon.cron"],
        ..cause("two-masters", "two programs set this clock against each other", &["daemon.two"])
    },
    CauseRule {
        supporting: &["rtc.local", "rtc.offset"],
        contradicting: &["rtc.battery"],
        ..cause(
            "rtc-in-local-time",
            "local time was taken for UTC, by the RTC or by hand",
            &["clock.quarter-hours", "clock.offset"],
        )
    },
    CauseRule {
        supporting: &["clock.flag-stale", "daemon.none"],
        ..cause(
            "computer-slept",
            "the computer around this virtual machine slept, and its clock stopped",
            &["clock.offset", "vm.desktop"],
        )
    },
    CauseRule {
        supporting: &["clock.flag-stale", "daemon.none"],
        ..cause("windows-slept", "Windows slept, and the clock of WSL stopped", &["clock.offset", "vm.wsl"])
    },
    CauseRule {
        supporting: &["clock.flag-stale"],
        ..cause("step-limit", "the time daemon does not step any more, and slews for hours", &["daemon.step-limit"])
    },
    CauseRule {
        supporting: &["clock.offset", "clock.future", "rtc.boot"],
        ..cause("dead-battery", "the RTC lost its time: its battery is empty", &["rtc.battery"])
    },
    CauseRule {
        supporting: &["clock.flag-stale", "vm.clock"],
        counts: Counts::Alone,
        ..cause(
            "wrong-clock",
            "the clock is wrong, and was not corrected since a pause, a restore or a step",
            &["clock.offset"],
        )
    },
    CauseRule {
        // It was corrected since it began.
        contradicting: &["clock.flag-stale"],
        counts: Counts::Alone,
        ..cause(
            "no-rtc",
            "without an RTC the clock began in the past at boot, and was not corrected since",
            &["clock.offset", "rtc.none"],
        )
    },
    cause("from-the-past", "the clock is behind files that were written before", &["clock.future"]),
    cause("no-source", "the time daemon has no source", &["daemon.sources"]),
    cause("unreached", "the time daemon reaches none of its sources", &["daemon.unreached"]),
    cause("agent-gone", "clockgate's agent is gone", &["own.agent"]),
    cause("faulty-configuration", "clockgate's configuration is faulty", &["own.config"]),
];

/// A cause that is likely, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikelyCause {
    /// Its stable name.
    pub id: &'static str,
    /// In words.
    pub words: &'static str,
    /// The checks that it rests on.
    pub checks: Vec<&'static str>,
    /// What mends it.
    pub command: Option<String>,
}

/// The causes that these results allow, the likeliest first. A cause needs one failure among what it requires: a warning alone
/// explains nothing.
#[must_use]
pub fn likely(checks: &[Check]) -> Vec<LikelyCause> {
    let result = |id: &str| checks.iter().find(|check| check.id == id);
    let is_bad = |id: &&&'static str| result(id).is_some_and(|check| check.verdict.outcome.is_bad());
    let fails = |id: &&'static str| result(id).is_some_and(|check| check.verdict.outcome == CheckOutcome::Fail);
    let mut all: Vec<(i64, LikelyCause)> = vec![];
    for cause in CAUSES {
        if !cause.required.iter().all(|id| is_bad(&id)) || !cause.required.iter().any(fails) {
            continue;
        }
        let count = |ids: &'static [&'static str]| ids.iter().filter(is_bad).count() as i64;
        // What requires more is more particular.
        let required = cause.required.len() as i64;
        let score = 3 * required + count(cause.supporting) - 4 * count(cause.contradicting);
        let bases = cause.required.iter().chain(cause.supporting.iter().filter(is_bad)).copied();
        let command = cause.required.iter().find_map(|id| result(id)?.verdict.fix.clone());
        all.push((score, LikelyCause { id: cause.id, words: cause.words, checks: bases.collect(), command }));
    }
    let is_alone = |id: &str| CAUSES.iter().any(|cause| cause.id == id && cause.counts == Counts::Alone);
    if all.iter().any(|(_, cause)| !is_alone(cause.id)) {
        all.retain(|(_, cause)| !is_alone(cause.id));
    }
    // Stable: the table's order decides between equals.
    all.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    all.into_iter().map(|(_, cause)| cause).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckVerdict;
    use super::super::checks::ALL;
    use super::*;

    fn made(id: &'static str, verdict: CheckVerdict) -> Check {
        let rule = ALL.iter().find(|rule| rule.id == id).unwrap();
        Check { id, section: rule.section, verdict }
    }

    #[test]
    fn every_rule_names_checks_that_there_are_and_no_two_have_one_id() {
        for cause in CAUSES {
            for id in [cause.required, cause.supporting, cause.contradicting].concat() {
                assert!(ALL.iter().any(|rule| rule.id == id), "{}: {id}", cause.id);
            }
            assert_eq!(CAUSES.iter().filter(|other| other.id == cause.id).count(), 1);
        }
    }

    #[test]
    fn a_blocked_port_comes_before_the_daemon_that_suffers_from_it_and_a_warning_alone_is_no_cause() {
        let checks = [
            made("clock.offset", CheckVerdict::fail("1 h behind")),
            made("daemon.unreached", CheckVerdict::fail("4 of 4")),
            made("net.udp123", CheckVerdict::fail("silent").mend("allow it")),
        ];
        let found = likely(&checks);
        assert_eq!((found[0].id, found[0].command.as_deref()), ("udp123-blocked", Some("allow it")));
        assert!(likely(&[made("net.udp123", CheckVerdict::warn("one of four"))]).is_empty());
        assert!(likely(&[made("net.udp123", CheckVerdict::ok("answered"))]).is_empty());
    }
}
