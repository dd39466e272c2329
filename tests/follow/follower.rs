//! The program as a child whose output is read as it comes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::SOON;
use crate::support::terminal::{AS_ON_A_TERMINAL, Terminal, Text, collect, text};
use crate::support::{CLOCKGATE, Ours, Outcome, gate_page, until_some};

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
pub struct OnTerminal(pub Terminal);

impl OnTerminal {
    pub fn start(host: &Path) -> Outcome<Self> {
        let start = |command: &mut Command| {
            command.args([CLOCKGATE, "status", "--follow", "--root"]).arg(host);
            command.arg("--page").arg(gate_page::public(host));
        };
        Ok(Self(Terminal::start(start)?))
    }

    /// The picture that was drawn last, without what moves the cursor.
    pub fn picture(&self) -> String {
        let all = self.0.all();
        let drawn = all.rsplit("\x1b[H").find(|drawn| drawn.contains("\x1b[J")).unwrap_or_default();
        drawn.split("\x1b[J").next().unwrap_or_default().replace("\x1b[K", "").replace('\r', "")
    }

    pub fn shows(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Outcome<String> {
        let found = until_some(what, SOON, || Some(self.picture()).filter(|picture| is_so(picture)));
        found.map_err(|_| format!("{what}: {}\n{:?}", self.picture(), self.0.all()).into())
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) -> Outcome {
        let mut stty = Command::new("stty");
        let done = stty.args(["-F", &self.0.name, "rows", &rows.to_string(), "cols", &columns.to_string()]).status()?;
        if done.success() { Ok(()) } else { Err("stty failed".into()) }
    }
}
