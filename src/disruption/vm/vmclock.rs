//! The hypervisor's own mark that it moved this machine through time: the disruption marker of /dev/vmclock0.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::decision::{Cause, Event, RestoreSign};
use crate::disruption::{DisruptionSource, LastMark};
use crate::sys::async_descriptor::readable;
use crate::sys::vmclock::{VmClock, VmClockPage, VmClockPageError};

/// Where the device does not notify us; a read costs about a microsecond.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The marker, and what it was when it was read last.
#[derive(Debug)]
pub struct Marker {
    root: PathBuf,
    mark: LastMark<VmClockPage>,
}

impl Marker {
    /// The marker of the device below `root`.
    #[must_use]
    pub const fn new(root: PathBuf) -> Self {
        Self { root, mark: LastMark::Unread }
    }

    /// Compares with what was read last, across the time in which nothing could be read.
    fn compare(&mut self, page: VmClockPage) -> Option<Event> {
        match std::mem::replace(&mut self.mark, LastMark::Known(page)) {
            LastMark::Unread => None,
            LastMark::Lost => Some(Event::Unseen(Self::NAME)),
            LastMark::Known(seen) => moved(&seen, &page).map(Event::Disrupted),
        }
    }
}

impl DisruptionSource for Marker {
    const NAME: &'static str = "vmclock";
    type Error = VmClockPageError;

    /// Returns at once where there is no such device, or not for us.
    async fn watch(&mut self, events: &Sender<Event>) -> Result<(), VmClockPageError> {
        let (mut watched, mut page) = match begin(&self.root) {
            Ok(begun) => begun,
            Err(error @ VmClockPageError::NotThere { .. }) if self.mark.is_unread() => {
                debug!("{error}; VMClock reports no disruptions");
                return Ok(());
            }
            Err(error @ VmClockPageError::NotAllowed { .. }) if self.mark.is_unread() => {
                warn!(error = &error as &dyn std::error::Error, "VMClock marker not monitored");
                return Ok(());
            }
            Err(error) => {
                self.mark.lose();
                return Err(error);
            }
        };
        loop {
            if let Some(event) = self.compare(page)
                && events.send(event).await.is_err()
            {
                return Ok(());
            }
            tokio::select! {
                () = events.closed() => return Ok(()),
                () = watched.changed() => {}
            }
            page = match watched.read() {
                // What is written for longer than the driver waits is read when it is whole.
                Err(VmClockPageError::Busy) => continue,
                page => page?,
            };
        }
    }
}

fn begin(root: &Path) -> Result<(Watched, VmClockPage), VmClockPageError> {
    let device = VmClock::open(root)?;
    let page = device.read()?;
    // Drivers before Linux 7.0 have no poll(2), and epoll(7) takes nothing that has none.
    let notified = if page.notifies { readable(VmClock::open(root)?).ok() } else { None };
    debug!(notified = notified.is_some(), "monitoring the VMClock marker");
    let watched = Watched { device, notified };
    let seen = watched.read()?;
    Ok((watched, seen))
}

/// The page, and how we learn that it changed.
struct Watched {
    device: VmClock,
    /// Where the kernel notifies us: a descriptor that counts what was read by it. Elsewhere we poll.
    notified: Option<AsyncFd<VmClock>>,
}

impl Watched {
    fn read(&self) -> Result<VmClockPage, VmClockPageError> {
        self.notified.as_ref().map_or(&self.device, AsyncFd::get_ref).read()
    }

