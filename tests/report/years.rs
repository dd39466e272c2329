//! Ten years of a laptop: what the files still have is right and dated, and what is gone is the oldest.

use std::fs;
use std::process::Output;
use std::time::Duration;

use clockgate::decision::{Cause, Offset, Realtime, RestoreSign};
use clockgate::history::HistoryFiles;
use serde_json::{Map, Value};

use crate::cases::report;
use crate::night::{EVENING, containers, starts};
use crate::simulated::{SimulatedHost, SimulatedServer, forward};
use crate::support::host::HostFolder;
use crate::support::{Outcome, clockgate, ensure};

const YEARS: usize = 10;
const HOUR: Duration = Duration::from_secs(3600);
/// Where a clock begins that nothing has set.
const BEGINNING: Realtime = Realtime::from_nanos(0);
const MINUTE: Duration = Duration::from_secs(60);
/// All files together.
const MOST_BYTES: u64 = 4 << 20;
/// A record is written so soon after what it records.
const SOON: u64 = 20_000_000;

/// After each year of ten both verbs tell the latest of what happened, each at its true time.
pub fn of_rotation() -> Outcome {
    let host = HostFolder::in_memory(&[("var/lib/clockgate/.keep", "")])?;
    let files = HistoryFiles::below(host.path());
    let mut life = Life::begin();
    let mut written = 0;
    for year in 1..=YEARS {
        for day in 0..365 {
            life.live((year - 1) * 365 + day);
            for line in &life.host.lines[written..] {
                files.append(line, None)?;
                let size = size(&files)?;
                ensure(size <= MOST_BYTES, format!("{size} bytes in year {year}"))?;
            }
            written = life.host.lines.len();
        }
        let kept_from = life.is_kept(&host)?;
        ensure(year < 2 || kept_from > 0, "the oldest are gone")?;
        ensure(kept_from == 0 || size(&files)? > MOST_BYTES / 4 * 3, "no more is gone than there is no room for")?;
        life.is_reported(&host, kept_from).map_err(|why| format!("year {year}: {why:?}"))?;
    }
    Ok(())
}

fn size(files: &HistoryFiles) -> Outcome<u64> {
    let sizes = fs::read_dir(files.folder())?.map(|file| Ok(file?.metadata()?.len()));
    sizes.sum()
}

/// What was done to the host.
struct KnownDisruption {
    cause: &'static str,
    time: Realtime,
    /// Reference minus local just after it; none where no server answered before the next one, which has no date either.
    offset: Option<Offset>,
    /// How many lines there were before its own.
    after: usize,
}

struct Life {
    host: SimulatedHost,
    known: Vec<KnownDisruption>,
    /// The lines of boots that had no proof.
    undated: Vec<std::ops::Range<usize>>,
}

impl Life {
    fn begin() -> Self {
        let mut host = SimulatedHost::boot(Realtime::from_secs(EVENING), Offset::ZERO, &servers(0));
        (host.containers, host.starts) = (containers(), starts());
        let mut life = Self { host, known: vec![], undated: vec![] };
        life.happens("started", SimulatedHost::start);
        life
    }

    /// Something happens to the host: what is known of it is how it is just after.
    fn happens(&mut self, cause: &'static str, what: impl FnOnce(&mut SimulatedHost)) {
        let before = self.host.lines.len();
        what(&mut self.host);
        // A sleep has its own records before those of the waking up.
        let of_it = format!("\"cause\":\"{cause}\"");
        let after = before + self.host.lines[before..].iter().take_while(|line| !line.contains(&of_it)).count();
        let (time, offset) = (self.host.truth(), Some(self.host.behind()));
        self.known.push(KnownDisruption { cause, time, offset, after });
        self.host.pass(10 * MINUTE);
    }

    /// A day, on which something may happen, and a night.
    fn live(&mut self, day: usize) {
        self.host.pass(20 * MINUTE);
        if day % 7 == 3 {
            let some = Offset::from_nanos((day as i64 % 90 - 45) * 1_000_000_000 + 500_000_000);
            self.happens("foreign-step", |host| host.set_back(some));
        }
        if day % 100 == 50 {
            self.happens("requested", SimulatedHost::request);
        }
        if day % 60 == 20 {
            self.happens("restore", |host| host.pause(30 * MINUTE, Cause::Restore(RestoreSign::Notice)));
        }
        if day % 45 == 10 {
            self.host.forget();
            self.host.pass_without_agent(3 * MINUTE);
            self.happens("started", SimulatedHost::start);
        }
        if day % 30 == 29 {
            self.host.end();
            self.host.reboot(HOUR, Offset::from_nanos(-31_000_000));
            self.happens("started", SimulatedHost::start);
        }
        if day % 500 == 400 {
            self.live_without_a_battery();
        }
        if day % 180 == 90 {
            self.host.servers = servers(day / 180);
        }
        let missed = if day % 50 == 49 { HOUR } else { Duration::from_millis(day as u64 % 2000) };
        self.happens("resume", |host| host.sleep(20 * HOUR, missed));
    }

