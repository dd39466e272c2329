//! What the slow questions found: they are asked only with `-v`.

use nix::errno::Errno;

use super::CheckVerdict;
use super::clock::agreed;
use crate::doctor::facts::{DoctorFacts, SlowFacts};
use crate::reference::probe::{KeyExchange, LONG, NtpOutcome, SlowProbe, is_answer};

/// MAXFREQ in include/linux/timex.h: the most that adjtimex(2) corrects, parts per million.
const CORRECTED_PPM: i64 = 500;

fn asked(facts: &DoctorFacts) -> Option<&SlowFacts> {
    facts.network.slow.as_ref().filter(|slow| !slow.probes.is_empty())
}

/// The machine's own timer, which no program slews: a crystal is off by 100 ppm at most.
pub fn rate(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let slow = facts.network.slow.as_ref()?;
    let Some(timer) = &slow.timer else { return Some(CheckVerdict::skip("no server answered twice")) };
    let (off, bound) = (timer.error_ppm.abs(), timer.bound_ppm);
    let evidence = format!("by two answers of {}", timer.source);
    Some(if off - bound > CORRECTED_PPM {
        let way = if timer.error_ppm > 0 { "fast" } else { "slow" };
        let title =
            format!("the timer of this machine is {off} ppm too {way} (to {bound} ppm), and the kernel corrects 500");
        CheckVerdict::fail(title)
            .because(evidence)
            .mend("start the machine again, so that the kernel calibrates it anew; under WSL: wsl --shutdown")
    } else {
        CheckVerdict::ok(format!("the timer runs {off} ppm off, to {bound} ppm")).because(evidence)
    })
}

/// Families: a daemon takes an address of either, and may take the one that does not get through.
pub fn family(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let probes = &asked(facts)?.probes;
    let lost = |probe: &'_ SlowProbe| {
        probe.answering()?;
        probe.families.iter().find(|(_, outcome)| !is_answer(outcome)).cloned()
    };
    let found: Vec<_> = probes.iter().filter_map(lost).collect();
    let Some((address, outcome)) = found.first() else {
        let both =
            probes.iter().any(|probe| probe.families.iter().filter(|(_, outcome)| is_answer(outcome)).count() > 1);
        return both.then(|| CheckVerdict::ok("IPv4 and IPv6 get through"));
    };
    let (this, other) = if address.is_ipv6() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    let all = found.iter().map(|(address, outcome)| format!("{address}: {outcome:?}"));
    let is_without =
        matches!(outcome, NtpOutcome::NotSent(Errno::ENETUNREACH | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT));
    Some(if is_without {
        CheckVerdict::note(format!("this host has no {this}, and its servers answer by {other}")).because_all(all)
    } else {
        CheckVerdict::warn(format!("{this} does not get through to {} server(s), and {other} does", found.len()))
            .because_all(all)
            .mend(format!(
                "ip route get {}  # mend {this}, or name addresses of {other} in the daemon's configuration",
                address.ip()
            ))
    })
}

/// Providers filter long packets of UDP port 123, against amplification: plain NTP is short, that of NTS is not.
pub fn size(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let outcomes: Vec<_> =
        asked(facts)?.probes.iter().filter_map(|probe| Some((&probe.name, probe.long.as_ref()?))).collect();
    if outcomes.is_empty() {
        return Some(CheckVerdict::skip("no server answered a short question"));
    }
    let lost: Vec<_> = outcomes.iter().filter(|(_, outcome)| !is_answer(outcome)).collect();
    let all = lost.iter().map(|(name, outcome)| format!("{name}: {outcome:?}"));
    Some(if lost.is_empty() {
        CheckVerdict::ok(format!("questions of {LONG} bytes are answered, as long as those of NTS"))
    } else if lost.len() == outcomes.len() {
        CheckVerdict::warn(format!(
            "questions of 48 bytes are answered and those of {LONG} bytes are lost: NTS fails here"
        ))
        .because("a filter on the way goes by their size, or no server knows extensions")
        .because_all(all)
        .mend("allow UDP port 123 whatever the length, or use servers without NTS")
    } else {
        CheckVerdict::note(format!(
            "{} of {} server(s) do not answer questions of {LONG} bytes",
            lost.len(),
            outcomes.len()
        ))
        .because_all(all)
    })
}

/// Providers drop what comes from or goes to port 123 of a customer; firewalls let only such pass.
pub fn source_port(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let probe = asked(facts)?.from_ntp_port.as_ref()?;
    let (address, others) = (probe.address, probe.others_answered);
    Some(match (&probe.outcome, others) {
        (NtpOutcome::NoSocket(why), _) => CheckVerdict::skip(format!("cannot ask from port 123: {why}")),
        (outcome, true) if is_answer(outcome) => CheckVerdict::ok("questions from port 123 are answered as others are"),
        (outcome, false) if is_answer(outcome) => CheckVerdict::warn(format!(
            "{address} answers questions from port 123 alone: a firewall lets no other pass"
        ))
        .mend("allow the answers to any port, or let the daemon ask from port 123 (`acquisitionport 123`)"),
        (_, true) => CheckVerdict::warn(format!(
            "{address} does not answer questions from port 123, and others it does: a daemon that asks from there fails"
        ))
        .because(format!("{:?}", probe.outcome))
        .mend("let the daemon ask from another port, or allow UDP from port 123 to port 123"),
        (_, false) => CheckVerdict::skip("no server answers, from whatever port"),
    })
}

/// The key exchange of NTS, which a server may or may not have.
pub fn nts(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let probes = &asked(facts)?.probes;
    let tried: Vec<_> = probes.iter().filter_map(|probe| Some((&probe.name, probe.key_exchange.as_ref()?))).collect();
    if tried.is_empty() {
        return Some(CheckVerdict::skip("no server has an address, or no authority of certificates is known here"));
    }
    let answered = tried.iter().filter(|(_, outcome)| **outcome == KeyExchange::Answered).count();
    let is_needed = facts.daemon.running.iter().any(|running| running.authenticated > 0);
    let all = tried.iter().map(|(name, outcome)| format!("{}, TCP port 4460: {}", name.host(), in_words(outcome)));
    let bad = tried.iter().find_map(|(name, outcome)| match outcome {
        KeyExchange::BadCertificate(why) => Some(format!("{} for NTS: {why}", name.host())),
        KeyExchange::Answered | KeyExchange::Refused | KeyExchange::Silent | KeyExchange::Failed(_) => None,
    });
    let judged = |title: String| if is_needed { CheckVerdict::warn(title) } else { CheckVerdict::note(title) };
    let at = if agreed(facts).is_some() {
        "certificates were verified at the measured time"
    } else {
        "certificates were verified by this clock"
    };
    Some(match (bad, answered) {
        (Some(title), _) => judged(title).because_all(all).because(at),
        (None, 0) if is_needed => judged("no server answers the key exchange of NTS (TCP port 4460)".to_owned())
            .because_all(all)
            .mend("allow TCP port 4460 outward, or name servers that have NTS"),
        (None, 0) => judged("no server offers NTS".to_owned()).because_all(all),
        (None, count) => {
            CheckVerdict::ok(format!("{count} of {} server(s) offer NTS, with certificates that hold", tried.len()))
                .because_all(all)
                .because(at)
        }
    })
}

fn in_words(outcome: &KeyExchange) -> String {
    match outcome {
        KeyExchange::Answered => "answers".to_owned(),
        KeyExchange::Refused => "refused".to_owned(),
        KeyExchange::Silent => "silent".to_owned(),
        KeyExchange::BadCertificate(why) | KeyExchange::Failed(why) => why.clone(),
    }
}
