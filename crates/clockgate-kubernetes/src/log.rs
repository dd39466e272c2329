//! Lines for the journal.

use clockgate_run::sys::output;

/// As syslog(3) has them; systemd reads them before a line (sd-daemon(3)).
#[derive(Clone, Copy, Debug)]
pub enum Level {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// One line to standard error.
pub fn log(level: Level, text: &str) {
    output::say(&format!("<{}>{text}\n", level as u8));
}
