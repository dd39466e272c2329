//! How far off are we?

mod server_name;

pub use server_name::ServerName;
