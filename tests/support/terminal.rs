//! A program on a terminal of its own, whose keyboard and screen the test has.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::pty::{Winsize, openpty};

use super::outcome::Outcome;
use super::process::Ours;

/// What was read so far.
pub type Text = Arc<Mutex<String>>;

pub fn text(read: &Text) -> String {
    read.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Adds what comes to a text, up to the end.
pub fn collect(mut from: impl Read + Send + 'static) -> Text {
    let read = Text::default();
    let collected = read.clone();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            collected.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    read
}

/// Who runs the tests in the background may ignore these signals, and a program leaves that so.
pub const AS_ON_A_TERMINAL: [&str; 2] = ["env", "--default-signal=INT,QUIT"];

/// One program on one terminal.
pub struct Terminal {
    pub child: Ours,
    /// The terminal's file.
    pub name: String,
    keyboard: File,
    read: Text,
}

impl Terminal {
    /// With these words, to which the caller adds.
    pub fn start(describe: impl FnOnce(&mut Command)) -> Outcome<Self> {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None)?;
        let name = nix::unistd::ttyname(&terminal.slave)?.display().to_string();
        let slave = || -> Outcome<OwnedFd> { Ok(terminal.slave.try_clone()?) };
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(AS_ON_A_TERMINAL).env("TERM", "xterm");
        describe(&mut command);
        let child = Ours(command.stdin(slave()?).stdout(slave()?).stderr(slave()?).spawn()?);
        let keyboard = File::from(terminal.master);
        Ok(Self { child, name, read: collect(keyboard.try_clone()?), keyboard })
    }

    pub fn types(&mut self, keys: &[u8]) -> Outcome {
        Ok(self.keyboard.write_all(keys)?)
    }

    /// Everything that came.
    pub fn all(&self) -> String {
        text(&self.read)
    }
}
