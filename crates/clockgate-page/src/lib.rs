#![doc = include_str!("../README.md")]
#![forbid(unsafe_op_in_unsafe_fn)]
#![deny(missing_docs)]

mod agent;
mod error;
mod gate;
mod judge;
pub mod layout;
mod leap;
mod page;
pub mod sys;
pub mod text;
pub mod time;
mod view;

pub use agent::Agent;
pub use error::Error;
pub use gate::Gate;
pub use layout::*;
pub use leap::LeapSecond;
pub use page::{Page, boot_id};
pub use view::View;
