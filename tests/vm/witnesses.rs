//! Who saw a wrong clock, and for how long: somebody who does not ask, a container, and somebody who asks at the gate and
//! whose first act is a handshake with a server whose certificate is younger than the machine's image.

use std::time::Duration;

use clockgate::decision::Boottime;

use crate::gate;
use crate::lab::guest::Guest;
use crate::lab::work::{Stamp, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};
use crate::scenarios::{AT_THE_GATE, GONE, SOON, THRESHOLD};
use crate::timeline::{Moment, Timeline, ms};
use crate::tls::{Authority, Handshake, NOT_YET_VALID, Server, VERIFIED};

/// How the gate stood when the machine went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Open: nobody had said that the clock would be wrong.
    Open,
    /// Shut, and whoever had gone through it before may be at work yet.
    Shut,
    /// Shut, and all who ask stood at it.
    Held,
}

/// Three workloads that run.
#[derive(Debug)]
pub struct Witnesses {
    careless: Work,
    contained: Work,
    asking: Work,
    authority: Authority,
}

impl Witnesses {
    /// Starts them; the gate is open.
    pub fn begin(guest: &Guest, world: &World) -> Outcome<Self> {
        Self::begin_with(guest, Authority::trusted_by(guest, world)?)
    }

    /// The same where the machine trusts an authority already.
    pub fn begin_with(guest: &Guest, authority: Authority) -> Outcome<Self> {
        Ok(Self {
            careless: Work::restless(guest, "careless")?,
            contained: Work::in_a_scope(guest, "box")?,
            asking: Handshake::behind_the_gate(guest, "asking")?,
            authority,
        })
    }

    /// Waits until whoever asks stands at the gate.
    pub fn are_held(&self, guest: &Guest) -> Outcome {
        until("the work stands at the gate", SOON, || Ok((guest.run(AT_THE_GATE)?.code == 0).then_some(())))
    }

    /// From now on there is a server whose certificate is younger than all that the machine knows.
    pub fn certificate_is_issued(&self) -> Outcome<Server> {
        self.authority.serve()
    }

    /// Tells and judges what they saw since the machine went on, `since`.
    pub fn judge(self, guest: &Guest, since: Moment, timeline: &Timeline, begin: Begin) -> Outcome {
        let from = since.on_the_machine();
        let opened = from + timeline.open;
        let first = until("whoever asks has made a handshake since the gate is open", SOON * 3, || {
            Ok(Handshake::made_by(&self.asking, guest, opened)?.into_iter().next())
        })?;
        let truth = guest.truth()?;
        let careless = self.careless.stamps_after(guest, from)?;
        let contained = self.contained.stamps_after(guest, from)?;
        let asking = Handshake::made_by(&self.asking, guest, from)?;
        let wrong = |stamps: &[Stamp]| -> Vec<Boottime> {
            stamps.iter().filter(|stamp| stamp.off_by(truth).abs() > THRESHOLD).map(|stamp| stamp.at).collect()
        };
        let (by_careless, by_contained) = (wrong(&careless), wrong(&contained));
        let by_asking: Vec<_> = asking.iter().filter(|one| one.off_by(truth).abs() > THRESHOLD).collect();
        let failed: Vec<_> = asking.iter().filter(|one| one.went != VERIFIED).collect();
        let span = |last: Option<Boottime>| match last {
            Some(last) => format!("for {} ms", ms(last.since(from))),
            None => "never".to_owned(),
        };
        println!(
            "|   a wrong clock was seen by who does not ask {}, in a container {}, behind the gate {} (handshakes that failed: \
             {}); the first since the gate is open{}, at {} ms: {} |",
            span(by_careless.last().copied()),
            span(by_contained.last().copied()),
            span(by_asking.last().map(|one| one.began)),
            failed.len(),
            if first.asked < opened { ", held at it until then" } else { "" },
            ms(first.began.since(from)),
            first.went,
        );
        let told = || format!("{timeline:?}\n{asking:?}\n{}", gate::log(guest).unwrap_or_default());
        // Otherwise nothing was shown.
        let stale = careless.first().is_some_and(|stamp| stamp.off_by(truth).abs() > GONE / 4);
        ensure(stale || begin == Begin::Shut, format!("it has not stood still: {:?}", careless.first()))?;
        ensure(first.went == VERIFIED, format!("the first handshake at the open gate: {first:?}\n{}", told()))?;
        ensure(
            failed.iter().all(|one| one.went == NOT_YET_VALID),
            format!("failed for another reason: {failed:?}\n{}", told()),
        )?;
        // Who asked before may be on its way when the gate is shut.
        let shut = from + if begin == Begin::Open { timeline.shut } else { Duration::ZERO };
        let asked_in_time = |one: &&Handshake| begin != Begin::Held && one.asked < shut;
        for one in by_asking.into_iter().chain(failed) {
            ensure(asked_in_time(&one), format!("it went through a gate that was shut: {one:?}\n{}", told()))?;
        }
        // What is frozen before the machine stands still, or else before the step, sees nothing of what comes in between.
        let frozen = if begin == Begin::Open { timeline.stepped.unwrap_or(timeline.open) } else { Duration::ZERO };
        let late = by_contained.iter().find(|at| **at > from + frozen);
        ensure(late.is_none(), format!("a frozen container went on at {late:?}\n{}", told()))
    }
}
