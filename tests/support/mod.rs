//! What the tests that run the built program share.
#![allow(clippy::disallowed_methods, reason = "a condition is looked at again and again, until its deadline")]
#![allow(dead_code, reason = "every test target uses its own part of it")]

pub mod laboratory;
pub mod liar;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};

/// The program.
pub const CLOCKGATE: &str = env!("CARGO_BIN_EXE_clockgate");

/// The program without the privilege to set a clock: whatever a test does wrong, this machine's clock is nobody's to touch.
pub fn clockgate() -> Command {
    harmless(CLOCKGATE)
}

/// Any program without that privilege.
pub fn harmless(program: &str) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "--", program]);
    command
}

/// A trial that needs something a user's machine may lack: there it is skipped aloud and counted, in CI it fails.
pub fn needing(lacks: Option<String>, name: &str, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    match lacks {
        None => Trial::test(name, test),
        Some(lacks) if std::env::var_os("CI").is_some() => {
            Trial::test(name, move || Err(format!("nothing is skipped in CI, and this needs {lacks}").into()))
        }
        Some(lacks) => {
            eprintln!("skipped: {name}: needs {lacks}");
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    }
}

/// What keeps a test that needs root from running.
pub fn lacks_root() -> Option<String> {
    (!nix::unistd::geteuid().is_root()).then(|| "root".to_owned())
}

/// What keeps a test that needs `program` from running.
pub fn lacks_program(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    (!found).then(|| format!("the program {program}"))
}

/// A process of ours that ends with the test, however that ends.
#[derive(Debug)]
pub struct Ours(pub Child);

impl Ours {
    pub fn spawn(command: &mut Command) -> Result<Self, Failed> {
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
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

/// Waits for a condition, and fails when it has not come after `limit`.
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<(), Failed> {
    let started = std::time::Instant::now();
    while !condition() {
        if started.elapsed() > limit {
            return Err(format!("{what}: not after {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Standard output and standard error as text.
pub fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Fails with both texts unless `condition`.
pub fn expect(condition: bool, output: &Output) -> Result<(), Failed> {
    let (stdout, stderr) = texts(output);
    if condition { Ok(()) } else { Err(format!("{:?}\nstdout: {stdout}\nstderr: {stderr}", output.status).into()) }
}

/// Copies a program by another process: a descriptor of ours, open for writing, would be in every child that other tests
/// start meanwhile, and the kernel executes no file that is being written (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) -> Result<(), Failed> {
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    if copied.success() { Ok(()) } else { Err(format!("cannot copy {} to {}", from.display(), to.display()).into()) }
}
