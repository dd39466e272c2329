//! `clockgate explain`: was it the clock? Prints nothing of the text that it reads.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::agent;
use crate::cli::{CliError, load, print, runtime};
use crate::config::patterns;
use crate::decision::Gate;
use crate::exit::Exit;
use crate::explain::{Findings, Literals, Now, Scanner, World, json, judge, list, text};
use crate::page::{self, Agent, Page};
use crate::sys::clock::{boottime, realtime};
use crate::sys::local_time::utc_offset_secs;
use crate::sys::output;
use credentials::UserCredentials;
use journal::JournalArgs;

mod command;
#[doc(hidden)]
pub mod credentials;
mod journal;
mod past;

const WHAT_TO_GIVE: &str =
    "Paste the error message and end it with Ctrl-D (or: clockgate explain 'TEXT', clockgate explain -- CMD)\n";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The error message (default: standard input)
    #[arg(value_name = "TEXT")]
    texts: Vec<OsString>,

    /// Run this command, pass its output and its exit code through, and explain it when it fails
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["texts", "list"])]
    command: Vec<OsString>,

    #[command(flatten)]
    journal: JournalArgs,

    /// Print every message that is known, with the clock error that it tolerates
    #[arg(long, conflicts_with = "texts")]
    list: bool,

    /// Ask no server, and the journal only with --journal: judge by the text and by clockgate's own history
    #[arg(long)]
    offline: bool,

    /// Read too when this user's credentials end: the caches of AWS, AWS_CREDENTIAL_EXPIRATION, the client certificates of a
    /// kubeconfig; nothing secret is read or printed
    #[arg(long)]
    credentials: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Read the configuration and the clock's past below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl Args {
    /// Performs the verb: 0 when the clock explains it, 1 when it does not; a command's own code where there is one, and
    /// therefore a bare number.
    pub fn run(self) -> Result<i32, CliError> {
        let patterns = patterns::load(&self.root).map_err(|error| CliError::new(Exit::Config, error.to_string()))?;
        let literals = Literals::new(patterns)
            .map_err(|e| CliError::caused(Exit::Bug, "cannot search for all of the messages", e))?;
        if self.list {
            print(&list(literals.patterns()))?;
            return Ok(Exit::Ok as i32);
        }
        if !self.command.is_empty() {
            return self.around(&literals);
        }
        let mut scanner = Scanner::new(&literals);
        if self.journal.is_wanted() {
            self.journal.read(&mut scanner)?;
        } else if self.texts.is_empty() {
            read_input(&mut scanner)?;
        } else {
            for given in &self.texts {
                scanner.feed(given.as_bytes());
                scanner.feed(b"\n");
            }
        }
        let (said, is_clock) = self.explain(scanner.finish());
        print(&said)?;
        Ok(if is_clock { Exit::Ok as i32 } else { Exit::No as i32 })
    }

    /// Around a command.
    fn around(&self, literals: &Literals) -> Result<i32, CliError> {
        let mut scanners = [Scanner::new(literals), Scanner::new(literals)];
        let code = command::run(&self.command, &mut scanners)?;
        if code != 0 {
            let [mut found, errors] = scanners.map(Scanner::finish);
            found.matches.extend(errors.matches);
            found.lifetimes.extend(errors.lifetimes);
            let (said, _) = self.explain(found);
            output::say(&said);
        }
        Ok(code)
    }

    /// What is to be printed, and whether it is the clock.
    fn explain(&self, mut found: Findings<'_>) -> (String, bool) {
        let (now, why_not) = match self.offline || (found.matches.is_empty() && found.lifetimes.is_empty()) {
            true => (None, None),
            false => match self.measured() {
                Ok(now) => (Some(now), None),
                Err(why) => (None, Some(why)),
            },
        };
        let own = if self.credentials { UserCredentials::read() } else { UserCredentials::default() };
        found.lifetimes.extend(own.lifetimes);
        let local = realtime();
        let zone_secs = utc_offset_secs(local).unwrap_or_default();
        let world = World { now, local: Some(local), zone_secs, lifetimes: found.lifetimes };
        let past = past::KnownPast::new(&self.root, world.now.as_ref().map(|now| now.offset));
        // A journal is read for seconds, where it is large.
        let is_quick = self.offline && !self.journal.is_wanted();
        let known = |moment| if is_quick { past.recorded(moment) } else { past.at(moment) };
        let mut explained = judge(found.matches, &world, known);
        explained.hints.extend(own.unread.into_iter().map(|what| format!("Not known: {what}.")));
        explained.hints.extend(why_not.map(|why| format!("Not measured: {why}.")));
        explained.hints.extend(past.why_not().map(|why| format!("The clock's past is not known: {why}.")));
        let said = if self.json { format!("{:#}\n", json(&explained)) } else { text(&explained, zone_secs) };
        (said, explained.verdict.is_our_clock())
    }

    /// The clock now: by the agent's page where its gate is proven, else by asking the references.
    fn measured(&self) -> Result<Now, String> {
        by_the_page().map_or_else(|| self.by_asking(), Ok)
    }

    fn by_asking(&self) -> Result<Now, String> {
        let config = load(&self.root).map_err(|error| error.to_string())?;
        let runtime = runtime().map_err(|error| error.to_string())?;
        let measurement = runtime.block_on(agent::measure(&config));
        let agreement = measurement.agreement(&config.policy, boottime()).map_err(|why| why.to_string())?;
        Ok(Now {
            offset: agreement.offset,
            root_distance: agreement.bound().saturating_sub(agreement.offset.abs()),
            supporters: Some(agreement.supporters),
        })
    }
}

fn by_the_page() -> Option<Now> {
    let view = Page::open(Path::new(page::DIRECTORY)).ok()?.read();
    match (view.gate, view.agent, view.offset, view.bound_now) {
        (Gate::Proven, Agent::Alive, Some(offset), Some(bound)) => {
            Some(Now { offset, root_distance: bound.saturating_sub(offset.abs()), supporters: None })
        }
        _ => None,
    }
}

fn read_input(scanner: &mut Scanner<'_>) -> Result<(), CliError> {
    let input = std::io::stdin().lock();
    if input.is_terminal() {
        output::say(WHAT_TO_GIVE);
    }
    read_all(input, scanner, "standard input")
}

/// Reads to the end, in pieces.
fn read_all(mut from: impl Read, scanner: &mut Scanner<'_>, what: &str) -> Result<(), CliError> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => scanner.feed(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CliError::caused(Exit::Usage, format!("cannot read {what}"), error)),
        }
    }
}
