//! The command line: the options of `clockgate run` that need no more than the page.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clockgate_run::{MAX_WAIT, NoAgent, OnTimeout, Options, THRESHOLD, duration, tolerance, values};
use lexopt::prelude::*;

const HELP: &str = "\
Waits for clockgate's gate, then executes CMD; without CMD it only waits

Usage: clockgate-run [OPTIONS] [-- CMD...]

Options:
      --max-wait DURATION  How long to wait: 30s, 2min, or `infinity` [default: 60s]
      --on-timeout HOW     What to do when that time is over: open or fail [default: fail]
      --require-proof      Accept only a gate that is open on a proof
      --tolerance DURATION Go on while the clock is wrong by at most this, by two exchanges after the last disruption
      --for CLASS          The same by what the clock is needed for: sigv4, tls and others; repeatable, the smallest counts
      --page DIR           The directory of the gate page [default: /run/clockgate/public]
      --no-agent HOW       What to do without a gate page: kernel, fail or open [default: kernel]
      --threshold DURATION The bound that is required without a gate page [default: 200ms]
      --json               Print JSON
  -h, --help               Print help
  -V, --version            Print version

`clockgate run` has the same options. It also asks NTP servers where there is no agent (--server), and retries a command
(--retry-clock).
";

/// What is asked for.
#[derive(Debug)]
pub enum Request {
    /// To wait.
    Wait(CommandLine),
    /// To be shown this.
    Text(String),
}

/// How to wait, and for what.
#[derive(Debug)]
pub struct CommandLine {
    /// How to wait.
    pub options: Options,
    /// What then; nothing where it is waited only.
    pub command: Option<Vec<OsString>>,
    /// Whether to print JSON.
    pub json: bool,
}

/// Each option, once.
#[derive(Debug, Default)]
struct Given {
    max_wait: Option<Option<Duration>>,
    on_timeout: Option<OnTimeout>,
    require_proof: Option<()>,
    tolerance: Option<Duration>,
    classes: Vec<Duration>,
    page: Option<PathBuf>,
    no_agent: Option<NoAgent>,
    threshold: Option<Duration>,
    json: Option<()>,
}

