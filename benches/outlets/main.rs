//! What it costs the walk that it is recorded, on this machine's own kernel and without a step, which nobody may make here: two agents, of
//! which one has the log alone and the other every outlet at once with a hundred slow scrapers, are told in turn of a sleep that is over.
//! Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::disruption::notice::NoticeKind;
use clockgate::page::Page;
use clockgate::publish::bus::client::AgentClient;
use clockgate::sys::clock::boottime;

mod journald;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
mod scrapers;
#[path = "../../tests/support/mod.rs"]
mod support;

use lab::pass;
use lab::world::bring_up_loopback;
use report::{Table, median, met, millis, ratio};
use scrapers::SlowScrapers;
use support::agent::CONFIG;
use support::host::HostFolder;
use support::liar::Liar;
use support::private_bus::PrivateBus;
use support::{CLOCKGATE, Ours, Outcome, ensure, harmless, until};

/// How often both are measured, in turn.
const ROUNDS: usize = 100;
/// So that each agent asks its server once in two seconds, which is as often as that answers in the long run.
const AT_REST: Duration = Duration::from_secs(1);
/// No sleep is shorter, and what was reported when it began is written by then.
const ASLEEP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);
const GOAL: f64 = 1.02;
const SCRAPERS: usize = 100;
const PORT: u16 = 9975;
const TEXTFILE: &str = "/var/lib/clockgate/clockgate.prom";

fn main() -> ExitCode {
    report_guest::run(lab::missing(), measure)
}

/// An agent, its server and its host.
struct Walker {
    host: HostFolder,
    client: AgentClient,
    page: Page,
    _agent: Ours,
    _server: Liar,
}

impl Walker {
    /// Starts one on this host whose configuration has `more` than its server.
    fn start(more: &str, is_in_the_journal: bool, bus: Option<&PrivateBus>, host: HostFolder) -> Outcome<Self> {
        let server = Liar::here(Offset::ZERO)?;
        let system = bus.is_some();
        let config =
            format!("servers: ['{}']\ncorrection: clockgate\nbus: {{system: {system}}}\n{more}", server.address());
        host.put(CONFIG, &config)?;
        let log = File::create(host.at("log"))?;
        let mut command = harmless(CLOCKGATE);
        command.args(["agent", "--root"]).arg(host.path()).env_remove("JOURNAL_STREAM");
        if is_in_the_journal {
            let stream = log.metadata()?;
            command.env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()));
        }
        if let Some(bus) = bus {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address());
        }
        let agent = Ours::spawn(command.stderr(log))?;
        let is_open =
            || Page::open(&host.at("run/clockgate/public")).is_ok_and(|page| page.read().gate == Gate::Proven);
        until("the gate is open", PATIENCE, is_open)
            .map_err(|failed| format!("{failed:?}: {}", std::fs::read_to_string(host.at("log")).unwrap_or_default()))?;
        let client = AgentClient::connect(&host.at("run/clockgate/bus"))?;
        let page = Page::open(&host.at("run/clockgate/public"))?;
        Ok(Self { host, client, page, _agent: agent, _server: server })
    }

    fn log_alone() -> Outcome<Self> {
        Self::start("", false, None, HostFolder::new(&[])?)
    }

    /// Beside the log: the journal in its own form, history, bus, ClockBound's file, and metrics in both ways.
    fn every_outlet(bus: &PrivateBus, host: HostFolder) -> Outcome<Self> {
        let more =
            format!("metrics: {{listen: '127.0.0.1:{PORT}', textfile: {TEXTFILE}}}\nclockbound: {{enabled: true}}\n");
        let walker = Self::start(&more, true, Some(bus), host)?;
        ensure(walker.host.at(&TEXTFILE[1..]).exists(), "no textfile")?;
        let history = std::fs::read_dir(walker.host.at("var/lib/clockgate/history"))?.count();
        ensure(history > 0, "no history").map(|()| walker)
    }

    /// From the word that a sleep is over to the open gate, as whoever waits at it sees that.
    fn walk(&self) -> Outcome<Duration> {
        let before = self.client.notify(NoticeKind::Suspend, PATIENCE)?.epoch;
        pass(ASLEEP);
        let from = boottime();
        self.client.notify(NoticeKind::Resume, Duration::ZERO)?;
        let mut seen = self.page.read();
        while seen.gate != Gate::Proven || seen.epoch <= before {
            ensure(boottime().since(from) < PATIENCE, format!("{seen:?}"))?;
            seen = self.page.wait_for_change(&seen, PATIENCE);
        }
        Ok(boottime().since(from))
    }
}

fn measure() -> Outcome {
    bring_up_loopback()?;
    let (place, bus) = (tempfile::tempdir()?, PrivateBus::start()?);
    let host = HostFolder::new(&[("var/lib/clockgate/empty", ""), ("run/clockbound/empty", "")])?;
    let _journald = journald::start(host.path(), place.path())?;
    let (log, every) = (Walker::log_alone()?, Walker::every_outlet(&bus, host)?);
    let scrapers = SlowScrapers::start(([127, 0, 0, 1], PORT).into(), SCRAPERS)?;
    let (mut alone, mut all) = (vec![], vec![]);
    for round in 0..ROUNDS {
        for is_every in [round % 2 == 0, round % 2 != 0] {
            // They take from this machine what they take from no other walk.
            scrapers.go_on(is_every);
            pass(AT_REST);
            if is_every { all.push(every.walk()?) } else { alone.push(log.walk()?) }
        }
    }
    scrapers.end()?;
    let mut table = Table::new(&["outlets", "walks", "median", "middle half", "beside the log alone", "goal"]);
    table.row(&[&"the log alone", &alone.len(), &millis(median(&alone)), &middle_half(&alone), &"1", &"-"]);
    let times = ratio(median(&all), median(&alone));
    table.row(&[
        &format!("journal, history, bus, metrics by listener and textfile, ClockBound; {SCRAPERS} slow scrapers"),
        &all.len(),
        &millis(median(&all)),
        &middle_half(&all),
        &format!("{times:.3}"),
        &format!("at most {GOAL}: {}", met(times <= GOAL)),
    ]);
    table.write("outlets")
}

/// What a quarter of them is below, and what a quarter is above: a ratio of medians says little where these are far apart.
fn middle_half(walks: &[Duration]) -> String {
    let mut sorted = walks.to_vec();
    sorted.sort();
    let at = |quarters: usize| sorted.get(sorted.len() * quarters / 4).copied().unwrap_or_default();
    format!("{} to {}", millis(at(1)), millis(at(3)))
}
