//! The command line: one file a verb.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::decision::Boottime;
use crate::exit::Exit;
use crate::sys::output;

mod accept;
mod agent;
mod config;
mod doctor;
mod explain;
mod gate_options;
mod help;
mod history;
mod hooks;
mod http;
mod log;
mod measure;
mod notify;
mod oci;
mod period;
mod report;
mod run;
mod servers;
mod status;
mod sync;
mod thaw;
mod time_value;
mod tolerances;
mod values;
mod vm;
mod wait;

// For those who have the text and no file.
#[doc(hidden)]
pub use explain::credentials as user_credentials;

/// Keeps workloads waiting until the host's clock can be trusted.
#[derive(Debug, Parser)]
#[command(name = "clockgate", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

// `run` waits for its own words alone to be set up, and is in front of every command.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Verb {
    /// Run the agent
    Agent(agent::AgentArgs),
    /// Wait for the gate, then execute a command
    Run(run::RunArgs),
    /// Wait for the gate
    Wait(wait::WaitArgs),
    /// Measure, step and verify the clock, with or without an agent
    Sync(sync::SyncArgs),
    /// Accept the clock as it is and open the gate without a proof (root)
    Accept(accept::AcceptArgs),
    /// Ask every reference once and print each answer
    Measure(measure::MeasureArgs),
    /// Say whether the clock is what an error message is about, and what to do next
    Explain(explain::Args),
    /// Find out what is wrong with the clock, and why
    Doctor(doctor::DoctorArgs),
    /// Print the state of the gate
    Status(status::StatusArgs),
    /// Print what happened to the clock of this host
    History(history::HistoryArgs),
    /// Print how far off a clock may be for what people do with it
    Tolerances(tolerances::TolerancesArgs),
    /// Report whether anything was wrong with the clock, and how badly
    Report(report::ReportArgs),
    /// Notify the agent of a suspend, resume, snapshot or restore
    Notify(notify::NotifyArgs),
    /// Thaw the containers that the agent left frozen
    Thaw(thaw::ThawArgs),
    /// Notify the agent in a guest of this hypervisor
    Vm(vm::VmArgs),
    /// Check or print the configuration
    Config(config::ConfigArgs),
    /// Install clockgate as OCI runtime of container engines, or remove it
    Hooks(hooks::HooksArgs),
    /// Open a manual page, or list the verbs
    Help(help::HelpArgs),
    /// Hold a container's start, then become its OCI runtime
    #[command(hide = true)]
    Oci(oci::OciArgs),
}

/// A command that failed: what to print, and the code to exit with.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CliError {
    /// An error in our own words.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), source: None }
    }

    /// The gate is not open, or the clock not proven; and what to do about it.
    pub fn still_shut(what: impl std::fmt::Display, help: &str) -> Self {
        Self::new(Exit::StillShut, format!("{what}; {help}"))
    }

    /// An error with its cause, which is printed after it.
    pub fn caused(
        exit: Exit,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { exit, message: message.into(), source: Some(source.into()) }
    }
}

/// Prints the output of a verb.
fn print(text: &str) -> Result<(), CliError> {
    output::print(text).map_err(|e| CliError::caused(Exit::Bug, "cannot write to standard output", e))
}

/// Prints a line about what a verb did. Whether it can be read changes nothing about that, nor about the exit code.
fn print_line(line: impl fmt::Display) {
    let _ = output::print(&format!("{line}\n"));
}

use clockgate_run::{ASK_OTHERS, ASK_STATUS};

/// What is printed instead of performing a verb: help, the version, or why clap refused the command line, with a word on what is
/// forgotten most.
pub fn instead_of_a_verb(error: &clap::Error) -> String {
    if help::asks_for_verbs(error) {
        return help::overview();
    }
    let mut text = error.render().to_string();
    let mut line = std::env::args_os().skip(1);
    let is_run = line.next().is_some_and(|verb| verb == "run");
    if is_run && error.use_stderr() && line.all(|word| word != "--") {
        text.push_str("\nThe command comes after `--`: clockgate run -- CMD\n");
    }
    text
}

/// The configuration below `root`.
fn load(root: &Path) -> Result<Config, CliError> {
    Config::load(root).map_err(|error| CliError::new(Exit::Config, error.to_string()))
}

/// How long a thread that has nothing to do stays: longer than the agent sleeps between two renewals of a proof.
const THREADS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most threads that wait for the clock, a bus or a freeze at the same time on a busy day.
const THREADS_MOST: usize = 32;

/// The runtime of the verbs that need one: one thread, and more only for what blocks.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The agent sleeps for minutes and then has milliseconds: a thread costs more to make than it does then.
        .thread_keep_alive(THREADS_KEPT)
        // Who has no thread more waits for one; the unit's TasksMax= allows twice as many.
        .max_blocking_threads(THREADS_MOST)
        .build()
        .map_err(|e| CliError::caused(Exit::Bug, "cannot start the runtime", e))
}

impl Cli {
    /// Performs the verb of a process that began at that moment; the code to exit with, which is any number where it is a
    /// command's own.
    ///
    /// # Errors
    /// [`CliError`], with the exit code that belongs to it.
    pub fn run(self, began: Boottime) -> Result<i32, CliError> {
        let exit = match self.verb {
            Verb::Agent(args) => args.run(),
            Verb::Run(args) => return args.run(),
            Verb::Wait(args) => args.run(),
            Verb::Sync(args) => args.run(),
            Verb::Accept(args) => args.run(),
            Verb::Measure(args) => args.run(),
            Verb::Explain(args) => return args.run(),
            Verb::Doctor(args) => args.run(),
            Verb::Status(args) => args.run(),
            Verb::History(args) => args.run(),
            Verb::Tolerances(args) => args.run(),
            Verb::Report(args) => args.run(),
            Verb::Notify(args) => args.run(began),
            Verb::Thaw(args) => args.run(),
            Verb::Vm(args) => args.run(began),
            Verb::Config(args) => args.run(),
            Verb::Hooks(args) => args.run(),
            Verb::Help(args) => args.run(),
            Verb::Oci(args) => args.run(),
        };
        exit.map(|exit| exit as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_help_of_a_verb_begins_as_the_list_of_verbs_has_it() {
        let mut listed = Cli::command();
        for verb in listed.get_subcommands_mut() {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let help = verb.clone().term_width(0).render_help().to_string();
            assert!(!about.is_empty() && help.starts_with(&about), "{}: {help}", verb.get_name());
        }
    }
}
