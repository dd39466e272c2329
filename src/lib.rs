//! clockgate keeps workloads waiting until the host's clock can be trusted.
//!
//! Data goes one way; the outcome of an action comes back as an event, and that is the only circle. The modules below stand
//! in the order in which an event passes through them.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// The event loop: take an event, step, publish, start the actions.
pub mod agent;
// Make it right: the kernel's clock in our own hands.
pub mod correction;
// Make it right: the time daemons, each in a file of its own.
pub mod daemon;
// What it means: the pure machine.
pub mod decision;
// What voids what we knew: one file a source; sends events, decides nothing.
pub mod disruption;
// Publish: the gate page, the bus, the unit's status.
pub mod publish;
// What happened, as one record for every outlet.
pub mod transition;
// How far off are we? Asks and answers with readings.
pub mod reference;
// Let them go: `run` and `wait`; reads the gate page and nothing else.
pub mod waiter;
// Running containers: find, freeze and thaw them, when the agent was killed too.
pub mod workload;

// The command line.
pub mod cli;
// The configuration.
pub mod config;
// What is known of container engines.
pub mod container;
// What is wrong with this host's clock, and why?
pub mod doctor;
// An error message explained: was it the clock?
pub mod explain;
// What happened on this host, kept and dated.
pub mod history;
// What monitoring asks for: the table of metrics and its two forms.
pub mod metrics;
// The gate installed into container engines, and removed again.
pub mod installer;
// The gate page: layout and reader, a crate of its own.
pub use clockgate_page as page;
// What the small waiter has too: durations as people write them, an error with its causes in one line, exit codes, what a use of the
// clock tolerates.
pub use clockgate_run::{duration, error_chain, exit, tolerance};
// The clock's past, by the journal.
pub mod past;
// What was wrong with the clock, and how badly: computed from the history, written in four forms.
pub mod report;
// The kernel made safe.
pub mod sys;
