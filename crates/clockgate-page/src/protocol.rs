//! In which order the words of a page are stored by its one writer and loaded by its readers. It is one code for the mapping, and for
//! words that a test stops at every access (`tests/interleavings`).

use std::sync::atomic::Ordering;

use crate::layout::at;

/// How each word is loaded: what is loaded later stays later.
pub const LOAD: Ordering = Ordering::Acquire;
/// How each word is stored: what was stored earlier stays earlier.
pub const STORE: Ordering = Ordering::Release;

/// The words of a page as a reader sees them.
pub trait Words {
    /// The 32-bit word at `at`.
    fn load_u32(&self, at: usize) -> u32;
}

/// The words of a page as its writer sees them.
pub trait WritableWords: Words {
    /// Stores the 32-bit word at `at`.
    fn store_u32(&self, at: usize, value: u32);
    /// Wakes all that sleep on the word at `at`, and returns their number.
    fn wake_all(&self, at: usize) -> u64;
}

/// One consistent look: what `fields` found while no writer was at it; none where each of `attempts` met a writer.
///
/// A writer that was killed inside the lock leaves it closed until its successor has opened it.
pub fn look<T>(page: &impl Words, attempts: u32, mut fields: impl FnMut() -> T) -> Option<T> {
    for _ in 0..attempts {
        let before = page.load_u32(at::SEQUENCE);
        let found = fields();
        if before.is_multiple_of(2) && page.load_u32(at::SEQUENCE) == before {
            return Some(found);
        }
        std::hint::spin_loop();
    }
    None
}

/// What the one writer of a page does; it takes over before it writes anything else.
#[derive(Debug, Default)]
pub struct Writer {
    sequence: u32,
}

impl Writer {
    /// Takes over from the last writer, who may have been killed at any store: the gate is shut, and the lock is open again after
    /// `fields` were written.
    pub fn take_over<P: WritableWords>(&mut self, page: &P, fields: impl FnOnce(&P)) {
        self.sequence = page.load_u32(at::SEQUENCE) & !1;
        page.store_u32(at::GATE, SHUT);
        self.write(page, fields);
        page.wake_all(at::GATE);
        count_change(page);
    }

    /// Writes inside the lock.
    pub fn write<P: WritableWords>(&mut self, page: &P, fields: impl FnOnce(&P)) {
        page.store_u32(at::SEQUENCE, self.sequence.wrapping_add(1));
        fields(page);
        self.sequence = self.sequence.wrapping_add(2);
        page.store_u32(at::SEQUENCE, self.sequence);
    }

    /// Publishes `word` with its fields: a gate that shuts is shut before anything else is written, one that opens is opened last. Who
    /// sleeps on the word is woken if it is another one, or `wakes` says so; returns their number.
    pub fn publish<P: WritableWords>(&mut self, page: &P, gate: Published, fields: impl FnOnce(&P)) -> u64 {
        let before = page.load_u32(at::GATE);
        if gate.word == SHUT {
            page.store_u32(at::GATE, SHUT);
        }
        self.write(page, fields);
        page.store_u32(at::GATE, gate.word);
        count_change(page);
        if gate.word != before || gate.wakes { page.wake_all(at::GATE) } else { 0 }
    }
}

/// The gate as it is published.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// The word of the gate.
    pub word: u32,
    /// Whether those who sleep on the word have to look though it stays the same.
    pub wakes: bool,
}

/// The word of a gate that is shut.
const SHUT: u32 = crate::gate::Gate::Shut as u32;

/// After everything else: who follows all that is published sleeps on this count, and not on the word.
fn count_change(page: &impl WritableWords) {
    page.store_u32(at::CHANGES, page.load_u32(at::CHANGES).wrapping_add(1));
    page.wake_all(at::CHANGES);
}
