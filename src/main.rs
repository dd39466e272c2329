//! The thin binary: parse, log, dispatch, print the error chain, exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match clockgate::cli::Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            let mut text = format!("clockgate: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                text.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("{text}");
            error.exit.into()
        }
    }
}
