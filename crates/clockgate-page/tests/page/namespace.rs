//! A reader in a time namespace: this program once more, which unshare(1) starts there.

use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::{Gate, Page};
use libtest_mimic::Failed;

use super::writer::{Proof, Writer};
use super::{Done, expect};

/// Names the folder of the page to a reader that is started in a namespace.
const FOLDER: &str = "CLOCKGATE_PAGE_TEST_FOLDER";

/// Reads the page, if that is what this process was started for: open 0, shut 1, no page 2.
pub fn inside() -> Option<ExitCode> {
    let folder = std::env::var_os(FOLDER)?;
    let Ok(page) = Page::open(Path::new(&folder)) else { return Some(ExitCode::from(2)) };
    let view = page.read();
    let is_right = view.valid_for() > Duration::from_secs(200) && view.valid_for() <= Duration::from_secs(300);
    Some(match view.gate {
        Gate::Proven if is_right => ExitCode::SUCCESS,
        Gate::Proven | Gate::Unproven | Gate::Shut => ExitCode::from(1),
    })
}

/// Why this test cannot be made here.
pub fn why_not() -> Option<String> {
    match Command::new("unshare").args(["--time", "--fork", "--boottime", "1", "true"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

pub fn offset() -> Done {
    let (mut writer, _page) = Writer::with(&Proof::now())?;
    let read = |folder: &Path, shift: &[&str]| -> Result<Output, Failed> {
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork"]).args(shift).arg(std::env::current_exe()?).env(FOLDER, folder);
        Ok(command.output()?)
    };
    let shifts: [&[&str]; 3] =
        [&["--boottime", "86400"], &["--boottime", "-100"], &["--boottime", "500", "--monotonic", "7"]];
    for shift in shifts {
        let output = read(writer.folder.path(), shift)?;
        expect(output.status.code() == Some(0), (shift, output))?;
    }
    // Past by the host's clock, and to come by that of a namespace whose clock is behind.
    writer.write(&Proof { valid_until: boottime(), ..Proof::now() });
    for shift in shifts {
        let output = read(writer.folder.path(), shift)?;
        expect(output.status.code() == Some(1), (shift, output))?;
    }
    Ok(())
}
