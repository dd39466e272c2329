//! The waiter alone, for images: `clockgate-run -- CMD` is `clockgate run`, and `clockgate-run` is `clockgate wait`.
//!
//! As in clockgate itself the entry point is C's `main`, since a command has to inherit what the waiter did.
#![no_main]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![expect(unsafe_code, reason = "the symbol `main` is C's")]

mod command_line;

use std::ffi::{OsString, c_char, c_int};

use clockgate_run::exit::Exit;
use clockgate_run::sys::output::{self, Priority};
use clockgate_run::sys::signals;
use clockgate_run::{Measuring, Progress, Released, Style, error_chain, exec, wait};

use command_line::{CommandLine, Request};

/// What is said where there is no agent and servers were named for that.
const NO_MEASURING: &str = "CLOCKGATE_SERVERS has servers to ask, which clockgate-run cannot: `clockgate run` can, and --no-agent says what else to do";

/// The C library calls this; the arguments come by [`std::env::args_os`], which the C library filled before.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let exit = match command_line::parse(std::env::args_os().skip(1).collect()) {
        Ok(Request::Text(text)) => {
            // Where help cannot be printed, no channel is left to report that.
            let _ = output::print(&text);
            Exit::Ok
        }
        Ok(Request::Wait(line)) => hold(line),
        Err(why) => fail(Exit::Usage, &why),
    };
    exit as c_int
}

/// Waits, and becomes the command where there is one.
fn hold(line: CommandLine) -> Exit {
    let CommandLine { options, command, json } = line;
    if let Err(errno) = signals::end_on_term_and_int() {
        let exit = if command.is_some() { Exit::RunFailed } else { Exit::Bug };
        return fail(exit, &format!("cannot handle SIGTERM and SIGINT: {errno}"));
    }
    let mut progress = Progress::new(Style::of_stderr(json));
    let ground = match wait(&options, Measuring::Refused(NO_MEASURING), &mut progress) {
        Ok(ground) => ground,
        Err(refusal) => {
            let advice = refusal.advice().map_or_else(String::new, |advice| format!("; {advice}"));
            return fail(refusal.exit(), &format!("{}{advice}", error_chain::in_full(&refusal)));
        }
    };
    match command {
        Some(command) => {
            progress.released(&ground);
            become_command(command)
        }
        None => {
            let line = if json { Released::on(&ground).json() } else { ground.to_string() };
            // Whether it can be read changes nothing about the exit code.
            let _ = output::print(&format!("{line}\n"));
            Exit::Ok
        }
    }
}

fn become_command(command: Vec<OsString>) -> Exit {
    match exec::exec(command) {
        Ok(never) => match never {},
        Err(error) => fail(error.exit(), &format!("the gate is open: {}", error_chain::in_full(&error))),
    }
}

fn fail(exit: Exit, why: &str) -> Exit {
    output::log(Priority::Error, &format!("clockgate: {why}"));
    exit
}
