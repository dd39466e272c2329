//! `clockgate sync`: the heir of ntpdate and `sntp -sS`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::agent::{self, Goal, OneshotOutcome};
use crate::cli::http::{self, AuthorityOptions};
use crate::cli::servers::of_the_environment;
use crate::cli::{CliError, print_line};
use crate::config::Config;
use crate::decision::{
    Conclusion, DatePlan, Failure, Gate, HttpDate, Offset, StepError, bound_in_words, nanos_u64, plan,
};
use crate::exit::Exit;
use crate::page::Page;
use crate::publish::bus::client::{AgentClient, ClientError};
use crate::publish::proof_file::ProofFile;
use crate::reference::ServerName;
use crate::reference::http::HttpUrl;
use crate::sys::clock::{boottime, clocks, standing};
use crate::sys::time_namespace;
use crate::waiter::is_kept;

/// How long a web server has to answer the first time.
const HTTP_PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent may take for a step: containers are frozen before it.
const STEPPED_WITHIN: Duration = Duration::from_secs(8);

#[derive(Debug, clap::Args)]
pub struct SyncArgs {
    /// Ask only this server; repeatable, and two that agree allow a larger step than one
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    servers: Vec<ServerName>,

    /// Set the clock by the Date of this web server, where NTP is blocked: exact to a second at best, and no proof (root)
    #[arg(long, value_name = "URL", conflicts_with_all = ["servers", "reckoned"])]
    http: Option<HttpUrl>,

    #[command(flatten)]
    authorities: AuthorityOptions,

    /// Set the clock by dead reckoning from the last proof in this boot, if no reference answers; no proof (root)
    #[arg(long, conflicts_with_all = ["servers", "dry_run"])]
    reckoned: bool,

    /// Measure and print what would be done, without changing anything
    #[arg(long)]
    dry_run: bool,

    /// How long to try
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    timeout: Option<Duration>,

