//! The RTC.

use std::time::Duration;

use super::CheckVerdict;
use super::clock::{agreed, is_zone};
use crate::decision::Offset;
use crate::doctor::facts::{DoctorFacts, HardwareFacts, RtcPower, RtcState};
use crate::reference::BUILT;
use crate::sys::rtc::{BATTERY_EMPTY, BATTERY_LOW, TIME_LOST};

/// It shows whole seconds, and loses a few between two times that it is set.
const OFF: Duration = Duration::from_secs(5);
/// A clock that was set to local time is right but for what its crystal lost since.
const SHIFTED_BY_SECS: i64 = 20;
/// What drivers say of an empty battery: rtc-cmos says `dead`, isl1208 says `bad`.
const EMPTY: [&str; 2] = ["dead", "bad"];

pub fn none(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let hardware = &facts.hardware;
    if facts.containers.inside.is_some() {
        return None;
    }
    match hardware.rtc.as_ref()? {
        RtcState::NotThere => {}
        RtcState::Shows(_) | RtcState::Unreadable(_) => return Some(CheckVerdict::ok("there is an RTC")),
    }
    let board = hardware.board.as_ref().map(|board| format!("the board is {board}"));
    Some(
        match (hardware.saved_time, facts.machine.clocks.first()) {
            (_, Some(clock)) => CheckVerdict::note(format!("there is no RTC; {clock} has the time at boot")),
            (Some(file), None) => CheckVerdict::warn(format!(
                "there is no RTC: at boot the clock goes on from /{file}, so it is behind until a server answers"
            ))
            .mend("let programs wait for the clock: clockgate run -- CMD"),
            (None, None) => {
                CheckVerdict::warn("there is no RTC and no saved time: the clock begins in the past at each boot")
                    .mend("let programs wait for the clock: clockgate run -- CMD")
            }
        }
        .because_all(board),
    )
}

pub fn unreadable(facts: &DoctorFacts) -> Option<CheckVerdict> {
    match facts.hardware.rtc.as_ref()? {
        RtcState::Unreadable(why) => Some(
            CheckVerdict::warn(format!("the RTC cannot be read: it is not set, or its battery is empty ({why})"))
                .mend("sudo hwclock --systohc, once the clock is right"),
        ),
        RtcState::NotThere | RtcState::Shows(_) => None,
    }
}

pub fn battery(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let HardwareFacts { rtc, battery, .. } = &facts.hardware;
    let rtc = rtc.as_ref().filter(|rtc| **rtc != RtcState::NotThere)?;
    if let Some(status) = battery.as_ref().filter(|status| EMPTY.contains(&status.as_str())) {
        let title = format!("the RTC's battery is {status} (/proc/driver/rtc, batt_status)");
        return Some(CheckVerdict::fail(title).mend("replace the battery of the board"));
    }
    if let Some(RtcPower::Flags(flags)) = facts.hardware.power.filter(|_| battery.is_none()) {
        let evidence = format!("RTC_VL_READ is {flags:#x}");
        let title = if flags & (TIME_LOST | BATTERY_EMPTY) != 0 {
            "the RTC's driver reports that it lost its power: its battery is empty"
        } else if flags & BATTERY_LOW != 0 {
            let title = "the RTC's driver reports that its battery is nearly empty";
            return Some(CheckVerdict::warn(title).because(evidence).mend("replace the battery of the board"));
        } else {
            return Some(CheckVerdict::ok("the RTC's driver reports that its battery is good").because(evidence));
        };
        let mend = "replace the battery of the board, then: sudo hwclock --systohc";
        return Some(CheckVerdict::fail(title).because(evidence).mend(mend));
    }
    if let Some(line) = facts.log.power_lost.first() {
        return Some(
            CheckVerdict::fail("the RTC's driver found that it had lost its power: its battery is empty")
                .because(line.clone())
                .mend("replace the battery of the board, then: sudo hwclock --systohc"),
        );
    }
    if facts.hardware.shows_nonsense() {
        let shown = match rtc {
            RtcState::Shows(shown) => shown.minute(),
            RtcState::NotThere | RtcState::Unreadable(_) => String::new(),
        };
        let title =
            format!("the RTC shows {shown}, which has passed long ago: it lost its power, so its battery is empty");
        return Some(CheckVerdict::fail(title).mend("replace the battery of the board, then: sudo hwclock --systohc"));
    }
    Some(match battery {
        Some(status) => CheckVerdict::ok(format!("batt_status is {status}")),
        None => {
            CheckVerdict::skip("the driver does not report its battery to users; root can ask it: hwclock --vl-read")
        }
    })
}

