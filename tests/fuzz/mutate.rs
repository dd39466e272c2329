//! Mutations drawn from a seed: the same seed and inputs give the same ones.

/// As libFuzzer limits them where no input is longer.
const LONGEST: usize = 4096;
/// Values at which lengths and counts go wrong, and what separates words.
const TELLING: [u8; 16] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b'"', b'\'', b'{', b'[', b'=', b':', b'#', b'<', b'\\'];

/// A source of mutations.
#[derive(Debug)]
pub struct Mutations<'a> {
    state: u64,
    inputs: &'a [&'a [u8]],
}

impl<'a> Mutations<'a> {
    pub fn new(seed: u64, inputs: &'a [&'a [u8]]) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, inputs }
    }

    /// Below `limit`, which is not zero (xorshift64*).
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let number = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % limit
    }

    fn input(&mut self) -> &'a [u8] {
        let inputs = self.inputs;
        inputs[self.below(inputs.len())]
    }

    /// One input with a few changes.
    pub fn draw(&mut self) -> Vec<u8> {
        let mut bytes = self.input().to_vec();
        bytes.truncate(LONGEST);
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let length = self.below(8 + bytes.len() / 8).min(bytes.len() - at);
        match self.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = TELLING[self.below(TELLING.len())],
            2 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => bytes.truncate(at),
            _ => {
                let other = self.input();
                let from = self.below(other.len() + 1);
                let piece = &other[from..(from + length + 4).min(other.len())];
                bytes.splice(at..at + length, piece.iter().copied());
            }
        }
    }
}
