//! The laboratory: a user-mode Linux guest whose clock may be broken, in a world whose time is true.
//!
//! [`world`] is what surrounds the guest: a network with servers that know the time, or lie. [`guest`] is the machine
//! under test, told what to do over [`wire`] by the part of this program that runs [`inside`] it. The host's clock is
//! the truth that everything is measured by, and nothing here sets it.

#![allow(dead_code, reason = "the tests, the demo and the bench each use a part of the laboratory")]

use std::path::Path;
use std::time::Duration;

use clockgate::sys::clock;

pub mod dice;
pub mod engine;
pub mod guest;
pub mod inside;
pub mod killer;
pub mod looks;
pub mod namespace;
pub mod podman;
pub mod relay;
pub mod resolver;
pub mod server;
pub mod stage;
pub mod sts;
pub mod told;
pub mod watch;
pub mod wire;
pub mod work;
pub mod world;

pub use crate::support::laboratory::{self, folder};
pub use crate::support::{Outcome, ensure, fail, liar, until_answered as until};

/// What keeps the laboratory from running on this machine, if anything does; what a guest needs beside it: [`stage::Begins::missing`].
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root, for a network namespace and a tap device".into());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("needs /dev/net/tun".into());
    }
    if !Path::new("/usr/bin/linux.uml").exists() {
        return Some("needs /usr/bin/linux.uml: run tests/setup".into());
    }
    laboratory::missing(&["guest", "xstate", "chrony", "podman"])
}

/// Lets time go by, where the time itself is what is tested: a sleep, a silence.
pub fn pass(duration: Duration) {
    let end = clock::boottime() + duration;
    while clock::boottime() < end {
        std::thread::park_timeout(end.since(clock::boottime()));
    }
}
