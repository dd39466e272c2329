//! NTP as a client that proves something: no daemon, no discipline, one exchange with every server at once.

pub mod address;
pub mod address_file;
pub mod conversation;
pub mod default_servers;
mod kiss;
pub mod packet;
pub mod participant;
mod rate_limit;
pub mod resolver;
pub mod sample;
pub mod server;
pub mod server_name;
pub mod server_pool;
pub mod timestamp;

#[cfg(test)]
pub(crate) mod fake;
