//! One restore that is noticed by several signs, by the real machine and recorder: measured anew after each, and reported once.

use std::time::Duration;

use clockgate::decision::{Cause, Offset, Realtime, RestoreSign};
use clockgate::history::DatedBy;
use clockgate::report::{ClockReport, Ending, Fold, GateLane, Window};

use crate::simulated::{SimulatedHost, SimulatedServer};
use crate::support::{Outcome, ensure};

const LOST: Duration = Duration::from_secs(3600);

/// A host that is restored by such signs, each so long after the one before it; and its report, and when it was restored.
fn restored(signs: &[(Duration, Cause)]) -> (ClockReport, Realtime) {
    let servers = ["ntp1.example", "ntp2.example"].map(|name| SimulatedServer {
        name,
        wrong: Offset::ZERO,
        root_distance: Duration::from_millis(5),
    });
    let mut host = SimulatedHost::boot(Realtime::from_secs(1_795_456_800), Offset::ZERO, &servers);
    host.start();
    host.pass(LOST);
    let mut lost = LOST;
    let mut at = None;
    for (after, cause) in signs {
        host.pass(*after);
        host.pause(std::mem::take(&mut lost), *cause);
        at.get_or_insert(host.truth());
    }
    host.pass(LOST);
    let mut fold = Fold::default();
    host.lines.iter().for_each(|line| fold.add_line(line));
    (fold.report(&Window::default()), at.unwrap_or(host.truth()))
}

/// The kernel's line, the marker before anything is proven, and a notice after the proof.
pub fn are_reported_once() -> Outcome {
    let after = |millis, sign| (Duration::from_millis(millis), Cause::Restore(sign));
    let signs = [after(0, RestoreSign::KernelLine), after(3, RestoreSign::Marker), after(2000, RestoreSign::Notice)];
    let (report, at) = restored(&signs);
    let causes: Vec<&str> = report.disruptions.iter().map(|one| one.cause_name()).collect();
    ensure(causes == ["started", "restore"], format!("{causes:?}"))?;
    let one = &report.disruptions[1];
    let offset = one.measured.map_or(Offset::ZERO, |measured| measured.offset);
    let is_near = |moment: Realtime| (moment - at).abs() < Duration::from_secs(1);
    ensure((offset - Offset::from_secs(3600)).abs() < Duration::from_secs(1), format!("{one:?}"))?;
    ensure(one.ending == Ending::Proven && one.stepped.is_some(), format!("{one:?}"))?;
    // The hour is missing before the first sign, and its time is known by the proof that followed.
    ensure(is_near(one.time) && one.by == Some(DatedBy::Proof), format!("{one:?}, restored at {at:?}"))?;
    let paused: Vec<_> = report.gate.iter().filter(|one| one.lane == GateLane::Paused).collect();
    ensure(paused.len() == 1 && is_near(paused[0].span.until), format!("{:?}", report.gate))?;
    ensure(report.shares.of(GateLane::Shut) < Duration::from_secs(1), format!("{:?}", report.shares))
}

/// The same sign again, and the marker of a pause that is seen a minute later.
pub fn of_others_are_reported_by_themselves() -> Outcome {
    let line = Cause::Restore(RestoreSign::KernelLine);
    let pause = Cause::Pause { lost: Duration::ZERO };
    let signs = [(Duration::ZERO, line), (Duration::from_secs(2), line), (Duration::from_secs(60), pause)];
    let (report, _) = restored(&signs);
    let causes: Vec<&str> = report.disruptions.iter().map(|one| one.cause_name()).collect();
    ensure(causes == ["started", "restore", "restore", "pause"], format!("{causes:?}"))
}
