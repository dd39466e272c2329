//! The time by which certificates are judged and moments are written: the kernel's clock, corrected by what the page's agent measured.

use std::path::PathBuf;
use std::time::Duration;

use clockgate_page::Page;
use clockgate_page::sys::clock::clocks_of_the_host;
use clockgate_page::sys::time_namespace::shift;
use clockgate_page::time::{Offset, Realtime};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The clock of the page in a folder.
#[derive(Clone, Debug)]
pub struct MeasuredClock {
    directory: PathBuf,
}

impl MeasuredClock {
    /// By the page in this folder.
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The time, where it was measured.
    pub fn measured(&self) -> Option<Realtime> {
        let (kernels, offset) = self.read();
        offset.map(|offset| kernels + offset)
    }

    /// The time as well as it is known.
    pub fn now(&self) -> Realtime {
        let (kernels, offset) = self.read();
        kernels + offset.unwrap_or_default()
    }

    fn read(&self) -> (Realtime, Option<Offset>) {
        let view = Page::open(&self.directory).ok().map(|page| page.read());
        let (clocks, _) = clocks_of_the_host(shift().unwrap_or_default());
        (clocks.real, view.and_then(|view| view.offset_at(&clocks)))
    }
}

impl TimeProvider for MeasuredClock {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from(self.now().as_secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}
