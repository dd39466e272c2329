//! `run --retry-clock`: a command that was refused because of the clock is run once more when the gate is open.

use std::ffi::OsString;
use std::path::Path;

use serde_json::json;

use crate::cli::CliError;
use crate::cli::gate_options::GateOptions;
use crate::config::patterns;
use crate::decision::Gate;
use crate::exit::Exit;
use crate::explain::{Literals, Match, Proves, Scanner, Wording};
use crate::page::Page;
use crate::sys::input::Input;
use crate::sys::output;
use crate::waiter::supervise::{CommandEnd, SuperviseError, supervise};
use crate::waiter::{Progress, Style};

/// A rejection is looked for among so many last lines.
const LAST_LINES: usize = 20;

/// Why there is no second try though the clock was the reason.
const INPUT_IS_GONE: &str =
    "standard input is a pipe that it may have read, so it is not run once more; give it a file, or </dev/null";

/// Runs the command, and once more where it was refused because of the clock.
///
/// # Errors
/// It could not be executed or waited for.
pub fn run(command: &[OsString], gate: &GateOptions) -> Result<i32, CliError> {
    let input = Input::now();
    let first = supervise(command).map_err(failed)?;
    if !first.has_failed {
        return Ok(first.code);
    }
    let Some(id) = refusal(&first, gate) else { return Ok(first.code) };
    let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !input.rewind() {
        say(gate, &name, (&id, INPUT_IS_GONE, false));
        return Ok(first.code);
    }
    say(gate, &name, (&id, "it is run once more when the gate is open", true));
    let mut progress = Progress::new(Style::of_stderr(gate.json));
    match gate.wait(&mut progress) {
        Ok(ground) => progress.ground(&ground),
        Err(why) => {
            say(gate, &name, (&id, &format!("it is not run once more: {}", crate::error_chain::in_full(&why)), false));
            return Ok(first.code);
        }
    }
    supervise(command).map(|second| second.code).map_err(failed)
}

fn failed(error: SuperviseError) -> CliError {
    let exit = match &error {
        SuperviseError::Run(error) => error.exit(),
        SuperviseError::Wait(_) => Exit::RunFailed,
    };
    CliError::caused(exit, "the gate is open", error)
}

/// The message by which the command's last lines say that it was the clock, and that the request had no effect.
fn refusal(ended: &CommandEnd, gate: &GateOptions) -> Option<String> {
    let literals = patterns::load(Path::new("/"))
        .map_err(|error| error.to_string())
        .and_then(|patterns| Literals::new(patterns).map_err(|error| error.to_string()));
    let literals = match literals {
        Ok(literals) => literals,
        Err(why) => {
            output::say(&format!("clockgate: cannot judge whether it was the clock: {why}\n"));
            return None;
        }
    };
    let found = ended.last.iter().rev().flat_map(|written| {
        let mut scanner = Scanner::new(&literals);
        scanner.feed(last_lines(written));
        scanner.finish().matches
    });
    let is_doubtful = || Page::open(gate.page()).is_ok_and(|page| page.read().gate == Gate::Shut);
    let refuses = |one: &Match<'_>| match one.proves {
        _ if !one.pattern.refused_before_effect || one.wording == Wording::Mention => false,
        Proves::Clock => true,
        // The clock or the credentials: a gate that is shut now shows which.
        Proves::Either => is_doubtful(),
        Proves::Other => false,
    };
    found.filter(refuses).map(|one| one.pattern.id.clone()).next()
}

fn last_lines(written: &[u8]) -> &[u8] {
    let ends = written.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place + 1);
    let begin = ends.filter(|place| *place < written.len()).nth(LAST_LINES - 1).unwrap_or_default();
    &written[begin..]
}

/// Says what is done about a refused command, on standard error.
fn say(gate: &GateOptions, name: &str, (pattern, what, is_retried): (&str, &str, bool)) {
    let why = format!("`{name}` was refused because of the clock ({pattern}), before it had an effect: {what}");
    output::say(&if gate.json {
        format!("{}\n", json!({ "version": 2, "retried": is_retried, "pattern": pattern, "why": why }))
    } else {
        format!("clockgate: {why}\n")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_twenty_whether_the_last_one_ends_or_not() {
        let lines = |n: usize| (0..n).map(|i| format!("{i}\n")).collect::<String>();
        let count = |text: &str| last_lines(text.as_bytes()).split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
        assert_eq!(count(&lines(5)), 5);
        assert_eq!(count(&lines(50)), LAST_LINES);
        assert_eq!(count(&format!("{}x", lines(50))), LAST_LINES);
        assert_eq!(count(""), 0);
    }
}
