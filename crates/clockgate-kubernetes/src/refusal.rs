//! What an API server says when it refuses: a `Status` of Kubernetes in JSON, of which the message is shown.

/// How much is read of it.
pub const LIMIT: usize = 1 << 16;

/// The message, printable and on one line.
#[must_use]
pub fn message(body: &[u8]) -> String {
    let refusal: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let why = refusal.as_ref().and_then(|status| status["message"].as_str()).unwrap_or("it does not say why");
    clockgate_page::text::shown(why)
}
