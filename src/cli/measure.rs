//! `clockgate measure`: ask every reference once and print what each says. It changes nothing and needs no privilege.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::http::{self, AuthorityOptions};
use crate::cli::servers::{ENVIRONMENT, of_the_environment};
use crate::cli::{CliError, print, runtime};
use crate::daemon::{Corrector, DaemonSources};
use crate::decision::{
    Agreement, Disagreement, Failure, HttpDate, Leap, Measurement, PeerCheck, Reading, bound_in_words,
};
use crate::exit::Exit;
use crate::reference::http::HttpUrl;
use crate::reference::ntp::default_servers as defaults;
use crate::reference::{Question, References, Server, ServerName};
use crate::sys::adjtimex::{self, KernelClock};
use crate::sys::clock::boottime;
use crate::sys::step::SystemClock;

/// The version of what `--json` prints; raised when a field changes its meaning or goes.
const JSON_VERSION: u32 = 2;

/// A web server is asked several times, and its name and certificate take a while.
const HTTP_PATIENCE: Duration = Duration::from_secs(5);

/// What to do then.
const NO_ANSWER: &str = "check the network and UDP port 123, or name another server with `--server HOST`";

#[derive(Debug, clap::Args)]
pub struct MeasureArgs {
    /// Ask only this NTP server; repeatable (default: CLOCKGATE_SERVERS, those of the configuration, of the running
    /// time daemon, of this cloud, or a public pool: the first that exist)
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    servers: Vec<ServerName>,
    /// Ask this web server for its Date too, which is exact to a second at best; repeatable (default: `http-references`
    /// of the configuration, if no NTP server answers)
    #[arg(long = "http", value_name = "URL")]
    http: Vec<HttpUrl>,
    #[command(flatten)]
    authorities: AuthorityOptions,
    /// How long to wait for the answers (default: `measure-timeout` of the configuration)
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    timeout: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl MeasureArgs {
    /// Performs the verb: 0 when an NTP server answered, or a web server. The daemon's and the kernel's claims are printed and count
    /// for nothing: they stand for hours after a restore.
    pub fn run(self) -> Result<Exit, CliError> {
        let config = self.authorities.take_into(super::load(Path::new("/"))?);
        let timeout = self.timeout.unwrap_or(config.measure_timeout);
        // Before anything is waited for: a file of authorities that is none is said at once.
        let question = || self.authorities.question(&config, timeout.max(HTTP_PATIENCE));
        let named_question = if self.http.is_empty() { None } else { Some(question()?) };
        let corrector = Corrector::new(Arc::new(SystemClock::new()), config.correction_settings());
        let (claim, of_the_daemon) =
            runtime()?.block_on(async { (corrector.describe().await, corrector.servers().await) });
        let (servers, asked) = match named(self.servers, of_the_environment()?, config.servers.clone()) {
            Some((named, by)) => (named.into_iter().map(Server::from).collect(), by),
            None => {
                let DaemonSources { servers, others, remark, .. } = of_the_daemon;
                let (servers, origin) = defaults::servers(Path::new("/"), servers, others);
                (servers, remark.map_or_else(|| origin.to_string(), |remark| format!("{origin} ({remark})")))
            }
        };
        // Where the daemon reported an address, no look-up is waited for.
        let waits = servers.iter().any(|server| !server.is_known());
        let references = References::new(servers);
        references.secure(config.security());
        if waits {
            references.resolve(timeout);
        }
        let measurement = references.measure(Question { hardware: Some("/".into()), ..timeout.into() });
        let urls = match self.http {
            ref named if !named.is_empty() => named.as_slice(),
            _ if measurement.readings.is_empty() => config.http_references.as_slice(),
            _ => &[],
        };
        let question = match named_question {
            None if !urls.is_empty() => Some(question()?),
            named => named,
        };
        let (dates, undated) = question.map(|question| http::ask(urls, &question)).unwrap_or_default();
        let drift_ppm = config.policy.max_drift_ppm.max(measurement.rate_ppm);
        let agreement = measurement.agreement(&config.policy, boottime());
        let threshold = config.policy.threshold;
        let kernel = adjtimex::read().ok();
        let report = Report { asked, measurement, claim, agreement, dates, undated, drift_ppm, threshold, kernel };
        print(&if self.json { format!("{:#}\n", report.json()) } else { report.table() })?;
        if report.measurement.readings.is_empty() && report.dates.is_empty() {
            return Err(CliError::still_shut("no reference answered", NO_ANSWER));
        }
        Ok(Exit::Ok)
    }
}

/// The servers that were named, and where.
fn named(
    on_the_command_line: Vec<ServerName>,
    in_the_environment: Vec<ServerName>,
    in_the_configuration: Vec<ServerName>,
) -> Option<(Vec<ServerName>, String)> {
    let sources = [
        (on_the_command_line, "--server"),
        (in_the_environment, ENVIRONMENT),
        (in_the_configuration, "the configuration's servers"),
    ];
    sources.into_iter().find(|(servers, _)| !servers.is_empty()).map(|(servers, by)| (servers, by.to_owned()))
}

/// Everything there is to print.
struct Report {
    asked: String,
    measurement: Measurement,
    /// What the time daemon says of the clock.
    claim: Option<Reading>,
    agreement: Result<Agreement, Disagreement>,
    /// What web servers said.
    dates: Vec<HttpDate>,
    /// Web servers that said nothing of the time.
    undated: Vec<Failure>,
    drift_ppm: u32,
    threshold: Duration,
    kernel: Option<KernelClock>,
}

impl Report {
    fn table(&self) -> String {
        let head = ["SOURCE", "OFFSET", "BOUND", "STRATUM", "DELAY", "AUTHENTICATED"].map(str::to_owned);
        let readings = self.all().map(|reading| self.row(reading));
        let dates = self.dates.iter().map(|date| self.row_of(date));
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(readings).chain(dates).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in &rows {
            let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        for failure in self.measurement.failures.iter().chain(&self.undated) {
            line(&mut text, &format!("{}: {}", failure.source, failure.why));
        }
        line(&mut text, &format!("asked: {}", self.asked));
        line(&mut text, &format!("agreement: {}", self.agreement_in_words()));
        if let Some(kernel) = &self.kernel {
            line(&mut text, &format!("the kernel's estimate: {}", kernel_in_words(kernel)));
        }
        if let Some(verdict) = self.verdict() {
            line(&mut text, &verdict);
        }
        for said in self.by_the_web() {
            line(&mut text, &said);
        }
        text
    }

    /// What web servers say, each in a sentence: beside an agreement of references whether it goes together with it, and by itself
    /// where there is none.
    fn by_the_web(&self) -> Vec<String> {
        let now = boottime();
        let sentence = |date: &HttpDate| {
            let url = &date.source;
            let width = date.width_at(now, self.drift_ppm);
            let how = http::exactness(date, now, self.drift_ppm);
            let beside = self
                .agreement
                .as_ref()
                .map(|agreed| (date.offset - agreed.offset).abs() <= width + agreed.root_distance);
            let is_right = date.offset.abs() <= width;
            match (beside, is_right) {
                (Ok(true), _) => format!("the Date of {url} agrees with the references ({how})"),
                (Ok(false), _) => format!(
                    "the Date of {url} contradicts the references: by it your clock is {} ({how})",
                    date.offset.in_words()
                ),
                (Err(_), true) => format!(
                    "by the Date of {url} your clock may be right: wrong by at most {} ({how}); it proves nothing",
                    bound_in_words(date.bound_at(now, self.drift_ppm))
                ),
                (Err(_), false) => format!(
                    "by the Date of {url} your clock is {} ({how}); `sudo clockgate sync --http {url}` sets it that far",
                    date.offset.in_words()
                ),
            }
        };
        self.dates.iter().map(sentence).collect()
    }

    fn row_of(&self, date: &HttpDate) -> [String; 6] {
        [
            date.source.clone(),
            date.offset.to_string(),
            seconds(date.bound_at(boottime(), self.drift_ppm)),
            "-".to_owned(),
            seconds(date.delay),
            match date.peer {
                PeerCheck::Verified => "certificate",
                PeerCheck::Unverified => "no",
            }
            .to_owned(),
        ]
    }

    /// The readings, and the daemon's claim after them.
    fn all(&self) -> impl Iterator<Item = &Reading> {
        self.measurement.readings.iter().chain(&self.claim)
    }

    fn row(&self, reading: &Reading) -> [String; 6] {
        let now = boottime();
        [
            reading.source.clone(),
            reading.offset.to_string(),
            seconds(reading.bound_at(now, self.drift_ppm)),
            reading.stratum.map_or_else(|| "-".to_owned(), |s| s.to_string()),
            reading.delay.map_or_else(|| "-".to_owned(), seconds),
            if reading.authenticated { "yes" } else { "no" }.to_owned(),
        ]
    }

    /// All of it in one sentence; none where no reference answered.
    fn verdict(&self) -> Option<String> {
        let agreement = match &self.agreement {
            Ok(agreement) => agreement,
            Err(_) if self.measurement.readings.is_empty() => return None,
            Err(why) => return Some(format!("cannot decide whether your clock is right: {why}")),
        };
        let bound = bound_in_words(agreement.bound());
        Some(if agreement.bound() <= self.threshold {
            format!("your clock is right: wrong by at most {bound}")
        } else if agreement.agrees_with_the_clock() {
            format!(
                "your clock may be right: wrong by at most {bound}, which is more than the threshold, {}",
                bound_in_words(self.threshold)
            )
        } else {
            format!("your clock is {}; `sudo clockgate sync` sets it right", agreement.offset.in_words())
        })
    }

    fn agreement_in_words(&self) -> String {
        match &self.agreement {
            Ok(all) => {
                let asked = self.measurement.readings.len();
                let mut words =
                    format!("offset {}, bound {}, {} of {asked}", all.offset, seconds(all.bound()), all.supporters);
                if !all.falsetickers.is_empty() {
                    // Writing to a string does not fail.
                    let _ = write!(words, "; falsetickers: {}", all.falsetickers.join(", "));
                }
                words
            }
            Err(why) => why.to_string(),
        }
    }

    fn json(&self) -> Value {
        let readings: Vec<Value> = self.all().map(|r| self.reading_json(r)).collect();
        let failures: Vec<Value> = self
            .measurement
            .failures
            .iter()
            .chain(&self.undated)
            .map(|failure| json!({ "source": failure.source, "why": failure.why }))
            .collect();
        json!({
            "version": JSON_VERSION,
            "servers_from": self.asked,
            "references": readings,
            "http": self.dates.iter().map(|date| http::json_of(date, boottime(), self.drift_ppm)).collect::<Vec<_>>(),
            "failures": failures,
            "agreement": self.agreement.as_ref().ok().map(agreement_json),
            "disagreement": self.agreement.as_ref().err().map(ToString::to_string),
            "verdict": self.verdict(),
            "kernel": self.kernel.as_ref().map(kernel_json),
        })
    }

    fn reading_json(&self, reading: &Reading) -> Value {
        let now = boottime();
        json!({
            "source": reading.source,
            "kind": reading.kind.to_string(),
            "offset_ns": reading.offset.as_nanos(),
            "bound_ns": nanos(reading.bound_at(now, self.drift_ppm)),
            "root_distance_ns": nanos(reading.root_distance_at(now, self.drift_ppm)),
            "stratum": reading.stratum,
            "delay_ns": reading.delay.map(nanos),
            "leap_status": leap_name(reading.leap),
            "authenticated": reading.authenticated,
        })
    }
}

fn agreement_json(all: &Agreement) -> Value {
    json!({
        "offset_ns": all.offset.as_nanos(),
        "bound_ns": nanos(all.bound()),
        "supporters": all.supporters,
        "authenticated": all.authenticated,
        "falsetickers": all.falsetickers,
    })
}

fn kernel_json(kernel: &KernelClock) -> Value {
    json!({
        "synchronised": !kernel.unsynchronised,
        "max_error_ns": nanos(kernel.max_error),
        "frequency_ppm": kernel.rate_ppm(),
    })
}

fn kernel_in_words(kernel: &KernelClock) -> String {
    let state = if kernel.unsynchronised { "not synchronised" } else { "synchronised" };
    format!("{state}, maximum error {}, frequency {} ppm", seconds(kernel.max_error), kernel.rate_ppm())
}

const fn leap_name(leap: Leap) -> &'static str {
    match leap {
        Leap::None => "none",
        Leap::Insert => "insert",
        Leap::Delete => "delete",
    }
}

fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

/// Rounded up: a bound is at least what it says.
fn seconds(duration: Duration) -> String {
    let micros = duration.as_nanos().div_ceil(1000);
    format!("{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
}

fn nanos(duration: Duration) -> u64 {
    crate::decision::nanos_u64(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_before_the_environment_and_that_before_the_configuration() {
        let servers = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect::<Vec<ServerName>>();
        let found = |line: &[&str], environment: &[&str], config: &[&str]| {
            named(servers(line), servers(environment), servers(config)).map(|(found, _)| found)
        };
        assert_eq!(found(&["a.example"], &["b.example"], &["c.example"]), Some(servers(&["a.example"])));
        assert_eq!(found(&[], &["b.example"], &["c.example"]), Some(servers(&["b.example"])));
        assert_eq!(found(&[], &[], &["c.example"]), Some(servers(&["c.example"])));
        assert_eq!(found(&[], &[], &[]), None);
    }
}
