//! The thin binary: parse, dispatch, print the error chain, exit code.
//!
//! The entry point is C's `main`, not Rust's: Rust's runtime sets SIGPIPE to be ignored and opens descriptors that were
//! inherited closed, and `clockgate run` has to hand both on exactly as it got them.
#![no_main]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![expect(unsafe_code, reason = "the symbol `main` is C's")]

use std::ffi::{c_char, c_int};
use std::io::Write;

use clap::Parser;
use clockgate::sys::output::{self, Priority};

/// The C library calls this; the arguments come by [`std::env::args_os`], which the C library filled before.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    // A time that is given as an argument is that of this moment.
    let began = clockgate::sys::clock::boottime();
    let cli = match clockgate::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, too. Where they cannot be printed, no channel is left to report that.
            let text = clockgate::cli::instead_of_a_verb(&error);
            let _ =
                if error.use_stderr() { std::io::stderr().write_all(text.as_bytes()) } else { output::print(&text) };
            return error.exit_code();
        }
    };
    match cli.run(began) {
        Ok(code) => code,
        Err(error) => {
            output::log(Priority::Error, &format!("clockgate: {}", clockgate::error_chain::in_full(&error)));
            error.exit as c_int
        }
    }
}
