//! How far off are we? Every reference is asked at once; each answers with a reading or says why not.

pub mod ntp;
mod server_name;

pub use server_name::{Error as ServerNameError, NTP_PORT, ServerName};
