//! Programs that a test runs: without the right to set the clock, and no longer than the test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::outcome::{Outcome, ensure};

/// The program.
pub const CLOCKGATE: &str = env!("CARGO_BIN_EXE_clockgate");

/// The program without the privilege to set a clock: whatever a test does wrong, this machine's clock is nobody's to touch.
pub fn clockgate() -> Command {
    harmless(CLOCKGATE)
}

/// Any program without that privilege.
pub fn harmless(program: impl AsRef<OsStr>) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]).arg(program);
    command
}

/// A process of ours that ends with the test, however that ends.
#[derive(Debug)]
pub struct Ours(pub Child);

impl Ours {
    pub fn spawn(command: &mut Command) -> Outcome<Self> {
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    /// What it says goes to the end of this file.
    pub fn logged(command: &mut Command, log: &Path) -> Outcome<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        Self::spawn(command.stdout(log.try_clone()?).stderr(log))
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.0.id().cast_signed())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies a program by another process: a descriptor of ours, open for writing, would be in every child that other tests
/// start meanwhile, and the kernel executes no file that is being written (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) -> Outcome {
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    ensure(copied.success(), format!("cannot copy {} to {}", from.display(), to.display()))
}
