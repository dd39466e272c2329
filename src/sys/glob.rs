//! Patterns for names, in clockgate's own files and in those of other programs: `*` matches anything, `?` one character.

use std::fmt;

/// A pattern of `*` and `?` that a text has to match from end to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobPattern(String);

impl GlobPattern {
    /// Every text is a pattern; the empty one matches the empty text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether this character is in it.
    #[must_use]
    pub fn has(&self, character: char) -> bool {
        self.0.contains(character)
    }

    /// Compares in time that grows with the product of the lengths at worst.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (glob, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut g, mut t) = (0, 0);
        // The position of the last star, and where its match ends.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match glob.get(g) {
                Some('*') => {
                    star = Some((g, t));
                    g += 1;
                }
                Some(c) if *c == '?' || *c == text[t] => {
                    g += 1;
                    t += 1;
                }
                _ => {
                    let Some((at, end)) = star else { return false };
                    star = Some((at, end + 1));
                    g = at + 1;
                    t = end + 1;
                }
            }
        }
        glob[g..].iter().all(|c| *c == '*')
    }
}

impl fmt::Display for GlobPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_from_end_to_end() {
        for (glob, text) in [
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "abc"),
            ("*", ""),
            ("a*b*c", "a-b-b-c"),
            ("ab", "ab"),
            ("web-?", "web-1"),
            ("?*?", "ab"),
            ("", ""),
        ] {
            assert!(GlobPattern::new(glob).matches(text), "{glob} {text}");
        }
        for (glob, text) in
            [("a", "ab"), ("b*", "ab"), ("*a", "ab"), ("a*b*c", "acb"), ("ab*ba", "aba"), ("web-?", "web-"), ("", "a")]
        {
            assert!(!GlobPattern::new(glob).matches(text), "{glob} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!GlobPattern::new("*a".repeat(50)).matches(&"a".repeat(49)));
        assert!(GlobPattern::new("*a".repeat(50)).matches(&"a".repeat(500)));
    }
}
