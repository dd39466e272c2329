//! Lines for the journal, or for a person.

use clockgate_run::sys::output;

/// As syslog(3) has them; systemd reads them before a line (sd-daemon(3)).
#[derive(Clone, Copy, Debug)]
pub enum Level {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// One line to standard error; the priority is for the journal, and not for who called the program by hand.
pub fn log(level: Level, text: &str) {
    let priority = if output::is_journal() { format!("<{}>", level as u8) } else { String::new() };
    output::say(&format!("{priority}{text}\n"));
}
