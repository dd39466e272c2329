//! Numbers that differ from node to node, so that nodes do not write together. Nothing secret depends on them.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A row of numbers (xorshift64, George Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Begun by this number, which is not zero.
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// Begun by what the kernel gave this process.
    pub fn of_this_process() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    /// A length of time between nothing and `most`, to the millisecond.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX - 1);
        Duration::from_millis(self.below(most + 1))
    }

    /// The next number, smaller than `limit`.
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        if limit == 0 { 0 } else { self.0 % limit }
    }
}
