//! How exact the `Date` of a web server on loopback is, by the questions around the edges of seconds, and how long they take. Its table
//! goes to docs/performance.md.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot make its server has failed")]

use std::process::ExitCode;
use std::time::Duration;

use clockgate::reference::http::measure;
use clockgate::sys::clock::boottime;
use clockgate::sys::output;

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/http/site.rs"]
mod site;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, median, met, millis};
use site::{Authority, Life, Manner, Site, Vice, question};
use support::Outcome;

/// How often each is done.
const ROUNDS: usize = 5;
const GOAL: Duration = Duration::from_millis(200);
const DAY: i64 = 86_400;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("{error:?}\n"));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome {
    let columns =
        ["web server", "answers after", "questions", "took", "bound, each side", "at the widest", "true error", "goal"];
    let mut table = Table::new(&columns);
    for (name, scheme, vice) in [
        ("plain", "http", Vice::None),
        ("TLS", "https", Vice::None),
        ("TLS", "https", Vice::Slow(20)),
        ("TLS, a connection for each question", "https", Vice::HangsUp),
    ] {
        row(&mut table, (name, scheme), vice)?;
    }
    table.write("http")
}

fn row(table: &mut Table, (name, scheme): (&str, &str), vice: Vice) -> Outcome {
    let authority = Authority::new();
    let life = Life { name: "localhost", begins: -300, ends: 7 * DAY };
    let tls = (scheme == "https").then(|| authority.signs(life));
    let site = Site::start(Manner { vice, ..Manner::default() }, tls);
    let url = format!("{scheme}://localhost:{}/", site.port).parse().map_err(|error| format!("{error}"))?;
    let (mut bounds, mut took, mut errors, mut questions) = (vec![], vec![], vec![], 0);
    for _ in 0..ROUNDS {
        let from = boottime();
        let date = measure(&url, &question(&authority)).map_err(|error| error.to_string())?;
        took.push(boottime().since(from));
        bounds.push(date.measured);
        // Its clock is this machine's: what is measured beside zero is wrong.
        errors.push(date.offset.abs());
        questions = questions.max(date.answers);
    }
    let late = if let Vice::Slow(late) = vice { format!("{late} ms") } else { "0 ms".to_owned() };
    let widest = bounds.iter().max().copied().unwrap_or_default();
    let error = errors.iter().max().copied().unwrap_or_default();
    let goal = format!("under {}: {}", millis(GOAL), met(widest < GOAL));
    let (time, bound) = (millis(median(&took)), millis(median(&bounds)));
    table.row(&[&name, &late, &questions, &time, &bound, &millis(widest), &millis(error), &goal]);
    Ok(())
}
