//! The configuration: every key has a default, and [`Config::default`] is the only source of defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::Engine;
use crate::daemon::{BusAddress, CorrectorSettings};
use crate::decision::{ContainerNaming, Policy};
use crate::disruption::vm::vsock::protocol;
use crate::page;
use crate::reference::http::HttpUrl;
use crate::reference::{CertificateTime, Security, ServerName};
use crate::workload::{self, Exclusion, Waves};

pub mod authorities;
pub mod client_certificates;
mod drop_ins;
mod fault;
pub mod floor;
pub mod keys;
mod loading;
pub mod patterns;
pub mod print;
mod read_keys;
mod value;
mod yaml;

pub use fault::{ConfigError, Fault};
pub use loading::{load, load_file, load_text};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the machine decides by; its floor is found, not configured.
    pub policy: Policy,
    /// The NTP servers to ask; those of the daemon, the cloud or the pool when empty.
    pub servers: Vec<ServerName>,
    /// The authorities that NTS servers are verified by; none for those of web servers.
    pub nts_ca_file: Option<PathBuf>,
    /// When the certificates of NTS servers have to hold.
    pub nts_cert_time: CertificateTime,
    /// The symmetric keys of servers.
    pub keys_file: Option<PathBuf>,
    /// The web servers whose `Date` is asked for where no NTP server answers.
    pub http_references: Vec<HttpUrl>,
    /// The authorities that they are verified by; none for the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one exchange with all servers may take.
    pub measure_timeout: Duration,
    /// The folder of the gate page.
    pub page: PathBuf,
    /// Where the bus object is served.
    pub bus: BusConfig,
    /// ClockBound's page.
    pub clockbound: ClockBound,
    /// How chronyd is reached.
    pub chrony: Chrony,
    /// What may be asked of timedated.
    pub timesyncd: TimesyncdConfig,
    /// Where the hypervisor is listened to.
    pub vsock: Vsock,
    /// Where metrics go.
    pub metrics: MetricsConfig,
    /// What the history says.
    pub history: HistoryConfig,
    /// Which containers are frozen, and how they are thawed.
    pub freeze: Freeze,
    /// The root of the host's file system; given, not configured.
    pub root: PathBuf,
}

/// Where the bus object is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// Whether on the system bus.
    pub system: bool,
    /// The socket for those who come without a bus.
    pub socket: PathBuf,
}

/// ClockBound's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockBound {
    /// Whether it is written.
    pub enabled: bool,
    /// The file that ClockBound's clients read.
    pub path: PathBuf,
}

/// How chronyd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chrony {
    /// Its command socket.
    pub socket: PathBuf,
    /// Its command port, for reading where the socket is closed to us.
    pub udp: Option<SocketAddr>,
}

/// Where the hypervisor is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vsock {
    /// Whether it is.
    pub enabled: bool,
    /// On which port (vsock(7)).
    pub port: usize,
    /// The CID that may connect; 2 is the hypervisor's in all its guests (VMADDR_CID_HOST).
    pub peer_cid: usize,
}

/// Where metrics go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The file for a textfile collector, if it is written.
    pub textfile: Option<PathBuf>,
    /// Where scrapers connect, if they may.
    pub listen: Option<ListenAddress>,
}

/// What the history says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryConfig {
    /// How much of containers.
    pub containers: ContainerNaming,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// What may be asked of timedated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimesyncdConfig {
    /// Whether timedated may be asked to start the host's time daemon where none runs.
    pub set_ntp: bool,
}

/// Which containers are frozen, and how they are thawed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Whose containers are frozen.
    pub engines: Vec<Engine>,
    /// Containers that are not.
    pub exclude: Vec<Exclusion>,
    /// How long anything stays frozen.
    pub max: Duration,
    /// How many containers are thawed together; zero: all of them.
    pub wave_size: usize,
    /// The time between two waves.
    pub wave_pause: Duration,
}

/// The longest freeze where pods are among the frozen. A kubelet restarts a container whose liveness probe by HTTP fails three times,
/// every 10 s by default: a freeze of 5 s meets one of them at most.
const LONGEST_WITH_PODS: Duration = Duration::from_secs(5);

impl Freeze {
    /// The limit of a freeze in the policy; none where no container is frozen.
    #[must_use]
    pub fn policy(&self) -> Option<Duration> {
        let longest = if self.engines.contains(&Engine::Kubernetes) { LONGEST_WITH_PODS } else { Duration::MAX };
        (!self.engines.is_empty()).then_some(self.max.min(longest))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            servers: vec![],
            nts_ca_file: None,
            nts_cert_time: CertificateTime::default(),
            keys_file: None,
            http_references: vec![],
            ca_file: None,
            measure_timeout: Duration::from_secs(5),
            page: PathBuf::from(page::DIRECTORY),
            bus: BusConfig { system: true, socket: PathBuf::from("/run/clockgate/bus") },
            clockbound: ClockBound { enabled: false, path: PathBuf::from("/run/clockbound/shm0") },
            chrony: Chrony {
                socket: PathBuf::from("/run/chrony/chronyd.sock"),
                udp: Some(SocketAddr::from(([127, 0, 0, 1], 323))),
            },
            timesyncd: TimesyncdConfig { set_ntp: false },
            vsock: Vsock { enabled: false, port: protocol::PORT as usize, peer_cid: 2 },
            metrics: MetricsConfig::default(),
            history: HistoryConfig::default(),
            freeze: Freeze {
                engines: vec![Engine::Docker, Engine::Podman, Engine::Containerd, Engine::Lxc, Engine::Nspawn],
                exclude: vec![],
                max: Duration::from_secs(30),
                wave_size: 0,
                wave_pause: Duration::from_millis(100),
            },
            root: PathBuf::from("/"),
        }
    }
}

