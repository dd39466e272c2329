//! The log: lines on standard error, stamped with the seconds since boot. The time of day is what is in doubt here, and the
//! journal adds its own.

use std::fmt;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::sys::clock::boottime;

struct SinceBoot;

impl FormatTime for SinceBoot {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let nanos = boottime().as_nanos();
        write!(to, "[{:>6}.{:06}]", nanos / 1_000_000_000, nanos / 1_000 % 1_000_000)
    }
}

/// Begins to log; a second call changes nothing.
pub fn init(verbose: bool) {
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        // It would say on standard error that standard error fails, and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_timer(SinceBoot);
    let _ = log.try_init();
}
