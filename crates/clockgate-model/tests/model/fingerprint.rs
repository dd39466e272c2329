//! States that differ in nothing but the time of day are one: a state is known by its `Debug` form with every moment relative to now.
//! That form has every field that there is, so that a new one cannot be forgotten, and the product has nothing that only a test needs.

use std::fmt::{self, Debug, Write};

use clockgate::decision::{Awake, Boottime, Epoch, Realtime, Round};

/// What is subtracted from the moments and the counts of a state.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    pub boot: Boottime,
    pub awake: Awake,
    pub truth: Realtime,
    pub epoch: Epoch,
    pub round: Round,
    /// The number of the last order to step, freeze or thaw.
    pub order: u32,
}

/// 128 bits of a state: of ten million, two are taken for one by chance once in 10^24 searches.
pub fn of(state: &impl Debug, origin: &Origin) -> u128 {
    let mut relative = Relative { origin: *origin, next: Next::Plain, hash: (SEEDS.0, SEEDS.1) };
    // The writer below does not fail.
    let _ = write!(relative, "{state:?}");
    u128::from(relative.hash.0) << 64 | u128::from(relative.hash.1)
}

/// The first digits of pi, odd.
const SEEDS: (u64, u64) = (0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345);
const FACTORS: (u64, u64) = (0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89);

/// What the number that comes next is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Plain,
    Boot,
    Awake,
    Truth,
    Epoch,
    Round,
    Order,
    /// `raw`, which is BOOTTIME without the time asleep in a world that bends no clock's rate.
    Raw,
}

/// Takes the pieces of a `Debug` form as the formatter writes them: the name of a type or field, a bracket, a number.
struct Relative {
    origin: Origin,
    next: Next,
    hash: (u64, u64),
}

impl Relative {
    fn number(&mut self, digits: &str) -> Option<i128> {
        let number: i128 = digits.parse().ok()?;
        let origin = match self.next {
            Next::Plain | Next::Raw => return None,
            // The ends of time are the same at every moment.
            Next::Boot | Next::Awake if number == 0 || number == i128::from(u64::MAX) => return None,
            Next::Boot => i128::from(self.origin.boot.as_nanos()),
            Next::Awake => i128::from(self.origin.awake.as_nanos()),
            Next::Truth if number == 0 => return None,
            Next::Truth => i128::from(self.origin.truth.as_nanos()),
            Next::Epoch => i128::from(self.origin.epoch.get()),
            Next::Round => return Some(number - round(self.origin.round)),
            Next::Order => i128::from(self.origin.order),
        };
        Some(number - origin)
    }

    /// Two words at once, into both halves.
    fn mix(&mut self, one: u64, other: u64) {
        let (high, low) = self.hash;
        self.hash = (folded(high ^ one, FACTORS.0 ^ other), folded(low.rotate_left(23) ^ other, FACTORS.1 ^ one));
    }

    fn mix_text(&mut self, text: &[u8]) {
        if let Some((first, rest)) = text.split_first_chunk::<8>() {
            let mut before = u64::from_le_bytes(*first);
            let mut rest = rest;
            while let Some((next, after)) = rest.split_first_chunk::<8>() {
                self.mix(before, u64::from_le_bytes(*next));
                (before, rest) = (u64::from_le_bytes(*next), after);
            }
            // What is left, with what was mixed before it: the length says how much of that is new.
            let last = text.last_chunk::<8>().map_or(0, |last| u64::from_le_bytes(*last));
            self.mix(before ^ last.rotate_left(7), (text.len() as u64) << 56 ^ last);
        } else {
            let word = text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.mix(word, text.len() as u64);
        }
    }
}

/// What stands between two pieces and says nothing: each piece is mixed with its length, and lists and maps keep their brackets.
const fn is_between(piece: &[u8]) -> bool {
    matches!(piece, b": " | b", " | b"(" | b")" | b" { " | b" }")
}

impl Write for Relative {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.next == Next::Raw {
            // A duration is written in several pieces; what follows it is the end of a field.
            if piece != ", " {
                return Ok(());
            }
            self.next = Next::Plain;
        }
        if self.next != Next::Plain {
            if piece == "(" || piece == ": " {
                return Ok(());
            }
            if let Some(number) = self.number(piece) {
                self.next = Next::Plain;
                self.mix(number as u64, 1 << 63);
                return Ok(());
            }
        }
        let bytes = piece.as_bytes();
        if is_between(bytes) {
            return Ok(());
        }
        self.next = next_after(bytes);
        self.mix_text(bytes);
        Ok(())
    }
}

/// What the number behind a name is.
const fn next_after(name: &[u8]) -> Next {
    match name {
        b"Boottime" => Next::Boot,
        b"Awake" => Next::Awake,
        b"Realtime" => Next::Truth,
        b"Epoch" => Next::Epoch,
        b"Round" => Next::Round,
        b"number" | b"orders" => Next::Order,
        b"raw" => Next::Raw,
        _ => Next::Plain,
    }
}

fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// Its number is printed and not published.
fn round(round: Round) -> i128 {
    let text = format!("{round:?}");
    text.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default()
}
