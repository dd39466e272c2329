//! chronyd's command protocol, version 6, as chronyc speaks it: the packets, the requests clockgate needs, and a blocking
//! client with a deadline. `docs/decisions/0003-chrony-protocol.md` says why it is ours.
//!
//! chronyd counts offsets in both directions. They are turned into [`crate::decision::Offset`] in `wire.rs` and nowhere else.

mod client;
mod error;
mod reports;
mod select;
mod socket;
mod status;
mod wire;

pub use client::{ChronyClient, Spare};
pub use error::{ChronyError, Problem};
pub use reports::{Activity, AuthMode, NtpData, SourceData, SourceMode, Tracking};
// For those who have a packet and no chronyd.
#[doc(hidden)]
pub use reports::{source_count, source_name};
pub use select::{SelectData, SelectOptions};
pub use status::Status;
pub use wire::{Command, Malformed, SourceAddress};
#[doc(hidden)]
pub use wire::{ReplyFields, decode, encode};
