//! The agent in the guest: starting it, and reading its gate.

use std::time::Duration;

use serde_json::Value;

use crate::lab::guest::Guest;
use crate::lab::wire::Ran;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, until};

/// Long enough for a busy machine, where the agent itself takes milliseconds.
const SOON: Duration = Duration::from_secs(120);

/// Starts the agent with the true server as its reference; returns when the gate is open on a proof.
pub fn start(guest: &Guest, world: &World) -> Outcome<Gate> {
    start_with(guest, &format!("servers: [{}]\n", world.truth.address()))?;
    proven(guest)
}

/// Starts the agent with this configuration; returns when its unit is active.
pub fn start_with(guest: &Guest, config: &str) -> Outcome {
    guest.put("/etc/clockgate/config.yaml", config)?;
    guest.sh("systemctl start clockgate").map(drop)
}

/// How the gate stands.
#[derive(Clone, Debug)]
pub struct Gate {
    pub gate: String,
    pub state: String,
    pub epoch: u64,
    pub cause: String,
    pub why: String,
}

/// Reads the gate as any user may.
pub fn read(guest: &Guest) -> Outcome<Gate> {
    parse(&guest.run("setpriv --reuid 65534 --clear-groups clockgate status --json")?)
}

/// What `clockgate status --json` said.
pub fn parse(ran: &Ran) -> Outcome<Gate> {
    ensure(matches!(ran.code, 0 | 1 | 69), format!("status ended with {}: {}", ran.code, ran.err))?;
    let json: Value = serde_json::from_str(&ran.out)?;
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let Some(epoch) = json["epoch"].as_u64() else { return fail(format!("no epoch in {json}")) };
    let gate = Gate { gate: text("gate"), state: text("state"), epoch, cause: text("cause"), why: text("why") };
    ensure((ran.code == 0) == gate.is_proven(), format!("status ended with {}, and says {}", ran.code, gate.gate))?;
    Ok(gate)
}

impl Gate {
    pub fn is_proven(&self) -> bool {
        self.gate == "open"
    }
}

/// Waits until the gate is open on a proof.
pub fn proven(guest: &Guest) -> Outcome<Gate> {
    when(guest, "the gate is open on a proof", Gate::is_proven)
}

/// Waits until the gate is as `wanted`.
pub fn when(guest: &Guest, what: &str, wanted: impl Fn(&Gate) -> bool) -> Outcome<Gate> {
    let mut last = None;
    until(what, SOON, || {
        let gate = read(guest)?;
        last = Some(gate.clone());
        Ok(wanted(&gate).then_some(gate))
    })
    .map_err(|failed| format!("{}; the gate: {last:?}", failed.message().unwrap_or_default()).into())
}

/// What the agent has said since the scenario began.
pub fn log(guest: &Guest) -> Outcome<String> {
    guest.sh("journalctl -u clockgate -o cat --no-pager \
         _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value clockgate)")
}
