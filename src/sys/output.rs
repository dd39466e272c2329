//! Standard output and standard error, which may be closed, full, or a pipe that nobody reads. std's macros panic there, and a
//! panic of ours is an abort; clippy forbids them.

use std::io::{self, Write as _};

/// Says something on standard error, in one piece, so that lines of several processes do not mix. Nobody can be told that standard
/// error is gone.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Somebody else's text for a terminal or a log: what is no printable character is escaped, also where it says in which direction
/// to write.
#[must_use]
pub fn plain(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

/// Writes to standard output.
///
/// # Errors
/// What write(2) said; a reader that has stopped early is none.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_a_terminals_cursor_is_shown_and_not_done() {
        assert_eq!(plain("it is 12 h, Zürich"), "it is 12 h, Zürich");
        assert_eq!(plain("\x1b[2Jgone\r\n\u{9b}1m"), "\\u{1b}[2Jgone\\r\\n\\u{9b}1m");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }
}
