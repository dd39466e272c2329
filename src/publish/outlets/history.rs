//! The history: lines below the state directory, written behind the event loop. The gate never waits for a disk: what exceeds
//! the queue, or cannot be written, is counted and reported.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::unistd::Gid;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::decision::ContainerNaming;
use crate::history::{self, HistoryFiles};
use crate::page::boot_id;
use crate::publish::bus::{GROUP, group_id};
use crate::transition::Transition;

/// The most records that wait for a slow disk; later ones are dropped and counted.
const QUEUE: usize = 256;
/// How long an agent that ends waits for the last line.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The history of a host.
#[derive(Debug)]
pub struct HistoryOutlet {
    writer: Arc<HistoryWriter>,
    writing: Option<JoinHandle<()>>,
    /// How much of containers may be written down.
    naming: ContainerNaming,
}

#[derive(Debug)]
struct HistoryWriter {
    files: HistoryFiles,
    boot: String,
    group: Option<Gid>,
    queue: Mutex<HistoryQueue>,
}

#[derive(Debug, Default)]
struct HistoryQueue {
    waiting: VecDeque<Transition>,
    /// Whether a thread takes records from it.
    is_taken_from: bool,
    /// How many records were lost since the last line.
    lost: u64,
}

impl HistoryOutlet {
    /// The history of the host at `root`.
    pub fn new(root: &Path) -> Self {
        let boot = boot_id().unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
        let group = group_id(root, GROUP).map(Gid::from_raw);
        let writer = HistoryWriter { files: HistoryFiles::below(root), boot, group, queue: Mutex::default() };
        Self { writer: Arc::new(writer), writing: None, naming: ContainerNaming::default() }
    }

    /// How much of containers is written down from now on.
    pub const fn name_containers(&mut self, naming: ContainerNaming) {
        self.naming = naming;
    }

    /// Keeps it.
    pub fn record(&mut self, happened: &Transition) {
        if !happened.is_kept() {
            return;
        }
        let mut queue = self.writer.queue();
        if queue.waiting.len() >= QUEUE {
            queue.lost += 1;
            return;
        }
        queue.waiting.push_back(happened.naming(self.naming));
        if !queue.is_taken_from {
            queue.is_taken_from = true;
            let writer = self.writer.clone();
            self.writing = Some(tokio::task::spawn_blocking(move || writer.write()));
        }
    }

    /// Waits a moment for what is being written.
    pub async fn end(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = tokio::time::timeout(ENDS_WITHIN, writing).await;
        }
    }
}

impl HistoryWriter {
    fn queue(&self) -> MutexGuard<'_, HistoryQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next record, and how many were lost before it; the queue is left where there is none.
    fn next(&self) -> Option<(Transition, u64)> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        queue.is_taken_from = next.is_some();
        Some((next?, queue.lost))
    }

    /// Writes what waits.
    fn write(&self) {
        while let Some((happened, lost)) = self.next() {
            let line = history::line(&happened, &self.boot, lost);
            let outcome = self.files.append(&line, self.group);
            self.note(lost, &outcome);
        }
    }

    fn note(&self, lost: u64, outcome: &io::Result<()>) {
        let folder = self.files.folder().display();
        match outcome {
            Ok(()) if lost > 0 => info!(lost, "the history in {folder} is written again"),
            Ok(()) => {}
            Err(error) if lost == 0 => {
                warn!(%error, "cannot write the history to {folder}: records are lost until it can be written again");
            }
            Err(_) => {}
        }
        let mut queue = self.queue();
        match outcome {
            Ok(()) => queue.lost -= lost,
            Err(_) => queue.lost += 1,
        }
    }
}

#[cfg(test)]
mod tests;
