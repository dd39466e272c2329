//! One round of each: the clock goes an hour wrong, and somebody makes it right.

use std::time::Duration;

use clockgate::decision::{Boottime, Offset};

use crate::gate;
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, pass, until};
use crate::watch::{self, Seen};

/// The clock counts as right when it is within this of the truth.
const RIGHT: Duration = Duration::from_millis(100);
/// chronyd has slewed what was left.
const CALM: Duration = Duration::from_millis(20);
/// How long the machine sleeps.
const SLEEP: Duration = Duration::from_secs(1);
/// Asking the guest takes its one processor: not while it is measured.
const UNDISTURBED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// chronyd ends the burst of a server that is silent after eight questions, two seconds apart.
const SETTLED: Duration = Duration::from_secs(60);
/// How long the usual hook is watched.
const HOOK_WATCHED: Duration = Duration::from_secs(10);
const KNOWS: &str = "chronyc -n sources | grep -q '^\\^\\*' && chronyc tracking | grep -q '^Leap status *: Normal'";
const AN_HOUR_BACK: &str = "date -u -s '1 hour ago'";

const SHUT: &str = "gate shut";
/// The parts of the walk: their names, what they are, and how the agent's log says that they are over.
pub const PARTS: [(&str, &str, &str); 6] = [
    ("shut", "the agent was notified, and the gate is shut", SHUT),
    ("forgotten", "chronyd has dropped what it knew", "event=Forgotten"),
    ("measured", "one exchange with the server", "event=Measured"),
    ("stepped", "the clock is right", "clock stepped"),
    ("handed over", "chronyd measures anew", "event=HandedOver"),
    ("proven", "a second exchange; the gate is open", "gate open"),
];

/// How one round went, from the moment the clock was wrong.
#[derive(Debug)]
pub struct Round {
    /// Until the clock was right.
    pub right: Duration,
    /// Until a workload was released, where anything releases it.
    pub released: Option<Duration>,
    /// What the agent said, and when; nothing without one.
    pub said: Vec<(Duration, String)>,
}

impl Round {
    /// Until work may go on.
    pub fn end(&self) -> Duration {
        self.released.unwrap_or(self.right)
    }

    /// Until a part of the walk was over.
    pub fn end_of(&self, mark: &str) -> Outcome<Duration> {
        let said = self.said.iter().find(|(_, text)| text.contains(mark)).map(|(at, _)| *at);
        said.map_or_else(|| fail(format!("nothing is said of {mark:?} in {:?}", self.said)), Ok)
    }
}

/// The guest, and who keeps its time.
pub struct Bench<'a> {
    guest: &'a Guest,
    world: &'a World,
}

impl<'a> Bench<'a> {
    /// A guest whose clocks and gate are watched.
    pub fn prepare(guest: &'a Guest, world: &'a World) -> Outcome<Self> {
        guest.set_right()?;
        guest.put("/etc/systemd/timesyncd.conf", &format!("[Time]\nNTP={}\n", world.truth.address()))?;
        gate::start(guest, world)?;
        watch::start(guest)?;
        Ok(Self { guest, world })
    }

    /// Starts chronyd anew, and returns when it is synchronised and may step by itself no more.
    pub fn chronyd(&self, polling: &str) -> Outcome {
        self.chronyd_that_follows(&format!("server {} iburst {polling}\n", self.world.truth.address()))
    }

    /// The same, following others.
    pub fn chronyd_that_follows(&self, sources: &str) -> Outcome {
        self.guest.put(
            "/etc/chrony/chrony.conf",
            &format!("{sources}driftfile /run/chrony.drift\nmakestep 1 1\nrtcsync\n"),
        )?;
        self.guest.sh("systemctl stop systemd-timesyncd clockgate")?;
        self.guest.set_right()?;
        self.guest.sh("systemctl restart chrony")?;
        self.chronyd_knows()
    }

    /// Starts the agent, and returns when its gate is open.
    pub fn agent(&self) -> Outcome {
        gate::start(self.guest, self.world).map(drop)
    }

