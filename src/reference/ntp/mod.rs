//! NTP as a client that proves something: no daemon, no discipline, one exchange with every server at once.

pub(super) mod address;
pub(super) mod address_file;
pub mod association;
pub mod conversation;
pub mod default_servers;
mod kiss;
pub mod nts;
pub mod packet;
pub(super) mod participant;
mod rate_limit;
pub(super) mod resolver;
pub mod sample;
pub mod security;
pub(super) mod server;
pub(super) mod server_name;
pub(super) mod server_pool;
pub mod symmetric;
pub mod timestamp;

#[cfg(test)]
pub(crate) mod fake;
