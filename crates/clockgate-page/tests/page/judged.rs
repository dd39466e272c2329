//! What a page is worth by the clocks of its reader.

use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::time::{Boottime, Differences, Offset};
use clockgate_page::{Agent, ENDED, Gate, LeapSecond, UNKNOWN, WHY_LEN, at};

use super::writer::{Proof, Writer, standing};
use super::{Done, expect};

const MS: i64 = 1_000_000;

pub fn fields() -> Done {
    let proof = Proof::now();
    let (mut writer, page) = Writer::with(&proof)?;
    let mut why = [b'x'; WHY_LEN];
    why[..8].copy_from_slice("gr\u{fc}n\u{1b}[m".as_bytes());
    why[8] = 0;
    writer.store(at::WHY, &why);
    let view = page.read();
    expect((view.state_name(), view.cause_name(), view.epoch) == ("Synchronized", "resume", 7), &view)?;
    expect((view.offset, view.bound) == (Some(proof.offset), Some(Duration::from_millis(3))), &view)?;
    expect((view.as_of, view.valid_until) == (proof.as_of, proof.valid_until), &view)?;
    expect((view.threshold, view.max_drift_ppm) == (Duration::from_millis(200), 500), &view)?;
    expect((view.since, view.deadline) == (Boottime::from_nanos(1), Boottime::default()), &view)?;
    expect((view.next, view.alive_until) == (Some(Boottime::from_nanos(2)), proof.alive_until), &view)?;
    // Up to the first zero, and nothing that a terminal would obey.
    expect(view.why == "gr\u{fc}n\\u{1b}[m", &view)?;
    expect(view.bound_now.is_some_and(|now| now >= Duration::from_millis(3)), &view)?;
    writer.locked(|page| {
        page.store_u64(at::BOUND, UNKNOWN);
        page.store_u32(at::GATE, 0);
        page.store_u32(at::STATE, 99);
    });
    let view = page.read();
    expect((view.offset, view.bound, view.bound_now) == (None, None, None), &view)?;
    expect(view.state_name() == "of a later version", &view)
}

pub fn validity() -> Done {
    let (mut writer, page) = Writer::with(&Proof::now())?;
    let left = page.read().valid_for();
    expect(left <= Duration::from_secs(300) && left > Duration::from_secs(200), left)?;
    writer.write(&Proof { valid_until: boottime(), ..Proof::now() });
    let view = page.read();
    expect(view.gate == Gate::Shut && view.valid_for().is_zero() && view.why.contains("expired"), &view)?;
    writer.write(&Proof::shut());
    expect(page.read().gate == Gate::Shut && page.read().valid_for().is_zero(), page.read())
}

pub fn bound() -> Done {
    // 500 ppm of 500 s is a quarter of a second.
    let long_ago = Boottime::from_nanos(boottime().as_nanos().saturating_sub(500_000_000_000));
    let (_writer, page) = Writer::with(&Proof { as_of: long_ago, ..Proof::now() })?;
    expect(page.read().gate == Gate::Shut, page.read())
}

pub fn moved_clocks() -> Done {
    let now = standing();
    let by = |millis: i64| Offset::from_nanos(millis * MS);
    let judged = |differences: Differences| -> Result<_, libtest_mimic::Failed> {
        let (_writer, page) = Writer::with(&Proof { differences, ..Proof::now() })?;
        Ok(page.read())
    };
    for (differences, word) in [
        (Differences { real_minus_boot: now.real_minus_boot - by(3_600_000), ..now }, "set forward by"),
        (Differences { real_minus_boot: now.real_minus_boot + by(1000), ..now }, "set back by"),
        (Differences { mono_minus_raw: now.mono_minus_raw - by(1000), ..now }, "slewed forward by"),
        (Differences { mono_minus_raw: now.mono_minus_raw + by(1000), ..now }, "slewed back by"),
        (Differences { boot_minus_mono: now.boot_minus_mono + Duration::from_secs(5), ..now }, "slept for"),
    ] {
        let view = judged(differences)?;
        expect(view.gate == Gate::Shut && view.why.contains(word), (word, view))?;
    }
    // A tenth of a second forward is part of the bound: |1 - 100| + 3 - 1, and what the clocks grow by.
    let view = judged(Differences { real_minus_boot: now.real_minus_boot - by(100), ..now })?;
    let bound = view.bound_now.unwrap_or_default();
    expect(
        view.gate == Gate::Proven && (Duration::from_millis(100)..Duration::from_millis(150)).contains(&bound),
        &view,
    )
}

pub fn leap_second() -> Done {
    let (now, second) = (standing(), Offset::from_secs(-1));
    let differences = Differences { real_minus_boot: now.real_minus_boot - second, ..now };
    let a_second_ago = Boottime::from_nanos(boottime().as_nanos() - 1_000_000_000);
    let made = LeapSecond { at: a_second_ago, change: second };
    let (mut writer, page) = Writer::with(&Proof { differences, leap_second: Some(made), ..Proof::now() })?;
    expect((page.read().gate, page.read().leap_second) == (Gate::Proven, Some(made)), page.read())?;
    let to_come = LeapSecond { at: boottime() + Duration::from_secs(60), change: second };
    writer.write(&Proof { differences, leap_second: Some(to_come), ..Proof::now() });
    expect(page.read().gate == Gate::Shut, page.read())
}

pub fn unproven() -> Done {
    let opened = Proof { gate: Gate::Unproven as u32, state: 6, ..Proof::now() };
    let (mut writer, page) = Writer::with(&opened)?;
    let view = page.read();
    expect((view.gate, view.agent, view.valid_for()) == (Gate::Unproven, Agent::Alive, Duration::ZERO), &view)?;
    let since = boottime();
    writer.write(&Proof { alive_until: since, ..opened });
    expect((page.read().gate, page.read().agent) == (Gate::Shut, Agent::Silent { since }), page.read())?;
    writer.write(&Proof { state: ENDED, ..opened });
    let at = opened.alive_until;
    expect((page.read().gate, page.read().agent) == (Gate::Shut, Agent::Ended { at }), page.read())?;
    // A proof is valid whether the agent lives or not.
    writer.write(&Proof { alive_until: since, ..Proof::now() });
    expect((page.read().gate, page.read().agent) == (Gate::Proven, Agent::Silent { since }), page.read())?;
    writer.write(&Proof { gate: 0, state: 0, ..Proof::now() });
    expect(page.read().agent == Agent::Starting, page.read())
}

pub fn unknown_word() -> Done {
    let (_writer, page) = Writer::with(&Proof { gate: 3, ..Proof::now() })?;
    let view = page.read();
    expect((view.gate, view.word) == (Gate::Shut, 3), &view)
}
