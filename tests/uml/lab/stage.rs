//! The tree that lies over the guest's image for one boot: the program under test with its units, and our own part.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Outcome, ensure, inside, laboratory};

/// How a guest begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// With the program under test and its units in place.
    Installed,
    /// Without anything of ours but the part that obeys us.
    Fresh,
    /// With a kernel that enforces AppArmor's profiles, and the parser that loads them.
    Confined {
        /// As in `Installed`, otherwise as in `Fresh`.
        installed: bool,
    },
    /// On a root of the laboratory's that may be another, with a tree of the laboratory's laid over it.
    Over {
        /// As in `Installed`, otherwise as in `Fresh`.
        installed: bool,
        /// `guest` or `trixie`.
        root: &'static str,
        /// Below the laboratory's folder; none where the root has all that is needed.
        tree: Option<&'static str>,
    },
}

impl Begins {
    const fn installed(self) -> bool {
        match self {
            Self::Installed => true,
            Self::Fresh => false,
            Self::Confined { installed } | Self::Over { installed, .. } => installed,
        }
    }

    /// The guest's root, below the laboratory's folder.
    pub const fn root(self) -> &'static str {
        match self {
            Self::Installed | Self::Fresh | Self::Confined { .. } => "guest",
            Self::Over { root, .. } => root,
        }
    }

    /// What the laboratory lacks of it, if anything.
    pub fn missing(self) -> Option<String> {
        let parts: Vec<&str> = std::iter::once(self.root()).chain(self.over()).collect();
        laboratory::missing(&parts)
    }

    /// What lies over the root, below the laboratory's folder.
    pub const fn over(self) -> Option<&'static str> {
        match self {
            Self::Installed | Self::Fresh => None,
            Self::Confined { .. } => Some("inits/tree"),
            Self::Over { tree, .. } => tree,
        }
    }

    /// The security module of the guest's kernel, on its command line: none, which is as most hosts are, and quicker.
    pub const fn security(self) -> &'static str {
        match self {
            Self::Installed | Self::Fresh | Self::Over { .. } => "apparmor=0",
            Self::Confined { .. } => "security=apparmor",
        }
    }
}

/// Fills `folder` with what `guest/init` expects: itself, and `tree`.
pub fn prepare(folder: &Path, begins: Begins) -> Outcome {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = folder.join("tree");
    let guest = project.join("tests/uml/guest");
    std::fs::create_dir(folder)?;
    std::fs::copy(guest.join("init"), folder.join("init"))?;
    succeed(Command::new("cp").arg("-a").arg(guest.join("tree")).arg(&tree))?;

    let part = tree.join("usr/lib/lab/part");
    std::fs::create_dir_all(tree.join("usr/lib/lab"))?;
    let this = std::env::current_exe()?;
    if std::fs::hard_link(&this, &part).is_err() {
        std::fs::copy(&this, &part)?;
    }
    let service = tree.join("etc/systemd/system/lab.service");
    let text = std::fs::read_to_string(&service)?;
    ensure(text.contains(inside::VERB), format!("{} does not start {}", service.display(), inside::VERB))?;

    if !begins.installed() {
        return Ok(());
    }
    succeed(
        Command::new("make")
            .args(["--no-print-directory", "--silent", "-C"])
            .arg(project)
            .args(["install", "PREFIX=/usr"])
            .arg(format!("DESTDIR={}", tree.display()))
            .arg(format!("BINARY={}", program()?.display()))
            // Flags of a make that called us are not for this one.
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL"),
    )
}

/// The program under test: cargo names it to tests and benches, and puts it beside the demo.
fn program() -> Outcome<PathBuf> {
    match option_env!("CARGO_BIN_EXE_clockgate") {
        Some(named) => Ok(named.into()),
        None => Ok(std::env::current_exe()?.with_file_name("clockgate")),
    }
}

/// Runs a command of the host that has to succeed.
pub fn succeed(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), format!("{command:?} ended with {}: {}", output.status, said.trim()))
}
