//! `clockgate-run` and `clockgate-kubernetes`, which are of other packages: cargo builds programs for the tests of their own package alone.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::outcome::{Outcome, expect};

/// Builds the small waiter with these options, and returns the programs that it has then.
pub fn build(options: &[&str]) -> Outcome<Vec<PathBuf>> {
    build_of("clockgate-run", options)
}

/// The same with any package.
pub fn build_of(package: &str, options: &[&str]) -> Outcome<Vec<PathBuf>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--package", package, "--message-format", "json"]).args(options);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output()?;
    expect(output.status.success(), &output)?;
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    Ok(messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}