    /// Read the configuration below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl SyncArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        let mut config = self.authorities.take_into(super::load(&self.root)?);
        let named = if self.servers.is_empty() { of_the_environment()? } else { self.servers.clone() };
        if !named.is_empty() {
            config.servers = named;
        }
        if let Some(timeout) = self.timeout {
            config.policy.deadline = timeout;
        }
        if let Some(url) = &self.http {
            return self.by_date(url, &config);
        }
        if self.dry_run {
            return self.dry(&config);
        }
        // One writer at a time: where an agent keeps this clock, it is asked to.
        match is_kept(&config.page) {
            Ok(false) => self.without_agent(&config),
            Ok(true) if self.servers.is_empty() => self.by_the_agent(&config),
            Ok(true) => Err(CliError::new(
                Exit::Usage,
                "cannot use --server while an agent runs, which asks its own servers: omit --server, or stop the agent",
            )),
            Err(error) => Err(CliError::caused(Exit::NoAgent, "cannot find out whether an agent runs", error)),
        }
    }

    /// Measures, judges, and leaves the clock as it is.
    fn dry(&self, config: &Config) -> Result<Exit, CliError> {
        require_the_hosts_clocks()?;
        let measurement = super::runtime()?.block_on(agent::measure(config));
        let agreed = measurement.agreement(&config.policy, boottime());
        let agreement = agreed.map_err(|why| self.in_vain(&why.to_string(), &measurement.failures))?;
        let drift_ppm = config.policy.max_drift_ppm.max(measurement.rate_ppm);
        let known = ProofFile::beside(&config.page).read();
        let (verdict, exit) = match plan(&agreement, drift_ppm, &known, &clocks(), &config.policy) {
            Conclusion::Verify => ("no step is needed".to_owned(), Exit::Ok),
            Conclusion::Step => (format!("the clock would be stepped by {}", agreement.offset), Exit::Ok),
            Conclusion::Imprecise(why) => (format!("the clock would not be proven: {why}"), Exit::StillShut),
            Conclusion::Refused(refusal) => (format!("the step would be refused: {refusal}"), Exit::StillShut),
        };
        if self.json {
            let bound = nanos_u64(agreement.bound());
            let offset = agreement.offset.as_nanos();
            print_line(
                json!({ "version": 2, "dry_run": true, "offset_ns": offset, "bound_ns": bound, "verdict": verdict }),
            );
        } else {
            print_line(format!(
                "the clock is {}, at most {} wrong: {verdict}",
                agreement.offset.in_words(),
                bound_in_words(agreement.bound())
            ));
        }
        Ok(exit)
    }

    /// A coarse step that proves nothing. Where an agent keeps this clock, it is asked to make it.
    fn by_date(&self, url: &HttpUrl, config: &Config) -> Result<Exit, CliError> {
        require_the_hosts_clocks()?;
        let patience = self.timeout.unwrap_or(HTTP_PATIENCE);
        let question = self.authorities.question(config, patience)?;
        let (dates, failures) = http::ask(std::slice::from_ref(url), &question);
        let Some(date) = dates.first() else {
            self.say_failed("no web server said what time it is", &failures);
            let why: Vec<String> = failures.iter().map(|f| format!("{}: {}", f.source, f.why)).collect();
            return Err(CliError::still_shut(format!("the clock is not set: {}", why.join("; ")), http::ASK_ANOTHER));
        };
        let drift_ppm = config.policy.max_drift_ppm;
        let known = ProofFile::beside(&config.page).read();
        let (verdict, exit) = match date.plan(&known, &clocks(), &config.policy) {
            DatePlan::Keep => ("the clock is as right as a Date can tell".to_owned(), Exit::Ok),
            DatePlan::Step if self.dry_run => (format!("the clock would be stepped by {}", date.offset), Exit::Ok),
            DatePlan::Step => {
                let is_kept = is_kept(&config.page)
                    .map_err(|error| CliError::caused(Exit::NoAgent, "cannot find out whether an agent runs", error))?;
                return if is_kept { self.step_by_the_agent(date, config) } else { self.step_by_date(date, config) };
            }
            DatePlan::Refused(refusal) => (format!("the step is refused: {refusal}"), Exit::StillShut),
        };
        self.say_date(date, drift_ppm, (&[], &verdict));
        if exit == Exit::Ok { Ok(exit) } else { Err(CliError::new(exit, verdict)) }
    }

    fn step_by_the_agent(&self, date: &HttpDate, config: &Config) -> Result<Exit, CliError> {
        let agent = AgentClient::connect(&config.bus.socket)?;
        let before = standing().real_minus_boot;
        agent.step_by_date(date).map_err(|error| match error {
            ClientError::Refused(why) => CliError::new(Exit::StillShut, format!("the step is refused: {why}")),
            ClientError::NoAgent { .. }
            | ClientError::NotPermitted(_)
            | ClientError::TooOften(_)
            | ClientError::StillShut(_)
            | ClientError::OtherVersion { .. }
            | ClientError::Stuck { .. } => error.into(),
        })?;
        let moved = super::runtime()?.block_on(agent::stepped_meanwhile(before, date.offset, STEPPED_WITHIN));
        let Some(moved) = moved else {
            let why = Page::open(&config.page).map_or_else(|error| error.to_string(), |page| page.read().why);
            return Err(CliError::still_shut(format!("the agent has not stepped the clock: {why}"), super::ASK_STATUS));
        };
        let verdict = format!("stepped by {moved} by the agent, coarsely and not proven");
        self.say_date(date, config.policy.max_drift_ppm, (&[moved], &verdict));
        Ok(Exit::Ok)
    }

    fn step_by_date(&self, date: &HttpDate, config: &Config) -> Result<Exit, CliError> {
        let stepped = super::runtime()?.block_on(agent::step_once(config, date));
        let (moved, trouble) = stepped.map_err(|error| match error {
            StepError::NotPermitted(why) => CliError::new(Exit::NotPermitted, format!("{why}; run it as root")),
            StepError::Superseded { .. } | StepError::Failed(_) => {
                CliError::still_shut(format!("the clock is not set: {error}"), "try it again")
            }
        })?;
        let beside =
            trouble.map_or_else(String::new, |why| format!("; cannot notify the time daemon of the step: {why}"));
        let verdict = format!("stepped by {moved}, coarsely and not proven{beside}");
        self.say_date(date, config.policy.max_drift_ppm, (&[moved], &verdict));
        Ok(Exit::Ok)
    }

    fn say_date(&self, date: &HttpDate, drift_ppm: u32, (steps, verdict): (&[Offset], &str)) {
        let now = boottime();
        if self.json {
            let steps: Vec<i64> = steps.iter().map(|step| step.as_nanos()).collect();
            let http = http::json_of(date, now, drift_ppm);
            let dry_run = self.dry_run;
            print_line(json!({
                "version": 2, "proven": false, "dry_run": dry_run, "http": http, "steps_ns": steps, "verdict": verdict,
            }));
        } else {
            let how = http::exactness(date, now, drift_ppm);
            print_line(format!("{}: the clock was {} ({how}): {verdict}", date.source, date.offset.in_words()));
        }
    }

    fn by_the_agent(&self, config: &Config) -> Result<Exit, CliError> {
        let agent = AgentClient::connect(&config.bus.socket)?;
        let patience = config.policy.deadline;
        let outcome = if self.reckoned { agent.reckon(patience)? } else { agent.sync(patience)? };
        let is_proven = outcome.gate == Gate::Proven.to_string();
        let is_done = is_proven || (self.reckoned && outcome.gate == Gate::Unproven.to_string());
        if self.json {
            print_line(json!({ "version": 2, "proven": is_proven, "agent": outcome }));
        } else {
            print_line(format!("the agent: {}", super::notify::sentence(&outcome)));
        }
        if is_done { Ok(Exit::Ok) } else { Err(CliError::still_shut("the clock is not proven", super::ASK_STATUS)) }
    }

    fn without_agent(&self, config: &Config) -> Result<Exit, CliError> {
        require_the_hosts_clocks()?;
        let outcome = super::runtime()?
            .block_on(agent::measure_step_and_prove(config, if self.reckoned { Goal::Reckoning } else { Goal::Proof }))
            .map_err(|e| CliError::caused(Exit::Bug, "the measurement ended without a result", e))?;
        let OneshotOutcome { end, trouble, steps, not_permitted, failures } = &outcome;
        if let Some(why) = not_permitted {
            self.say_failed(why, failures);
            return Err(CliError::new(Exit::NotPermitted, format!("{why}; run it as root")));
        }
        if self.reckoned && end.gate == Gate::Unproven {
            self.say_reckoned(steps);
            return Ok(Exit::Ok);
        }
        let (Gate::Proven, Some(offset), Some(bound)) = (end.gate, end.offset, end.bound) else {
            return Err(self.in_vain(trouble, failures));
        };
        if self.json {
            let steps: Vec<i64> = steps.iter().map(|step| step.as_nanos()).collect();
            let bound = nanos_u64(bound);
            print_line(
                json!({ "version": 2, "proven": true, "steps_ns": steps, "offset_ns": offset.as_nanos(), "bound_ns": bound }),
            );
        } else {
            let stepped: Vec<String> = steps.iter().map(|step| format!("stepped by {step}; ")).collect();
            print_line(format!(
                "{}proven: the clock is {}, at most {} wrong",
                stepped.concat(),
                offset.in_words(),
                bound_in_words(bound)
            ));
        }
        Ok(Exit::Ok)
    }
}

