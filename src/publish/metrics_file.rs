//! The file for node_exporter's textfile collector: written whole and renamed, on each change and once a minute, on a thread of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::metrics_reader::MetricsReader;
use crate::metrics::{MetricSources, MetricsFormat};
use crate::page::Page;
use crate::sys::public_files;

/// The bound grows and the proof ages while nothing happens.
const EVERY: Duration = Duration::from_secs(60);
/// How long an agent that ends waits for the last write.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The file, kept until the agent's last record.
#[derive(Debug)]
pub struct MetricsFile {
    ended: oneshot::Receiver<()>,
}

impl MetricsFile {
    /// Begins to write it.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn keep(path: PathBuf, reader: MetricsReader) -> io::Result<Self> {
        let (ends, ended) = oneshot::channel();
        thread::Builder::new().name("metrics-file".to_owned()).spawn(move || {
            keep(&path, &reader);
            // The agent may not wait any more.
            let _ = ends.send(());
        })?;
        Ok(Self { ended })
    }

    /// Waits a moment for what the last record made of it.
    pub async fn end(self) {
        let _ = tokio::time::timeout(ENDS_WITHIN, self.ended).await;
    }
}

/// Writes what the gate page of a dead agent says into the file that it left, if there is one: nothing is counted any more.
///
/// # Errors
/// What the file system said.
pub fn shut(path: &Path, page: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let view = Page::open(page).map_err(io::Error::other)?.read();
    put(path, &MetricsFormat::Prometheus.write(MetricSources::of_the_page(&view)))
}

fn keep(path: &Path, reader: &MetricsReader) {
    let mut was_written = true;
    let mut seen = reader.seen();
    loop {
        let text = reader.write(MetricsFormat::Prometheus).map_err(io::Error::other);
        let written = text.and_then(|text| put(path, &text));
        match &written {
            Err(error) if was_written => {
                warn!(%error, "cannot write metrics to {}: trying again each minute", path.display());
            }
            Ok(()) if !was_written => info!("metrics are written to {} again", path.display()),
            Ok(()) | Err(_) => {}
        }
        was_written = written.is_ok();
        if seen.has_ended {
            return;
        }
        seen = reader.wait(seen, EVERY);
    }
}

/// Puts the text there as a whole; the folder may be another user's, so no link is followed.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Not `.prom`, which the collector would read.
    let fresh = path.with_file_name(format!(".{name}.new"));
    drop(fs::remove_file(&fresh));
    let mut file = OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(&fresh)?;
    public_files::file(&file)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}
