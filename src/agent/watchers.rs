//! The tasks beside the loop: the sources of disruptions, but for the clock's being set, and the bus. One that ends is started again, later
//! and later.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::config::Config;
use crate::decision::{Event, ReferenceKind};
use crate::disruption::network::NetworkMonitor;
use crate::disruption::vm::hypervisor;
use crate::disruption::vm::pause_detector::{self, OutsideClock};
use crate::disruption::vm::vmclock::Marker;
use crate::disruption::vm::vmgenid::KernelLog;
use crate::disruption::vm::vsock::{Calls, Desk, Port};
use crate::disruption::{DisruptionSource, logind};
use crate::publish::bus::{self, Face};
use crate::reference::local::{phc, rtc, vmclock as vmclock_time};

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(60);

/// Starts them all; they end when what is returned is dropped.
pub(super) fn start(config: &Config, events: &mpsc::Sender<Event>, face: &Face) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    watchers.spawn(kept(NetworkMonitor::default(), events.clone()));
    watchers.spawn(kept(Marker::new(config.root.clone()), events.clone()));
    watchers.spawn(kept(KernelLog::new(config.root.clone()), events.clone()));
    for witness in witnesses(&config.root) {
        let (seen, to) = (face.snapshots.clone(), events.clone());
        watchers.spawn(
            async move { pause_detector::watch(witness, seen, to).await.unwrap_or_else(|never| match never {}) },
        );
    }
    if let (true, Ok(port), Ok(peer)) =
        (config.vsock.enabled, u32::try_from(config.vsock.port), u32::try_from(config.vsock.peer_cid))
    {
        let at = Port { port, peer };
        let Face { snapshots, notices, callers, rate, .. } = face.clone();
        let desk = Desk { notices, published: snapshots, callers, rate };
        watchers.spawn(kept(Calls::new(at, desk), events.clone()));
    }
    if config.bus.system {
        // These two come back by themselves when the bus was away.
        watchers.spawn(logind::watch(None, face.notices.clone()));
        watchers.spawn(bus::system::serve(None, face.clone()));
    }
    // The gate works without the socket, so the agent continues without it.
    match bus::peer_socket::Listener::bind(&config.bus.socket, &config.root) {
        Ok(listener) => drop(watchers.spawn(listen(listener, face.clone()))),
        Err(error) => {
            error!(error = &error as &dyn Error, "cannot open the agent's socket: notifications are not received")
        }
    }
    watchers
}

/// The clocks that advance while this machine is paused: those that can be read precisely, and the RTC.
fn witnesses(root: &Path) -> Vec<OutsideClock> {
    if !hypervisor::can_be_paused(root) {
        return vec![];
    }
    let clocks = phc::find(root).into_iter().map(|clock| {
        let name = clock.name.clone();
        OutsideClock::new(name, ReferenceKind::Phc, move || clock.measure().ok())
    });
    let mut witnesses: Vec<OutsideClock> = clocks.collect();
    let root = root.to_owned();
    if vmclock_time::measure(&root).is_ok() {
        let root = root.clone();
        witnesses
            .push(OutsideClock::new("vmclock0", ReferenceKind::VmClock, move || vmclock_time::measure(&root).ok()));
    }
    if rtc::evidence(&root).is_ok() {
        witnesses.push(OutsideClock::new("rtc", ReferenceKind::Rtc, move || rtc::evidence(&root).ok()));
    }
    witnesses
}

async fn listen(listener: bus::peer_socket::Listener, face: Face) {
    if let Err(error) = listener.serve(face).await {
        error!(%error, "the agent's socket has failed: notifications are no longer received");
    }
}

/// Begins a source again whenever it is lost, after a pause; says each time that it is.
async fn kept<S: DisruptionSource>(mut source: S, events: mpsc::Sender<Event>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let begun = Instant::now();
        let Err(error) = source.watch(&events).await else { return };
        // Lost again at once, it is tried later and later; after it was well, soon.
        if begun.elapsed() > pause {
            pause = PAUSE_FIRST;
        }
        warn!(source = S::NAME, %error, "lost a source of disruptions; reconnecting");
        if events.send(Event::SourceLost(S::NAME)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// A source that holds for so long each time, and then is lost.
    struct Fails(std::vec::IntoIter<Duration>, mpsc::Sender<Instant>);

    impl DisruptionSource for Fails {
        const NAME: &'static str = "fails";
        type Error = io::Error;

        async fn watch(&mut self, _events: &mpsc::Sender<Event>) -> io::Result<()> {
            let _ = self.1.send(Instant::now()).await;
            let Some(holds) = self.0.next() else { return Ok(()) };
            tokio::time::sleep(holds).await;
            Err(io::ErrorKind::Other.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_go_back_after_a_source_was_well() {
        let (events, mut inbox) = mpsc::channel(64);
        let (begins, mut begun) = mpsc::channel(64);
        let holds = [0, 0, 0, 3600, 0].map(Duration::from_secs).to_vec();
        kept(Fails(holds.clone().into_iter(), begins), events).await;
        let mut at = vec![];
        while let Some(moment) = begun.recv().await {
            at.push(moment);
        }
        let pauses: Vec<u64> = at.windows(2).zip(holds).map(|(two, held)| (two[1] - two[0] - held).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 1, 2]);
        for _ in pauses {
            assert_eq!(inbox.recv().await, Some(Event::SourceLost("fails")));
        }
    }
}
