//! What the benches share: times and their medians, tables, and docs/performance.md, of which each bench writes the sections
//! that it measured, between their markers.
#![allow(dead_code, reason = "each bench uses its own part of it")]

use std::fmt::{Display, Write as _};
use std::process::Command;
use std::time::Duration;

use clockgate::sys::clock::boottime;

use crate::support::{Outcome, section};

pub mod machine;

/// A table of Markdown.
#[derive(Debug)]
pub struct Table {
    text: String,
}

impl Table {
    /// A table with these columns; those behind the first hold numbers, the last one words again.
    pub fn new(columns: &[&str]) -> Self {
        let rule = |i| if i == 0 || i + 1 == columns.len() { "---" } else { "---:" };
        let rules: Vec<&str> = (0..columns.len()).map(rule).collect();
        Self { text: format!("| {} |\n|{}|\n", columns.join(" | "), rules.join("|")) }
    }

    pub fn row(&mut self, cells: &[&dyn Display]) {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        eprintln!("{}", cells.join(" | "));
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    /// A row of two times of the same thing, and a goal for their ratio.
    pub fn compare(&mut self, what: &str, ours: Duration, beside: Duration, goal: f64) {
        let ratio = ratio(ours, beside);
        let goal = format!("under {goal}: {}", met(ratio < goal));
        self.row(&[&what, &millis(ours), &millis(beside), &format!("{ratio:.2}"), &goal]);
    }

    /// Puts it in its place in docs/performance.md.
    pub fn write(self, section: &str) -> Outcome {
        write(section, &self.text)
    }
}

/// Replaces what is between the markers of `section`.
pub fn write(section: &str, text: &str) -> Outcome {
    section::write("docs/performance.md", section, "make bench", text)
}

/// The medians of `rounds` of each, taken in turn, so that a machine that is busy for a while is busy for both.
pub fn in_turn(
    rounds: usize,
    mut a: impl FnMut() -> Outcome<Duration>,
    mut b: impl FnMut() -> Outcome<Duration>,
) -> Outcome<(Duration, Duration)> {
    let (mut all_a, mut all_b) = (vec![], vec![]);
    for _ in 0..rounds {
        all_a.push(a()?);
        all_b.push(b()?);
    }
    Ok((median(&all_a), median(&all_b)))
}

/// How long a command of ours or of others takes that ends with 1 where it has found what it looks for, or has not.
pub fn timed(command: &mut Command) -> Outcome<Duration> {
    let started = boottime();
    let status = command.status()?;
    let took = boottime().since(started);
    match status.code() {
        Some(0 | 1) => Ok(took),
        _ => Err(format!("{command:?} ended with {status}").into()),
    }
}

pub fn median(all: &[Duration]) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

pub fn ratio(ours: Duration, beside: Duration) -> f64 {
    ours.as_secs_f64() / beside.as_secs_f64()
}

pub fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    if millis < 100.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

pub fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**not met**" }
}
