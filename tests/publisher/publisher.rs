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
    page: GatePage,
    folder: tempfile::TempDir,
    program: Option<Ours>,
    arguments: Vec<String>,
}

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
        let folder = tempfile::tempdir()?;
        let mut page = gate_page::publish(folder.path(), first)?;
        page.alive(boottime() + LONGER_THAN_A_TEST)?;
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        arguments.extend(["--page".to_owned(), gate_page::public(folder.path()).display().to_string()]);
        let mut publisher = Self { page, folder, program: None, arguments };
        publisher.run(program)?;
        Ok(publisher)
    }

    fn run(&mut self, program: &Path) -> Outcome {
        // A thousand of them are left to nobody if the test is killed.
        let mut command = process::harmless("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.args(&self.arguments).env_remove("NODE_NAME").env_remove("KUBERNETES_SERVICE_HOST");
        self.program = Some(Ours::logged(&mut command, &self.log_file())?);
        Ok(())
    }

    /// What the page says from now on.
    pub fn page_says(&mut self, snapshot: &Snapshot) -> Outcome {
        Ok(self.page.publish(snapshot)?)
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

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}
