//! Doing what was drawn, to the guest and to its world.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::{Boottime, Offset};
use clockgate::sys::clock;

use super::judge::STARTED;
use super::plan::{Act, Disruption, Folder};
use crate::lab::guest::Guest;
use crate::lab::liar::{Liar, Manner};
use crate::lab::watch::{Truths, VERB_ONCE};
use crate::lab::world::World;
use crate::lab::{Outcome, engine, fail, pass, until};

const HONEST: [u8; 3] = [2, 3, 4];
const STALE: &str = "/lib/systemd/system-sleep/zz-stale";
/// clockgate(8): the exit code where there is no agent.
const NO_AGENT: i32 = 69;

/// The unit that keeps the clock beside the agent.
const DAEMONS: [&str; 2] = ["chrony", "systemd-timesyncd"];

/// What surrounds the agent, as it is now: the servers beside the true one, the time daemon, full folders.
pub struct Surroundings<'w> {
    world: &'w World,
    others: Vec<(u8, Liar)>,
    /// Of [`DAEMONS`].
    daemon: usize,
    full: Vec<Folder>,
    /// When the last lie or silence is over, and every folder can be written to again; none where all is well.
    until: Option<Boottime>,
}

impl<'w> Surroundings<'w> {
    /// Three of them, honest.
    pub fn start(guest: &Guest, world: &'w World) -> Outcome<Self> {
        let address = world.truth.address();
        guest.put("/etc/systemd/timesyncd.conf.d/lab.conf", &format!("[Time]\nNTP={address}\n"))?;
        // A file system of its own, which can be full by itself.
        guest.sh("mkdir -p /var/lib/clockgate; mount -t tmpfs -o size=4m,mode=755 none /var/lib/clockgate")?;
        let mut around = Self { world, others: vec![], daemon: 0, full: vec![], until: None };
        around.speak()?;
        Ok(around)
    }

    /// How the agent's configuration names them.
    pub fn configured(&self) -> String {
        let others = HONEST.map(|last| self.world.address(last).to_string());
        format!("servers: [{}, {}]\n", self.world.truth.address(), others.join(", "))
    }

    fn lie(&mut self, server: u8, manner: Manner, lasts: Duration) -> Outcome {
        self.others.retain(|(last, _)| *last != server);
        self.serve(server, manner)?;
        self.lasts(lasts);
        Ok(())
    }

    fn serve(&mut self, server: u8, manner: Manner) -> Outcome {
        let liar = Liar::that(SocketAddr::from((self.world.address(server), 123)), manner)?;
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
            self.serve(last, Manner::default())?;
        }
        self.world.truth.speak()
    }

    fn lasts(&mut self, lasts: Duration) {
        self.until = self.until.max(Some(clock::boottime() + lasts));
    }

    /// Waits until the last lie or silence is over, and ends them.
    fn wait(&mut self, guest: &Guest) -> Outcome {
        let Some(until) = self.until.take() else { return Ok(()) };
        pass(until.since(clock::boottime()));
        self.empty(guest)?;
        self.speak()
    }

    /// No byte and no file more than there are.
    fn fill(&mut self, guest: &Guest, folder: Folder, lasts: Duration) -> Outcome {
        let path = folder.path();
        guest.sh(&format!(
            "full() {{ set -- $(df -k --output=used,iused {path} | tail -n 1); mount -o remount,size=$1k,nr_inodes=$2 {path}; }}
             # Somebody may have written meanwhile.
             full 2>/dev/null || full 2>/dev/null || full
             ! sh -c 'echo full >{path}/full' 2>/dev/null"
        ))?;
        self.full.push(folder);
        self.lasts(lasts);
        Ok(())
    }

    /// Room again; and who could not start without it starts.
    fn empty(&mut self, guest: &Guest) -> Outcome {
        for folder in self.full.drain(..) {
            guest.sh(&format!("mount -o remount,size=20%,nr_inodes=800k {}", folder.path()))?;
        }
        let daemon = DAEMONS[self.daemon];
        guest.sh(&format!("systemctl -q is-active {daemon} || systemctl restart {daemon}")).map(drop)
    }

    /// With `/run` full it may not come up; [`Self::empty`] sees to that.
    fn restart_daemon(&self, guest: &Guest) -> Outcome {
        let daemon = DAEMONS[self.daemon];
        guest
            .sh(&format!("systemctl reset-failed {daemon}; systemctl restart {daemon} || {}", self.may_fail()))
            .map(drop)
    }

    fn replace_daemon(&mut self, guest: &Guest) -> Outcome {
        guest.sh(&format!("systemctl stop {}", DAEMONS[self.daemon]))?;
        self.daemon = (self.daemon + 1) % DAEMONS.len();
        self.restart_daemon(guest)
    }

    /// systemd-timesyncd asks its server as soon as the clock was set by others (timesyncd-manager.c, `manager_clock_watch`).
    pub fn undoes_steps_at_once(&self) -> bool {
        DAEMONS[self.daemon] == "systemd-timesyncd"
    }

    fn restart_agent(&self, guest: &Guest) -> Outcome {
        guest.sh(&format!("systemctl restart clockgate || {}", self.may_fail())).map(drop)
    }

    /// A shell's command that ends as what failed may end.
    fn may_fail(&self) -> &'static str {
        if self.full.contains(&Folder::Run) { "true" } else { "false" }
    }
}

/// Does what was drawn; returns when the last lie is over and the machine is awake.
pub fn perform(guest: &Guest, around: &mut Surroundings<'_>, truths: &mut Truths, disruption: &Disruption) -> Outcome {
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
            Act::Lie { server, by, round_trip, lasts } => {
                around.lie(server, Manner::far(round_trip).off(by), lasts)?;
            }
            Act::Silence { lasts } => around.fall_silent(lasts)?,
            Act::KillAgent => guest.sh("systemctl kill --kill-whom=main -s KILL clockgate || true").map(drop)?,
            Act::StopAgent { lasts, moved } => stop(guest, lasts, moved)?,
            Act::RestartAgent => around.restart_agent(guest)?,
            Act::RestartDaemon => around.restart_daemon(guest)?,
            Act::ReplaceDaemon => around.replace_daemon(guest)?,
            Act::RestartEngine => engine::restart(guest, STARTED, VERB_ONCE)?,
            Act::Full { folder, lasts } => around.fill(guest, folder, lasts)?,
            Act::Notify(what) => notify(guest, what, disruption)?,
        }
    }
    around.wait(guest)
}

fn stop(guest: &Guest, lasts: Duration, moved: Offset) -> Outcome {
    guest.sh("systemctl kill --kill-whom=main -s STOP clockgate || true")?;
    step(guest, moved)?;
    pass(lasts);
    guest.sh("systemctl kill --kill-whom=main -s CONT clockgate || true").map(drop)
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
