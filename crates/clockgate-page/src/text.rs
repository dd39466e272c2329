//! Text of others, for people to read.

/// Text of another program as it can be printed: on one line, and without what a terminal obeys or hides, also where it says in which
/// direction to write.
#[must_use]
pub fn shown(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let each = text.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(shown("web \u{1b}[2J\nHeld: ä"), "web \\u{1b}[2J\\nHeld: ä");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown("it is 12 h, Zürich"), "it is 12 h, Zürich");
        assert_eq!(shown("gone\r\n\u{9b}1m"), "gone\\r\\n\\u{9b}1m");
    }
}
