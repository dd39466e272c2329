//! Doing what was drawn, to the guest and to its world.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::{Boottime, Offset};
use clockgate::sys::clock;

use super::plan::{Act, Disruption};
use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::watch::Truths;
use crate::lab::world::World;
use crate::lab::{Outcome, fail, pass, until};

const HONEST: [u8; 3] = [2, 3, 4];
const STALE: &str = "/lib/systemd/system-sleep/zz-stale";
/// clockgate(8): the exit code where there is no agent.
const NO_AGENT: i32 = 69;

/// The servers beside the true one, as they are now.
pub struct Servers<'w> {
    world: &'w World,
    others: Vec<(u8, Liar)>,
    /// When the last lie or silence is over; none where all of them are honest.
    until: Option<Boottime>,
}

impl<'w> Servers<'w> {
    /// Three of them, honest.
    pub fn start(world: &'w World) -> Outcome<Self> {
        let mut servers = Self { world, others: vec![], until: None };
        servers.speak()?;
        Ok(servers)
    }

    /// How the agent's configuration names them.
    pub fn configured(&self) -> String {
        let others = HONEST.map(|last| self.world.address(last).to_string());
        format!("servers: [{}, {}]\n", self.world.truth.address(), others.join(", "))
    }

    fn lie(&mut self, server: u8, by: Offset, lasts: Duration) -> Outcome {
        self.others.retain(|(last, _)| *last != server);
        self.serve(server, by)?;
        self.lasts(lasts);
        Ok(())
    }

    fn serve(&mut self, server: u8, by: Offset) -> Outcome {
        let liar = Liar::start(SocketAddr::from((self.world.address(server), 123)), by)?;
        self.others.push((server, liar));
        Ok(())
    }

    fn fall_silent(&mut self, lasts: Duration) -> Outcome {
        self.world.truth.silence()?;
        self.others.clear();
        self.lasts(lasts);
        Ok(())
    }

    /// From now on all of them are honest. What the true one was asked meanwhile it answers now: late.
    fn speak(&mut self) -> Outcome {
        self.others.clear();
        for last in HONEST {
            self.serve(last, Offset::ZERO)?;
        }
        self.world.truth.speak()
    }

    fn lasts(&mut self, lasts: Duration) {
        self.until = self.until.max(Some(clock::boottime() + lasts));
    }

    /// Waits until the last lie or silence is over, and ends them.
    fn wait(&mut self) -> Outcome {
        let Some(until) = self.until.take() else { return Ok(()) };
        pass(until.since(clock::boottime()));
        self.speak()
    }
}

/// Does what was drawn; returns when the last lie is over and the machine is awake.
pub fn perform(guest: &Guest, servers: &mut Servers<'_>, truths: &mut Truths, disruption: &Disruption) -> Outcome {
    for (n, (pause, act)) in disruption.0.iter().enumerate() {
        if n > 0 {
            pass(*pause);
        }
        match *act {
            Act::Sleep { lasts, moved } => {
                sleep(guest, lasts, moved)?;
                truths.calibrate(guest)?;
            }
            Act::Step(by) => step(guest, by)?,
            Act::Lie { server, by, lasts } => servers.lie(server, by, lasts)?,
            Act::Silence { lasts } => servers.fall_silent(lasts)?,
            Act::KillAgent => guest.sh("systemctl kill --kill-whom=main -s KILL clockgate || true").map(drop)?,
            Act::RestartDaemon => guest.sh("systemctl reset-failed chrony; systemctl restart chrony").map(drop)?,
            Act::Notify(what) => notify(guest, what, disruption)?,
        }
    }
    servers.wait()
}

fn step(guest: &Guest, by: Offset) -> Outcome {
    guest.sh(&format!("date -u -s '{}'", in_words(by))).map(drop)
}

fn sleep(guest: &Guest, lasts: Duration, moved: Offset) -> Outcome {
    let hook = if moved == Offset::ZERO {
        "#!/bin/sh\n".to_owned()
    } else {
        format!("#!/bin/sh\nif [ \"$1\" = pre ]; then sleep 0.1; date -u -s '{}'; fi\n", in_words(moved))
    };
    guest.put_program(STALE, &hook)?;
    // logind takes no new order while the hooks of the last sleep still run.
    until("logind and systemd are done with the last sleep", Duration::from_secs(20), || {
        let busy = guest.sh("busctl get-property org.freedesktop.login1 /org/freedesktop/login1 \
             org.freedesktop.login1.Manager PreparingForSleep; systemctl is-active systemd-suspend || true")?;
        Ok(matches!(busy.as_str(), "b false\ninactive" | "b false\nfailed").then_some(()))
    })?;
    guest.suspend()?;
    pass(lasts);
    guest.wake().map(drop)
}

fn notify(guest: &Guest, what: &str, disruption: &Disruption) -> Outcome {
    let wait = if matches!(what, "suspend" | "pre-snapshot") { "--wait" } else { "" };
    let ran = guest.run(&format!("clockgate notify {what} {wait}"))?;
    match ran.code {
        0 => Ok(()),
        NO_AGENT if disruption.kills() => Ok(()),
        code => fail(format!("`clockgate notify {what} {wait}` ended with {code}: {}", ran.err)),
    }
}

/// As date(1) takes it.
fn in_words(by: Offset) -> String {
    let ago = if by.is_backward() { " ago" } else { "" };
    format!("{}.{:03} seconds{ago}", by.abs().as_secs(), by.abs().subsec_millis())
}
