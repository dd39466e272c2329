//! The start gate of pods as a program of its own, beside the agent: small, and without the agent's runtime and bus.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clockgate::exit::Exit;
use clockgate::sys::output;
use clockgate::waiter::nri;

const USAGE: &str = "usage: clockgate-nri [--socket PATH | --version]\n\nRefuses the containers of pods while clockgate's gate is shut. It is a \
                     plugin of the Node Resource Interface.\n";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let argv0 = args.next().map_or_else(|| PathBuf::from("clockgate-nri"), PathBuf::from);
    let args: Vec<OsString> = args.collect();
    match &args.iter().map(|arg| arg.to_str().unwrap_or_default()).collect::<Vec<_>>()[..] {
        [] => nri::run(argv0, Path::new(nri::SOCKET)),
        ["--socket", _] if Path::new(&args[1]).is_absolute() => nri::run(argv0, Path::new(&args[1])),
        ["--help" | "-h"] => {
            // Where help cannot be printed, no channel is left to report that.
            let _ = output::print(USAGE);
            ExitCode::SUCCESS
        }
        ["--version" | "-V"] => {
            // As with the help.
            let _ = output::print(concat!("clockgate-nri ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        _ => {
            output::say(&format!("clockgate: {USAGE}"));
            ExitCode::from(Exit::Usage as u8)
        }
    }
}
