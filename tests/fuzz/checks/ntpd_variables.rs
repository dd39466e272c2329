//! The texts that ntpd answers by mode 6, one a paragraph: the system's, then that of each association with two bytes of status before
//! it. There is no more in the report than was said, and its numbers are within their limits.

use std::time::Duration;

use clockgate::daemon::ntpd::Answers;
use clockgate::decision::Realtime;

const NOW: Realtime = Realtime::from_secs(1_793_491_200);
/// What no clock that is corrected is off by: a century.
const FARTHEST: Duration = Duration::from_secs(3_200_000_000);

pub fn check(data: &[u8]) {
    let mut texts = data.split(|byte| *byte == 0);
    let system = texts.next().unwrap_or_default().to_vec();
    let associations: Vec<(u16, Vec<u8>)> = texts
        .filter_map(|text| text.split_first_chunk::<2>())
        .map(|(status, text)| (u16::from_be_bytes(*status), text.to_vec()))
        .collect();
    let answers = Answers { system, associations };
    let report = answers.reported(NOW);
    let most = answers.associations.len();
    assert!(report.others + report.plain + report.authenticated.len() <= most, "more sources than associations");
    let addresses: usize = report.servers.iter().map(|server| server.addresses.len()).sum();
    assert!(report.servers.len() <= most && addresses <= most, "{:?} of {most}", report.servers);
    // What is no UTF-8 is replaced by three bytes.
    let said: usize = report.authenticated.iter().map(String::len).sum();
    assert!(said <= 3 * data.len());
    if let Some(claim) = &report.claim {
        assert!(claim.offset.abs() <= FARTHEST, "off by {}", claim.offset);
        assert!(claim.stratum.is_some_and(|stratum| (1..16).contains(&stratum)));
    }
    assert!(report.authority().is_none() || report.plain == 0, "a plain source beside authenticated ones");
    let again = Answers { system: [&answers.system[..], b", unknown=1"].concat(), ..answers };
    let is_open = again.system.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
    assert!(is_open || again.reported(NOW) == report, "a variable that has no reader changes the report");
}
