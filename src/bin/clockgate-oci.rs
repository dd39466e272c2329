//! The wrapping OCI runtime and OCI hook as a program of its own: small, static, without the agent's runtime and bus.
//!
//! As in main.rs the entry point is C's `main`, since the runtime behind the wrapper has to inherit what the wrapper did.
#![no_main]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![expect(unsafe_code, reason = "the symbol `main` is C's")]

use std::ffi::{OsString, c_char, c_int};

use clockgate::sys::output::{self, Priority};
use clockgate::waiter::oci;

/// The C library calls this; the arguments come by [`std::env::args_os`], which the C library filled before.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let mut args = std::env::args_os();
    let argv0 = args.next().unwrap_or_else(|| "clockgate-oci".into());
    let args: Vec<OsString> = args.collect();
    let outcome = match args.first() {
        Some(word) if word == "hook" && args.len() == 1 => oci::hook(&argv0, &mut std::io::stdin()),
        _ => oci::run(&argv0, args).map(|never| match never {}),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            output::log(Priority::Error, &format!("clockgate: {}", clockgate::error_chain::in_full(&error)));
            error.exit() as c_int
        }
    }
}
