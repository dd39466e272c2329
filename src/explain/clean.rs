//! Text as a person would read it: without terminal escapes, backslashes of JSON, and line breaks; byte by byte, so that a
//! stream of any length can be read.

/// What a terminal does with the next byte.
#[derive(Clone, Copy, Debug, Default)]
enum Mode {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// `ESC [` up to its final byte.
    Control,
    /// `ESC ]` and the like, up to BEL or ESC.
    Command,
    /// After one or more backslashes.
    Backslash,
    /// The digits of `\u001b`.
    Code(u8, u32),
}

/// Cleans a stream.
#[derive(Debug, Default)]
pub struct Cleaner {
    mode: Mode,
    /// How long a terminal's command already is; it ends by itself.
    long: usize,
    blank: bool,
}

/// No title of a window is longer.
const COMMAND_MAX: usize = 512;

impl Cleaner {
    /// Appends what is to be read of `bytes`; calls `on_line` where a line begins in `into`.
    pub fn feed(&mut self, bytes: &[u8], into: &mut Vec<u8>, mut on_line: impl FnMut(usize)) {
        for byte in bytes {
            self.byte(*byte, into);
            if *byte == b'\n' {
                on_line(into.len());
            }
        }
    }

    fn byte(&mut self, byte: u8, into: &mut Vec<u8>) {
        match self.mode {
            Mode::Text => self.text(byte, into),
            Mode::Escape => {
                self.long = 0;
                self.mode = match byte {
                    b'[' => Mode::Control,
                    b']' | b'P' | b'^' | b'_' | b'X' => Mode::Command,
                    _ => Mode::Text,
                }
            }
            Mode::Control if (0x20..0x40).contains(&byte) => {}
            Mode::Control => self.end(byte, into, (0x40..0x7f).contains(&byte)),
            Mode::Command => {
                self.long += 1;
                match byte {
                    0x1b => self.mode = Mode::Escape,
                    0x07 | b'\n' => self.mode = Mode::Text,
                    _ if self.long > COMMAND_MAX => self.mode = Mode::Text,
                    _ => {}
                }
            }
            Mode::Backslash => match byte {
                b'\\' => {}
                b'u' => self.mode = Mode::Code(0, 0),
                b'n' | b'r' | b't' => self.end(b' ', into, false),
                _ => self.end(byte, into, false),
            },
            Mode::Code(digits, sum) => match char::from(byte).to_digit(16) {
                Some(digit) if digits < 3 => self.mode = Mode::Code(digits + 1, sum * 16 + digit),
                Some(digit) => {
                    // ESC in JSON is ESC.
                    let code = sum * 16 + digit;
                    self.end(u8::try_from(code).unwrap_or(b'?'), into, false);
                }
                None => self.end(byte, into, false),
            },
        }
    }

    /// Back to text, with that byte in it or swallowed.
    fn end(&mut self, byte: u8, into: &mut Vec<u8>, swallowed: bool) {
        self.mode = Mode::Text;
        if !swallowed {
            self.text(byte, into);
        }
    }

    fn text(&mut self, byte: u8, into: &mut Vec<u8>) {
        match byte {
            0x1b => self.mode = Mode::Escape,
            b'\\' => self.mode = Mode::Backslash,
            b' ' | b'\t' | b'\n' | b'\r' => {
                if !self.blank {
                    into.push(b' ');
                }
                self.blank = true;
            }
            // Other control characters, NUL among them, are nothing to read.
            0..0x20 | 0x7f => {}
            _ => {
                self.blank = false;
                into.push(byte);
            }
        }
    }
}

/// What is left of a page of XML or HTML, and of typography.
pub fn entities(text: &str) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
        ("\u{2018}", "'"),
        ("\u{2019}", "'"),
        ("\u{201c}", "\""),
        ("\u{201d}", "\""),
        ("\u{a0}", " "),
        ("\u{202f}", " "),
    ];
    WORDS
        .iter()
        .fold(text.to_owned(), |text, (from, to)| if text.contains(from) { text.replace(from, to) } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let (mut whole, mut parts) = (vec![], vec![]);
        Cleaner::default().feed(text.as_bytes(), &mut whole, |_| {});
        let mut cleaner = Cleaner::default();
        for byte in text.as_bytes() {
            cleaner.feed(&[*byte], &mut parts, |_| {});
        }
        assert_eq!(whole, parts, "a stream is cut anywhere");
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn colours_titles_json_and_line_breaks_go() {
        assert_eq!(cleaned("\x1b[1;31mSignature\x1b[0m\n   \x1b]0;title\x07expired"), "Signature expired");
        assert_eq!(cleaned(r#"{"m":"Start \"x\"\n b\\\"c \u003c \u001b[31mred"}"#), r#"{"m":"Start "x" b"c < red"}"#);
        assert_eq!(cleaned("a\0b\u{7f}c"), "abc");
        assert_eq!(entities("&lt;Code&gt; it\u{2019}s"), "<Code> it's");
    }
}
