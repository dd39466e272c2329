//! logind's part that we use, on a bus of its own: the inhibitors are real pipes, and we see when one is let go.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, connection};

const PATH: &str = "/org/freedesktop/login1";

/// An inhibitor that somebody was given.
pub struct Inhibitor {
    pub asked: [String; 4],
    /// The unique name of who asked.
    pub from: String,
    ours: pipe::Receiver,
}

impl Inhibitor {
    /// Returns when the other side has closed it.
    pub async fn released(&mut self) {
        while self.is_held() {
            self.ours.readable().await.unwrap();
        }
    }

    /// Whether it is closed by now.
    pub fn is_held(&self) -> bool {
        self.ours.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

struct Manager {
    given: mpsc::UnboundedSender<Inhibitor>,
    preparing: bool,
    delay_max: Duration,
    refuses: bool,
    /// Whether it says that it is preparing for sleep, or not.
    is_mute: bool,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    async fn inhibit(
        &self,
        what: String,
        who: String,
        why: String,
        mode: String,
        #[zbus(header)] header: Header<'_>,
    ) -> zbus::fdo::Result<zbus::OwnedFd> {
        if self.refuses || self.preparing {
            return Err(zbus::fdo::Error::AccessDenied("not now".to_owned()));
        }
        let (theirs, ours) = pipe::pipe().unwrap();
        let from = header.sender().unwrap().to_string();
        self.given.send(Inhibitor { asked: [what, who, why, mode], from, ours }).unwrap();
        let fd: OwnedFd = theirs.into_blocking_fd().unwrap();
        Ok(fd.into())
    }

    #[zbus(property)]
    fn preparing_for_sleep(&self) -> zbus::fdo::Result<bool> {
        if self.is_mute { Err(zbus::fdo::Error::Failed("ask later".to_owned())) } else { Ok(self.preparing) }
    }

    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max_usec(&self) -> u64 {
        u64::try_from(self.delay_max.as_micros()).unwrap()
    }

    #[zbus(signal)]
    async fn prepare_for_sleep(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}

/// A logind on a bus.
pub struct Logind {
    bus: Connection,
    given: mpsc::UnboundedReceiver<Inhibitor>,
}

impl Logind {
    pub async fn start(address: &str) -> Self {
        Self::start_as(address, Duration::from_secs(5), false).await
    }

    /// One with this `InhibitDelayMaxSec`, which may be preparing for sleep already.
    pub async fn start_as(address: &str, delay_max: Duration, preparing: bool) -> Self {
        let (sender, given) = mpsc::unbounded_channel();
        Self::with(address, given, Manager { given: sender, preparing, delay_max, refuses: false, is_mute: false })
            .await
    }

    /// One that cannot be asked whether it is preparing for sleep.
    pub async fn start_mute(address: &str) -> Self {
        let (sender, given) = mpsc::unbounded_channel();
        let delay_max = Duration::from_secs(5);
        let manager = Manager { given: sender, preparing: false, delay_max, refuses: false, is_mute: true };
        Self::with(address, given, manager).await
    }

    async fn with(address: &str, given: mpsc::UnboundedReceiver<Inhibitor>, manager: Manager) -> Self {
        let bus = connection::Builder::address(address)
            .serve_at(PATH, manager)
            .name("org.freedesktop.login1")
            .build()
            .await
            .unwrap();
        Self { bus, given }
    }

    /// The next inhibitor that is asked for.
    pub async fn given(&mut self) -> Inhibitor {
        self.given.recv().await.unwrap()
    }

    pub fn gave_another(&mut self) -> bool {
        self.given.try_recv().is_ok()
    }

    pub async fn refuse(&self, refuses: bool) {
        let manager = self.bus.object_server().interface::<_, Manager>(PATH).await.unwrap();
        manager.get_mut().await.refuses = refuses;
    }

    /// Announces a sleep or its end, as logind does: the property first.
    pub async fn prepare_for_sleep(&self, start: bool) {
        let manager = self.bus.object_server().interface::<_, Manager>(PATH).await.unwrap();
        manager.get_mut().await.preparing = start;
        Manager::prepare_for_sleep(manager.signal_emitter(), start).await.unwrap();
    }

    /// Its name that the bus has given.
    pub fn unique_name(&self) -> String {
        self.bus.unique_name().unwrap().to_string()
    }

    /// Leaves the bus, as a logind does that is being restarted.
    pub async fn leave(self) {
        self.bus.close().await.unwrap();
    }
}
