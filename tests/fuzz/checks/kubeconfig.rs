//! What decides to which API server the publisher speaks and as whom: never without an authority, and by files that were named. Of what
//! others send it takes a name and a sentence alone.

use std::path::Path;

use clockgate_kubernetes::identity::{is_name, node_of};
use clockgate_kubernetes::kubeconfig::{Access, Content, Credentials};
use clockgate_kubernetes::refusal;

/// A character that is not printed as it came is written in ten at most.
const OF_A_CHARACTER: usize = 10;
/// What is said where the server says nothing has some more characters than an empty answer.
const SAYS_NOTHING: usize = 20;

pub fn check(data: &[u8]) {
    let message = refusal::message(data);
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.chars().count() <= OF_A_CHARACTER * data.len() + SAYS_NOTHING);
    if let Some(name) = node_of(data) {
        assert!(name.len() < 128 && String::from_utf8_lossy(data).contains(&name), "{name:?}");
        // It becomes a part of the path of a request.
        assert!(!is_name(&name) || !name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.'));
    }
    if let Some(text) = super::text(data) {
        kubeconfig(text);
    }
}

fn kubeconfig(text: &str) {
    let folder = Path::new("/etc/kubernetes");
    let Ok(access) = Access::parse(text, folder) else { return };
    let contents = match &access.credentials {
        Credentials::Certificate { chain, key } => vec![&access.authority, chain, key],
        Credentials::Token(token) => vec![&access.authority, token],
    };
    for content in contents {
        match content {
            Content::File(path) => assert!(path.is_absolute(), "{}", path.display()),
            Content::Bytes(bytes) => assert!(bytes.len() <= text.len()),
        }
    }
    assert_eq!(Access::parse(&format!("{text}\n"), folder).ok(), Some(access), "with an empty line behind it");
    // In a text with escapes the key could be written otherwise.
    let without = text.replace("certificate-authority", "no-authority");
    assert!(text.contains('\\') || Access::parse(&without, folder).is_err(), "without an authority");
}
