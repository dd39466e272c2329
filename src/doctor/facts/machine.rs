//! The virtual machine that this host is.

use std::fs;
use std::path::Path;

use crate::container::desktop::{self, DesktopMachine};
use crate::disruption::vm::hypervisor::can_be_paused;
use crate::reference::local::{phc, vmclock};

const CLOCKSOURCE: &str = "sys/devices/system/clocksource/clocksource0";

/// The virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFacts {
    /// Whether it is one.
    pub is_virtual: bool,
    /// What the firmware calls its maker.
    pub vendor: Option<String>,
    /// The clock source in use.
    pub clocksource: Option<String>,
    /// The others that there are.
    pub available: Vec<String>,
    /// The hypervisor's clocks that this machine shows, by name.
    pub clocks: Vec<String>,
    /// Whether any of them can be read by us; none where that was not tried.
    pub can_be_read: Option<bool>,
    /// Whether the time daemon can be asked to use one: the name of the kernel's module that is missing.
    pub missing_module: Option<&'static str>,
    /// Whether it is the Windows Subsystem for Linux.
    pub is_wsl: bool,
    /// Whether the hypervisor's own time service is offered (Hyper-V's VMBus channel).
    pub has_time_service: bool,
    /// The machine of an engine on a laptop that this is.
    pub desktop: Option<DesktopMachine>,
    /// A network card of EC2 whose own clock is not enabled, and how it is.
    pub card: Option<CardWithoutClock>,
}

/// A network card whose driver has a clock, which is not enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardWithoutClock {
    /// Its address on the PCI bus.
    pub address: String,
    /// Whether a parameter of the driver's module enables it, as in Amazon's own driver; the kernel's has one of devlink.
    pub by_module: bool,
}

/// drivers/net/ethernet/amazon/ena, and its clock's name.
const ENA: &str = "sys/bus/pci/drivers/ena";
const ENA_PARAMETER: &str = "sys/module/ena/parameters/phc_enable";
const ENA_CLOCK: &str = "ena-ptp-";

/// Hyper-V's time synchronisation (HV_TS_GUID in linux/hyperv.h).
const TIME_SERVICE: &str = "{9527e630-d0ae-497b-adce-e80ab0175caf}";

pub fn gather(root: &Path) -> MachineFacts {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_owned());
    let vendor = text("sys/class/dmi/id/sys_vendor").filter(|vendor| !vendor.is_empty());
    let found = phc::find(root);
    let mut clocks: Vec<String> = found.iter().map(|clock| clock.name.clone()).collect();
    // Below another root there is no device of that name.
    let can_be_read =
        (root == Path::new("/") && !found.is_empty()).then(|| found.iter().any(|clock| clock.measure().is_ok()));
    if vmclock::measure(root).is_ok() {
        clocks.push("vmclock0".to_owned());
    }
    let clocksource = text(&format!("{CLOCKSOURCE}/current_clocksource"));
    let available = text(&format!("{CLOCKSOURCE}/available_clocksource")).unwrap_or_default();
    let is_kvm = clocksource.as_deref() == Some("kvm-clock") || available.contains("kvm-clock");
    let devices = fs::read_dir(root.join("sys/bus/vmbus/devices")).into_iter().flatten().flatten();
    let mut classes = devices.filter_map(|device| fs::read_to_string(device.path().join("class_id")).ok());
    let card = if clocks.iter().any(|clock| clock.contains(ENA_CLOCK)) { None } else { card(root) };
    MachineFacts {
        desktop: desktop::found(root),
        card,
        is_virtual: can_be_paused(root),
        vendor,
        clocksource,
        available: available.split_whitespace().map(str::to_owned).collect(),
        missing_module: (clocks.is_empty() && is_kvm).then_some("ptp_kvm"),
        clocks,
        can_be_read,
        is_wsl: text("proc/sys/kernel/osrelease").is_some_and(|release| release.to_lowercase().contains("microsoft")),
        has_time_service: classes.any(|class| class.trim() == TIME_SERVICE),
    }
}

fn card(root: &Path) -> Option<CardWithoutClock> {
    let names = fs::read_dir(root.join(ENA)).ok()?.flatten();
    let mut addresses: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A device is a link by its address, 0000:00:05.0; the driver's own files have no colon.
    addresses.retain(|name| name.contains(':'));
    addresses.sort();
    let address = addresses.into_iter().next()?;
    Some(CardWithoutClock { address, by_module: root.join(ENA_PARAMETER).exists() })
}
