//! What the test targets and the benches share, one purpose a file; what concerns a guest is in `tests/uml/lab`.
#![allow(dead_code, unused_imports, reason = "every target uses its own part of it")]

pub mod agent;
pub mod attack;
pub mod check_list;
pub mod chronyd;
pub mod expected;
pub mod folders;
pub mod gate_page;
pub mod host;
pub mod laboratory;
pub mod liar;
pub mod nts_rounds;
pub mod nts_server;
pub mod outcome;
pub mod packages;
pub mod private_bus;
pub mod process;
pub mod prometheus;
pub mod recipes;
pub mod requirement;
pub mod road;
pub mod section;
pub mod small;
pub mod terminal;
pub mod verbs;
pub mod vsock_guest;
pub mod wait;

pub use outcome::{Outcome, ensure, expect, fail, texts};
pub use process::{CLOCKGATE, Ours, clockgate, copy_program, harmless};
pub use requirement::{lacks_program, lacks_root, needing};
pub use wait::{until, until_answered, until_some};
