//! The program in the agent's place: what an upgrade has laid goes on as the same process.

use std::fs;
use std::path::PathBuf;

use clockgate::decision::{Gate, Offset};
use nix::sys::signal::{Signal, kill};

use super::support::liar::Liar;
use super::support::{CLOCKGATE, Ours, Outcome, copy_program, harmless, until};
use super::{Host, SOON, ended, proven};

pub fn goes_on() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let (program, later) = (host.0.path().join("program"), host.0.path().join("later"));
    copy_program(CLOCKGATE.as_ref(), &program)?;
    let mut agent = spawn(&host, &program)?;
    host.gate("the gate is proven", proven)?;
    copy_program(CLOCKGATE.as_ref(), &later)?;
    fs::rename(&later, &program)?;
    let runs = format!("/proc/{}/exe", agent.pid());
    assert_ne!(fs::read_link(&runs)?, program, "it runs by a file that is gone");
    // Once, and once more: the process has what it began with.
    for epoch in [2, 3] {
        kill(agent.pid(), Signal::SIGUSR2)?;
        host.gate("the new program proves the clock", |view| proven(view) && view.epoch == epoch)?;
        assert_eq!(fs::read_link(&runs)?, program, "{}", host.log());
    }
    fs::remove_file(&program)?;
    kill(agent.pid(), Signal::SIGUSR2)?;
    assert_eq!(ended(&mut agent)?, Some(69), "{}", host.log());
    host.gate("the gate is shut", |view| view.gate == Gate::Shut && view.state_name() == "Ended")?;
    until("it says what is missing", SOON, || host.log().contains("the agent cannot go on: cannot execute"))
}

fn spawn(host: &Host, program: &PathBuf) -> Outcome<Ours> {
    let mut command = harmless(program);
    command.arg("agent").arg("--root").arg(host.0.path()).env_remove("CLOCKGATE_SERVERS");
    Ours::logged(&mut command, &host.0.path().join("log"))
}
