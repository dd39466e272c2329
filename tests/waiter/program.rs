//! The two programs that wait: `clockgate`, whose verbs are `run` and `wait`, and `clockgate-run`, which is either by its command.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use clockgate::decision::Snapshot;
use libtest_mimic::Failed;

use super::page;
use super::support::{CLOCKGATE, Outcome, harmless, small};

static SMALL: OnceLock<String> = OnceLock::new();

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Clockgate,
    Small,
}

impl Program {
    /// Builds the one that is of another package.
    pub fn build() -> Outcome {
        let built = small::build(&["--bins"])?;
        let path = built.first().and_then(|path| path.to_str()).ok_or("cargo names no program")?;
        SMALL.get_or_init(|| path.to_owned());
        Ok(())
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Clockgate => CLOCKGATE,
            Self::Small => SMALL.get().map_or("", String::as_str),
        }
    }

    /// The command line's beginning: the program, and its verb where it has one.
    pub fn words(self, verb: &str) -> Vec<String> {
        let verb = (self == Self::Clockgate).then(|| verb.to_owned());
        std::iter::once(self.path().to_owned()).chain(verb).collect()
    }

    /// `clockgate VERB --page FOLDER/public ARGS`, or without the verb; `status` is clockgate's own.
    pub fn waiter<S: AsRef<OsStr>>(self, verb: &str, folder: &Path, args: impl IntoIterator<Item = S>) -> Command {
        let who = if verb == "status" { Self::Clockgate } else { self };
        let mut command = harmless(who.path());
        command.args(&who.words(verb)[1..]);
        command.arg("--page").arg(folder.join("public")).args(args).env_remove("CLOCKGATE_SERVERS");
        command
    }

    pub fn run_at(self, snapshot: &Snapshot, args: &[&str]) -> Result<Output, Failed> {
        let (folder, _page) = page(snapshot)?;
        Ok(self.waiter("run", folder.path(), args).output()?)
    }
}
