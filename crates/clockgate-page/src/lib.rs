//! Reads the gate page that the agent of clockgate publishes in `/run/clockgate/public/gate`: whether the clock of this machine can
//! be trusted, how wrong it is at most, and for how long.
//!
//! [`Page::open_default`] opens it, [`Page::read`] returns a consistent [`View`] of it that is judged by the clocks of this
//! process, and [`Page::wait_for_change`] waits for another one. [`layout`] and [`protocol`] are for those who write pages, which outside
//! of tests is the agent alone; so are the modules below [`sys`].
//!
//! ```
//! use std::{error::Error, time::Duration};
//!
//! use clockgate_page::{Gate, Page, View};
//!
//! /// The page at its next change where the gate is shut, or after half a minute; the page now where it is open.
//! fn look(page: &Page) -> View {
//!     let seen = page.read();
//!     match seen.gate {
//!         Gate::Shut => page.wait_for_change(&seen, Duration::from_secs(30)),
//!         Gate::Proven | Gate::Unproven => seen,
//!     }
//! }
//!
//! fn report(page: &Page) -> Result<(), Box<dyn Error>> {
//!     let view = look(page);
//!     match view.gate {
//!         Gate::Proven => println!("right within {:?}, for {:?}", view.bound_now, view.valid_for()),
//!         Gate::Unproven => println!("open without a proof: {}", view.why),
//!         Gate::Shut => return Err(view.why.into()),
//!     }
//!     Ok(())
//! }
//! #
//! # // A page as an agent would write it.
//! # use clockgate_page::{MAGIC, VERSION, at, boot_id, sys::{clock, mapping::LEN}};
//! # let mut bytes = [0; LEN];
//! # let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
//! # put(at::MAGIC, &MAGIC.to_ne_bytes());
//! # put(at::VERSION, &VERSION.to_ne_bytes());
//! # put(at::SIZE, &(at::ALIVE_UNTIL as u32).to_ne_bytes());
//! # put(at::BOOT_ID, &boot_id().unwrap_or_default());
//! # put(at::GATE, &(Gate::Proven as u32).to_ne_bytes());
//! # put(at::BOUND, &1_000_000_u64.to_ne_bytes());
//! # put(at::VALID_UNTIL, &(clock::boottime() + Duration::from_secs(300)).as_nanos().to_ne_bytes());
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("gate"), bytes)?;
//! # let page = Page::open(folder.path())?;
//! # report(&page)?;
//! # assert!(look(&page).valid_for() > Duration::from_secs(200));
//! # Ok::<(), Box<dyn Error>>(())
//! ```
#![forbid(unsafe_op_in_unsafe_fn)]
#![deny(missing_docs)]

mod agent;
mod error;
mod gate;
mod judge;
pub mod layout;
mod leap;
mod page;
pub mod protocol;
pub mod sys;
pub mod text;
pub mod time;
mod view;

pub use agent::Agent;
pub use error::Error;
pub use gate::Gate;
pub use judge::ClockMeasurement;
pub use layout::*;
pub use leap::LeapSecond;
pub use page::{Page, boot_id};
pub use view::View;
