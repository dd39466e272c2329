//! Questions that take their time, since servers ignore who asks too often: of both families, as long as those of NTS, from port 123.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::key_exchange::KeyExchange;
use super::lookup::look_up;
use super::question::{NtpOutcome, QuestionForm, ask, pause};
use crate::decision::{Boottime, Realtime};
use crate::reference::ServerName;
use crate::reference::tls::TrustedAuthorities;
use crate::sys::clock::boottime;

/// How long each answer is waited for.
const PATIENCE: Duration = Duration::from_millis(900);

/// When each kind of question is due, from when the servers were asked last: ntp.conf(5), `discard`, lets one every two seconds pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The families.
    Families,
    /// The long ones.
    Long,
    /// The measurement that shows the rate.
    Rate,
    /// From port 123.
    FromNtpPort,
}

impl Slot {
    const fn due(self) -> Duration {
        Duration::from_millis(match self {
            Self::Families => 2000,
            Self::Long => 4000,
            Self::Rate => 6000,
            Self::FromNtpPort => 8000,
        })
    }

    /// Waits until it is due.
    pub fn wait(self, began: Boottime) {
        pause((began + self.due()).since(boottime()));
    }
}

/// What one server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowProbe {
    /// As it was configured.
    pub name: ServerName,
    /// One address of each family that it has, and what a question to it got.
    pub families: Vec<(SocketAddr, NtpOutcome)>,
    /// What a long question got; none where no address answers a short one.
    pub long: Option<NtpOutcome>,
    /// The key exchange of NTS; none where there is no address, or no authority whose certificates are believed.
    pub key_exchange: Option<KeyExchange>,
}

impl SlowProbe {
    /// An address that answers.
    #[must_use]
    pub fn answering(&self) -> Option<SocketAddr> {
        self.families.iter().find_map(|(address, outcome)| is_answer(outcome).then_some(*address))
    }
}

/// What a question from port 123 got, beside one from another port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedPortProbe {
    /// Whom it was asked.
    pub address: SocketAddr,
    /// Whether questions from other ports are answered.
    pub others_answered: bool,
    /// What it got.
    pub outcome: NtpOutcome,
}

/// Whether the question got there and the answer back.
#[must_use]
pub const fn is_answer(outcome: &NtpOutcome) -> bool {
    match outcome {
        NtpOutcome::Answered { .. } | NtpOutcome::Kiss(_) | NtpOutcome::Unusable(_) => true,
        NtpOutcome::NotSent(_) | NtpOutcome::Refused(_) | NtpOutcome::Silent { .. } | NtpOutcome::NoSocket(_) => false,
    }
}

/// Asks one address of each family of each server, and their key exchange; certificates have to hold at `time`.
#[must_use]
pub fn of_each_family(
    names: &[ServerName],
    time: Realtime,
    authorities: Option<&TrustedAuthorities>,
) -> Vec<SlowProbe> {
    let workers: Vec<_> = names
        .iter()
        .cloned()
        .map(|name| {
            let authorities = authorities.cloned();
            thread::spawn(move || families(name, time, authorities.as_ref()))
        })
        .collect();
    workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
}

fn families(name: ServerName, time: Realtime, authorities: Option<&TrustedAuthorities>) -> SlowProbe {
    let addresses = look_up(&name, PATIENCE).unwrap_or_default();
    let first = |is_six: bool| addresses.iter().copied().find(|address| address.is_ipv6() == is_six);
    let asked: Vec<_> = [first(false), first(true)]
        .into_iter()
        .flatten()
        .map(|address| (address, thread::spawn(move || ask(address, QuestionForm::Plain, PATIENCE))))
        .collect();
    let key_exchange = authorities
        .zip(asked.first())
        .map(|(authorities, (address, _))| KeyExchange::tried(name.host(), *address, time, authorities, PATIENCE));
    let families = asked.into_iter().filter_map(|(address, asked)| Some((address, asked.join().ok()?))).collect();
    SlowProbe { name, families, long: None, key_exchange }
}

/// Asks each that answers once more, at length.
pub fn long(probes: &mut [SlowProbe]) {
    let ask_one = |probe: &SlowProbe| {
        let address = probe.answering()?;
        Some(thread::spawn(move || ask(address, QuestionForm::Long, PATIENCE)))
    };
    let workers: Vec<_> = probes.iter().map(ask_one).collect();
    for (probe, worker) in probes.iter_mut().zip(workers) {
        probe.long = worker.and_then(|worker| worker.join().ok());
    }
}

/// Asks one of them from port 123: one that answers, where there is one.
#[must_use]
pub fn from_ntp_port(probes: &[SlowProbe]) -> Option<FixedPortProbe> {
    let answering = probes.iter().find_map(SlowProbe::answering);
    let address = answering.or_else(|| probes.iter().find_map(|probe| Some(probe.families.first()?.0)))?;
    let outcome = ask(address, QuestionForm::FromNtpPort, PATIENCE);
    Some(FixedPortProbe { address, others_answered: answering.is_some(), outcome })
}
