//! The words of a page that loom schedules, and the kernel's futex as a lock with a queue. Faults are put in here.

use std::cell::Cell;

use clockgate_page::at;
use clockgate_page::protocol::{LOAD, STORE, Words, WritableWords};
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::sync::{Arc, Mutex};

/// Two fields stand for all: whether they are of one publication is what a look is about.
pub const FIELDS: [usize; 2] = [at::STATE, at::CAUSE];

/// What is in memory.
#[derive(Debug)]
pub struct Memory {
    words: [(usize, AtomicU32); 5],
    /// Who sleeps in futex(2), by word, in the kernel's bucket, whose lock both sides take.
    bucket: Mutex<Vec<(usize, Sleep)>>,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        let word = |at| (at, AtomicU32::new(0));
        let words = [word(at::SEQUENCE), word(at::GATE), word(at::CHANGES), word(FIELDS[0]), word(FIELDS[1])];
        Arc::new(Self { words, bucket: Mutex::new(vec![]) })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        &self.words.iter().find(|(place, _)| *place == at).unwrap().1
    }

    /// futex(2), `FUTEX_WAIT`: the kernel compares the word with its bucket locked. A sleeper does nothing more.
    pub fn falls_asleep(&self, at: usize, expected: u32) -> bool {
        let mut bucket = self.bucket.lock().unwrap();
        let is_asleep = self.word(at).load(Ordering::Relaxed) == expected;
        if is_asleep {
            bucket.push((at, Sleep::Asleep));
        }
        is_asleep
    }

    /// Whether everybody who fell asleep was woken.
    pub fn all_are_awake(&self) -> bool {
        self.bucket.lock().unwrap().iter().all(|(_, sleep)| *sleep == Sleep::Woken)
    }
}

impl Words for Memory {
    fn load_u32(&self, at: usize) -> u32 {
        self.word(at).load(LOAD)
    }
}

/// A waiter at a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Asleep,
    Woken,
}

/// What is wrong with a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// This store orders nothing, counted from the first of the writer.
    Relaxed(usize),
    /// The writer is killed before this store.
    KilledBefore(usize),
    /// This store is made after the next one.
    Late(usize),
    /// Sleepers are woken before the word is stored that they wait for.
    WakesEarly,
}

/// The page as one writer sees it; a second one, after it was killed, has words of its own.
#[derive(Debug)]
pub struct WriterWords {
    memory: Arc<Memory>,
    fault: Fault,
    stores: Cell<usize>,
    held: Cell<Option<(usize, u32)>>,
}

impl WriterWords {
    pub fn new(memory: &Arc<Memory>, fault: Fault) -> Self {
        Self { memory: memory.clone(), fault, stores: Cell::default(), held: Cell::default() }
    }

    /// The same page as the next agent sees it, which has no fault.
    pub fn of_the_next_agent(&self) -> Self {
        Self::new(&self.memory, Fault::None)
    }

    fn is_dead(&self) -> bool {
        matches!(self.fault, Fault::KilledBefore(store) if self.stores.get() >= store)
    }

    fn store(&self, at: usize, value: u32, ordering: Ordering) {
        self.memory.word(at).store(value, ordering);
    }
}

impl Words for WriterWords {
    fn load_u32(&self, at: usize) -> u32 {
        self.memory.load_u32(at)
    }
}

impl WritableWords for WriterWords {
    fn store_u32(&self, at: usize, value: u32) {
        if self.is_dead() {
            return;
        }
        let number = self.stores.get();
        self.stores.set(number + 1);
        let held = if self.fault == Fault::WakesEarly { None } else { self.held.take() };
        match self.fault {
            Fault::Late(store) if store == number => self.held.set(Some((at, value))),
            Fault::WakesEarly if at == at::GATE => self.held.set(Some((at, value))),
            Fault::Relaxed(store) if store == number => self.store(at, value, Ordering::Relaxed),
            Fault::None | Fault::Relaxed(_) | Fault::KilledBefore(_) | Fault::Late(_) | Fault::WakesEarly => {
                self.store(at, value, STORE);
            }
        }
        if let Some((at, value)) = held {
            self.store(at, value, STORE);
        }
    }

    fn wake_all(&self, at: usize) -> u64 {
        if self.is_dead() {
            return 0;
        }
        // The kernel looks for sleepers behind a full barrier (kernel/futex/waitwake.c, `futex_hb_waiters_pending`).
        fence(Ordering::SeqCst);
        let mut bucket = self.memory.bucket.lock().unwrap();
        bucket.iter_mut().filter(|(word, _)| *word == at).for_each(|(_, sleep)| *sleep = Sleep::Woken);
        drop(bucket);
        if let (Fault::WakesEarly, at::GATE, Some((at, value))) = (self.fault, at, self.held.get()) {
            self.store(at, value, STORE);
        }
        0
    }
}
