//! A dockerd that is stopped and started while others go on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Failed;

use crate::support::{Ours, Outcome, until};
use crate::world::{DOCKERD, SOON, World, done};

/// A dockerd beside the world's own, in a folder of its own, which can be stopped and started again.
pub struct Dockerd<'a> {
    world: &'a World,
    program: String,
    folder: PathBuf,
    flags: Vec<String>,
    process: Option<Ours>,
}

impl<'a> Dockerd<'a> {
    /// With these flags besides.
    pub fn new(world: &'a World, name: &str, flags: &[&str]) -> Result<Self, Failed> {
        let folder = world.path(name);
        fs::create_dir_all(&folder)?;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Ok(Self { world, program: "dockerd".to_owned(), folder, flags, process: None })
    }

    /// Another dockerd than the machine's.
    pub fn by(self, program: &str) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// Begins to start it; it answers when it has started whoever has a restart policy.
    pub fn spawn(&mut self) -> Outcome {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut dockerd = self.world.daemon(&self.program);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            dockerd.arg(flag).arg(self.folder.join(name));
        }
        dockerd.arg("--host").arg(self.host()).args(DOCKERD).args(&self.flags);
        self.process = Some(Ours(dockerd.stdout(log.try_clone()?).stderr(log).spawn()?));
        Ok(())
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) -> Outcome {
        self.spawn()?;
        until("a second dockerd answers", SOON, || {
            self.docker(&["info"]).output().is_ok_and(|output| output.status.success())
        })
    }

    /// Stops it as an init system does: its containers are stopped, too.
    pub fn stop(&mut self) -> Outcome {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        done(self.world.command("sh").args(["-c", "kill $(cat \"$1\")", "sh"]).arg(self.folder.join("pid")))?;
        until("a second dockerd ends", SOON, || matches!(process.0.try_wait(), Ok(Some(_))))
    }

    /// Its command line.
    pub fn docker(&self, args: &[&str]) -> Command {
        self.world.docker(&[&["--host", &self.host()], args].concat())
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.join("s").display())
    }
}
