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

    fn mix(&mut self, word: u64) {
        self.hash = (folded(self.hash.0 ^ word, FACTORS.0), folded(self.hash.1.rotate_left(23) ^ word, FACTORS.1));
    }
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
                self.mix(number as u64 ^ 1 << 63);
                return Ok(());
            }
        }
        self.next = match piece {
            "Boottime" => Next::Boot,
            "Awake" => Next::Awake,
            "Realtime" => Next::Truth,
            "Epoch" => Next::Epoch,
            "Round" => Next::Round,
            "number" | "orders" => Next::Order,
            "raw" => Next::Raw,
            _ => Next::Plain,
        };
        for word in piece.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            self.mix(u64::from_le_bytes(bytes));
        }
        self.mix(piece.len() as u64);
        Ok(())
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
