//! Real daemons on loopback, and who may talk to them.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use clockgate::daemon::chrony::protocol::ChronyClient;
use clockgate::daemon::{BusAddress, Corrector, CorrectorSettings};
use clockgate::decision::Boottime;
use clockgate::sys::clock::boottime;
use clockgate::sys::step::SystemClock;
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::support::chronyd::{self, free_port};
use crate::support::{self, Ours, Outcome, until};

const CAP_SYS_TIME: u32 = 25;
const WITHOUT_THE_CLOCK: &str = "CLOCKGATE_TEST_WITHOUT_THE_CLOCK";
const AS_ANOTHER_USER: &str = "CLOCKGATE_TEST_AS_ANOTHER_USER";
const NOBODY: u32 = 65534;
const KEY: &str = "1 SHA256 HEX:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

/// What these tests lack on this machine.
pub fn lacks() -> Option<String> {
    let lacks_program = || ["setpriv", "dbus-daemon", "openssl"].into_iter().find_map(support::lacks_program);
    support::lacks_root().or_else(chronyd::missing).or_else(lacks_program)
}

/// Runs the whole of the tests in a process that cannot set the clock, unless this is one.
pub fn without_the_clock() -> Option<ExitCode> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).map_or("ffffffff", str::trim);
    let held = u64::from_str_radix(held, 16).unwrap_or(u64::MAX);
    if held & (1 << CAP_SYS_TIME) == 0 {
        return None;
    }
    if std::env::var_os(WITHOUT_THE_CLOCK).is_some() {
        eprintln!("cannot give up CAP_SYS_TIME; these tests do not run where they could set the clock");
        return Some(ExitCode::FAILURE);
    }
    let this = std::env::current_exe().expect("this test's own path");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--ambient-caps=-sys_time"]).arg(this);
    let error = command.args(std::env::args_os().skip(1)).env(WITHOUT_THE_CLOCK, "1").exec();
    eprintln!("cannot run setpriv to give up CAP_SYS_TIME: {error}");
    Some(ExitCode::FAILURE)
}

/// The other half of [`Daemon::asked_by_nobody`]: what an unprivileged user gets to hear.
pub fn as_another_user() -> Option<ExitCode> {
    let paths = std::env::var(AS_ANOTHER_USER).ok()?;
    let (socket, udp) = paths.split_once('|')?;
    match ChronyClient::unix(Path::new(socket), soon()).tracking() {
        Ok(tracking) => println!("tracking: {tracking:?}"),
        Err(error) => println!("tracking: {error}"),
    }
    let corrector = corrector(Path::new(socket), udp.parse().ok(), Path::new("/nonexistent"), BusAddress::Nowhere);
    block_on(async {
        println!("forget: {:?}", corrector.forget().await);
        println!("describe: {:?}", corrector.describe().await);
        println!("servers: {:?}", corrector.servers().await);
    });
    Some(ExitCode::SUCCESS)
}

/// A deadline that nothing healthy comes near.
pub fn soon() -> Boottime {
    boottime() + Duration::from_secs(2)
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

pub fn corrector(socket: &Path, udp: Option<SocketAddr>, root: &Path, bus: BusAddress) -> Corrector {
    let settings = CorrectorSettings {
        chrony_socket: socket.to_owned(),
        chrony_udp: udp,
        root: root.to_owned(),
        bus,
        set_ntp: false,
    };
    Corrector::new(Arc::new(SystemClock::new()), settings)
}

/// A chronyd of our own.
pub struct Daemon {
    process: Ours,
    folder: TempDir,
    pub port: u16,
    pub udp: SocketAddr,
}

impl Daemon {
    /// A server of time: `local stratum 2`, with the test's key.
    pub fn server() -> Result<Self, Failed> {
        Self::start(&["local stratum 2", "allow 127.0.0.1"], free_port()?)
    }

    /// A client with one line of configuration for each source. `{server}` stands for address and port of `server`.
    pub fn client(server: &Self, sources: &[&str]) -> Result<Self, Failed> {
        Self::between(server, sources, 0)
    }

    /// A client that serves the time it gets, on `port`.
    pub fn between(server: &Self, sources: &[&str], port: u16) -> Result<Self, Failed> {
        let address = format!("127.0.0.1 port {}", server.port);
        let mut lines: Vec<String> = sources.iter().map(|line| line.replace("{server}", &address)).collect();
        lines.push("allow 127.0.0.1".to_owned());
        Self::start(&lines.iter().map(String::as_str).collect::<Vec<_>>(), port)
    }

    /// One with these lines of configuration that serves time on `port`.
    pub fn start(lines: &[&str], port: u16) -> Result<Self, Failed> {
        // chronyd makes no socket in a folder that others may enter.
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let udp = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        fs::write(path("keys"), KEY)?;
        let conf = format!(
            "port {port}\ncmdport {}\nbindaddress 127.0.0.1\nbindcmdaddress 127.0.0.1\nbindcmdaddress {}\npidfile {}\nkeyfile {}\n{}\n",
            udp.port(),
            path("chronyd.sock"),
            path("chronyd.pid"),
            path("keys"),
            lines.join("\n")
        );
        fs::write(path("chrony.conf"), conf)?;
        let process = chronyd::start(path("chrony.conf").as_ref(), path("log").as_ref())?;
        let daemon = Self { process, folder, port, udp };
        let answers = || ChronyClient::unix(&daemon.socket(), soon()).tracking().is_ok();
        until("chronyd answers", Duration::from_secs(10), answers)
            .map_err(|e| format!("{:?}; its log: {}", e.message(), daemon.log()))?;
        Ok(daemon)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("chronyd.sock")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn ask(&self) -> ChronyClient {
        ChronyClient::unix(&self.socket(), soon())
    }

    /// A corrector for this daemon and no other.
    pub fn corrector(&self) -> Corrector {
        corrector(&self.socket(), Some(self.udp), Path::new("/nonexistent"), BusAddress::Nowhere)
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Gives it an order by chronyc.
    pub fn chronyc(&self, order: &[&str]) -> Outcome {
        let output = chronyd::chronyc(&self.socket()).args(order).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(()) } else { Err(said.into()) }
    }

    pub fn synchronised(&self) -> Outcome {
        let knows = || self.ask().tracking().is_ok_and(|t| t.synchronised().is_some());
        until("chronyd is synchronised", Duration::from_secs(15), knows)
    }

    pub fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(self.process.pid(), signal)?)
    }

    /// Ends it as a crash does: the socket stays behind.
    pub fn killed(&mut self) -> Outcome {
        self.process.0.kill()?;
        self.process.0.wait()?;
        Ok(())
    }

    /// What an unprivileged user of this host hears from it, one line a question.
    pub fn asked_by_nobody(&self) -> Result<String, Failed> {
        // In a folder that another user may enter, which the build's own may not be.
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let this = folder.path().join("test");
        support::copy_program(&std::env::current_exe()?, &this)?;
        let mut command = Command::new(this);
        command.env(AS_ANOTHER_USER, format!("{}|{}", self.socket().display(), self.udp)).current_dir("/");
        let output = command.uid(NOBODY).gid(NOBODY).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}
