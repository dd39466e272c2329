//! Engines' TOML, read.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use super::Root;
use super::files::{self, FileError};

/// A file as a document; none where it is not there.
///
/// # Errors
/// [`FileError`] where it cannot be read or is not valid TOML.
pub fn read(root: &Root, file: &Path) -> Result<Option<DocumentMut>, FileError> {
    files::read(root, file)?.map(|text| parse(&text).map_err(|what| FileError::refused(file, what))).transpose()
}

/// A user's file as a document; none where it cannot be read or is not valid TOML.
#[must_use]
pub fn read_foreign(root: &Root, file: &Path) -> Option<DocumentMut> {
    parse(&files::read_foreign(root, file)?).ok()
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parsed = text.trim_start_matches('\u{feff}').parse::<DocumentMut>();
    parsed.map_err(|error| format!("is not valid TOML: {}", one_line(error.to_string())))
}

/// The value of these keys.
#[must_use]
pub fn get<'a>(document: &'a DocumentMut, keys: &[&str]) -> Option<&'a Item> {
    keys.iter().try_fold(document.as_item(), |item, key| item.as_table_like()?.get(key))
}

/// The text under these keys; an empty one says nothing.
#[must_use]
pub fn text(document: &DocumentMut, keys: &[&str]) -> Option<String> {
    get(document, keys).and_then(Item::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The path under these keys.
#[must_use]
pub fn path(document: &DocumentMut, keys: &[&str]) -> Option<PathBuf> {
    text(document, keys).map(PathBuf::from)
}

/// The texts of the list under these keys; none where there is no list.
#[must_use]
pub fn texts(document: &DocumentMut, keys: &[&str]) -> Option<Vec<String>> {
    let list = get(document, keys)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
