//! What comes out of a case, held against the file that says what should.

use std::fs;
use std::path::Path;

use super::outcome::{Outcome, fail};

/// Whether what comes out is written down as what should.
pub fn is_blessing() -> bool {
    std::env::var_os("CLOCKGATE_BLESS").is_some()
}

/// Fails unless `found` is what the file says; `CLOCKGATE_BLESS=1` writes the file anew, to be read before it is committed.
pub fn is_as_written(file: &Path, found: &str) -> Outcome {
    // Others may read it meanwhile: what is right already is left as it is.
    if is_blessing() && !fs::read_to_string(file).is_ok_and(|written| written == found) {
        fs::write(file, found)?;
    }
    let wanted = fs::read_to_string(file)?;
    if wanted == found {
        return Ok(());
    }
    let first = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    let first = first.map_or_else(
        || "one has more lines than the other".to_owned(),
        |(wanted, found)| format!("first expected: {wanted}\nfirst found:    {found}"),
    );
    fail(format!("{}: {first}\nexpected:\n{wanted}\nfound:\n{found}", file.display()))
}