    /// The same, and it says all that it does, which takes time itself.
    pub fn verbose_agent(&self) -> Outcome {
        self.guest.put(
            "/etc/systemd/system/clockgate.service.d/verbose.conf",
            "[Service]\nExecStart=\nExecStart=/usr/bin/clockgate agent --verbose\n",
        )?;
        self.guest.sh("systemctl daemon-reload")?;
        self.agent()
    }

    /// Stops it.
    pub fn no_agent(&self) -> Outcome {
        self.guest.sh("systemctl stop clockgate").map(drop)
    }

    /// Puts timesyncd in chronyd's place, and returns when it is synchronised.
    pub fn timesyncd(&self) -> Outcome {
        self.guest.sh("systemctl stop clockgate chrony; rm -f /run/systemd/timesync/synchronized")?;
        self.guest.set_right()?;
        self.guest.sh("systemctl restart systemd-timesyncd")?;
        until("timesyncd is synchronised", PATIENCE, || {
            Ok((self.guest.run("test -e /run/systemd/timesync/synchronized")?.code == 0).then_some(()))
        })
    }

    /// Somebody sets the clock back; the agent is there.
    pub fn set_back(&self) -> Outcome<Round> {
        self.chronyd_knows()?;
        let (from, truth) = self.now()?;
        self.guest.sh(AN_HOUR_BACK)?;
        let (wrong, right) = self.wrong_and_right("after it was set", from, truth)?;
        // The watch and the agent are woken by the same event, one after the other.
        self.gated(from, right, |heard| heard.min(wrong))
    }

    /// The machine sleeps through logind, and wakes up an hour behind; the agent is there.
    pub fn wake_up(&self) -> Outcome<Round> {
        self.chronyd_knows()?;
        let hook = "/lib/systemd/system-sleep/zz-stale";
        // Last of all before the sleep, as on a host whose hypervisor slept.
        self.guest
            .put_program(hook, &format!("#!/bin/sh\nif [ \"$1\" = pre ]; then sleep 0.2; {AN_HOUR_BACK}; fi\n"))?;
        let (from, truth) = self.now()?;
        self.guest.suspend()?;
        pass(SLEEP);
        self.guest.wake()?;
        let (_, right) = self.wrong_and_right("after waking up", from, truth)?;
        let round = self.gated(from, right, |heard| heard)?;
        self.guest.sh(&format!("rm {hook}"))?;
        Ok(round)
    }

    /// What people who know chrony do, from the very moment the clock is wrong.
    pub fn script(&self) -> Outcome<Round> {
        self.chronyd_rests()?;
        let (from, truth) = self.now()?;
        let said = self.guest.sh_within(
            &format!(
                "{AN_HOUR_BACK} >/dev/null
                 chronyc -m 'reset sources' 'burst 4/4' >/dev/null
                 until chronyc -n sources | grep -q '^\\^\\*'; do sleep 0.05; done
                 chronyc makestep >/dev/null
                 chronyc waitsync 600 0.1 0 0.1 >/dev/null
                 /usr/lib/lab/part stamp"
            ),
            PATIENCE,
        )?;
        let released = Boottime::from_nanos(said.split(' ').next().unwrap_or_default().parse()?);
        let (wrong, right) = self.wrong_and_right("by chronyc's hand", from, truth)?;
        self.is_right()?;
        Ok(Round { right: right.since(wrong), released: Some(released.since(wrong)), said: vec![] })
    }

    /// timesyncd stopped and started; the clock goes wrong in between, since a set clock is the one thing that it notices.
    pub fn restart(&self) -> Outcome<Round> {
        let (from, truth) = self.now()?;
        self.guest
            .sh(&format!("systemctl stop systemd-timesyncd; {AN_HOUR_BACK}; systemctl start systemd-timesyncd"))?;
        let (wrong, right) = self.wrong_and_right("by timesyncd's hand", from, truth)?;
        self.is_right()?;
        Ok(Round { right: right.since(wrong), released: None, said: vec![] })
    }

    /// What most people do: how it ends.
    pub fn hook(&self) -> Outcome<String> {
        self.chronyd_knows()?;
        let said = self.guest.sh(&format!("{AN_HOUR_BACK} >/dev/null; chronyc makestep"))?;
        pass(HOOK_WATCHED);
        let off = self.guest.offset()?;
        let leap = self.guest.sh("chronyc tracking | sed -n 's/^Leap status *: //p'")?;
        Ok(if off.abs() > RIGHT {
            let seconds = HOOK_WATCHED.as_secs();
            format!("never: `{said}`; {seconds} s later off by {off}, leap status {leap}")
        } else {
            format!("within {} s: off by {off}", HOOK_WATCHED.as_secs())
        })
    }

