//! Every check, by section: a stable id and a pure function of the facts. One that does not concern this host is not in the list.

mod clock;
mod containers;
mod daemon;
mod hardware;
mod machine;
mod masters;
mod own;
mod rights;
mod servers;
mod slow;
mod sources;
mod steps;

use super::check::{Check, CheckSection, CheckVerdict};
use super::facts::DoctorFacts;

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct CheckRule {
    /// Its stable name.
    pub id: &'static str,
    /// What it is about.
    pub section: CheckSection,
    judge: fn(&DoctorFacts) -> Option<CheckVerdict>,
}

const fn rule(id: &'static str, section: CheckSection, judge: fn(&DoctorFacts) -> Option<CheckVerdict>) -> CheckRule {
    CheckRule { id, section, judge }
}

/// All of them, in the order in which they are printed.
pub const ALL: &[CheckRule] = &[
    rule("clock.offset", CheckSection::Clock, clock::offset),
    rule("clock.future", CheckSection::Clock, clock::future),
    rule("clock.flag-stale", CheckSection::Clock, clock::flag_stale),
    rule("clock.quarter-hours", CheckSection::Clock, clock::quarter_hours),
    rule("clock.zone", CheckSection::Clock, clock::zone),
    rule("clock.tick", CheckSection::Clock, clock::tick),
    rule("clock.rate", CheckSection::Clock, slow::rate),
    rule("daemon.none", CheckSection::Daemon, daemon::none),
    rule("daemon.condition", CheckSection::Daemon, daemon::condition),
    rule("daemon.two", CheckSection::Daemon, masters::two),
    rule("daemon.setters", CheckSection::Daemon, masters::setters),
    rule("daemon.cron", CheckSection::Daemon, masters::cron),
    rule("daemon.observes", CheckSection::Daemon, masters::observes),
    rule("daemon.powerless", CheckSection::Daemon, masters::powerless),
    rule("daemon.denied", CheckSection::Daemon, rights::denied),
    rule("daemon.sources", CheckSection::Daemon, sources::sources),
    rule("daemon.unreached", CheckSection::Daemon, sources::unreached),
    rule("daemon.offline", CheckSection::Daemon, sources::offline),
    rule("daemon.no-majority", CheckSection::Daemon, sources::no_majority),
    rule("daemon.distance", CheckSection::Daemon, sources::distance),
    rule("daemon.authentication", CheckSection::Daemon, sources::authentication),
    rule("daemon.samples", CheckSection::Daemon, sources::samples),
    rule("daemon.poll", CheckSection::Daemon, sources::poll),
    rule("daemon.fallback", CheckSection::Daemon, sources::fallback),
    rule("daemon.exit-limit", CheckSection::Daemon, steps::exit_limit),
    rule("daemon.step-limit", CheckSection::Daemon, steps::step_limit),
    rule("daemon.one-server", CheckSection::Daemon, sources::one_server),
    rule("daemon.local", CheckSection::Daemon, steps::local),
    rule("daemon.rtcsync", CheckSection::Daemon, steps::rtcsync),
    rule("net.dns", CheckSection::Servers, servers::dns),
    rule("net.firewall", CheckSection::Servers, servers::firewall),
    rule("net.route", CheckSection::Servers, servers::route),
    rule("net.refused", CheckSection::Servers, servers::refused),
    rule("net.kiss", CheckSection::Servers, servers::kiss),
    rule("net.udp123", CheckSection::Servers, servers::udp123),
    rule("net.captive", CheckSection::Servers, servers::captive),
    rule("net.falsetickers", CheckSection::Servers, servers::falsetickers),
    rule("net.cloud", CheckSection::Servers, servers::cloud),
    rule("net.family", CheckSection::Servers, slow::family),
    rule("net.size", CheckSection::Servers, slow::size),
    rule("net.source-port", CheckSection::Servers, slow::source_port),
    rule("net.nts", CheckSection::Servers, slow::nts),
    rule("rtc.none", CheckSection::Hardware, hardware::none),
    rule("rtc.unreadable", CheckSection::Hardware, hardware::unreadable),
    rule("rtc.battery", CheckSection::Hardware, hardware::battery),
    rule("rtc.boot", CheckSection::Hardware, hardware::boot),
    rule("rtc.systohc", CheckSection::Hardware, hardware::systohc),
    rule("rtc.local", CheckSection::Hardware, hardware::local),
    rule("rtc.offset", CheckSection::Hardware, hardware::offset),
    rule("vm.clocksource", CheckSection::Machine, machine::clocksource),
    rule("vm.clock", CheckSection::Machine, machine::clock),
    rule("vm.clock-unused", CheckSection::Machine, machine::clock_unused),
    rule("vm.time-service", CheckSection::Machine, machine::time_service),
    rule("vm.guest-tools", CheckSection::Machine, machine::guest_tools),
    rule("vm.card-clock", CheckSection::Machine, machine::card_clock),
    rule("vm.wsl", CheckSection::Machine, machine::wsl),
    rule("vm.desktop", CheckSection::Machine, machine::desktop),
    rule("container.clock", CheckSection::Containers, containers::clock),
    rule("container.daemon", CheckSection::Containers, containers::daemon),
    rule("container.namespace", CheckSection::Containers, containers::namespace),
    rule("container.page", CheckSection::Containers, containers::page),
    rule("own.agent", CheckSection::Own, own::agent),
    rule("own.outdated", CheckSection::Own, own::outdated),
    rule("own.config", CheckSection::Own, own::config),
    rule("own.hooks", CheckSection::Own, own::hooks),
    rule("own.cgroup2", CheckSection::Own, own::cgroup2),
];

/// Makes every check.
#[must_use]
pub fn judge(facts: &DoctorFacts) -> Vec<Check> {
    let made =
        |rule: &CheckRule| (rule.judge)(facts).map(|verdict| Check { id: rule.id, section: rule.section, verdict });
    ALL.iter().filter_map(made).collect()
}

/// Whether this selects any check: an id, the part of ids before the point, or a section.
#[must_use]
pub fn is_selector(selector: &str) -> bool {
    ALL.iter().any(|rule| selects(selector, rule.id, rule.section))
}

/// The checks that rest on slow questions, which are made only on request.
const SLOW: [&str; 5] = ["clock.rate", "net.family", "net.size", "net.source-port", "net.nts"];

/// Whether any of the selected checks needs slow questions.
#[must_use]
pub fn wants_slow(only: &[String], skip: &[String]) -> bool {
    let is_in = |list: &[String], rule: &CheckRule| list.iter().any(|one| selects(one, rule.id, rule.section));
    let is_wanted = |rule: &&CheckRule| (only.is_empty() || is_in(only, rule)) && !is_in(skip, rule);
    ALL.iter().filter(is_wanted).any(|rule| SLOW.contains(&rule.id))
}

pub fn selects(selector: &str, id: &str, section: CheckSection) -> bool {
    selector == id || selector == section.name() || id.split_once('.').is_some_and(|(group, _)| group == selector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_its_own_and_the_sections_stand_together() {
        let mut ids: Vec<_> = ALL.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
        assert!(SLOW.iter().all(|id| ALL.iter().any(|rule| rule.id == *id)));
        let one = |id: &str| [id.to_owned()];
        assert!(wants_slow(&[], &[]) && wants_slow(&one("net"), &one("net.size")) && !wants_slow(&one("net.dns"), &[]));
        assert!(ALL.is_sorted_by_key(|rule| rule.section));
        assert!(is_selector("net") && is_selector("net.dns") && is_selector("servers") && !is_selector("nonsense"));
    }
}
