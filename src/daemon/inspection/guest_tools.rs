//! Guest tools of a hypervisor that may synchronise the clock all the time, and not only at resume.

use std::path::Path;

use crate::daemon::process::{numbered, text};

/// Guest tools that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestTools {
    /// The program.
    pub comm: &'static str,
    /// Whether it synchronises the clock all the time; none where its process does not show that.
    pub synchronises: Option<bool>,
    /// What turns that off, or shows it.
    pub order: &'static str,
}

/// VBoxService does by default: step beyond 20 min, and bend the rate below (its manual, "Tweaking the time synchronization").
const VBOX: &str = "VBoxService";
const VBOX_OFF: &str = "--disable-timesync";
/// The hypervisor keeps the switch, and the guest has to ask for it.
const VMWARE: &str = "vmtoolsd";

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
                VMWARE => {
                    Some(GuestTools { comm: VMWARE, synchronises: None, order: "vmware-toolbox-cmd timesync status" })
                }
                _ => None,
            }
        })
        .collect()
}
