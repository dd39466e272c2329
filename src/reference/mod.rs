//! How far off are we? Asks and answers with readings.

mod server_name;

pub use server_name::ServerName;
