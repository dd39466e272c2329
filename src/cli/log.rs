//! The log: lines on standard error. In the journal each has its priority, by which `journalctl -p warning` finds what needs a
//! person, and the journal's own stamp; what happened to the clock goes there with fields of its own (`publish/outlets/journal.rs`). Elsewhere it is stamped with the seconds since boot: the time of day is what is in doubt.

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::sys::clock::boottime;
use crate::sys::foreign::shown;
use crate::sys::output::{self, Priority};

/// Begins to log; a second call changes nothing.
pub fn init(verbose: bool) {
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // It would say on standard error that standard error fails, and panic.
        .log_internal_errors(false);
    let _ = if output::is_journal() {
        log.event_format(Prioritized).try_init()
    } else {
        log.with_ansi(is_coloured()).with_target(false).with_timer(SinceBoot).try_init()
    };
}

struct SinceBoot;

impl FormatTime for SinceBoot {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let nanos = boottime().as_nanos();
        write!(to, "[{:>6}.{:06}]", nanos / 1_000_000_000, nanos / 1_000 % 1_000_000)
    }
}

/// A line with its priority in front (sd-daemon(3)), and no stamp.
struct Prioritized;

impl<S, N> FormatEvent<S, N> for Prioritized
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = FormattedFields::<N>::new(String::new());
        context.field_format().format_fields(fields.as_writer(), event)?;
        // In one write: what several threads say does not mix.
        to.write_str(&prioritized(*event.metadata().level(), &fields.fields))
    }
}

/// The journal makes an entry of each line.
fn prioritized(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => Priority::Error,
        Level::WARN => Priority::Warning,
        Level::INFO => Priority::Info,
        Level::DEBUG | Level::TRACE => Priority::Debug,
    } as u8;
    text.lines().map(|line| format!("<{priority}>{}\n", shown(line))).collect()
}

/// On a terminal that can, unless NO_COLOR is set (no-color.org).
fn is_coloured() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !is_dumb && std::env::var_os("NO_COLOR").is_none_or(|no: OsString| no.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_priority() {
        assert_eq!(prioritized(Level::WARN, "one\n  two"), "<4>one\n<4>  two\n");
        assert_eq!(prioritized(Level::INFO, "gate open epoch=1"), "<6>gate open epoch=1\n");
        assert_eq!(prioritized(Level::ERROR, "no"), "<3>no\n");
        assert_eq!(prioritized(Level::ERROR, "\u{1b}[2J"), "<3>\\u{1b}[2J\n");
    }
}
