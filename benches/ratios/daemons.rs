//! chronyd and the agent side by side, as on a host, on loopback and with their hands off this machine's clock.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clockgate::daemon::chrony::protocol::ChronyClient;
use clockgate::decision::{Gate, Offset};
use clockgate::page::Page;
use clockgate::sys::clock::boottime;

use crate::lab::liar::Liar;
use crate::lab::world::bring_up_loopback;
use crate::support::chronyd;
use crate::support::private_bus::PrivateBus;
use crate::support::{CLOCKGATE, Ours, Outcome, harmless, until};

/// Who steps the clock, if that has to be: here nobody can.
#[derive(Clone, Copy, Debug)]
pub enum Correction {
    /// Nobody is to.
    None,
    /// The agent, so that it leaves nothing out of a walk but the step.
    Clockgate,
}

/// NTP servers, a bus, a chronyd and an agent that follow them; all of them end with this.
pub struct Daemons {
    folder: PathBuf,
    pub agent: Ours,
    pub chronyd: Ours,
    _bus: PrivateBus,
    _servers: Vec<Liar>,
}

impl Daemons {
    /// Starts them in `folder`, beside one server that tells the truth.
    pub fn start(folder: &Path) -> Outcome<Self> {
        bring_up_loopback()?;
        let server = Liar::here(Offset::ZERO)?;
        Self::beside(folder, vec![server], Correction::None)
    }

    /// Starts them in `folder`; chronyd is synchronised and the agent's gate open on a proof when this returns.
    pub fn beside(folder: &Path, servers: Vec<Liar>, correction: Correction) -> Outcome<Self> {
        // chronyd makes no socket in a folder that others may enter.
        fs::DirBuilder::new().mode(0o700).create(folder)?;
        let addresses: Vec<SocketAddr> = servers.iter().map(Liar::address).collect();
        let bus = PrivateBus::start()?;
        let chronyd = start_chronyd(folder, &addresses)?;
        let agent = start_agent(folder, &addresses, correction, &bus)?;
        let daemons = Self { folder: folder.to_owned(), agent, chronyd, _bus: bus, _servers: servers };
        let soon = || boottime() + Duration::from_secs(2);
        until("chronyd is synchronised", Duration::from_secs(30), || {
            let tracking = ChronyClient::unix(&daemons.socket(), soon()).tracking();
            tracking.is_ok_and(|tracking| tracking.synchronised().is_some())
        })?;
        until("the agent's gate is open", Duration::from_secs(30), || {
            Page::open(&daemons.public()).is_ok_and(|page| page.read().gate == Gate::Proven)
        })?;
        Ok(daemons)
    }

    /// The folder of the agent's page.
    pub fn public(&self) -> PathBuf {
        self.root().join("public")
    }

    /// The agent's socket.
    pub fn peer(&self) -> PathBuf {
        self.root().join("peer")
    }

    /// What people put in front of a command that wants the right time.
    pub fn waitsync(&self) -> Command {
        let mut command = chronyd::chronyc(&self.socket());
        command.args(["waitsync", "1", "0.1", "0", "0.1"]);
        command
    }

    /// The agent's own root: what it publishes lies below it.
    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("chronyd.sock")
    }
}

fn start_chronyd(folder: &Path, servers: &[SocketAddr]) -> Outcome<Ours> {
    let path = |name: &str| folder.join(name).display().to_string();
    let sources: String = servers.iter().map(|s| format!("server {} port {} iburst\n", s.ip(), s.port())).collect();
    // Debian's file, but for the servers and the places.
    let config = format!(
        "{sources}driftfile {}\nntsdumpdir {}\nmaxupdateskew 100.0\nrtcsync\nmakestep 1 3\n\
         port 0\ncmdport 0\nbindcmdaddress {}\npidfile {}\n",
        path("drift"),
        path("nts"),
        path("chronyd.sock"),
        path("chronyd.pid"),
    );
    fs::write(path("chrony.conf"), config)?;
    chronyd::start(path("chrony.conf").as_ref(), &folder.join("chronyd.log"))
}

fn start_agent(folder: &Path, servers: &[SocketAddr], correction: Correction, bus: &PrivateBus) -> Outcome<Ours> {
    let root = folder.join("root");
    fs::create_dir_all(root.join("etc/clockgate"))?;
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let correction = match correction {
        Correction::None => "none",
        Correction::Clockgate => "clockgate",
    };
    // Proofs are renewed as often as is ever allowed without being told to.
    let config = format!(
        "servers: [{}]\ncorrection: {correction}\nremeasure: {{max: 120s}}\npage: {}\nbus: {{system: true, peer: {}}}\n\
         chrony: {{socket: {}}}\n",
        servers.join(", "),
        root.join("public").display(),
        root.join("peer").display(),
        folder.join("chronyd.sock").display(),
    );
    fs::write(root.join("etc/clockgate/config.yaml"), config)?;
    let mut command = harmless(CLOCKGATE);
    command.args(["agent", "--root"]).arg(root);
    // As its unit has it: WatchdogSec=2min.
    command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).env("WATCHDOG_USEC", "120000000");
    command.env_remove("WATCHDOG_PID");
    Ours::logged(&mut command, &folder.join("agent.log"))
}
