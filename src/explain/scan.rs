//! A text of any length, searched for known messages in bounded memory.

use std::ops::Range;

use super::clean::{Cleaner, entities};
use super::context::{Place, Wording, wording};
use super::extract::{self, Match, MatchedLine};
use super::lifetime::{self, Lifetime};
use super::literals::{Hit, Literals};
use super::pattern::Proves;

/// How far from its literal a message may begin and end.
const BEFORE: usize = 400;
const AFTER: usize = 1600;
/// What is looked at together.
const BLOCK: usize = 128 * 1024;
/// Text of this size is looked at a second time, with its lines joined without a blank between.
const SMALL: usize = 64 * 1024;
/// One message again and again says nothing new, and a literal that is everywhere is no message.
const MATCHES_EACH: u32 = 8;
const TRIALS_EACH: u32 = 500;
/// More tokens than that are a list of them.
const LIFETIMES: usize = 8;

/// What a text has in it.
#[derive(Debug, Default)]
pub struct Findings<'p> {
    /// Known messages, each once at each place, in the order of the text.
    pub matches: Vec<Match<'p>>,
    /// Times of tokens and signed URLs.
    pub lifetimes: Vec<Lifetime>,
}

/// Searches a stream.
#[derive(Debug)]
pub struct Scanner<'p> {
    literals: &'p Literals,
    cleaner: Cleaner,
    /// Cleaned text that is still needed.
    text: Vec<u8>,
    /// Where lines begin in it, and their numbers; of empty ones the last.
    lines: Vec<(usize, u64)>,
    /// Where the search goes on.
    done: usize,
    /// Matches and trials of each pattern.
    counts: Vec<(u32, u32)>,
    found: Findings<'p>,
    /// The text as it came, while it is small.
    raw: Option<Vec<u8>>,
}

impl<'p> Scanner<'p> {
    /// Nothing read yet.
    #[must_use]
    pub fn new(literals: &'p Literals) -> Self {
        Self { raw: Some(vec![]), ..Self::once(literals) }
    }

    fn once(literals: &'p Literals) -> Self {
        Self {
            literals,
            cleaner: Cleaner::default(),
            text: vec![],
            lines: vec![(0, 1)],
            done: 0,
            counts: vec![(0, 0); literals.patterns.len()],
            found: Findings::default(),
            raw: None,
        }
    }

