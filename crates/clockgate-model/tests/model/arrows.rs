//! What leads from which state to which: what a search has seen, against the drawing in docs/states.md; and the letters in docs/testing.md.

#![allow(clippy::wildcard_enum_match_arm, reason = "what changes no state is one kind")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clockgate::decision::{AtDeadline, Cause, DaemonVerdict, Event, Machine, State};
use libtest_mimic::Failed;

/// A state, what happened, and the state that it led to.
pub type Arrow = (&'static str, &'static str, &'static str);

/// All states, as Mermaid may call them.
const STATES: [&str; 8] =
    ["Unknown", "Suspended", "Disrupted", "Settling", "Synchronized", "FreeRunning", "GaveUp_hold", "GaveUp_open"];

/// What is reached and not drawn, or drawn and not reached, is named. `CLOCKGATE_BLESS=1` draws what was reached. A search that goes
/// further than that of `make test` may reach more.
pub fn are_drawn(reached: &BTreeSet<Arrow>, goes_further: bool) -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) = page.split_once("```mermaid\n").ok_or("docs/states.md has no drawing")?;
    let (was, _) = rest.split_once("```").ok_or("the drawing of docs/states.md has no end")?;
    let is = drawing(reached);
    if was != is && !goes_further && std::env::var_os("CLOCKGATE_BLESS").is_some() {
        fs::write(&path, format!("{before}```mermaid\n{is}```\n\n{}", unreached(reached)))?;
        return Ok(());
    }
    let drawn = arrows(was);
    let reached_in_words = arrows(&is);
    let named = |what: &str, these: &BTreeSet<String>, others: &BTreeSet<String>| -> String {
        these.difference(others).map(|arrow| format!("{what}: {arrow}\n")).collect()
    };
    let more = named("reached, not drawn", &reached_in_words, &drawn);
    let wrong = named("drawn, not reached", &drawn, &reached_in_words);
    if goes_further {
        print!("{more}");
        return if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) };
    }
    let wrong = more + &wrong;
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    if page.ends_with(&unreached(reached)) {
        Ok(())
    } else {
        Err("docs/states.md has other arrows as unreachable".into())
    }
}

/// Whether docs/testing.md has the letters of the search as the program prints them.
pub fn letters_are_written() -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/testing.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) = page.split_once("make model`:\n\n```text\n").ok_or("docs/testing.md has no letters")?;
    let (was, after) = rest.split_once("```").ok_or("the letters of docs/testing.md have no end")?;
    let is = crate::alphabet::printed() + "\n";
    if was != is && std::env::var_os("CLOCKGATE_BLESS").is_some() {
        fs::write(&path, format!("{before}make model`:\n\n```text\n{is}```{after}"))?;
        return Ok(());
    }
    if was == is { Ok(()) } else { Err(format!("docs/testing.md has other letters than\n{is}").into()) }
}

/// Each arrow of a drawing, with one thing that happened.
fn arrows(drawing: &str) -> BTreeSet<String> {
    let edges = drawing.lines().filter_map(|line| line.trim().split_once(": "));
    edges.flat_map(|(edge, whys)| whys.split(", ").map(move |why| format!("{edge}: {why}"))).collect()
}

fn drawing(reached: &BTreeSet<Arrow>) -> String {
    let mut edges: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    reached.iter().for_each(|(from, why, to)| edges.entry((from, to)).or_default().push(why));
    let edges = edges.iter().map(|((from, to), whys)| format!("    {from} --> {to}: {}\n", whys.join(", ")));
    format!("stateDiagram-v2\n    [*] --> Unknown\n{}", edges.collect::<String>())
}

/// Where no state leads, in lines for the page.
fn unreached(reached: &BTreeSet<Arrow>) -> String {
    let mut text = "What the search never saw: a state that leads at once to one of these.\n\n".to_owned();
    for from in STATES {
        let leads = |to: &&&str| reached.iter().any(|(f, _, t)| *f == from && t == *to);
        let never: Vec<_> = STATES.iter().filter(|to| **to != from && !leads(to)).copied().collect();
        text.push_str(&format!("- {from}: {}\n", never.join(", ")));
    }
    text
}

/// What happened, in a word or two.
pub fn why(event: &Event, machine: &Machine) -> &'static str {
    match event {
        Event::Started => "started",
        Event::Sleeping(_) => "sleep",
        Event::Woken(_) => "woken",
        Event::Disrupted(Cause::Snapshot) => "snapshot",
        Event::Disrupted(_) => "disrupted",
        Event::Alarm => "deadline",
        Event::Measured(_, round, _) if *round != machine.round() => "late answer",
        Event::Measured(_, _, measured) => match measured.readings.iter().map(|reading| reading.offset.abs()).max() {
            None => "no answer",
            Some(offset) if offset > machine.snapshot().threshold => "wrong",
            Some(_) => "right",
        },
        Event::Forgotten(..) => "forgotten",
        Event::Stepped(_, Ok(_)) => "stepped",
        Event::Stepped(_, Err(_)) => "not stepped",
        Event::HandedOver(..) => "handed over",
        Event::DaemonAsked(_, DaemonVerdict::Disagrees { .. }) => "the daemon disagrees",
        Event::DaemonAsked(..) => "the daemon agrees",
        Event::NetworkChanged => "network",
        Event::Accepted => "accepted",
        Event::Reckon => "reckoned",
        Event::StepByDate(_) => "set by a Date",
        Event::Frozen(..) => "frozen",
        Event::Thawed(..) | Event::CarriersThawed(..) | Event::TolerantThawed(..) => "thawed",
        _ => "notice",
    }
}

/// A state as Mermaid may call it.
pub fn name(state: State) -> &'static str {
    match state {
        State::GaveUp(AtDeadline::Hold) => "GaveUp_hold",
        State::GaveUp(AtDeadline::Open) => "GaveUp_open",
        state => State::name_of(state.code()),
    }
}
