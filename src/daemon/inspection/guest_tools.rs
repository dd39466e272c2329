//! Guest tools of a hypervisor that may synchronise the clock all the time, and not only at resume.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::daemon::process::{numbered, text};
use crate::sys::clock::boottime;
use crate::sys::timed_output::output_by;

/// Guest tools that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestTools {
    /// The program.
    pub comm: &'static str,
    /// Whether it synchronises the clock all the time; none where that is not known.
    pub synchronises: Option<bool>,
    /// What turns that off, or shows it.
    pub order: &'static str,
}

impl GuestTools {
    /// Whether they set the clock neither all the time nor at resume: VBoxService's switch is for both, VMware's is not.
    #[must_use]
    pub fn never_sets(&self) -> bool {
        self.comm == VBOX && self.synchronises == Some(false)
    }
}

/// VBoxService does by default: step beyond 20 min, and bend the rate below (its manual, "Tweaking the time synchronization").
const VBOX: &str = "VBoxService";
const VBOX_OFF: &str = "--disable-timesync";
/// The hypervisor keeps the switch, and the guest has to ask for it.
const VMWARE: &str = "vmtoolsd";
const VMWARES_OFF: &str = "vmware-toolbox-cmd timesync disable";
const VMWARES_STATUS: &str = "vmware-toolbox-cmd timesync status";
/// It answers within milliseconds.
const PATIENCE: Duration = Duration::from_millis(300);
/// `Enabled` or `Disabled`.
const LONGEST: u64 = 64;

/// Those of this root's `/proc`.
pub fn find(root: &Path) -> Vec<GuestTools> {
    numbered(root)
        .iter()
        .filter_map(|(_, folder)| {
            let arguments = || text(&folder.join("cmdline"));
            match text(&folder.join("comm")).trim_end() {
                VBOX => Some(GuestTools {
                    comm: VBOX,
                    synchronises: Some(!arguments().split('\0').any(|argument| argument == VBOX_OFF)),
                    order: "start VBoxService with --disable-timesync",
                }),
                // A program of another root is not asked, and not run.
                VMWARE => Some(vmwares((root == Path::new("/")).then(vmwares_answer).flatten())),
                _ => None,
            }
        })
        .collect()
}

/// By what its tool prints; none where it has none, or that does not answer.
#[must_use]
pub fn vmwares(answer: Option<String>) -> GuestTools {
    let synchronises = match answer.as_deref().map(str::trim) {
        Some("Enabled") => Some(true),
        Some("Disabled") => Some(false),
        Some(_) | None => None,
    };
    let order = if synchronises.is_some() { VMWARES_OFF } else { VMWARES_STATUS };
    GuestTools { comm: VMWARE, synchronises, order }
}

/// It is asked in the words that it was written in: `Enabled` is translated.
fn vmwares_answer() -> Option<String> {
    let mut command = Command::new("vmware-toolbox-cmd");
    command.args(["timesync", "status"]).env("LC_ALL", "C").stderr(Stdio::null());
    output_by(&mut command, LONGEST, boottime() + PATIENCE).ok().map(|said| said.stdout)
}