/// # Errors
/// What is wrong with it, in words.
pub fn parse(mut words: Vec<OsString>) -> Result<Request, String> {
    let command = words.iter().position(|word| word == "--").map(|at| {
        let command = words.split_off(at + 1);
        words.pop();
        command
    });
    if command.as_ref().is_some_and(Vec::is_empty) {
        return Err("there is no command after `--`: name one, or leave `--` out to wait only".to_owned());
    }
    let mut given = Given::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(arg) = parser.next().map_err(|error| in_words(&error))? {
        match arg {
            Long("max-wait") => set(&mut given.max_wait, "--max-wait", &values::patience, &mut parser)?,
            Long("on-timeout") => set(&mut given.on_timeout, "--on-timeout", &on_timeout, &mut parser)?,
            Long("require-proof") => once(&mut given.require_proof, "--require-proof", ())?,
            Long("tolerance") => set(&mut given.tolerance, "--tolerance", &tolerance::duration, &mut parser)?,
            Long("for") => {
                let mut class = None;
                set(&mut class, "--for", &tolerance_of_class, &mut parser)?;
                given.classes.extend(class);
            }
            Long("page") => set(&mut given.page, "--page", &values::absolute, &mut parser)?,
            Long("no-agent") => set(&mut given.no_agent, "--no-agent", &no_agent, &mut parser)?,
            Long("threshold") => set(&mut given.threshold, "--threshold", &duration::parse, &mut parser)?,
            Long("json") => once(&mut given.json, "--json", ())?,
            Long(option @ ("server" | "retry-clock")) => {
                return Err(format!(
                    "--{option} is an option of `clockgate run`, and clockgate-run has not that part of it"
                ));
            }
            Long("help") | Short('h') => return Ok(Request::Text(HELP.to_owned())),
            Long("version") | Short('V') => {
                return Ok(Request::Text(format!("clockgate-run {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Value(word) => {
                let word = word.to_string_lossy().into_owned();
                return Err(format!(
                    "unexpected argument `{word}`: the command comes after `--`, as in `clockgate-run -- {word}`"
                ));
            }
            Long(_) | Short(_) => return Err(in_words(&arg.unexpected())),
        }
    }
    let json = given.json.is_some();
    Ok(Request::Wait(CommandLine { options: given.options(), command, json }))
}

impl Given {
    fn options(self) -> Options {
        // As `clockgate run` has it: servers that are named are to be asked, which is refused where there is no agent.
        let names_servers = !clockgate_run::named_servers().trim().is_empty();
        let unnamed = if names_servers { NoAgent::Measure } else { NoAgent::Kernel };
        Options {
            directory: self.page.unwrap_or_else(|| clockgate_page::DIRECTORY.into()),
            max_wait: self.max_wait.unwrap_or(Some(MAX_WAIT)),
            on_timeout: self.on_timeout.unwrap_or(OnTimeout::Fail),
            require_proof: self.require_proof.is_some(),
            tolerance: self.classes.into_iter().chain(self.tolerance).min(),
            no_agent: self.no_agent.unwrap_or(unnamed),
            threshold: self.threshold.unwrap_or(THRESHOLD),
        }
    }
}

fn once<T>(place: &mut Option<T>, option: &str, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{option} is given twice: leave one of them out")),
    }
}

/// Takes an option's value.
fn set<T>(
    place: &mut Option<T>,
    option: &str,
    read: &dyn Fn(&str) -> Result<T, String>,
    parser: &mut lexopt::Parser,
) -> Result<(), String> {
    let wrong = |text: &str, why: &dyn Display| format!("invalid value `{text}` for {option}: {why}");
    let text = parser.value().map_err(|error| in_words(&error))?;
    let text = text.to_str().ok_or_else(|| wrong(&text.to_string_lossy(), &"it is not UTF-8"))?;
    once(place, option, read(text).map_err(|why| wrong(text, &why))?)
}

/// What the parser found, and what to do about it.
fn in_words(error: &lexopt::Error) -> String {
    const HELP: &str = "`clockgate-run --help` lists the options";
    match error {
        lexopt::Error::MissingValue { option } => {
            format!("{} needs a value: {HELP}, each with what it takes", option.as_deref().unwrap_or("an option"))
        }
        lexopt::Error::UnexpectedValue { option, value } => {
            format!("{option} takes no value, and `{}` was given: write {option} alone", value.to_string_lossy())
        }
        lexopt::Error::UnexpectedOption(option) => format!("unknown option {option}: {HELP}"),
        lexopt::Error::UnexpectedArgument(word) => format!("unexpected argument `{}`: {HELP}", word.to_string_lossy()),
        lexopt::Error::ParsingFailed { value, error } => format!("invalid value `{value}`: {error}"),
        lexopt::Error::NonUnicodeValue(value) => format!("`{}` is not UTF-8", value.to_string_lossy()),
        lexopt::Error::Custom(error) => error.to_string(),
    }
}

fn on_timeout(text: &str) -> Result<OnTimeout, String> {
    OnTimeout::ALL.into_iter().find(|how| how.name() == text).ok_or_else(|| "expected open or fail".to_owned())
}

fn tolerance_of_class(name: &str) -> Result<Duration, String> {
    let class = tolerance::ToleranceClass::named(name);
    let expected = || format!("expected one of {}", tolerance::CLASSES.map(|class| class.name).join(", "));
    class.map(|class| class.tolerance).ok_or_else(expected)
}

fn no_agent(text: &str) -> Result<NoAgent, String> {
    match NoAgent::ALL.into_iter().find(|how| how.name() == text) {
        Some(NoAgent::Measure) => {
            Err("`clockgate run` measures where there is no agent, and clockgate-run has not that part of it"
                .to_owned())
        }
        Some(how @ (NoAgent::Kernel | NoAgent::Fail | NoAgent::Open)) => Ok(how),
        None => Err("expected kernel, fail or open".to_owned()),
    }
}