    /// The clock begins in 1970, and no server answers until it is off again; then one does.
    fn live_without_a_battery(&mut self) {
        self.host.end();
        let servers = std::mem::take(&mut self.host.servers);
        self.host.reboot(48 * HOUR, self.host.truth() - BEGINNING);
        let first = self.host.lines.len();
        self.happens("started", SimulatedHost::start);
        self.host.end();
        self.undated.push(first..self.host.lines.len());
        if let Some(last) = self.known.last_mut() {
            last.offset = None;
        }
        self.host.servers = servers;
        self.host.reboot(HOUR, self.host.truth() + forward(HOUR) - BEGINNING);
        self.happens("started", SimulatedHost::start);
    }

    /// `history` has the latest lines, all of them, each with its true time; how many are gone.
    fn is_kept(&self, host: &HostFolder) -> Outcome<usize> {
        let printed = history(host)?;
        let printed: Value = serde_json::from_slice(&printed.stdout)?;
        ensure(printed["skipped"] == 0, "nothing is torn")?;
        let records = printed["records"].as_array().ok_or("no records")?;
        let gone = self.host.lines.len() - records.len();
        for (number, record) in (gone..).zip(records) {
            let line: Map<String, Value> = serde_json::from_str(&self.host.lines[number])?;
            let is_whole = line.iter().all(|(name, value)| name == "version" || record[name] == *value);
            ensure(is_whole, format!("{record} was written as {line:?}"))?;
            let is_undated = self.undated.iter().any(|boot| boot.contains(&number));
            ensure(
                record["dated_by"] == if is_undated { "clock" } else { "proof" },
                format!("line {number}: {record}"),
            )?;
            let late = record["time_ns"].as_i64().ok_or("no time")? - self.host.written_at[number].as_nanos();
            ensure(is_undated || late.unsigned_abs() < SOON, format!("line {number} is {late} ns away: {record}"))?;
        }
        Ok(gone)
    }

    /// `report` has the disruptions of these lines.
    fn is_reported(&self, host: &HostFolder, kept_from: usize) -> Outcome {
        let output = report(host, "UTC", &["--json"])?;
        let json: Value = serde_json::from_slice(&output.stdout)?;
        let reported = json["disruptions"].as_array().ok_or("no disruptions")?;
        let known: Vec<_> = self.known.iter().filter(|one| one.after >= kept_from).collect();
        let is_all = reported.len() == known.len();
        ensure(is_all, format!("{} of {} are reported, {:?} first", reported.len(), known.len(), reported.first()))?;
        for (one, known) in reported.iter().zip(known) {
            let number = |name: &str| one[name].as_i64();
            ensure(one["cause"] == known.cause, format!("{}: {one}", known.cause))?;
            let late = number("time_ns").ok_or("no time")? - known.time.as_nanos();
            let is_dated = one["dated_by"] == "proof" && late.unsigned_abs() < SOON;
            ensure(is_dated == known.offset.is_some(), format!("{late} ns away: {one}"))?;
            let distance = number("root_distance_ns").unwrap_or(0);
            let is_right = match (known.offset, number("offset_ns")) {
                (Some(known), Some(found)) => (found - known.as_nanos()).abs() <= distance,
                (known, found) => known.is_none() && found.is_none(),
            };
            ensure(is_right, format!("{:?} is reported as {one}", known.offset))?;
        }
        let sum: i64 = ["proven", "unproven", "shut", "asleep", "no_agent", "off", "paused"]
            .iter()
            .filter_map(|lane| json[format!("{lane}_ns")].as_i64())
            .sum();
        let ends = ["until_ns", "from_ns"].map(|end| json[end].as_i64().unwrap_or_default());
        ensure(sum == ends[0] - ends[1], format!("the shares make {sum} of {ends:?}"))?;
        let text = String::from_utf8(report(host, "UTC", &[])?.stdout)?;
        ensure(text.contains(&format!("Disruptions: {}\n", reported.len())), text)
    }
}

fn history(host: &HostFolder) -> Outcome<Output> {
    let output = clockgate().args(["history", "--json", "--root"]).arg(host.path()).output()?;
    ensure(output.status.success(), format!("{output:?}"))?;
    Ok(output)
}

/// A pool that has other addresses each half a year.
fn servers(half_year: usize) -> Vec<SimulatedServer> {
    const NAMES: [&str; 6] =
        ["a.ntp.example", "b.ntp.example", "c.ntp.example", "d.ntp.example", "e.ntp.example", "f.ntp.example"];
    let server = |number: usize| SimulatedServer {
        name: NAMES[(half_year + number) % NAMES.len()],
        wrong: Offset::from_nanos(number as i64 * 100_000),
        root_distance: Duration::from_millis(5),
    };
    (0..3).map(server).collect()
}
