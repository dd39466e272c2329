//! On a terminal.

use std::os::unix::process::ExitStatusExt as _;

use clockgate::decision::{Snapshot, State};
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::boottime;
use nix::sys::signal::{Signal, kill};

use crate::follower::OnTerminal;
use crate::support::gate_page::{self, proven, shut};
use crate::support::host::HostFolder;
use crate::support::{Outcome, ensure, until, until_some};
use crate::{HOUR, SOON};

/// xterm's second screen and its cursor.
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";

fn open() -> Outcome<(HostFolder, GatePage, OnTerminal)> {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &Snapshot { next: boottime() + HOUR, ..proven() })?;
    page.alive(boottime() + HOUR)?;
    let terminal = OnTerminal::start(host.path())?;
    terminal.shows("the gate is open", |picture| picture.contains("     Gate: open\n"))?;
    Ok((host, page, terminal))
}

pub fn drawn() -> Outcome {
    let (_host, mut page, terminal) = open()?;
    ensure(terminal.0.all().starts_with(OPEN), terminal.0.all())?;
    // On a proof nothing counts: moments are times of day.
    let picture = terminal.picture();
    for line in ["    Epoch: 1, since ", "   Proven: until ", "     Next: measurement at "] {
        let line = picture.lines().find(|one| one.starts_with(line)).ok_or(picture.clone())?;
        ensure(line.contains("UTC"), &picture)?;
    }
    page.publish(&Snapshot { deadline: boottime() + HOUR, ..shut() })?;
    let picture = terminal.shows("the gate is shut", |picture| picture.contains("     Gate: shut\n"))?;
    let counted = |picture: &str| {
        let line = picture.lines().find_map(|line| line.strip_prefix(" Deadline: in "))?;
        line.strip_suffix(" s")?.parse::<u64>().ok()
    };
    let first = counted(&picture).ok_or_else(|| format!("no deadline: {picture}"))?;
    terminal.shows("the seconds go down", |picture| counted(picture).is_some_and(|now| now < first))?;
    page.publish(&Snapshot { state: State::FreeRunning.code(), ..proven() })?;
    terminal.shows("it is open again", |picture| picture.contains("    State: FreeRunning\n")).map(drop)
}

pub fn resized() -> Outcome {
    let (_host, mut page, terminal) = open()?;
    terminal.resize(5, 20)?;
    let picture = terminal.shows("it is small", |picture| picture.contains("more lines"))?;
    ensure(picture.lines().count() == 4 && picture.lines().all(|line| line.len() < 20), &picture)?;
    terminal.resize(30, 100)?;
    terminal.shows("it is large", |picture| picture.contains("   Daemon: none is seen to run\n"))?;
    // It goes on as before.
    page.publish(&shut())?;
    terminal.shows("the gate is shut", |picture| picture.contains("     Gate: shut\n")).map(drop)
}

pub fn interrupted() -> Outcome {
    for (signal, key) in [(Signal::SIGINT, Some(3)), (Signal::SIGQUIT, Some(28)), (Signal::SIGTERM, None)] {
        let (_host, _page, mut terminal) = open()?;
        match key {
            Some(key) => terminal.0.types(&[key])?,
            None => kill(terminal.0.child.pid(), signal)?,
        }
        let ended = until_some("it ends", SOON, || terminal.0.child.0.try_wait().ok().flatten())?;
        ensure(ended.signal() == Some(signal as i32), format!("{signal}: {ended}"))?;
        until("the terminal is given back", SOON, || terminal.0.all().trim_end().ends_with(CLOSE))
            .map_err(|_| format!("{signal}: {:?}", terminal.0.all()))?;
    }
    Ok(())
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('T'))
}

pub fn stopped() -> Outcome {
    let (_host, mut page, mut terminal) = open()?;
    let pid = terminal.0.child.0.id();
    terminal.0.types(&[26])?;
    until("it is stopped", SOON, || is_stopped(pid))?;
    until("the terminal is given back", SOON, || terminal.0.all().ends_with(CLOSE))?;
    page.publish(&shut())?;
    kill(terminal.0.child.pid(), Signal::SIGCONT)?;
    terminal.shows("it shows what has happened meanwhile", |picture| picture.contains("     Gate: shut\n"))?;
    ensure(terminal.0.all().matches(OPEN).count() == 2, terminal.0.all())
}
