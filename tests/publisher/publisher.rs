//! The program beside a page that the test writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use clockgate::decision::Snapshot;
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::boottime;
use nix::sys::signal::{Signal, kill};

use crate::support::{Ours, Outcome, gate_page, process, small, until, until_some};

/// Until when the agent of a page says that it will have said again that it lives.
const LONGER_THAN_A_TEST: Duration = Duration::from_secs(4 * 3600);

/// The page of a node, and the publisher that reads it.
pub struct Publisher {
    page: Option<GatePage>,
    folder: tempfile::TempDir,
    program: Option<Ours>,
    arguments: Vec<String>,
}

/// What is sent to a name server here is dropped: the other end has no address, and is not asked for one.
const WITHOUT_NAMES: &str = r#"set -e
ip link add silent type veth peer name dropped
ip address add 192.0.2.1/24 dev silent
ip link set dropped up
ip link set silent arp off up
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"
"#;

const IN_A_POD: &str = r#"set -e
mount -t tmpfs clockgate-test /run
account=/run/secrets/kubernetes.io/serviceaccount
mkdir -p "$account"
cp "$1/ca.crt" "$1/token" "$account"
export NODE_NAME=web-1 KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT="$2"
shift 2
exec "$@"
"#;

/// The built program.
pub fn program() -> Outcome<PathBuf> {
    Ok(small::build_of("clockgate-kubernetes", &["--bins"])?.into_iter().next().ok_or("cargo names no program")?)
}

impl Publisher {
    /// With a page that says so, connecting by a kubeconfig.
    pub fn start(program: &Path, kubeconfig: &Path, first: &Snapshot) -> Outcome<Self> {
        Self::start_with(program, &["--kubeconfig", &kubeconfig.display().to_string()], first)
    }

    /// The same with any arguments.
    pub fn start_with(program: &Path, arguments: &[&str], first: &Snapshot) -> Outcome<Self> {
        let mut publisher = Self::prepared(arguments, first)?;
        publisher.run(program)?;
        Ok(publisher)
    }

    /// A second one, at the page of another.
    pub fn start_beside(program: &Path, kubeconfig: &Path, first: &Self) -> Outcome<Self> {
        let page = gate_page::public(first.folder.path()).display().to_string();
        let arguments = ["--kubeconfig".to_owned(), kubeconfig.display().to_string(), "--page".to_owned(), page].into();
        let mut publisher = Self { page: None, folder: tempfile::tempdir()?, program: None, arguments };
        publisher.run(program)?;
        Ok(publisher)
    }

    fn prepared(arguments: &[&str], first: &Snapshot) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut page = gate_page::publish(folder.path(), first)?;
        page.alive(boottime() + LONGER_THAN_A_TEST)?;
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        arguments.extend(["--page".to_owned(), gate_page::public(folder.path()).display().to_string()]);
        Ok(Self { page: Some(page), folder, program: None, arguments })
    }

    /// The same where the names of servers are asked of a name server that never answers.
    pub fn start_without_names(program: &Path, arguments: &[&str], first: &Snapshot) -> Outcome<Self> {
        let mut publisher = Self::prepared(arguments, first)?;
        let names = publisher.folder.path().join("resolv.conf");
        fs::write(&names, "nameserver 192.0.2.2\noptions timeout:30 attempts:5\n")?;
        let mut command = process::harmless("unshare");
        command.args(["--net", "--mount", "sh", "-c", WITHOUT_NAMES, "sh"]).arg(names).arg(program);
        publisher.run_as(command)?;
        Ok(publisher)
    }

    /// As a container of a pod has it, whose account is `ca.crt` and `token` of a folder.
    pub fn start_in_a_pod(program: &Path, (account, port): (&Path, u16), first: &Snapshot) -> Outcome<Self> {
        let mut publisher = Self::prepared(&[], first)?;
        let mut command = process::harmless("unshare");
        command.args(["--mount", "sh", "-c", IN_A_POD, "sh"]).arg(account).arg(port.to_string()).arg(program);
        publisher.run_as(command)?;
        Ok(publisher)
    }

    fn run(&mut self, program: &Path) -> Outcome {
        // A thousand of them are left to no parent if the test is killed.
        let mut command = process::harmless("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        self.run_as(command)
    }

    /// The program, as this command calls it.
    fn run_as(&mut self, mut command: Command) -> Outcome {
        command.args(&self.arguments).env_remove("NODE_NAME").env_remove("KUBERNETES_SERVICE_HOST");
        self.program = Some(Ours::logged(&mut command, &self.log_file())?);
        Ok(())
    }

    /// What the page says from now on.
    pub fn page_says(&mut self, snapshot: &Snapshot) -> Outcome {
        Ok(self.page.as_mut().ok_or("no page")?.publish(snapshot)?)
    }

    /// The page goes with the agent that wrote it.
    pub fn loses_page(&mut self) -> Outcome {
        self.page = None;
        Ok(fs::remove_dir_all(gate_page::public(self.folder.path()))?)
    }

    /// Another agent's page comes, or takes the place of what is there.
    pub fn gets_page(&mut self, snapshot: &Snapshot) -> Outcome {
        self.page = Some(gate_page::publish(self.folder.path(), snapshot)?);
        Ok(())
    }

    /// A file in the place of the page, which no agent writes.
    pub fn gets_file(&mut self, content: &[u8]) -> Outcome {
        self.page = None;
        let new = self.folder.path().join("new");
        fs::write(&new, content)?;
        Ok(fs::rename(new, gate_page::public(self.folder.path()).join("gate"))?)
    }

    /// Asks it to end, as systemd does, and waits for that.
    pub fn stop(&mut self) -> Outcome {
        let Some(Ours(child)) = &mut self.program else { return Ok(()) };
        kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)?;
        until_some("the publisher's end", Duration::from_secs(60), || child.try_wait().ok().flatten()).map(drop)
    }

    /// `clockgate-kubernetes remove`.
    pub fn remove(&self, program: &Path) -> Outcome<Output> {
        let mut command = Command::new(program);
        Ok(command.arg("remove").args(&self.arguments).env_remove("NODE_NAME").output()?)
    }

    /// Waits until it has logged these words.
    pub fn says(&self, words: &str) -> Outcome {
        until(&format!("`{words}` in the log"), Duration::from_secs(120), || self.log().contains(words))
            .map_err(|failed| format!("{failed:?}: {}", self.log()).into())
    }

    /// Whether it has a connection to this port of this host: a server has some to itself.
    pub fn is_connected_to(&self, port: u16) -> bool {
        /// `TCP_ESTABLISHED` of the kernel's include/net/tcp_states.h.
        const ESTABLISHED: &str = "01";
        let Some(Ours(child)) = &self.program else { return false };
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten();
        let sockets: Vec<PathBuf> = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect();
        let connections = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let to = format!(":{port:04X}");
        // proc_pid_net(5): the third is where to, the fourth its state, the tenth its inode.
        connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
            let is_its = |inode: &&str| sockets.contains(&PathBuf::from(format!("socket:[{inode}]")));
            fields.get(9).is_some_and(is_its) && fields[2].ends_with(&to) && fields[3] == ESTABLISHED
        })
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