/// The place in a file that a key was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: u64,
}

/// A configuration, and where each of its keys came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The origin of each key that is not at its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The files that were read, the later ones overriding the earlier ones.
    pub files: Vec<PathBuf>,
    /// Keys that are read under a name of an earlier version.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads `config.yaml` and `config.d` below `root`, and finds what the policy has from elsewhere: the floor, and whether
    /// the containers of any engine are to be frozen.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault of every file.
    pub fn load(root: &Path) -> Result<Self, ConfigError> {
        let Loaded { config, origins, warnings, files: _ } = load(root)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(config.of_the_host(root, &origins))
    }

    /// What holds below `root` where its configuration cannot be read: the defaults.
    #[must_use]
    pub fn unread(root: &Path) -> Self {
        Self::default().of_the_host(root, &BTreeMap::new())
    }

    fn of_the_host(mut self, root: &Path, origins: &BTreeMap<&'static str, Origin>) -> Self {
        if root != Path::new("/") {
            self.lie_below(root, origins);
        }
        self.policy.floor = floor::find(root);
        self.policy.freeze = self.freeze.policy();
        root.clone_into(&mut self.root);
        self
    }

    /// Takes a configuration that was read again, but for what an agent has at its start alone: where it publishes, and who talks to
    /// it. Says which keys would want a restart.
    pub fn reload(&mut self, new: Self) -> Vec<&'static str> {
        let (page, bus) = (self.page.clone(), self.bus.clone());
        let (clockbound, vsock, metrics) = (self.clockbound.clone(), self.vsock.clone(), self.metrics.clone());
        let differing = [
            ("page", page != new.page),
            ("bus", bus != new.bus),
            ("clockbound", clockbound != new.clockbound),
            ("vsock", vsock != new.vsock),
            ("metrics", metrics != new.metrics),
        ];
        *self = Self { page, bus, clockbound, vsock, metrics, ..new };
        differing.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Nothing of the host is touched below another root: what is published and served lies in there, and no bus or daemon of the
    /// host's is spoken to that the configuration does not name.
    fn lie_below(&mut self, root: &Path, origins: &BTreeMap<&'static str, Origin>) {
        let below_root = |path: &mut PathBuf| *path = below(root, path);
        below_root(&mut self.page);
        below_root(&mut self.bus.socket);
        below_root(&mut self.clockbound.path);
        let files = [&mut self.ca_file, &mut self.nts_ca_file, &mut self.keys_file];
        files.into_iter().flatten().for_each(below_root);
        self.metrics.textfile.iter_mut().for_each(below_root);
        if let Some(ListenAddress::Unix(path)) = &mut self.metrics.listen {
            below_root(path);
        }
        if !origins.contains_key("chrony.socket") {
            below_root(&mut self.chrony.socket);
        }
        if !origins.contains_key("chrony.udp") {
            self.chrony.udp = None;
        }
        self.bus.system &= origins.contains_key("bus.system");
    }

    /// How servers prove who they are.
    #[must_use]
    pub fn security(&self) -> Security {
        Security {
            authentication: self.policy.authentication,
            authorities: self.nts_ca_file.clone().or_else(|| self.ca_file.clone()),
            floor: self.policy.floor.clone(),
            certificate_time: self.nts_cert_time,
            keys: self.keys_file.clone(),
        }
    }

    /// Where the corrector finds the daemons.
    #[must_use]
    pub fn correction_settings(&self) -> CorrectorSettings {
        CorrectorSettings {
            chrony_socket: self.chrony.socket.clone(),
            chrony_udp: self.chrony.udp,
            root: self.root.clone(),
            bus: if self.bus.system { BusAddress::System } else { BusAddress::Nowhere },
            set_ntp: self.timesyncd.set_ntp,
        }
    }

    /// What is frozen; below another root than the host's, only what that root has.
    #[must_use]
    pub fn workload_settings(&self) -> workload::FreezeSettings {
        let Freeze { engines, exclude, max: _, wave_size: size, wave_pause: pause } = self.freeze.clone();
        workload::FreezeSettings {
            engines,
            exclude,
            waves: (size > 0).then_some(Waves { size, pause }),
            // Beside the folder of the page, out of reach of those who have that mounted.
            ledger: self.page.with_file_name("ledger"),
            guard: PathBuf::from("/proc/self/exe"),
            cgroup: None,
            proc_root: self.root.join("proc"),
            root: self.root.clone(),
        }
    }
}

/// A path of another root's, as it is seen from this one.
fn below(root: &Path, path: &Path) -> PathBuf {
    if path.starts_with(root) { path.to_owned() } else { root.join(path.strip_prefix("/").unwrap_or(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_with_pods_has_a_limit_of_its_own() {
        let limit = |engines: &[Engine], max: u64| {
            let max = Duration::from_secs(max);
            Freeze { engines: engines.to_vec(), max, ..Config::default().freeze }.policy().map(|limit| limit.as_secs())
        };
        let pods = [Engine::Docker, Engine::Kubernetes];
        assert_eq!([limit(&pods[..1], 30), limit(&pods, 30), limit(&pods, 2)], [Some(30), Some(5), Some(2)]);
    }
}