    /// Returns when the page may have changed.
    async fn changed(&mut self) {
        if let Some(fd) = &self.notified {
            match fd.readable().await {
                Ok(mut ready) if !ready.ready().is_read_closed() => return ready.clear_ready(),
                // POLLHUP: the hypervisor sends no notifications any more, and poll(2) would return at once for ever.
                Ok(_) | Err(_) => {}
            }
            self.notified = None;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What it means that the page changed so.
fn moved(seen: &VmClockPage, page: &VmClockPage) -> Option<Cause> {
    let another_generation = seen.generation != page.generation;
    if seen.disruption_marker == page.disruption_marker && !another_generation {
        return None;
    }
    // Where generations are counted, a marker that moves without them is a live migration: a pause, and no copy of us.
    let migrated = page.generation.is_some() && !another_generation;
    Some(if migrated { Cause::Pause { lost: Duration::ZERO } } else { Cause::Restore(RestoreSign::Marker) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::vmclock::fake::FakePage;
    use tokio::sync::mpsc::{Receiver, channel};
    use tokio::task::JoinHandle;

    fn watched(root: &Path) -> (Receiver<Event>, JoinHandle<Result<(), VmClockPageError>>) {
        let (events, inbox) = channel(4);
        let mut marker = Marker::new(root.to_owned());
        (inbox, tokio::spawn(async move { marker.watch(&events).await }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_marker_that_moves_is_a_restore_and_is_reported_once() {
        let root = tempfile::tempdir().unwrap();
        let page = FakePage::new(7);
        page.write(root.path());
        let (mut inbox, _source) = watched(root.path());
        // It has begun when it has looked once and waits: the paused clock advances only when every task waits.
        sleep(LOOK_EVERY).await;
        FakePage { marker: 8, sequence: 4, ..page }.write(root.path());
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::Marker))));
        sleep(LOOK_EVERY * 10).await;
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_half_written_is_read_when_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let page = FakePage::new(7);
        page.write(root.path());
        let (mut inbox, source) = watched(root.path());
        sleep(LOOK_EVERY).await;
        FakePage { marker: 8, sequence: 3, ..page }.write(root.path());
        sleep(LOOK_EVERY * 3).await;
        assert!(inbox.try_recv().is_err() && !source.is_finished());
        FakePage { marker: 8, sequence: 4, ..page }.write(root.path());
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::Marker))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_migration_is_a_pause_where_generations_are_counted() {
        let root = tempfile::tempdir().unwrap();
        let page = FakePage { generation: Some(1), ..FakePage::new(7) };
        page.write(root.path());
        let (mut inbox, _source) = watched(root.path());
        sleep(LOOK_EVERY).await;
        FakePage { marker: 8, ..page }.write(root.path());
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Pause { lost: Duration::ZERO })));
        FakePage { marker: 9, generation: Some(2), ..page }.write(root.path());
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::Marker))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_marker_that_moved_while_it_could_not_be_read_is_reported_when_it_is_found() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join(crate::sys::vmclock::DEVICE);
        let page = FakePage::new(7);
        page.write(root.path());
        let (events, mut inbox) = channel(4);
        let mut marker = Marker::new(root.path().to_owned());
        let lost = tokio::join!(marker.watch(&events), async {
            sleep(LOOK_EVERY).await;
            std::fs::write(&device, [0; 4096]).unwrap();
        });
        assert!(matches!(lost.0, Err(VmClockPageError::Unknown { .. })), "{lost:?}");
        // Absent for a while, as a driver is that is loaded again.
        std::fs::remove_file(&device).unwrap();
        assert!(matches!(marker.watch(&events).await, Err(VmClockPageError::NotThere { .. })));
        FakePage { marker: 8, ..page }.write(root.path());
        let found = tokio::spawn(async move { marker.watch(&events).await });
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Restore(RestoreSign::Marker))));
        sleep(LOOK_EVERY * 10).await;
        assert!(inbox.try_recv().is_err() && !found.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_marker_that_was_never_read_may_have_moved() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join(crate::sys::vmclock::DEVICE), [0; 4096]).unwrap();
        let (events, mut inbox) = channel(4);
        let mut marker = Marker::new(root.path().to_owned());
        assert!(marker.watch(&events).await.is_err());
        FakePage::new(7).write(root.path());
        let _found = tokio::spawn(async move { marker.watch(&events).await });
        assert_eq!(inbox.recv().await, Some(Event::Unseen("vmclock")));
    }

    #[tokio::test]
    async fn where_there_is_no_device_the_source_ends_in_silence_and_a_strange_one_is_lost() {
        let root = tempfile::tempdir().unwrap();
        let (mut inbox, source) = watched(root.path());
        assert!(source.await.unwrap().is_ok() && inbox.recv().await.is_none());
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join(crate::sys::vmclock::DEVICE), [0; 4096]).unwrap();
        let (_inbox, source) = watched(root.path());
        assert!(matches!(source.await.unwrap(), Err(VmClockPageError::Unknown { .. })));
    }
}
