//! What ntpd-rs reports in JSON at its socket: no more in it than was said, within the limits of a clock, and with a length before it as
//! without.

use std::time::Duration;

use clockgate::daemon::ntpd_rs::report;
use clockgate::decision::Realtime;

use super::server_lines::assert_named;

const NOW: Realtime = Realtime::from_secs(1_793_491_200);
/// What no clock that is corrected is off by: a century.
const FARTHEST: Duration = Duration::from_secs(3_200_000_000);
/// From where a timestamp of 32 bits of seconds is taken for one of another era (RFC 5905 section 6).
const HALF_AN_ERA: Duration = Duration::from_secs(1 << 31);

pub fn check(data: &[u8]) {
    let Some(read) = report(data, NOW) else { return };
    let json = if data[0] == b'{' { data } else { &data[8..] };
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    let sources = value["sources"].as_array().map_or(0, Vec::len);
    assert_eq!(read.others + read.plain + read.authenticated.len(), sources, "each source is counted once");
    let addresses: usize = read.servers.iter().map(|server| server.addresses.len()).sum();
    assert!(read.servers.len() <= sources && addresses <= sources);
    assert_named(&read.servers);
    assert!(read.authority().is_none() || read.plain == 0, "a plain source beside authenticated ones");
    if let Some(claim) = &read.claim {
        assert!(claim.offset.abs() <= FARTHEST, "off by {}", claim.offset);
        assert!(claim.stratum.is_some_and(|stratum| (1..16).contains(&stratum)));
        assert!(claim.updated.is_some_and(|at| (at - NOW).abs() <= HALF_AN_ERA), "{:?}", claim.updated);
    }
    let length = u64::try_from(json.len()).unwrap().to_be_bytes();
    if json.first() == Some(&b'{') {
        assert_eq!(report(&[&length[..], json].concat(), NOW).as_ref(), Some(&read), "with its length");
        let comma: &[u8] = if value.as_object().unwrap().is_empty() { b" " } else { b"," };
        let more = [&b"{\"unknown\":[1]"[..], comma, &json[1..]];
        assert_eq!(report(&more.concat(), NOW), Some(read), "with a key that has no reader");
    }
}
