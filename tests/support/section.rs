//! A section of a page that a program writes, between markers that name the program.

use std::fs;
use std::path::Path;

use super::outcome::Outcome;

/// Replaces what is between the markers of `section` in `page`, which `maker` writes.
pub fn write(page: &str, section: &str, maker: &str, text: &str) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let old = fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let (begin, end) = (format!("<!-- {section}: made by {maker} -->\n"), format!("<!-- end of {section} -->"));
    let (before, rest) = old.split_once(&begin).ok_or_else(|| format!("{} has no {begin}", path.display()))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("{} has no {end}", path.display()))?;
    fs::write(&path, format!("{before}{begin}\n{}\n\n{end}{after}", text.trim_end()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}
