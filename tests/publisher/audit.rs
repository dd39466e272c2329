//! What the API server wrote down of the requests that it got: it counts, and not what publishers say of themselves.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::Outcome;

/// A request of a node.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The number in the node's name.
    pub node: usize,
    /// When the server got it, since 1970.
    pub at: Duration,
    pub is_event: bool,
    /// The status of its answer.
    pub status: u64,
}

impl Request {
    pub const fn is_done(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// The log, read as it grows.
pub struct Audit {
    log: BufReader<File>,
    line: String,
    user: String,
    all: Vec<Request>,
}

impl Audit {
    /// What comes from here on, of nodes whose names are this and a number.
    pub fn follow(log: &Path, nodes: &str) -> Outcome<Self> {
        let mut log = File::open(log)?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self { log: BufReader::new(log), line: String::new(), user: format!("system:node:{nodes}"), all: vec![] })
    }

    /// All until now.
    pub fn read(&mut self) -> Outcome<&[Request]> {
        // The last line may not be whole yet.
        while self.log.read_line(&mut self.line)? > 0 && self.line.ends_with('\n') {
            let line: Value = serde_json::from_str(&self.line)?;
            self.line.clear();
            if let Some(node) = line["user"]["username"].as_str().and_then(|user| user.strip_prefix(&self.user)) {
                let at: jiff::Timestamp = line["requestReceivedTimestamp"].as_str().unwrap_or_default().parse()?;
                self.all.push(Request {
                    node: node.parse()?,
                    at: at.as_duration().unsigned_abs(),
                    is_event: line["verb"] == "create",
                    status: line["responseStatus"]["code"].as_u64().unwrap_or_default(),
                });
            }
        }
        Ok(&self.all)
    }
}