    /// Reads the next piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.raw {
            Some(raw) if raw.len() + bytes.len() <= SMALL => raw.extend_from_slice(bytes),
            Some(_) | None => self.raw = None,
        }
        for piece in bytes.chunks(BLOCK) {
            let Self { cleaner, text, lines, .. } = self;
            cleaner.feed(piece, text, |at| match lines.last_mut() {
                Some((begin, number)) if *begin == at => *number += 1,
                Some((_, number)) => {
                    let next = *number + 1;
                    lines.push((at, next));
                }
                None => lines.push((at, 1)),
            });
            if self.text.len() >= BLOCK {
                self.search(self.text.len() - AFTER);
                self.forget();
            }
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Findings<'p> {
        self.search(self.text.len());
        match self.raw.take() {
            // A terminal breaks lines within words.
            Some(raw) if self.found.matches.is_empty() && raw.contains(&b'\n') => {
                let joined: Vec<u8> = raw.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
                let mut again = Self::once(self.literals);
                again.feed(&joined);
                again.finish()
            }
            Some(_) | None => self.found,
        }
    }

    /// Looks at the literals that begin before `end`.
    fn search(&mut self, end: usize) {
        let from = self.done.saturating_sub(BEFORE);
        let hits: Vec<Hit> = self
            .literals
            .hits(&self.text[from..])
            .map(|hit| Hit { start: hit.start + from, end: hit.end + from, ..hit })
            .filter(|hit| (self.done..end).contains(&hit.start))
            .collect();
        self.done = end;
        // Of patterns that match the same words, the first one in its file counts.
        let mut found: Vec<(usize, usize, usize, Match<'p>)> = vec![];
        for hit in hits {
            if hit.pattern == self.literals.patterns.len() {
                self.carrier(&hit);
                continue;
            }
            found.extend(self.at(&hit).map(|(start, end, one)| (hit.pattern, start, end, one)));
        }
        found.sort_by_key(|(pattern, start, ..)| (*pattern, *start));
        let mut kept: Vec<(usize, usize, Match<'p>)> = vec![];
        for (_, start, end, one) in found {
            if kept.iter().all(|(s, e, _)| end <= *s || *e <= start) {
                kept.push((start, end, one));
            }
        }
        kept.sort_by_key(|(start, ..)| *start);
        self.found.matches.extend(kept.into_iter().map(|(.., one)| one));
    }

    fn at(&mut self, hit: &Hit) -> Option<(usize, usize, Match<'p>)> {
        let pattern = &self.literals.patterns[hit.pattern];
        let (matches, trials) = self.counts[hit.pattern];
        if matches >= MATCHES_EACH || trials >= TRIALS_EACH {
            return None;
        }
        self.counts[hit.pattern].1 += 1;
        let (line_start, number) = self.line(hit);
        let from = hit.start.saturating_sub(BEFORE);
        let (window, place) = self.window(hit);
        let (start, end, groups) = extract::find(pattern, &window, place..place + (hit.end - hit.start))?;
        self.counts[hit.pattern].0 += 1;
        let head = String::from_utf8_lossy(&self.text[line_start..self.text.len().min(line_start + 80)]);
        let span = from + start..from + end;
        // Numbers are left out by who only writes of a message. An entity before it moves it by some bytes.
        let is_in_doubt = pattern.proves == Proves::Clock && !groups.has_numbers();
        let wording = if is_in_doubt { self.wording(&window[start..end], span.clone()) } else { Wording::Report };
        let one = extract::read(pattern, &groups, &MatchedLine { number, head: &head, wording });
        Some((span.start, span.end, one))
    }

    /// How the line of a message speaks of it.
    fn wording(&self, message: &str, span: Range<usize>) -> Wording {
        let begins = self.lines.partition_point(|(begin, _)| *begin <= span.start);
        let ends = self.lines.partition_point(|(begin, _)| *begin <= span.end);
        let begin = self.lines.get(begins.saturating_sub(1)).map_or(0, |(begin, _)| *begin);
        let end = self.lines.get(ends).map_or(self.text.len(), |(begin, _)| *begin);
        let (start, stop) = (span.start.min(self.text.len()), span.end.min(self.text.len()));
        let text = |range: Range<usize>| entities(&String::from_utf8_lossy(&self.text[range]));
        let before = text(begin.max(start.saturating_sub(BEFORE)).min(start)..start);
        let after = text(stop..end.min(stop + BEFORE).max(stop));
        wording(&Place { before: &before, message, after: &after })
    }

    /// Times of a token or a signed URL.
    fn carrier(&mut self, hit: &Hit) {
        let all = &self.found.lifetimes;
        if all.len() < LIFETIMES {
            let (window, place) = self.window(hit);
            let (_, line) = self.line(hit);
            let read = lifetime::read(&window, place, line).filter(|one| !all.contains(one));
            self.found.lifetimes.extend(read);
        }
    }

    /// Where the line of a literal begins, and its number.
    fn line(&self, hit: &Hit) -> (usize, u64) {
        let line = self.lines.partition_point(|(begin, _)| *begin <= hit.start).saturating_sub(1);
        self.lines.get(line).copied().unwrap_or_default()
    }

    /// The text around a literal, and where that is in it.
    fn window(&self, hit: &Hit) -> (String, usize) {
        let from = hit.start.saturating_sub(BEFORE);
        let before = entities(&String::from_utf8_lossy(&self.text[from..hit.start]));
        let after = entities(&String::from_utf8_lossy(&self.text[hit.start..self.text.len().min(hit.end + AFTER)]));
        (before.clone() + &after, before.len())
    }

    /// Drops what was looked at.
    fn forget(&mut self) {
        let drop_to = self.done.saturating_sub(BEFORE);
        self.text.drain(..drop_to);
        self.done -= drop_to;
        // The line that the rest begins in stays.
        let gone = self.lines.partition_point(|(begin, _)| *begin <= drop_to).saturating_sub(1);
        self.lines.drain(..gone);
        for (begin, _) in &mut self.lines {
            *begin = begin.saturating_sub(drop_to);
        }
    }
}
