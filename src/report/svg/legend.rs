//! What the shapes and patterns mean.

use std::io::{self, Write};

use super::marks::shape;

const MARKS: [(&str, &str); 6] = [
    ("resume", "sleep"),
    ("foreign-step", "set by another program"),
    ("restore", "restore or pause"),
    ("started", "agent started"),
    ("expired", "proof expired or contradicted"),
    ("requested", "requested"),
];
const LANES: [(&str, &str); 6] = [
    ("proven", "proven"),
    ("unproven", "open, unproven"),
    ("shut", "shut"),
    ("asleep", "asleep"),
    ("unknown", "unknown"),
    ("frozen", "containers frozen"),
];
/// How wide a letter is, about.
const LETTER: usize = 7;

/// Writes both rows.
pub(super) fn write(to: &mut dyn Write) -> io::Result<()> {
    let mut x = 26;
    for (cause, words) in MARKS {
        let (class, path) = shape(cause);
        writeln!(to, "<path class=\"mark {class}\" transform=\"translate({x} 388)\" d=\"{path}\"/>")?;
        x = write_words(x, 392, words, to)?;
    }
    x = 20;
    for (class, words) in LANES {
        writeln!(to, "<rect class=\"{class}\" x=\"{x}\" y=\"408\" width=\"22\" height=\"12\"/>")?;
        if class == "proven" {
            writeln!(to, "<rect class=\"base\" x=\"{x}\" y=\"417\" width=\"22\" height=\"3\"/>")?;
        }
        x = write_words(x + 14, 418, words, to)?;
    }
    Ok(())
}

fn write_words(x: usize, y: usize, words: &str, to: &mut dyn Write) -> io::Result<usize> {
    let begins = x + 14;
    writeln!(to, "<text class=\"key\" x=\"{begins}\" y=\"{y}\">{words}</text>")?;
    Ok(begins + words.len() * LETTER + 16)
}
