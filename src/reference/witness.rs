//! The clock by which a silent pause shows: the best of those that this machine has beside the system's.

use std::fs;
use std::path::{Path, PathBuf};

use super::{phc, rtc, vmclock};
use crate::decision::{Kind, Reading};

/// Such a clock, ready to be asked; asking may block.
pub struct Witness {
    /// Its name, for the log.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// Asks it; none when it does not answer this time.
    pub ask: Box<dyn Fn() -> Option<Reading> + Send + Sync>,
}

/// The best witness of this machine, if it has one: one is enough, since they would all tell of the same pause.
///
/// The RTC counts in a virtual machine alone: nobody pauses another, and to look at its RTC would be to wake it up for
/// nothing.
#[must_use]
pub fn best(root: &Path) -> Option<Witness> {
    for clock in phc::find(root) {
        if clock.measure().is_ok() {
            let (name, kind) = (clock.name.clone(), Kind::Phc);
            return Some(Witness { name, kind, ask: Box::new(move || clock.measure().ok()) });
        }
    }
    let root: PathBuf = root.to_owned();
    if vmclock::measure(&root).is_ok() {
        let (name, kind) = ("vmclock0".to_owned(), Kind::VmClock);
        return Some(Witness { name, kind, ask: Box::new(move || vmclock::measure(&root).ok()) });
    }
    if is_virtual(&root) && rtc::evidence(&root).is_ok() {
        let (name, kind) = ("rtc".to_owned(), Kind::Rtc);
        return Some(Witness { name, kind, ask: Box::new(move || rtc::evidence(&root).ok()) });
    }
    None
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whether a hypervisor runs this machine. x86 has a bit for it (CPUID 1, ECX 31), which every hypervisor sets; elsewhere
/// nobody says so as plainly, and the answer is yes.
fn is_virtual(root: &Path) -> bool {
    let cpuinfo = fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default();
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.is_none_or(|(_, flags)| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::realtime;

    /// A folder that stands for / on a machine with an RTC and a processor of such flags.
    fn fake(flags: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let rtc = root.path().join("sys/class/rtc/rtc0");
        fs::create_dir_all(&rtc).unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        fs::write(rtc.join("since_epoch"), realtime().as_secs().to_string()).unwrap();
        fs::write(root.path().join("proc/cpuinfo"), format!("processor\t: 0\nflags\t\t: {flags}\n")).unwrap();
        root
    }

    #[test]
    fn a_virtual_machine_without_better_has_its_rtc_and_another_has_none() {
        assert!(best(tempfile::tempdir().unwrap().path()).is_none());
        let root = fake("fpu hypervisor lahf_lm");
        let witness = best(root.path()).unwrap();
        assert_eq!((witness.kind, (witness.ask)().is_some()), (Kind::Rtc, true));
        fs::remove_file(root.path().join("sys/class/rtc/rtc0/since_epoch")).unwrap();
        assert!((witness.ask)().is_none());
        assert!(best(fake("fpu lahf_lm").path()).is_none());
    }

    #[test]
    fn a_clock_that_is_listed_and_does_not_answer_is_no_witness() {
        let root = fake("fpu hypervisor");
        let listed = root.path().join("sys/class/ptp/ptp0");
        fs::create_dir_all(&listed).unwrap();
        fs::write(listed.join("clock_name"), "KVM virtual PTP\n").unwrap();
        assert_eq!(best(root.path()).unwrap().kind, Kind::Rtc);
    }
}
