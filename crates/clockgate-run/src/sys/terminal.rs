//! The terminals that standard output and standard error are.
#![expect(unsafe_code, reason = "the size is an ioctl")]

use std::io::IsTerminal;
use std::os::fd::AsRawFd;

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// Whether it can be written over: a dumb terminal cannot take a line back.
#[must_use]
pub fn is_live(terminal: &impl IsTerminal) -> bool {
    terminal.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How large it is now; 24 lines of 80 columns where it does not say.
#[must_use]
pub fn size(terminal: &impl AsRawFd) -> TerminalSize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes into `size`, which lives as long as the call (ioctl_tty(2)).
    let asked = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let said = |number: u16, else_so: usize| if asked == 0 && number > 0 { usize::from(number) } else { else_so };
    TerminalSize { rows: said(size.ws_row, 24), columns: said(size.ws_col, 80) }
}

/// So much of a line as fits before the last column: a line that wraps cannot be written over.
#[must_use]
pub fn cut(line: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1).max(1);
    if line.chars().count() <= room {
        return line.to_owned();
    }
    line.chars().take(room.saturating_sub(3)).chain("...".chars().take(room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_before_the_last_column() {
        assert_eq!(cut("waiting", 8), "waiting");
        assert_eq!(cut("waiting", 7), "wai...");
        assert_eq!(cut("±±±±±±±±", 6), "±±...");
        assert_eq!(cut("waiting", 1), ".");
    }
}
