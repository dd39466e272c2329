//! A wrapper with a gate and a system's log of its own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;

use clockgate::decision::{Boottime, Snapshot};
use clockgate::publish::gate_page::GatePage;
use libtest_mimic::Failed;

use crate::support::gate_page::proven;
use crate::support::{Outcome, until};
use crate::waiting::Waiting;
use crate::world::{OCI, SOON, World, hello};

pub struct Wrapper {
    /// What an engine calls.
    pub program: PathBuf,
    /// The folder of the gate page.
    pub public: PathBuf,
    page: Mutex<Option<GatePage>>,
    log: UnixDatagram,
    said: Mutex<String>,
}

impl Wrapper {
    /// In a folder of its own, by this name, with these settings besides.
    pub fn new(folder: &Path, name: &str, settings: &str) -> Result<Self, Failed> {
        fs::create_dir_all(folder)?;
        let (program, public, socket) = (folder.join(name), folder.join("public"), folder.join("log"));
        std::os::unix::fs::symlink(OCI, &program)?;
        let text = format!("page = {}\nsyslog = {}\n{settings}", public.display(), socket.display());
        fs::write(format!("{}.conf", program.display()), text)?;
        Self::at(program, public, &socket)
    }

    /// The one that `clockgate hooks install` puts into the world: with the host's page and the host's settings.
    pub fn of_the_host(world: &World) -> Result<Self, Failed> {
        fs::create_dir_all(world.inside("/etc/clockgate"))?;
        // /dev is the machine's own.
        fs::write(world.inside("/etc/clockgate/oci.conf"), "syslog = /run/log\n")?;
        Self::at(OCI.into(), world.inside("/run/clockgate/public"), &world.inside("/run/log"))
    }

    fn at(program: PathBuf, public: PathBuf, socket: &Path) -> Result<Self, Failed> {
        let log = UnixDatagram::bind(socket)?;
        log.set_nonblocking(true)?;
        Ok(Self { program, public, page: Mutex::new(None), log, said: Mutex::new(String::new()) })
    }

    /// An agent that says so.
    pub fn publish(&self, snapshot: &Snapshot) -> Outcome {
        let mut page = self.page.lock().map_err(|_| "page")?;
        if page.is_none() {
            let mut laid = GatePage::open(&self.public)?.0;
            laid.alive(Boottime::NEVER)?;
            *page = Some(laid);
        }
        page.as_mut().ok_or("page")?.publish(snapshot)?;
        Ok(())
    }

    /// The agent ends; its page stays.
    pub fn lose_agent(&self) -> Outcome {
        if let Some(mut page) = self.page.lock().map_err(|_| "page")?.take() {
            page.end("it was stopped")?;
        }
        Ok(())
    }

    /// Opens the gate for a start that is held until then, of a container that says hello.
    pub fn release(&self, mut start: Waiting) -> Outcome {
        start.is_held()?;
        self.publish(&proven())?;
        hello(&start.end()?)
    }

    /// That a container which says hello was started because there is no agent.
    pub fn released_without_agent(&self, output: &Output) -> Outcome {
        hello(output)?;
        self.wait_until_said(1, "released: ")?;
        assert!(self.said().contains("no agent"), "{}", self.said());
        Ok(())
    }

    /// Everything that was written to the system's log so far.
    pub fn said(&self) -> String {
        let mut bytes = [0; 4096];
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while let Ok(length) = self.log.recv(&mut bytes) {
            said.push_str(&String::from_utf8_lossy(&bytes[..length]));
            said.push('\n');
        }
        said.clone()
    }

    /// Waits until the log has it so many times.
    pub fn wait_until_said(&self, times: usize, text: &str) -> Outcome {
        until(text, SOON, || self.said().matches(text).count() >= times)
            .map_err(|_| format!("`{text}` was not said, but: {}", self.said()).into())
    }
}

/// A refusal without the number of its seconds: a busy machine waits longer than it is told to.
pub fn refusal(text: &str) -> String {
    let Some((before, after)) = text.split_once(": after ") else { return text.to_owned() };
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    format!("{before}: after N{}", &after[digits..])
}
