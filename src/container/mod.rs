//! What is known of container engines: which files they read, as they merge them, and where their state is.

pub mod containerd;
mod root;

pub use root::Root;
