//! What surrounds one guest: a folder for its run, a network of its own, and the true time.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;

use super::server::Truth;
use super::stage::succeed;
use super::{Outcome, folder};

const ALIVE: &str = "alive";

/// A network that ends at a tap device: the world's side is `.1` and up, the guest is `.100`.
#[derive(Debug)]
pub struct World {
    number: u8,
    /// The server that knows the time.
    pub truth: Truth,
    run: TempDir,
    /// Locked as long as the folder is in use.
    _alive: File,
}

impl World {
    /// Makes the network and starts the server of the true time.
    pub fn new() -> Outcome<Self> {
        static WORLDS: AtomicU8 = AtomicU8::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let parent = folder().join("run");
        std::fs::create_dir_all(&parent)?;
        sweep(&parent)?;
        let run = TempDir::new_in(parent)?;
        let alive = File::create(run.path().join(ALIVE))?;
        alive.lock()?;
        let tap = format!("lab{number}");
        bring_up_loopback()?;
        ip(&["tuntap", "add", "dev", &tap, "mode", "tap"])?;
        ip(&["link", "set", &tap, "up"])?;
        for last in 1..=9 {
            ip(&["address", "add", &format!("10.77.{number}.{last}/24"), "dev", &tap])?;
        }
        let truth = Truth::start(Ipv4Addr::new(10, 77, number, 1), run.path())?;
        Ok(Self { number, truth, run, _alive: alive })
    }

    /// The world's address that ends in `last`, 1 to 9; 1 is the truth.
    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, last)
    }

    /// The guest's address.
    pub fn guest_address(&self) -> Ipv4Addr {
        self.address(100)
    }

    /// The tap device that the guest is plugged into.
    pub fn tap(&self) -> String {
        format!("lab{}", self.number)
    }

    /// A folder of the host for this run; it goes away with the world.
    pub fn run(&self) -> &Path {
        self.run.path()
    }

    /// Where the guest's console is written to.
    pub fn console(&self) -> PathBuf {
        self.run().join("console")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The namespace ends with the program; this is for the worlds that come after in the same one.
        let _ = ip(&["link", "delete", &self.tap()]);
    }
}

/// Removes the folders that runs left behind when they were killed.
fn sweep(parent: &Path) -> Outcome {
    for entry in std::fs::read_dir(parent)? {
        let folder = entry?.path();
        if File::open(folder.join(ALIVE)).is_ok_and(|alive| alive.try_lock().is_ok()) {
            std::fs::remove_dir_all(folder)?;
        }
    }
    Ok(())
}

/// A network namespace begins with it down.
pub fn bring_up_loopback() -> Outcome {
    ip(&["link", "set", "lo", "up"])
}

fn ip(arguments: &[&str]) -> Outcome {
    succeed(Command::new("ip").args(arguments))
}
