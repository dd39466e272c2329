//! Where `kept/` comes from: the previous release's program, run by `tests/night previous`. With `CLOCKGATE_BLESS=1` its files are written anew,
//! else what does not differ from run to run is compared.

use std::fs;
use std::process::{Command, Output};

use clockgate::history::FOLDER;
use clockgate::page::FILE;
use serde_json::Value;

use super::hooks::{self, DAEMON, RECORD};
use super::kept;
use super::layout::{self, Layout, as_hex};
use super::live::{Place, previous};
use super::support::agent::CONFIG;
use super::support::expected::is_as_written;
use super::support::host::HostFolder;
use super::support::{Outcome, ensure, expect, fail};

/// What is set to another value than the default, by the lines of the sample.
const SET: [(&str, &str); 4] = [
    ("threshold: 200ms", "threshold: 150ms"),
    ("servers: []", "servers: ['192.0.2.1', 'ntp.example.org']"),
    ("  forward: ", "  forward: 30d # "),
    ("correction: ", "correction: none # "),
];

pub fn keep() -> Outcome {
    page_and_history()?;
    ledger()?;
    hook()?;
    configuration()
}

fn blesses() -> bool {
    std::env::var_os("CLOCKGATE_BLESS").is_some()
}

fn page_and_history() -> Outcome {
    let layout = Layout::previous()?;
    let place = Place::new()?;
    let mut agent = place.agent(&previous())?;
    place.opens()?;
    place.notify(&previous(), "suspend")?;
    place.notify(&previous(), "resume")?;
    let page = layout.read(fs::read(place.page().join(FILE))?);
    let used = usize::try_from(page.number("size")?)?;
    ensure(used == page.end()?, format!("layout.txt ends at {}, and {used} bytes are used", page.end()?))?;
    place.ends(&mut agent)?;
    let events = fs::read_to_string(place.host.at(FOLDER).join("events.jsonl"))?;
    if blesses() {
        fs::write(kept("page.hex"), as_hex(&page.bytes[..used]))?;
        return Ok(fs::write(kept("events.jsonl"), events)?);
    }
    let before = layout::page(&layout)?;
    for name in ["magic", "version", "size", "gate", "state", "threshold", "max_drift"] {
        ensure(before.number(name)? == page.number(name)?, format!("{name} is another"))?;
    }
    let opened = |text: &str| -> Outcome<Vec<String>> {
        let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        let opened = lines.iter().find(|line| line["event"] == "gate-open").ok_or("the gate never opened")?;
        Ok(opened.as_object().ok_or("no object")?.keys().cloned().collect())
    };
    let (was, is) = (opened(&fs::read_to_string(kept("events.jsonl"))?)?, opened(&events)?);
    ensure(was == is, format!("the history has {is:?}, and {was:?} was kept"))
}

fn ledger() -> Outcome {
    let place = Place::new()?;
    let _agent = place.agent(&previous())?;
    place.opens()?;
    place.notify(&previous(), "suspend")?;
    let ledger = fs::read_to_string(place.host.at("run/clockgate/ledger"))?;
    if blesses() {
        return Ok(fs::write(kept("ledger"), ledger)?);
    }
    let words =
        |text: &str| -> Vec<usize> { text.lines().map(|line| line.split(' ').map(str::len).take(4).sum()).collect() };
    let was = fs::read_to_string(kept("ledger"))?;
    if words(&was) == words(&ledger) { Ok(()) } else { fail(format!("{ledger}\nwas kept as\n{was}")) }
}

fn hook() -> Outcome {
    let host = hooks::host()?;
    let installed = hooks::hooks(&previous(), &["install", "docker"], &host)?;
    expect(installed.status.success(), &installed)?;
    is_as_written(&kept("daemon.json"), &fs::read_to_string(host.at(DAEMON))?)?;
    is_as_written(&kept("docker.json"), &fs::read_to_string(host.at(RECORD))?)
}

fn configuration() -> Outcome {
    let host = HostFolder::new(&[])?;
    let config = |arguments: &[&str]| -> Outcome<Output> {
        let output = Command::new(previous()).arg("config").args(arguments).output()?;
        expect(output.status.success(), &output)?;
        Ok(output)
    };
    let mut text = String::from_utf8(config(&["sample"])?.stdout)?;
    for (from, to) in SET {
        ensure(text.contains(from), format!("the sample has no {from}"))?;
        text = text.replacen(from, to, 1);
    }
    host.put(CONFIG, &text)?;
    let root = host.path().to_str().ok_or("no text")?.to_owned();
    let shown = String::from_utf8(config(&["show", "--json", "--root", &root])?.stdout)?;
    is_as_written(&kept("config.yaml"), &text)?;
    is_as_written(&kept("config-show.json"), &shown.replace(&format!("{root}/"), "/"))
}
