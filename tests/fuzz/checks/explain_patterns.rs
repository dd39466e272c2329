//! A host's own messages: a pattern that is taken is whole, its expressions compile, and it can be searched for.

use std::path::Path;

use clockgate::config::patterns::load_text;
use clockgate::decision::Realtime;
use clockgate::explain::{Literals, Scanner, World, judge, list, text};

pub fn check(data: &[u8]) {
    let Some(written) = super::text(data) else { return };
    match load_text(Path::new("site.yaml"), written) {
        Err(error) => {
            let lines = written.split('\n').count() as u64 + 1;
            assert!(!error.faults.is_empty());
            assert!(error.faults.iter().all(|fault| fault.line.is_none_or(|line| (1..=lines).contains(&line))));
        }
        Ok(patterns) => {
            for pattern in &patterns {
                assert!(!pattern.id.is_empty() && !pattern.issuer.is_empty());
                assert!(pattern.literals.iter().any(|literal| !literal.is_empty()));
                assert!(pattern.regexes.iter().all(|regex| regex.check().is_ok()));
                for format in &pattern.formats {
                    let _: Option<Realtime> = format.parse("2026-06-27T14:00:00Z");
                }
            }
            let _ = list(&patterns);
            let literals = Literals::new(patterns).expect("few patterns fit any memory");
            let mut scanner = Scanner::new(&literals);
            scanner.feed(data);
            let explained = judge(scanner.finish().matches, &World::default(), |_| None);
            assert!(text(&explained, 3600).ends_with('\n'));
        }
    }
}
