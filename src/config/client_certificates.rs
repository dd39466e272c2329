//! The client certificates that a YAML file of a cluster's client names; the keys beside them are not looked at.

use std::path::Path;

use super::drop_ins;
use super::yaml::{self, Value, YamlNode};

/// Where a certificate is.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// In the file itself, as base64.
    Inline(String),
    /// In this file.
    File(String),
}

/// Reads `users[].user.client-certificate-data` and `client-certificate`.
///
/// # Errors
/// What is wrong with the file, in words.
pub fn read(file: &Path) -> Result<Vec<ClientCertificate>, String> {
    let node = yaml::parse(&drop_ins::read(file)?).map_err(|error| error.to_string())?;
    let Some(Value::List(users)) = get(&node.value, "users") else { return Ok(vec![]) };
    let text = |user: &Value, key| match get(user, key) {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let certificate = |user: &YamlNode| {
        let user = get(&user.value, "user")?;
        let inline = text(user, "client-certificate-data").map(ClientCertificate::Inline);
        inline.or_else(|| text(user, "client-certificate").map(ClientCertificate::File))
    };
    Ok(users.iter().filter_map(certificate).collect())
}

fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(keys) = value else { return None };
    keys.iter().find(|(name, _)| name == key).map(|(_, node)| &node.value)
}
