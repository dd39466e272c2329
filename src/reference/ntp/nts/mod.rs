//! Network Time Security (RFC 8915): a question that only the server can read a cookie of, and an answer that only the server can have
//! authenticated. The keys are agreed on over TLS beforehand.

pub mod cipher;
pub mod fields;
pub mod key_exchange;
pub mod records;
pub mod session;

#[cfg(test)]
mod tests;
