//! The virtual machine that this host is.

use std::time::Duration;

use super::CheckVerdict;
use super::clock::agreed;
use crate::daemon::inspection::USE_HARDWARE;
use crate::doctor::facts::{CardWithoutClock, DoctorFacts};

/// A sleep leaves a clock behind by more than this.
const SLEPT: Duration = Duration::from_secs(1);

/// Clock sources that are slow to read or stop, to which the kernel falls back.
const DEGRADED: [&str; 4] = ["acpi_pm", "hpet", "jiffies", "refined-jiffies"];

pub fn clocksource(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let machine = &facts.machine;
    let source = machine.clocksource.as_ref()?;
    let others = format!("available: {}", machine.available.join(", "));
    let given_up = facts.log.unstable_timer.as_ref();
    let verdict = if DEGRADED.contains(&source.as_str()) {
        let why = if given_up.is_some() { "the kernel found tsc unstable" } else { "the kernel gave up a better one" };
        CheckVerdict::warn(format!("the clock source is {source}: {why}")).mend("sudo dmesg | grep -i clocksource")
    } else if given_up.is_some() {
        CheckVerdict::note(format!("the clock source is {source}: the kernel found tsc unstable"))
    } else {
        CheckVerdict::ok(format!("the clock source is {source}"))
    };
    Some(verdict.because(others).because_all(given_up.cloned()))
}

/// The hypervisor's clock: without it the time after a pause or a restore comes from the network alone.
pub fn clock(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let machine = &facts.machine;
    // A container sees the machine of its host, and cannot change it.
    if !machine.is_virtual || facts.containers.inside.is_some() {
        return None;
    }
    let vendor = machine.vendor.as_ref().map(|vendor| format!("the machine is made by {vendor}"));
    Some(
        match (machine.clocks.as_slice(), machine.missing_module) {
            ([], Some(module)) => {
                let title =
                    "a virtual machine without its hypervisor's clock: after a pause only servers know the time";
                CheckVerdict::warn(title).mend(format!(
                    "sudo modprobe {module} && echo {module} | sudo tee /etc/modules-load.d/{module}.conf"
                ))
            }
            ([], None) => {
                let title =
                    "a virtual machine without its hypervisor's clock: after a pause only servers know the time";
                CheckVerdict::note(title).because("no PTP clock and no VMClock device was found")
            }
            (clocks, _) if machine.can_be_read == Some(false) => {
                CheckVerdict::skip(format!("{} is there; to read it needs root", clocks.join(", ")))
            }
            (clocks, _) => CheckVerdict::ok(format!("the hypervisor's clock is there: {}", clocks.join(", "))),
        }
        .because_all(vendor),
    )
}

/// A clock that the time daemon could follow after a pause, and does not.
pub fn clock_unused(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let clock = facts.machine.clocks.first().filter(|_| facts.machine.is_virtual)?;
    let summary = facts.daemon.sources.as_ref()?.as_ref().ok()?;
    (summary.total > 0 && summary.hardware == 0).then(|| {
        CheckVerdict::note(format!("the time daemon does not follow the hypervisor's clock {clock}")).mend(USE_HARDWARE)
    })
}

pub fn time_service(facts: &DoctorFacts) -> Option<CheckVerdict> {
    facts.machine.has_time_service.then(|| {
        CheckVerdict::note(
            "Hyper-V's time synchronisation is on: it steps the clock after a pause, beside the time daemon",
        )
    })
}

/// Whether the clock is behind, as one is that stopped.
fn slept(facts: &DoctorFacts) -> bool {
    agreed(facts).is_some_and(|now| !now.offset.is_backward() && now.offset.abs() > SLEPT)
}

pub fn wsl(facts: &DoctorFacts) -> Option<CheckVerdict> {
    facts.machine.is_wsl.then(|| {
        let title = "this is WSL: its clock stays behind when Windows sleeps";
        let verdict = if slept(facts) { CheckVerdict::warn(title) } else { CheckVerdict::note(title) };
        verdict.mend("sudo hwclock --hctosys, or wsl --shutdown on Windows")
    })
}

/// A laptop around it sleeps, and the machine inside is not notified.
pub fn desktop(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let desktop = facts.machine.desktop?;
    let title =
        format!("this is the virtual machine of {}: its clock stops while the computer around it sleeps", desktop.name);
    let verdict = if slept(facts) { CheckVerdict::warn(title) } else { CheckVerdict::note(title) };
    Some(verdict.mend(format!("on that computer: {}", desktop.mend)))
}

/// Guest tools that do more than to set the clock at resume.
pub fn guest_tools(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let tools = facts.daemon.guest_tools.first()?;
    let comm = tools.comm;
    Some(match (tools.synchronises, facts.daemon.running.first()) {
        (Some(true), Some(daemon)) => {
            CheckVerdict::warn(format!("{comm} synchronises the clock all the time, beside {}", daemon.name))
                .mend(tools.order)
        }
        (Some(true), None) => CheckVerdict::note(format!("{comm} synchronises the clock all the time")),
        (Some(false), _) => CheckVerdict::ok(format!("{comm} does not synchronise the clock all the time")),
        (None, _) => CheckVerdict::skip(format!("{comm} does not show it; ask: {}", tools.order)),
    })
}

/// EC2's network card has a clock, which the driver offers on request.
pub fn card_clock(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let CardWithoutClock { address, by_module } = facts.machine.card.as_ref()?;
    let fix = if *by_module {
        "echo 'options ena phc_enable=1' | sudo tee /etc/modprobe.d/ena.conf, and start the machine again".to_owned()
    } else {
        format!(
            "sudo devlink dev param set pci/{address} name enable_phc value true cmode driverinit && sudo devlink dev reload pci/{address}"
        )
    };
    let title = "the network card (ENA) may have a clock of its own, and it is not enabled";
    Some(
        CheckVerdict::note(title)
            .because("where the instance type has one, it is right to microseconds, also after a pause")
            .mend(fix),
    )
}
