//! A terminal's second screen, drawn over again and again; what was on the first one is there again afterwards.

use std::io;
use std::mem;

use crate::decision::counted;
use crate::sys::output::print_to_a_reader;
use crate::sys::terminal::{self, TerminalSize};

/// The second screen, without a cursor (xterm's private modes 1049 and 25, which other terminals have as well).
const OPEN: &str = "\x1b[?1049h\x1b[?25l";
const CLOSE: &str = "\x1b[?25h\x1b[?1049l";

/// Behind the names of values.
const INDENT: usize = 11;

/// The screen, until it is dropped.
pub struct Screen {
    /// What is on it.
    frame: String,
}

impl Screen {
    pub fn open() -> io::Result<Self> {
        let mut screen = Self { frame: String::new() };
        screen.reopen()?;
        Ok(screen)
    }

    /// Draws lines, so many as there is room for; what is there already is not drawn again.
    pub fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        let frame = frame(lines, terminal::size(&io::stdout()));
        if mem::replace(&mut self.frame, frame.clone()) == frame {
            return Ok(());
        }
        print_to_a_reader(&frame)
    }

    /// What is on it is no longer known.
    pub fn forget(&mut self) {
        self.frame.clear();
    }

    /// Gives the terminal back.
    pub fn close(&mut self) -> io::Result<()> {
        print_to_a_reader(CLOSE)
    }

    /// Takes the terminal again.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.forget();
        print_to_a_reader(OPEN)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.close();
    }
}

/// One picture: from the first line on, each line up to its end, and nothing below.
fn frame(lines: Vec<String>, size: TerminalSize) -> String {
    let rows = size.rows.saturating_sub(1).max(1);
    let mut lines: Vec<String> = lines.iter().flat_map(|line| broken(line, size.columns)).collect();
    if lines.len() > rows {
        let more = lines.len() - rows + 1;
        lines.truncate(rows - 1);
        lines.push(counted(more as u64, "more line"));
    }
    let lines = lines.iter().map(|line| format!("{}\x1b[K\r\n", terminal::cut(line, size.columns)));
    format!("\x1b[H{}\x1b[J", lines.collect::<String>())
}

/// A line in as many as it needs, between words where it can be; where there is hardly room it is cut instead.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(1);
    let mut rest: Vec<char> = line.chars().collect();
    let mut pieces = vec![];
    while rest.len() > room && room >= 2 * INDENT {
        let blank = rest[INDENT..=room].iter().rposition(|c| *c == ' ').map(|at| at + INDENT);
        let end = blank.filter(|at| *at > INDENT).unwrap_or(room);
        let after = rest.split_off(end);
        pieces.push(rest.into_iter().collect());
        rest = [' '; INDENT].into_iter().chain(after.into_iter().skip_while(|c| *c == ' ')).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let lines = || ["one", "a long line", "three"].map(str::to_owned).to_vec();
        let size = |rows, columns| TerminalSize { rows, columns };
        assert_eq!(frame(lines(), size(24, 80)), "\x1b[Hone\x1b[K\r\na long line\x1b[K\r\nthree\x1b[K\r\n\x1b[J");
        assert_eq!(frame(lines(), size(24, 8)), "\x1b[Hone\x1b[K\r\na lo...\x1b[K\r\nthree\x1b[K\r\n\x1b[J");
        assert_eq!(frame(lines(), size(3, 80)), "\x1b[Hone\x1b[K\r\n2 more lines\x1b[K\r\n\x1b[J");
        assert_eq!(frame(lines(), size(1, 80)), "\x1b[H3 more lines\x1b[K\r\n\x1b[J");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let line = "      Why: no reference has answered";
        assert_eq!(broken(line, 80), [line]);
        assert_eq!(broken(line, 36), ["      Why: no reference has", "           answered"]);
        assert_eq!(broken(line, 24), ["      Why: no reference", "           has answered"]);
        assert_eq!(broken("      Why: abcdefghijklmnopq", 24), ["      Why: abcdefghijkl", "           mnopq"]);
        assert_eq!(broken(line, 20), [line]);
        assert_eq!(broken("", 80), [""]);
    }
}
