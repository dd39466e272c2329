//! `status --format nagios`: one line and an exit code, as the Monitoring Plugins' guidelines have them (sections "Plugin Output"
//! and "Performance data").

use std::fmt::Display;
use std::time::Duration;

use crate::error_chain::in_full;
use crate::exit::Exit;
use crate::page::{self, Gate, View};

/// OK on a proof, WARNING where the gate is open without one, CRITICAL where it is shut.
pub const fn exit(view: &View) -> Exit {
    match view.gate {
        Gate::Proven => Exit::Ok,
        Gate::Unproven => Exit::No,
        Gate::Shut => Exit::CRITICAL,
    }
}

/// The line of a host without a gate.
pub fn unknown(error: &page::Error) -> String {
    format!("CLOCKGATE UNKNOWN: {}\n", plain(&in_full(error)))
}

/// The state, why it is so, and the numbers behind the bar.
pub fn line(view: &View, held: usize, frozen: Option<usize>) -> String {
    let (state, text) = match view.gate {
        Gate::Proven => ("OK", format!("gate open, proven for {} s more", view.valid_for().as_secs())),
        Gate::Unproven => ("WARNING", format!("gate open without a proof: {}", view.why)),
        Gate::Shut => ("CRITICAL", format!("gate shut: {}", view.absence().unwrap_or_else(|| view.why.clone()))),
    };
    let mut numbers = vec![];
    if let Some(offset) = view.offset {
        let sign = if offset.is_backward() { "-" } else { "" };
        numbers.push(format!("offset={sign}{}s", seconds(offset.abs())));
    }
    if let Some(bound) = view.bound_now {
        numbers.push(format!("bound={}s;;{};0", seconds(bound), seconds(view.threshold)));
    }
    numbers.push(format!("valid={}s;;;0", seconds(view.valid_for())));
    numbers.push(format!("held={held};;;0"));
    numbers.extend(frozen.map(|frozen| format!("frozen={frozen};;;0")));
    format!("CLOCKGATE {state}: {} | {}\n", plain(&text), numbers.join(" "))
}

/// A bar would begin the numbers, and a second line other text.
fn plain(text: &str) -> String {
    text.replace('|', "/").replace('\n', "; ")
}

fn seconds(length: Duration) -> impl Display {
    format!("{}.{:09}", length.as_secs(), length.subsec_nanos())
}
