//! What is to be judged, gathered: all of the I/O is here. Each part blocks for less than the deadline of the whole.

mod clock;
mod containers;
mod hardware;
mod log;
mod machine;
mod network;
mod own;
mod slow;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::Config;
use crate::daemon::inspection::{self, Inspection};
use crate::daemon::{Corrector, DaemonSources};
use crate::reference::ServerName;
use crate::sys::step::SystemClock;

pub use clock::{ClockFacts, FutureFile, ZoneFacts};
pub use containers::ContainerFacts;
pub use hardware::{HardwareFacts, RtcPower, RtcState};
pub use log::LogFacts;
pub use machine::{CardWithoutClock, MachineFacts};
pub use network::{CloudFacts, MeasuredNow, NetworkFacts};
pub use own::{AgentFacts, AgentState};
pub use slow::{SlowFacts, TimerRate};

/// A bus or a daemon that does not answer is waited for this long.
const DAEMONS_PATIENCE: Duration = Duration::from_millis(500);

/// What to look at, and how.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The root of the file system: `/`, or an image that is not running.
    pub root: PathBuf,
    /// The configuration, or what is wrong with it.
    pub config: Result<Config, String>,
    /// The servers of the command line or the environment.
    pub servers: Vec<ServerName>,
    /// Whether the network may be used.
    pub network: NetworkUse,
}

/// Whether the network may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkUse {
    /// The configured servers are asked, for three seconds at most.
    Asked,
    /// They are asked more, for ten.
    AskedSlowly,
    /// Nothing leaves this host.
    Offline,
}

/// Everything there is to judge.
#[derive(Clone, Debug, Default)]
pub struct DoctorFacts {
    /// Whether this is an image that is not running.
    pub is_image: bool,
    /// The system clock.
    pub clock: ClockFacts,
    /// The time daemons.
    pub daemon: Inspection,
    /// Servers and network.
    pub network: NetworkFacts,
    /// The RTC.
    pub hardware: HardwareFacts,
    /// The virtual machine that this is.
    pub machine: MachineFacts,
    /// The log of this boot.
    pub log: LogFacts,
    /// Containers.
    pub containers: ContainerFacts,
    /// clockgate itself.
    pub own: AgentFacts,
}

/// Gathers everything, the parts beside each other.
pub async fn gather(examination: &Examination) -> DoctorFacts {
    let root = examination.root.clone();
    let is_image = root != Path::new("/");
    // The slowest of them on a host with a large journal: beside all the others, and the first to begin.
    let log = {
        let root = root.clone();
        spawn_blocking(move || log::gather(&root))
    };
    let config = examination.config.clone().unwrap_or_else(|_| Config::unread(&root));
    let settings = config.correction_settings();
    let corrector = Corrector::new(Arc::new(SystemClock::new()), settings.clone());
    let found = timeout(DAEMONS_PATIENCE, corrector.servers()).await.unwrap_or_default();
    let DaemonSources { servers, others, remark, .. } = found;
    let asked = network::Asked {
        root: root.clone(),
        named: if examination.servers.is_empty() { config.servers.clone() } else { examination.servers.clone() },
        of_the_daemon: servers,
        others,
        remark,
        network: if is_image { NetworkUse::Offline } else { examination.network },
        policy: config.policy.clone(),
        security: config.security(),
    };
    let network = spawn_blocking(move || network::gather(asked));
    let rest = {
        let (root, config, faults) = (root, config, examination.config.clone().err());
        spawn_blocking(move || DoctorFacts {
            is_image,
            clock: clock::gather(&root, config.policy.floor.clone()),
            daemon: inspection::inspect(&settings),
            network: NetworkFacts::default(),
            hardware: hardware::gather(&root),
            machine: machine::gather(&root),
            log: LogFacts::default(),
            containers: containers::gather(&root),
            own: own::gather(&root, &config, faults),
        })
    };
    let facts = rest.await.unwrap_or_default();
    DoctorFacts { network: network.await.unwrap_or_default(), log: log.await.unwrap_or_default(), ..facts }
}
