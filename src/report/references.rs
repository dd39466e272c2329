//! What the references were worth: how often each answered, and how often the others contradicted it.

use std::collections::HashMap;
use std::time::Duration;

use crate::history::HistoryRecord;

/// How many references have a row; a pool has a new address every day.
const MOST: usize = 500;

/// What one reference was worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceWorth {
    /// Its name.
    pub source: String,
    /// How many exchanges it answered.
    pub answers: u64,
    /// How many of all recorded exchanges there were from its first answer on.
    pub exchanges: u64,
    /// How many of its answers the others contradicted.
    pub falsetickers: u64,
    /// Whether its last answer was authenticated.
    pub authenticated: bool,
    /// Its root distances, all together.
    sum: Duration,
}

impl ReferenceWorth {
    /// How many of its answers the others agreed with.
    #[must_use]
    pub const fn agreed(&self) -> u64 {
        self.answers.saturating_sub(self.falsetickers)
    }

    /// Its root distance on average.
    #[must_use]
    pub fn root_distance(&self) -> Duration {
        let nanos = self.sum.as_nanos() / u128::from(self.answers.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The answers of a history, a few bytes each: which of them count is known once they are dated.
#[derive(Clone, Debug, Default)]
pub(super) struct ReferenceLog {
    sources: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
    answers: Vec<LoggedAnswer>,
    last: String,
}

#[derive(Clone, Copy, Debug)]
struct LoggedAnswer {
    /// The record.
    index: u32,
    /// Beyond every power of ten that matters.
    root_distance_us: u32,
    /// The source; [`UNLISTED`] where there are too many.
    source: u16,
    is_falseticker: bool,
    is_authenticated: bool,
}

const UNLISTED: u16 = u16::MAX;

impl ReferenceLog {
    /// Adds the answers of a record, which repeats those of the one before it until there are others.
    pub(super) fn add(&mut self, index: u32, record: &HistoryRecord<'_>) {
        let written = record.written_answers();
        if written.is_empty() || written == self.last {
            return;
        }
        written.clone_into(&mut self.last);
        for answer in record.answers() {
            let source = self.number(&answer.source);
            self.answers.push(LoggedAnswer {
                index,
                root_distance_us: u32::try_from(answer.root_distance_ns / 1000).unwrap_or(u32::MAX),
                source,
                is_falseticker: record.falsetickers.contains(&answer.source),
                is_authenticated: answer.authenticated,
            });
        }
    }

    fn number(&mut self, source: &str) -> u16 {
        if let Some(number) = self.numbers.get(source) {
            return *number;
        }
        let number = u16::try_from(self.sources.len()).unwrap_or(UNLISTED);
        if usize::from(number) >= MOST {
            return UNLISTED;
        }
        self.sources.push(source.into());
        self.numbers.insert(source.into(), number);
        number
    }

    /// What each was worth by the records that count, those that answered most first; and how many answers are in no row.
    pub(super) fn count(&self, counts: impl Fn(u32) -> bool) -> (Vec<ReferenceWorth>, u64) {
        let mut rows = vec![ReferenceWorth::default(); self.sources.len()];
        let (mut exchanges, mut unlisted) = (0, 0);
        for exchange in
            self.answers.chunk_by(|a, b| a.index == b.index).filter(|e| e.first().is_some_and(|a| counts(a.index)))
        {
            for answer in exchange {
                let Some(row) = rows.get_mut(usize::from(answer.source)) else {
                    unlisted += 1;
                    continue;
                };
                // Until its first answer nothing is known of it.
                if row.answers == 0 {
                    row.exchanges = exchanges;
                }
                row.answers += 1;
                row.falsetickers += u64::from(answer.is_falseticker);
                row.authenticated = answer.is_authenticated;
                row.sum += Duration::from_micros(answer.root_distance_us.into());
            }
            exchanges += 1;
        }
        for (row, source) in rows.iter_mut().zip(&self.sources) {
            row.source = source.to_string();
            row.exchanges = exchanges - row.exchanges;
        }
        rows.retain(|row| row.answers > 0);
        rows.sort_by(|a, b| b.answers.cmp(&a.answers).then_with(|| a.source.cmp(&b.source)));
        (rows, unlisted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[String]) -> (Vec<ReferenceWorth>, u64) {
        let mut log = ReferenceLog::default();
        lines.iter().zip(0..).for_each(|(line, index)| log.add(index, &HistoryRecord::parse(line).unwrap()));
        log.count(|_| true)
    }

    fn line(answers: &[(&str, i64)], falsetickers: &[&str]) -> String {
        let answer = |(source, offset): &(&str, i64)| {
            format!(r#"{{"source":"{source}","offset_ns":{offset},"root_distance_ns":2000}}"#)
        };
        let answers: Vec<String> = answers.iter().map(answer).collect();
        format!(
            r#"{{"version":1,"boot_id":"b","boottime_ns":1,"realtime_ns":1,"epoch":1,"event":"x","answers":[{}],"falsetickers":{falsetickers:?}}}"#,
            answers.join(",")
        )
    }

    #[test]
    fn repeated_answers_count_once_and_an_absence_is_seen() {
        let both = line(&[("a", 1), ("b", 2)], &[]);
        let (rows, _) = counted(&[both.clone(), both, line(&[("a", 3)], &[]), line(&[("a", 1), ("b", 900)], &["b"])]);
        let found: Vec<_> = rows.iter().map(|row| (&*row.source, row.answers, row.exchanges, row.agreed())).collect();
        assert_eq!(found, [("a", 3, 3, 3), ("b", 2, 3, 1)]);
        assert_eq!(rows[0].root_distance(), Duration::from_micros(2));
    }

    #[test]
    fn a_pool_that_has_a_new_address_each_time_fills_no_memory() {
        let lines: Vec<String> = (0..2000).map(|number| line(&[(&format!("server {number}"), number)], &[])).collect();
        let (rows, unlisted) = counted(&lines);
        assert_eq!((rows.len(), unlisted), (MOST, 1500));
    }
}
