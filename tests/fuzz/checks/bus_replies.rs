//! What timesyncd and connman answer on the bus: the fields of an NTP message as numbers, and lists of servers. A reading is no newer
//! than now, no finer than its way, and off by no more than timesyncd slews.

use std::time::Duration;

use clockgate::daemon::connman::{Properties, reported};
use clockgate::daemon::timesyncd::Message;
use clockgate::decision::{Boottime, Offset, Realtime};
use zbus::{OwnedVariant, Variant};

use super::server_lines::assert_named;

/// From there on it steps (`NTP_MAX_ADJUST` in timesyncd-manager.c).
const STEPS_FROM: Duration = Duration::from_millis(400);

pub fn check(data: &[u8]) {
    let (numbers, text) = data.split_at(data.len().min(FIELDS));
    message(numbers);
    properties(&String::from_utf8_lossy(text));
}

/// Bytes of the fields that are read below.
const FIELDS: usize = 5 + 6 * 8;

fn message(data: &[u8]) {
    let Some((small, large)) = data.split_first_chunk::<5>() else { return };
    let [leap, mode, stratum, precision, ignored] = *small;
    let mut words = large.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let mut word = || words.next().unwrap_or_default();
    let (delay, dispersion, t1, t2, t3, t4) = (word(), word(), word(), word(), word(), word());
    let (leap, mode, stratum) = (u32::from(leap), u32::from(mode), u32::from(stratum));
    let precision = i32::from(precision.cast_signed());
    let fields = (leap, 4, mode, stratum, precision, delay, dispersion, vec![], t1, t2, t3, t4, ignored == 1, 1, 0);
    let Some(message) = Message::from(fields).answered() else { return };
    assert!(leap < 3 && mode == 4 && (1..16).contains(&stratum) && ignored != 1);
    let now = Boottime::from_nanos(3_600_000_000_000);
    let local = Realtime::from_nanos(i64::try_from(t4).unwrap_or(i64::MAX).saturating_mul(1000)) + Offset::from_secs(9);
    let reading = message.reading(None, now, local);
    assert!(reading.offset.abs() < STEPS_FROM, "off by {}", reading.offset);
    assert!(reading.as_of <= now && reading.local <= local && !reading.authenticated);
    let way = reading.delay.unwrap_or_default() / 2;
    assert!(
        reading.root_distance >= way + Duration::from_micros(delay / 2)
            && reading.root_distance.as_micros() >= dispersion.into()
    );
}

/// Each line is a property of the service with the names behind `=`, the first that of the clock.
fn properties(text: &str) {
    let property = |line: &str| {
        let (name, hosts) = line.split_once('=')?;
        let hosts: Vec<String> = hosts.split(' ').map(str::to_owned).collect();
        Some((name.to_owned(), OwnedVariant::try_from(Variant::from(hosts)).ok()?))
    };
    let (clock, service) = text.split_once('\n').unwrap_or((text, ""));
    let clock: Properties = property(clock).into_iter().collect();
    let service: Properties = service.lines().filter_map(property).collect();
    let report = reported(&clock, Some(&service));
    assert_named(&report.servers);
    let said = text.split([' ', '=', '\n']).count();
    assert!(report.plain == report.servers.len() && report.plain <= said && report.authority().is_none());
    let names: std::collections::BTreeSet<_> = report.servers.iter().map(|server| server.name.clone()).collect();
    assert_eq!(names.len(), report.servers.len(), "each name once");
    let alone = reported(&clock, None);
    assert!(alone.servers.iter().all(|server| names.contains(&server.name)), "the service hides the clock's own");
}
