//! All the patterns' literals at once: most of a log is looked at by nothing else.

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError};

use super::lifetime::MARKS;
use super::pattern::Pattern;

/// The patterns, and a search for all of their literals.
#[derive(Debug)]
pub struct Literals {
    search: AhoCorasick,
    /// The pattern of each literal; behind all patterns those of what carries times.
    owners: Vec<usize>,
    pub(super) patterns: Vec<Pattern>,
}

/// A literal that was found.
pub(super) struct Hit {
    pub(super) pattern: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Literals {
    /// Prepares the search.
    ///
    /// # Errors
    /// There are more literals than any memory holds.
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, BuildError> {
        let of_patterns = patterns.iter().enumerate().flat_map(|(at, one)| spellings(one).map(move |text| (at, text)));
        let of_marks = MARKS.into_iter().map(|mark| (patterns.len(), mark.to_owned()));
        let (owners, literals): (Vec<usize>, Vec<String>) = of_patterns.chain(of_marks).unzip();
        let search = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(literals)?;
        Ok(Self { search, owners, patterns })
    }

    /// The patterns, in their order.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    pub(super) fn hits<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Hit> + 'a {
        self.search.find_overlapping_iter(text).map(|found| Hit {
            pattern: self.owners[found.pattern().as_usize()],
            start: found.start(),
            end: found.end(),
        })
    }
}

/// A message that is in the middle of a sentence here begins one there; a name is spelt in one way.
fn spellings(pattern: &Pattern) -> impl Iterator<Item = String> {
    let begins = |text: &String| {
        let mut letters = text.chars();
        let first = letters.next().filter(|first| first.is_ascii_lowercase() && text.contains(' '))?;
        Some(first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    let is_free = pattern.regexes.is_empty();
    pattern.literals.iter().flat_map(move |text| [Some(text.clone()), begins(text).filter(|_| is_free)]).flatten()
}
