//! TOML: files of our own are made as documents; in other people's files a text is put at its place.

mod edit;

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError};

pub use edit::put;

fn no_toml(error: &TomlError) -> String {
    let said = error.to_string();
    format!("is not valid TOML: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The table under these keys, made where it is not there.
///
/// # Errors
/// The key that is there and no table.
pub fn table<'a>(document: &'a mut DocumentMut, keys: &[&str]) -> Result<&'a mut dyn TableLike, String> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (number, key) in (1..).zip(keys) {
        if table.get(key).is_none_or(Item::is_none) {
            let mut new = Table::new();
            // Only the last one needs a heading of its own.
            new.set_implicit(number < keys.len());
            table.insert(key, Item::Table(new));
        }
        let item = table.get_mut(key).ok_or_else(|| format!("has no `{key}`"))?;
        table = item.as_table_like_mut().ok_or_else(|| format!("has `{key}`, and it is not a table"))?;
    }
    Ok(table)
}
