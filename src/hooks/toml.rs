//! TOML: files of our own are made as documents; in other people's files a text is put at its place.

mod put;

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value};

pub use put::put;

fn no_toml(error: &TomlError) -> String {
    let said = error.to_string();
    format!("is no TOML: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
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
        table = item.as_table_like_mut().ok_or_else(|| format!("has `{key}`, and it is no table"))?;
    }
    Ok(table)
}

/// Sets a text, and keeps what stands around the old one; a new one stands as far in as its neighbours.
pub fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    let mut value = Value::from(text);
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
        table.insert(key, Item::Value(value));
        return;
    }
    let neighbour = table.iter().next().map(|(name, _)| name.to_owned()).and_then(|name| indent_of(table, &name));
    table.insert(key, Item::Value(value));
    if let (Some(indent), Some(mut key)) = (neighbour, table.key_mut(key)) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// The white space before a key, where it begins a line.
fn indent_of(table: &dyn TableLike, key: &str) -> Option<String> {
    let before = table.key(key)?.leaf_decor().prefix()?.as_str()?;
    let indent = before.rsplit('\n').next().unwrap_or_default();
    indent.chars().all(char::is_whitespace).then(|| indent.to_owned())
}