    /// Waits until the gate is open again on the clock that was `right`. `zero` takes when the agent heard of it, and says when
    /// the round began.
    fn gated(&self, from: Boottime, right: Boottime, zero: impl Fn(Boottime) -> Boottime) -> Outcome<Round> {
        let opened = until("the gate is open", PATIENCE, || {
            let seen = watch::seen(self.guest, from)?;
            // The moment of the step is no mark: who notes it and who waits at the gate run one after the other, in either order.
            let mut since = seen.iter().skip_while(|(_, seen)| !matches!(seen, Seen::Gate(false)));
            Ok(since.find(|(_, seen)| matches!(seen, Seen::Gate(true))).map(|(at, _)| *at))
        })?;
        self.is_right()?;
        let log = self.guest.sh("journalctl -u clockgate -o cat")?;
        let mut said: Vec<(Boottime, &str)> = log.lines().filter_map(stamped).filter(|(at, _)| *at > from).collect();
        // Before a sleep it was shut, too: this is the last time before it opens.
        let shut = |(at, text): &(Boottime, &str)| *at < right && text.contains(SHUT);
        let Some(heard) = said.iter().rposition(shut) else { return fail(format!("never shut: {log}")) };
        let zero = zero(said[heard].0);
        let said = said.drain(heard..).map(|(at, text)| (at.since(zero), text.to_owned())).collect();
        Ok(Round { right: right.since(zero), released: Some(opened.since(zero)), said })
    }

    /// When the clock went wrong, and when it was right again, as the guest saw it.
    fn wrong_and_right(&self, how: &str, from: Boottime, truth: Offset) -> Outcome<(Boottime, Boottime)> {
        pass(UNDISTURBED);
        until(&format!("the clock is right again {how}"), PATIENCE, || {
            let seen = watch::seen(self.guest, from)?;
            let offs = || {
                seen.iter().filter_map(|(at, seen)| match seen {
                    Seen::Clock { real_minus_boot } => Some((*at, truth - *real_minus_boot)),
                    Seen::Gate(_) => None,
                })
            };
            let Some((wrong, _)) = offs().find(|(_, off)| off.abs() > RIGHT) else { return Ok(None) };
            Ok(offs().find(|(at, off)| *at > wrong && off.abs() <= RIGHT).map(|(right, _)| (wrong, right)))
        })
    }

    /// The guest's time since boot, and how far the true time is from it.
    fn now(&self) -> Outcome<(Boottime, Offset)> {
        let truth = self.guest.truth()?;
        Ok((Boottime::from_nanos(self.guest.clocks()?.boottime), truth))
    }

    /// As seen from outside.
    fn is_right(&self) -> Outcome {
        let off = self.guest.offset()?;
        ensure(off.abs() <= RIGHT, format!("the clock is off by {off}"))
    }

    fn chronyd_knows(&self) -> Outcome {
        self.settled("chronyd is synchronised", KNOWS)
    }

    /// Rounds of chrony's are alike: a burst that is under way would leave chronyd with fewer samples.
    fn chronyd_rests(&self) -> Outcome {
        let rests = "chronyc activity | grep -q '^0 sources doing burst (return to online)'";
        self.settled("chronyd is synchronised and at rest", &format!("{KNOWS} && {rests}"))
    }

    fn settled(&self, what: &str, script: &str) -> Outcome {
        until(what, SETTLED, || {
            Ok((self.guest.run(script)?.code == 0 && self.guest.offset()?.abs() < CALM).then_some(()))
        })
    }
}

/// A line of the agent's log: when, since boot, and what.
fn stamped(line: &str) -> Option<(Boottime, &str)> {
    let (stamp, text) = line.strip_prefix('[')?.split_once(']')?;
    let seconds: f64 = stamp.trim().parse().ok()?;
    Some((Boottime::default() + Duration::from_secs_f64(seconds), text))
}
