//! The laboratory: a user-mode Linux guest whose clock may be broken, in a world whose time is true.
//!
//! [`world`] is what surrounds the guest: a network with servers that know the time, or lie. [`guest`] is the machine
//! under test, told what to do over [`wire`] by the part of this program that runs [`inside`] it. The host's clock is
//! the truth that everything is measured by, and nothing here sets it.

#![allow(dead_code, reason = "the tests, the demo and the bench each use a part of the laboratory")]

use std::path::Path;
use std::time::Duration;

use clockgate::sys::clock;
use libtest_mimic::Failed;

pub mod guest;
pub mod inside;
pub mod killer;
#[path = "../../support/laboratory.rs"]
pub mod laboratory;
#[path = "../../support/liar.rs"]
pub mod liar;
pub mod looks;
pub mod namespace;
pub mod podman;
pub mod relay;
pub mod resolver;
pub mod server;
pub mod stage;
pub mod told;
pub mod watch;
pub mod wire;
pub mod work;
pub mod world;

pub use laboratory::folder;

/// How everything here ends: well, or with a text that says what went wrong.
pub type Outcome<T = ()> = Result<T, Failed>;

/// Fails with a text.
pub fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failed::from(text.into()))
}

/// Fails with `text` unless `fact` holds.
pub fn ensure(fact: bool, text: impl Into<String>) -> Outcome {
    if fact { Ok(()) } else { fail(text) }
}

/// What keeps the laboratory from running on this machine, if anything does.
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
    laboratory::missing(&["guest", "chrony", "engines", "libraries", "hands", "trixie", "daemons"])
}

/// Asks until the answer is there, or fails after `within` saying what was waited for.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let deadline = clock::boottime() + within;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if clock::boottime() >= deadline {
            return fail(format!("waited {within:?} in vain: {what}"));
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Lets time go by, where the time itself is what is tested: a sleep, a silence.
pub fn pass(duration: Duration) {
    let end = clock::boottime() + duration;
    while clock::boottime() < end {
        std::thread::park_timeout(end.since(clock::boottime()));
    }
}
