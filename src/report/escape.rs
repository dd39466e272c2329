//! Text of others in XML and HTML: names of containers and references are of those who chose them.

use std::borrow::Cow;

/// The text without a character that means something there, or that XML 1.0 does not allow.
#[must_use]
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\'') && is_allowed(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_allowed(c) => escaped.push(c),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Cow::Owned(escaped)
}

/// XML 1.0, production 2, without what turns the direction of the text around it.
fn is_allowed(c: char) -> bool {
    let is_char =
        matches!(c, '\t' | '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    is_char && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup_and_every_character_is_allowed() {
        assert_eq!(escaped("web-1, Zürich ±3 ms"), "web-1, Zürich ±3 ms");
        assert_eq!(escaped("</title><script>'\"&"), "&lt;/title&gt;&lt;script&gt;&#39;&quot;&amp;");
        assert_eq!(escaped("a\u{0}b\u{ffff}c\u{202e}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    proptest::proptest! {
        #[test]
        fn no_text_becomes_markup(text in "\\PC{0,40}") {
            let found = escaped(&text);
            proptest::prop_assert!(!found.contains(['<', '>', '"', '\'']));
        }
    }
}