/// What was proven in this boot is kept by the host's clocks.
fn require_the_hosts_clocks() -> Result<(), CliError> {
    time_namespace::require_the_hosts().map_err(|e| CliError::caused(Exit::NoAgent, "cannot keep the clock here", e))
}

impl SyncArgs {
    fn say_reckoned(&self, steps: &[Offset]) {
        if self.json {
            let steps: Vec<i64> = steps.iter().map(|step| step.as_nanos()).collect();
            print_line(json!({ "version": 2, "proven": false, "reckoned": true, "steps_ns": steps }));
        } else {
            let stepped: Vec<String> = steps.iter().map(|step| format!("stepped by {step}; ")).collect();
            print_line(format!("{}set by dead reckoning, not proven", stepped.concat()));
        }
    }

    /// The clock is not proven; who did not answer is named.
    fn in_vain(&self, why: &str, failures: &[Failure]) -> CliError {
        self.say_failed(why, failures);
        let each: Vec<String> =
            failures.iter().map(|Failure { source, why, .. }| format!("\n  {source}: {why}")).collect();
        CliError::still_shut(format!("the clock is not proven: {why}{}", each.concat()), super::ASK_OTHERS)
    }

    /// Where `--json` was given, a failure is JSON too.
    fn say_failed(&self, why: &str, failures: &[Failure]) {
        if self.json {
            let each = failures.iter().map(|Failure { source, why, .. }| json!({ "source": source, "why": why }));
            let failures: Vec<_> = each.collect();
            print_line(json!({ "version": 2, "proven": false, "why": why, "failures": failures }));
        }
    }
}
