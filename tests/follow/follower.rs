//! The program as a child whose output is read as it comes.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::pty::{Winsize, openpty};

use crate::SOON;
use crate::support::{CLOCKGATE, Ours, Outcome, gate_page, until_some};

/// What was read so far.
pub type Text = Arc<Mutex<String>>;

pub fn text(read: &Text) -> String {
    read.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Adds what comes to a text, up to the end.
fn collect(mut from: impl Read + Send + 'static) -> Text {
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
const AS_ON_A_TERMINAL: [&str; 2] = ["env", "--default-signal=INT,QUIT"];

/// `clockgate status` for a host that is a folder.
pub fn status(host: &Path, page: &Path, arguments: &[&str]) -> Command {
    let [env, default] = AS_ON_A_TERMINAL;
    let mut command = Command::new(env);
    command.args([default, CLOCKGATE, "status"]).args(arguments).arg("--root").arg(host).arg("--page").arg(page);
    command
}

/// One without a terminal.
pub struct Follower {
    pub child: Ours,
    read: Text,
    pub errors: Text,
}

impl Follower {
    /// Follows the page that the test has in this folder.
    pub fn start(host: &Path, arguments: &[&str]) -> Outcome<Self> {
        Self::of(host, &gate_page::public(host), arguments)
    }

    pub fn of(host: &Path, page: &Path, arguments: &[&str]) -> Outcome<Self> {
        let mut child = begin(host, page, arguments)?;
        let read = collect(child.stdout.take().ok_or("no stdout")?);
        let errors = collect(child.stderr.take().ok_or("no stderr")?);
        Ok(Self { child: Ours(child), read, errors })
    }

    /// The lines that are whole.
    pub fn lines(&self) -> Vec<String> {
        let text = text(&self.read);
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Waits for a line, from `from` on, that has this text; and returns the number of the one after it.
    pub fn says(&self, from: usize, wanted: &str) -> Outcome<usize> {
        let found = until_some(wanted, SOON, || self.lines().iter().skip(from).position(|line| line.contains(wanted)));
        let at = found.map_err(|_| format!("`{wanted}` is not in {:#?}\n{}", self.lines(), text(&self.errors)))?;
        Ok(from + at + 1)
    }
}

/// One whose first line was read, and whose reader has gone.
pub fn without_reader(host: &Path, arguments: &[&str]) -> Outcome<Child> {
    let mut child = begin(host, &gate_page::public(host), arguments)?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    Ok(child)
}

fn begin(host: &Path, page: &Path, arguments: &[&str]) -> Outcome<Child> {
    let mut command = status(host, page, &[&["--follow"], arguments].concat());
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// One on a terminal of its own, whose keyboard and picture the test has.
pub struct OnTerminal {
    pub child: Ours,
    keyboard: File,
    read: Text,
    name: String,
}

impl OnTerminal {
    pub fn start(host: &Path) -> Outcome<Self> {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None)?;
        let name = nix::unistd::ttyname(&terminal.slave)?.display().to_string();
        let slave = || -> Outcome<OwnedFd> { Ok(terminal.slave.try_clone()?) };
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(AS_ON_A_TERMINAL).args([CLOCKGATE, "status", "--follow", "--root"]).arg(host);
        command.arg("--page").arg(gate_page::public(host)).env("TERM", "xterm");
        let child = Ours(command.stdin(slave()?).stdout(slave()?).stderr(slave()?).spawn()?);
        let keyboard = File::from(terminal.master);
        Ok(Self { child, read: collect(keyboard.try_clone()?), keyboard, name })
    }

    pub fn types(&mut self, keys: &[u8]) -> Outcome {
        Ok(self.keyboard.write_all(keys)?)
    }

    /// Everything that came.
    pub fn all(&self) -> String {
        text(&self.read)
    }

    /// The picture that was drawn last, without what moves the cursor.
    pub fn picture(&self) -> String {
        let all = self.all();
        let drawn = all.rsplit("\x1b[H").find(|drawn| drawn.contains("\x1b[J")).unwrap_or_default();
        drawn.split("\x1b[J").next().unwrap_or_default().replace("\x1b[K", "").replace('\r', "")
    }

    pub fn shows(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Outcome<String> {
        let found = until_some(what, SOON, || Some(self.picture()).filter(|picture| is_so(picture)));
        found.map_err(|_| format!("{what}: {}\n{:?}", self.picture(), self.all()).into())
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) -> Outcome {
        let mut stty = Command::new("stty");
        let done = stty.args(["-F", &self.name, "rows", &rows.to_string(), "cols", &columns.to_string()]).status()?;
        if done.success() { Ok(()) } else { Err("stty failed".into()) }
    }
}
