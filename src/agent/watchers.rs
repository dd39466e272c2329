//! What runs beside the loop: the sources of disruptions, but for the clock's being set, and the bus. One that ends is started again, later and later.

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::config::Config;
use crate::decision::{Event, Kind};
use crate::disruption::vsock::{self, Desk, Port};
use crate::disruption::watch::{self, Witness};
use crate::disruption::{hypervisor, logind, network, vmclock, vmgenid};

use crate::publish::bus::{self, Face};
use crate::reference::{phc, rtc, vmclock as vmclock_time};

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LAST: Duration = Duration::from_secs(60);

/// Starts them all; they end when what is returned is dropped.
pub(super) fn start(config: &Config, events: &mpsc::Sender<Event>, face: &Face) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    let to = events.clone();
    watchers.spawn(kept("network", events.clone(), move || network::watch(to.clone())));
    let (root, to) = (config.root.clone(), events.clone());
    watchers.spawn(kept("vmclock", events.clone(), move || vmclock::watch(root.clone(), to.clone())));
    let (root, to) = (config.root.clone(), events.clone());
    watchers.spawn(kept("vmgenid", events.clone(), move || vmgenid::watch(root.clone(), to.clone())));
    for witness in witnesses(&config.root) {
        let (seen, to) = (face.snapshots.clone(), events.clone());
        watchers.spawn(async move { watch::watch(witness, seen, to).await.unwrap_or_else(|never| match never {}) });
    }
    if let (true, Ok(port), Ok(peer)) =
        (config.vsock.enabled, u32::try_from(config.vsock.port), u32::try_from(config.vsock.peer))
    {
        let at = Port { port, peer };
        let Face { snapshots, notices, callers, .. } = face.clone();
        let desk = Desk { notices, published: snapshots, callers };
        watchers.spawn(kept("vsock", events.clone(), move || vsock::serve(at, desk.clone())));
    }
    if config.bus.system {
        // These two come back by themselves when the bus was away.
        watchers.spawn(logind::watch(None, face.notices.clone()));
        watchers.spawn(bus::system::serve(None, face.clone()));
    }
    // The gate works without anybody who could talk to the agent, so it is kept all the same.
    match bus::peer::Listener::bind(&config.bus.peer) {
        Ok(listener) => drop(watchers.spawn(listen(listener, face.clone()))),
        Err(error) => error!(error = &error as &dyn Error, "nobody can notify this agent by its socket"),
    }
    watchers
}

/// The clocks that go on while this machine stands still: those that can be read finely, and the RTC.
fn witnesses(root: &Path) -> Vec<Witness> {
    if !hypervisor::can_be_paused(root) {
        return vec![];
    }
    let clocks = phc::find(root).into_iter().map(|clock| {
        let name = clock.name.clone();
        Witness::new(name, Kind::Phc, move || clock.measure().ok())
    });
    let mut witnesses: Vec<Witness> = clocks.collect();
    let root = root.to_owned();
    if vmclock_time::measure(&root).is_ok() {
        let root = root.clone();
        witnesses.push(Witness::new("vmclock0", Kind::VmClock, move || vmclock_time::measure(&root).ok()));
    }
    if rtc::evidence(&root).is_ok() {
        witnesses.push(Witness::new("rtc", Kind::Rtc, move || rtc::evidence(&root).ok()));
    }
    witnesses
}

async fn listen(listener: bus::peer::Listener, face: Face) {
    if let Err(error) = listener.serve(face).await {
        error!(%error, "nobody can notify this agent by its socket any more");
    }
}

/// Starts a source again whenever it fails, after a pause; says each time that it is lost.
async fn kept<F, E>(name: &'static str, events: mpsc::Sender<Event>, source: impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: Error,
{
    let mut pause = PAUSE_FIRST;
    while let Err(error) = source().await {
        warn!(source = name, %error, "a source of disruptions is lost; trying to get it back");
        if events.send(Event::SourceLost(name)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LAST);
    }
}