/// What the kernel made of the RTC when it began.
pub fn boot(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if facts.log.is_unread {
        let title = "the kernel could not read the RTC at boot: the clock began in the past";
        return Some(CheckVerdict::warn(title).mend("sudo hwclock --systohc, once the clock is right"));
    }
    let time = facts.log.set_at_boot.as_ref()?;
    let day = |time: &str| time.get(..10).map(str::to_owned);
    Some(if day(time) < day(&BUILT.minute()) {
        CheckVerdict::fail(format!(
            "at boot the kernel set the clock to {time} from the RTC, which has passed long ago"
        ))
        .mend("replace the battery of the board, then: sudo hwclock --systohc")
    } else {
        CheckVerdict::ok(format!("at boot the kernel set the clock to {time} from the RTC"))
    })
}

/// What sets the RTC: the kernel every eleven minutes, while its clock is marked synchronised.
pub fn systohc(facts: &DoctorFacts) -> Option<CheckVerdict> {
    match facts.hardware.rtc.as_ref()? {
        RtcState::NotThere => return None,
        RtcState::Shows(_) | RtcState::Unreadable(_) => {}
    }
    Some(if facts.hardware.is_written? {
        CheckVerdict::ok("the kernel sets the RTC while the clock is synchronised")
    } else {
        CheckVerdict::warn(
            "this kernel never sets the RTC (no CONFIG_RTC_SYSTOHC): the clock begins with its error at each boot",
        )
        .mend("sudo hwclock --systohc, at each shutdown")
    })
}

pub fn local(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !facts.hardware.keeps_local {
        return Some(CheckVerdict::ok("the RTC is noted to keep UTC"));
    }
    let title =
        "/etc/adjtime says LOCAL: the RTC keeps local time, and is an hour off after a change of daylight saving time";
    let image = "write UTC to the third line of DIR/etc/adjtime";
    Some(CheckVerdict::warn(title).mend(if facts.is_image { image } else { facts.daemon.manager.keep_utc() }))
}

/// Against the system clock, and where that was measured against the truth.
pub fn offset(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let RtcState::Shows(shown) = facts.hardware.rtc.as_ref()? else { return None };
    if facts.hardware.shows_nonsense() {
        return None;
    }
    let Some(local) = facts.clock.local else { return Some(CheckVerdict::skip("this root is not the running system")) };
    let truth = agreed(facts).map_or(local, |now| local + now.offset);
    let zone_secs = if facts.hardware.keeps_local { facts.clock.zone.offset_secs.unwrap_or_default() } else { 0 };
    let shown = *shown + Offset::from_secs(-zone_secs);
    // Half of the second that it shows.
    let off = truth - (shown + Offset::from_nanos(500_000_000));
    let words = format!("the RTC is {}", off.in_words());
    let against = if agreed(facts).is_some() { "against the measured time" } else { "against the system clock" };
    Some(if off.abs() <= OFF {
        CheckVerdict::ok("the RTC is right to a few seconds").because(against)
    } else if is_zone(off, SHIFTED_BY_SECS) && (local - shown).abs() > OFF {
        if facts.hardware.keeps_local {
            let title = format!("{words}: it keeps local time, and was not set since daylight saving time changed");
            return Some(CheckVerdict::warn(title).because(against).mend(facts.daemon.manager.keep_utc()));
        }
        let title = format!("{words}, as time zones are: it was set to local time, by Windows or by hand");
        CheckVerdict::warn(title).because(against).mend("sudo hwclock --systohc --utc")
    } else if (local - shown).abs() <= OFF {
        CheckVerdict::warn(format!("{words}, as the clock is: it was set from it, or sets it"))
            .because(against)
            .mend("sudo clockgate sync && sudo hwclock --systohc")
    } else {
        CheckVerdict::warn(format!("{words}: the clock is so at the next boot"))
            .because(against)
            .mend("sudo hwclock --systohc")
    })
}
