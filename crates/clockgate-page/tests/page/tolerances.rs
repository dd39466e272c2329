//! What a page is worth to a reader with a tolerance of its own.

use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::time::{Boottime, Differences, Offset};
use clockgate_page::{ClockMeasurement, ENDED, Gate, at};

use super::writer::{Proof, Writer, standing};
use super::{Done, expect};

const MINUTE: Duration = Duration::from_secs(60);
const EPOCH: u64 = 7;

/// A clock that is 20 s behind, as two exchanges say.
fn off() -> ClockMeasurement {
    let now = boottime();
    ClockMeasurement {
        offset: Offset::from_secs(20),
        bound: Duration::from_millis(20_002),
        as_of: now,
        valid_until: now + Duration::from_secs(1000),
        max_drift_ppm: 500,
        differences: Some(standing()),
        leap_second: None,
    }
}

fn page_of(measured: ClockMeasurement) -> Proof {
    Proof { state: 2, measured: Some((measured, EPOCH)), ..Proof::shut() }
}

pub fn served() -> Done {
    let (mut writer, page) = Writer::with(&page_of(off()))?;
    let view = page.read();
    expect(view.gate == Gate::Shut && view.measured == Some(off_of(&view.measured)), &view)?;
    let bound = view.within(MINUTE).unwrap_or_default();
    expect((Duration::from_millis(20_002)..Duration::from_millis(20_100)).contains(&bound), &view)?;
    expect(view.within(Duration::from_secs(20)).is_none(), &view)?;
    // Not wider than the threshold: the gate decides, however small the bound is.
    let fine = ClockMeasurement { offset: Offset::ZERO, bound: Duration::from_millis(1), ..off() };
    writer.write(&page_of(fine));
    expect(page.read().within(Duration::from_millis(200)).is_none(), page.read())?;
    expect(page.read().within(Duration::from_millis(201)).is_some(), page.read())?;
    // At a gate that is open without a proof too.
    writer.write(&Proof { gate: Gate::Unproven as u32, state: 6, ..page_of(off()) });
    expect(page.read().gate == Gate::Unproven && page.read().within(MINUTE).is_some(), page.read())
}

/// The fields as they were written.
fn off_of(read: &Option<ClockMeasurement>) -> ClockMeasurement {
    let (as_of, valid_until, differences) =
        read.map_or((Boottime::default(), Boottime::default(), None), |m| (m.as_of, m.valid_until, m.differences));
    ClockMeasurement { as_of, valid_until, differences, ..off() }
}

pub fn proof() -> Done {
    // A proof is what counts at an open gate, and its bound has grown.
    let long_ago = Boottime::from_nanos(boottime().as_nanos().saturating_sub(100_000_000_000));
    let (mut writer, page) = Writer::with(&Proof { as_of: long_ago, ..Proof::now() })?;
    let view = page.read();
    expect(view.gate == Gate::Proven && view.within(MINUTE).is_some(), &view)?;
    expect(
        view.within(Duration::from_millis(50)).is_none() && view.within(Duration::from_millis(100)).is_some(),
        &view,
    )?;
    writer.write(&Proof { valid_until: boottime(), ..Proof::now() });
    expect(page.read().within(MINUTE).is_none(), page.read())
}

pub fn void() -> Done {
    let (mut writer, page) = Writer::with(&page_of(off()))?;
    let now = standing();
    let mut is_served = |proof: &Proof| {
        writer.write(proof);
        page.read().within(MINUTE).is_some()
    };
    expect(is_served(&page_of(off())), "as it was")?;
    let moved = |differences: Differences| page_of(ClockMeasurement { differences: Some(differences), ..off() });
    let real = |secs| Differences { real_minus_boot: now.real_minus_boot + Offset::from_secs(secs), ..now };
    expect(is_served(&moved(real(30))), "set back by 30 s since: 50 s off")?;
    expect(!is_served(&moved(real(41))), "set back by 41 s since: 61 s off")?;
    expect(is_served(&moved(real(-75))), "set forward by 75 s since: 55 s ahead")?;
    expect(!is_served(&moved(real(-81))), "set forward by 81 s since: 61 s ahead")?;
    let slept = Differences { boot_minus_mono: now.boot_minus_mono + Duration::from_secs(5), ..now };
    expect(!is_served(&moved(slept)), "slept since")?;
    let slewed = |secs| Differences { mono_minus_raw: now.mono_minus_raw + Offset::from_secs(secs), ..now };
    expect(!is_served(&moved(slewed(41))), "slewed back by 41 s since")?;
    expect(!is_served(&page_of(ClockMeasurement { valid_until: boottime(), ..off() })), "too old")?;
    expect(!is_served(&Proof { measured: Some((off(), EPOCH - 1)), ..page_of(off()) }), "of an earlier epoch")?;
    expect(!is_served(&Proof { measured: None, ..page_of(off()) }), "none")?;
    // An agent that is gone sees no pause.
    expect(!is_served(&Proof { alive_until: boottime(), ..page_of(off()) }), "a silent agent")?;
    expect(!is_served(&Proof { state: ENDED, ..page_of(off()) }), "an agent that has ended")?;
    expect(!is_served(&Proof { state: 0, ..page_of(off()) }), "an agent that begins")
}

pub fn before() -> Done {
    let (writer, page) = Writer::with(&page_of(off()))?;
    expect(page.read().within(MINUTE).is_some(), page.read())?;
    writer.mapping.store_u32(at::SIZE, u32::try_from(at::LEAP_END)?);
    expect(page.read().measured.is_none() && page.read().within(MINUTE).is_none(), page.read())
}
