//! What is known of container engines: which files they read, as they merge them, and where their state is.

pub mod containerd;
pub mod crio;
pub mod docker;
pub mod files;
pub mod podman;
mod root;
mod toml;
mod unit;
pub mod unused;

pub use root::Root;
