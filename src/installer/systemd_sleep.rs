//! systemd-sleep's own hook: the second chance beside logind's inhibitor.

use std::path::Path;

use super::{Change, Host, InstallerError, Plan};

/// systemd-sleep looks into its folder each time.
pub const AFTERWARDS: &str = "at once";

/// The one folder that systemd-sleep(8) reads.
const FILE: &str = "/usr/lib/systemd/system-sleep/clockgate";
const TEXT: &str = include_str!("../../hooks/systemd-sleep");

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    let text = TEXT.replace("/usr/bin/clockgate", &host.clockgate().to_string_lossy());
    let changes = vec![Change::own_file(host, Path::new(FILE), text, 0o755)?];
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes: vec![] })
}
