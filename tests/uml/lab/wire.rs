//! What host and guest say to one another over a serial line: a JSON object a line.

use serde::{Deserialize, Serialize};

/// A question to the guest, with a number that its answer carries.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Run a shell script, and kill it after so many milliseconds.
    Run { script: String, deadline_ms: u64 },
    /// Write a file, with its folders.
    Write { path: String, text: String, mode: u32 },
    /// Read the clocks.
    Clocks,
    /// Read what a file has behind so many bytes, as far as the last whole line.
    Read { path: String, from: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub id: u64,
    pub reply: Result<Reply, String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The guest listens; answers no question, id 0.
    Ready,
    Ran(Ran),
    Written,
    Clocks(Clocks),
    Lines(String),
}

/// How a script ended; `code` is 128 + n for signal n, as the shell has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The guest's clocks, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Clocks {
    pub realtime: i64,
    pub boottime: u64,
    /// MONOTONIC_RAW: nobody bends it, and it stands still in a sleep.
    pub raw: u64,
    /// BOOTTIME − MONOTONIC: the time asleep.
    pub asleep: u64,
}
