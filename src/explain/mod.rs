//! An error message explained: was it the clock, which way, how far, and what to do. Pure, but for the text it is fed.

mod certificate;
mod clean;
mod context;
mod extract;
mod hints;
mod judge;
mod lifetime;
mod literals;
mod pattern;
mod report;
mod scan;
mod time;
mod verdict;
mod world;

pub use certificate::pem;
pub use context::Wording;
pub use extract::{Contradiction, Match, Said};
pub use judge::judge;
pub use lifetime::{Lifetime, TokenKind, base64};
pub use literals::Literals;
pub use pattern::{Direction, EMBEDDED, Expression, Otherwise, Pattern, Proves};
pub use report::{json, list, text};
pub use scan::{Findings, Scanner};
pub use time::Format;
pub use verdict::{Explanation, Verdict};
pub use world::{Now, PastMoment, Then, World};
