//! What the guest's clocks and gate did, and when, by the guest's own clock that nobody sets. One part runs in the guest and is
//! woken by each change; the other reads what it wrote.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clockgate::decision::{Boottime, Gate, Offset};
use clockgate::page::{DIRECTORY, Page};
use clockgate::sys::async_descriptor::readable;
use clockgate::sys::clock;
use clockgate::sys::timerfd::ClockSetWatch;

use crate::lab::guest::Guest;
use crate::lab::{Outcome, fail};

const VERB: &str = "watch-this";
const CLOCKS: &str = "clocks";
const GATE: &str = "gate";
const WRITTEN: &str = "/run/watched";

/// Watches, if the arguments say so; ends when it is killed.
pub fn perform_verb() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [VERB, CLOCKS] => clocks().map_err(|error| error.to_string()),
        [VERB, GATE] => gate(),
        _ => return None,
    };
    eprintln!("nobody watches any more: {outcome:?}");
    Some(ExitCode::FAILURE)
}

fn clocks() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let watch = readable(ClockSetWatch::new()?)?;
        println!("ready");
        loop {
            let mut ready = watch.readable().await?;
            if let Ok(set) = ready.try_io(|watch| watch.get_ref().was_set()) {
                set?;
                let (at, standing) = (clock::boottime(), clock::standing());
                println!("clock {} {}", at.as_nanos(), standing.real_minus_boot.as_nanos());
            }
        }
    })
}

fn gate() -> Result<(), String> {
    let page = Page::open(Path::new(DIRECTORY)).map_err(|error| error.to_string())?;
    loop {
        let view = page.read();
        println!("gate {} {}", clock::boottime().as_nanos(), u8::from(view.gate == Gate::Proven));
        page.wait(&view, Duration::from_secs(3600));
    }
}

/// Starts to watch; the agent has laid its page. The clocks come before everybody else, or the agent would have set right what it
/// was wrong by; the gate has no such right, since it stands for a workload.
pub fn start(guest: &Guest) -> Outcome {
    for (part, how) in [(CLOCKS, "--property=CPUSchedulingPolicy=fifo --property=CPUSchedulingPriority=1"), (GATE, "")]
    {
        guest.sh(&format!(
            "systemd-run -q --unit=watched-{part} {how} --property=StandardOutput=append:{WRITTEN} \
             /usr/lib/lab/part {VERB} {part}"
        ))?;
    }
    crate::lab::until("the clocks and the gate are watched", Duration::from_secs(10), || {
        let seen = guest.sh(&format!("cat {WRITTEN}"))?;
        Ok((seen.contains("ready") && seen.contains("gate")).then_some(()))
    })
}

/// Something that was seen.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// The clock was set.
    Clock { real_minus_boot: Offset },
    /// The gate is open on a proof, or not.
    Gate(bool),
}

/// All that was seen since `from`.
pub fn seen(guest: &Guest, from: Boottime) -> Outcome<Vec<(Boottime, Seen)>> {
    let text = guest.sh(&format!("cat {WRITTEN}"))?;
    let all = text.lines().filter(|line| *line != "ready").map(parse).collect::<Outcome<Vec<_>>>()?;
    Ok(all.into_iter().filter(|(at, _)| *at >= from).collect())
}

fn parse(line: &str) -> Outcome<(Boottime, Seen)> {
    let words: Vec<&str> = line.split(' ').collect();
    let seen = match words.as_slice() {
        ["clock", at, real_minus_boot] => {
            (*at, Seen::Clock { real_minus_boot: Offset::from_nanos(real_minus_boot.parse()?) })
        }
        ["gate", at, open] => (*at, Seen::Gate(*open == "1")),
        _ => return fail(format!("not a line of what was seen: {line:?}")),
    };
    Ok((Boottime::from_nanos(seen.0.parse()?), seen.1))
}
