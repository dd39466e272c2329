//! Breadth first: every state that is as many letters away as the level, no state twice. The states themselves are not kept: a path of
//! letters is, and the worlds along it are made anew.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use clockgate_page::sys::clock::boottime;

use crate::alphabet::{ALPHABET, Letter};
use crate::arrows::Arrow;
use crate::node::{Node, Told};
use crate::world::{Answer, Subject};

/// So many states are looked at together.
const BATCH: usize = 1 << 11;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub depth: usize,
    pub states: usize,
    pub time: Duration,
}

/// What a search has found.
#[derive(Debug, Default)]
pub struct Found {
    pub states: usize,
    /// The level that was searched to its end.
    pub depth: usize,
    /// Whether no state is left that has not been looked at.
    pub is_whole: bool,
    /// The changes of state that were seen.
    pub arrows: BTreeSet<Arrow>,
    pub violation: Option<Violation>,
}

/// A law that was broken, and the shortest way there.
#[derive(Debug)]
pub struct Violation {
    pub law: String,
    pub path: Vec<Letter>,
}

/// Searches from `root`.
pub fn search<S: Subject + Send + Sync>(root: &Node<S>, limits: &Limits) -> Found {
    let began = boottime();
    let mut seen = Seen::default();
    let mut tree = Tree(vec![(0, 0)]);
    let mut found = Found { states: 1, ..Found::default() };
    seen.insert(root.fingerprint());
    let mut level = 0..1;
    while found.depth < limits.depth && !level.is_empty() {
        let next = tree.0.len();
        for batch in level.clone().step_by(BATCH) {
            let batch = batch..level.end.min(batch + BATCH);
            for part in expanded(root, &tree, &seen, batch) {
                if let Some(violation) = part.violation {
                    return Found { violation: Some(violation), states: tree.0.len(), ..found };
                }
                found.arrows.extend(part.arrows);
                for (fingerprint, parent, letter) in part.states {
                    if seen.insert(fingerprint) {
                        tree.0.push((parent, letter));
                    }
                }
            }
            found.states = tree.0.len();
            if found.states >= limits.states || boottime().since(began) >= limits.time {
                return found;
            }
        }
        level = next..tree.0.len();
        found.depth += 1;
    }
    found.is_whole = level.is_empty();
    found
}

/// Parent and letter of each state.
struct Tree(Vec<(u32, u8)>);

impl Tree {
    /// From the root to this one.
    fn way_to(&self, mut state: usize) -> Vec<usize> {
        let mut way = vec![state];
        while state != 0 {
            state = self.0[state].0 as usize;
            way.push(state);
        }
        way.reverse();
        way
    }

    fn letter(&self, state: usize) -> Letter {
        ALPHABET[usize::from(self.0[state].1)]
    }

    fn letters(&self, way: &[usize]) -> Vec<Letter> {
        way.iter().skip(1).map(|state| self.letter(*state)).collect()
    }
}

#[derive(Default)]
struct Part {
    states: Vec<(u128, u32, u8)>,
    arrows: BTreeSet<Arrow>,
    violation: Option<Violation>,
}

/// Each core has a part of the batch; the parts are in order, so that a search is the same every time.
fn expanded<S: Subject + Send + Sync>(
    root: &Node<S>,
    tree: &Tree,
    seen: &Seen,
    batch: std::ops::Range<usize>,
) -> Vec<Part> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = batch.len().div_ceil(cores).max(64);
    thread::scope(|scope| {
        let parts: Vec<_> = batch
            .clone()
            .step_by(share)
            .map(|first| scope.spawn(move || expand(root, tree, seen, first..batch.end.min(first + share))))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect()
    })
}

fn expand<S: Subject>(root: &Node<S>, tree: &Tree, seen: &Seen, states: std::ops::Range<usize>) -> Part {
    let mut part = Part::default();
    // The worlds on the way to the state that is looked at; neighbours have most of it in common.
    let mut way: Vec<(usize, Node<S>)> = vec![(0, root.clone())];
    for state in states {
        let wanted = tree.way_to(state);
        let common = way.iter().zip(&wanted).take_while(|((at, _), wanted)| at == *wanted).count();
        way.truncate(common);
        for at in &wanted[common..] {
            let Some(node) = way.last().and_then(|(_, node)| node.after(tree.letter(*at), &mut |_, _| {})) else {
                break;
            };
            way.push((*at, node));
        }
        let Some((_, node)) = way.last() else { continue };
        if let Err(law) = judged(|| judge(node)) {
            part.violation = Some(Violation { law, path: tree.letters(&wanted) });
            return part;
        }
        for (number, letter) in ALPHABET.iter().enumerate() {
            let mut arrows = vec![];
            let mut tell = |_, what: Told| arrows.extend(what.arrow());
            let next = judged(|| node.after(*letter, &mut tell));
            part.arrows.extend(arrows);
            match next {
                Ok(None) => {}
                Ok(Some(next)) => {
                    let fingerprint = next.fingerprint();
                    if !seen.contains(&fingerprint) {
                        part.states.push((fingerprint, state as u32, number as u8));
                    }
                }
                Err(law) => {
                    let path = tree.letters(&wanted).into_iter().chain([*letter]).collect();
                    part.violation = Some(Violation { law, path });
                    return part;
                }
            }
        }
    }
    part
}

/// The laws of a state; those of an event are in the world.
fn judge<S: Subject>(node: &Node<S>) {
    node.world.everything_waited_for_has_an_end();
    node.world.stale_answers_change_nothing(&Answer::Truth { offset_ms: 0, distance_ms: 1 });
}

/// What a broken law says.
pub fn judged<T>(happens: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(happens)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

type Seen = HashSet<u128, BuildHasherDefault<AsItIs>>;

/// A fingerprint is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}
