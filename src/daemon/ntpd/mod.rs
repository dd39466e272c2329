//! NTPsec's ntpd and the reference implementation's, asked by control messages over loopback: whom they ask, whether that is
//! authenticated, what they make of the clock. Neither takes an order without a key.

pub mod control;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use control::{ControlClient, ControlError, Operation};

use super::source_reports::{Claim, DaemonReport, length, offset};
use super::sources::name;
use crate::decision::{Leap, Realtime};
use crate::reference::ntp::timestamp::Timestamp;
use crate::reference::{NTP_PORT, Server};
use crate::sys::clock::{boottime, realtime};

/// Where a host's ntpd answers its own host.
pub const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), NTP_PORT);
/// It answers within a millisecond; with a hundred associations, all of them.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most associations that are asked about.
const MOST: usize = 128;
/// Status bits of an association (RFC 9327 section 3.2): it is to be authenticated.
const AUTHENTICATED: u16 = 0x4000;

/// The report of the ntpd at `address`; blocks.
///
/// # Errors
/// In words.
pub fn ask(address: SocketAddr) -> Result<DaemonReport, String> {
    let mut client = ControlClient::new(address, boottime() + PATIENCE).map_err(|error| error.to_string())?;
    let answers = Answers::ask(&mut client).map_err(|error| error.to_string())?;
    Ok(answers.reported(realtime()))
}

/// Names and values of one association, or of the system.
type Variables = BTreeMap<String, String>;

/// What came of all the questions.
#[derive(Debug)]
pub struct Answers {
    /// The variables of the system.
    pub system: Vec<u8>,
    /// Of each association its status, and its variables.
    pub associations: Vec<(u16, Vec<u8>)>,
}

impl Answers {
    fn ask(client: &mut ControlClient) -> Result<Self, ControlError> {
        let system = client.ask(Operation::ReadVariables, 0)?;
        let listed = client.ask(Operation::ReadStatus, 0)?;
        let mut associations = vec![];
        for (number, status) in numbers(&listed).into_iter().take(MOST) {
            match client.ask(Operation::ReadVariables, number) {
                Ok(answer) => associations.push((status, answer)),
                // One of a pool that was dropped between the two questions.
                Err(ControlError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { system, associations })
    }

    /// What they say together.
    pub fn reported(&self, now: Realtime) -> DaemonReport {
        let mut reported = DaemonReport { claim: claim(&variables(&self.system), now), ..DaemonReport::default() };
        let mut of_pools = vec![];
        for (status, answer) in &self.associations {
            let Some(source) = NtpdSource::of(*status, &variables(answer)) else { continue };
            let called = source.host.clone();
            match source.is {
                Is::Nothing => continue,
                // No other machine can come between it and the daemon.
                Is::Clock => {
                    reported.others += 1;
                    continue;
                }
                // Those that were found for it are listed beside it.
                Is::Pool => {
                    let pool = name(&source.host, NTP_PORT).map(Server::from);
                    reported.servers.extend(pool.map(|pool| Server { is_pool: true, ..pool }));
                    continue;
                }
                Is::OfAPool(at) => of_pools.push((source.host.clone(), at)),
                Is::Server(at) => {
                    let server = name(&source.host, at.port()).map(Server::from);
                    let is_named = |server: &Server| server.name.address().is_none();
                    reported.servers.extend(server.map(|server| {
                        let addresses = if is_named(&server) { vec![at] } else { vec![] };
                        Server { addresses, ..server }
                    }));
                }
            }
            if source.is_authenticated {
                reported.authenticated.push(called);
            } else {
                reported.plain += 1;
            }
        }
        of_pools.into_iter().for_each(|(host, at)| belongs(&mut reported.servers, &host, at));
        reported
    }
}

/// The source of one association.
struct NtpdSource {
    host: String,
    is: Is,
    is_authenticated: bool,
}

enum Is {
    /// The undisciplined local clock, which knows nothing.
    Nothing,
    /// A reference clock.
    Clock,
    /// The line of a pool.
    Pool,
    /// One that a pool's line brought in.
    OfAPool(SocketAddr),
    /// A server or a peer.
    Server(SocketAddr),
}

impl NtpdSource {
    fn of(status: u16, variables: &Variables) -> Option<Self> {
        /// Status bit: from a line of the configuration.
        const CONFIGURED: u16 = 0x8000;
        let ip: IpAddr = variables.get("srcadr")?.parse().ok()?;
        let port = variables.get("srcport").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        let at = SocketAddr::new(ip, port.unwrap_or(NTP_PORT));
        let host = variables.get("srchost").filter(|host| !host.is_empty()).cloned();
        // Reference clocks have addresses of their own: driver and unit (`127.127.28.0`).
        let driver = if let IpAddr::V4(ip) = ip { ip.octets() } else { [0; 4] };
        let is = match driver {
            [127, 127, 1, _] => Is::Nothing,
            [127, 127, ..] => Is::Clock,
            _ if ip.is_unspecified() => Is::Pool,
            _ if status & CONFIGURED == 0 => Is::OfAPool(at),
            _ => Is::Server(at),
        };
        // An interface is written behind a link-local address, which is of no use without it.
        let is_usable = !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let host = host.unwrap_or_else(|| ip.to_string());
        is_usable.then_some(Self { host, is, is_authenticated: status & AUTHENTICATED != 0 })
    }
}

/// Adds an address to the pool that brought it in: that of its name, else the first one.
fn belongs(servers: &mut Vec<Server>, host: &str, at: SocketAddr) {
    let index = servers.iter().position(|server| server.is_pool && server.name.host() == host);
    match index.or_else(|| servers.iter().position(|server| server.is_pool)) {
        Some(index) => servers[index].addresses.push(at),
        None => servers.extend(name(&at.ip().to_string(), at.port()).map(Server::from)),
    }
}

/// What it makes of the clock, of its system variables; none while it is not synchronised. Times are in milliseconds.
fn claim(system: &Variables, now: Realtime) -> Option<Claim> {
    let number = |name: &str| system.get(name).and_then(|text| text.parse::<f64>().ok());
    let leap = match system.get("leap")?.as_str() {
        "0" | "00" => Leap::None,
        "1" | "01" => Leap::Insert,
        "2" | "10" => Leap::Delete,
        _ => return None,
    };
    let stratum: u8 = system.get("stratum")?.parse().ok()?;
    let distance = number("rootdelay")? / 2.0 + number("rootdisp").or_else(|| number("rootdispersion"))?;
    (1..16).contains(&stratum).then_some(())?;
    Some(Claim {
        offset: offset(number("offset")? / 1e3)?,
        root_distance: length(distance / 1e3)?,
        leap,
        stratum: Some(stratum),
        updated: system.get("reftime").and_then(|text| timestamp(text)).map(|at| at.near(now)),
    })
}

/// `0xe8f1a2b3.80000000`.
fn timestamp(text: &str) -> Option<Timestamp> {
    let (secs, fraction) = text.strip_prefix("0x")?.split_once('.')?;
    let word = |digits: &str| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(Timestamp((word(secs)? << 32) | word(fraction)?)).filter(|at| at.0 != 0)
}

/// Numbers and statuses of every association.
fn numbers(bytes: &[u8]) -> Vec<(u16, u16)> {
    let pair = |four: &[u8]| (u16::from_be_bytes([four[0], four[1]]), u16::from_be_bytes([four[2], four[3]]));
    bytes.chunks_exact(4).map(pair).collect()
}

/// `name=value, name="text", ...`; bytes that are no text stand in some of them.
fn variables(bytes: &[u8]) -> Variables {
    let text = String::from_utf8_lossy(bytes);
    let mut is_quoted = false;
    let between = |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    };
    let pair = |item: &str| {
        let (name, value) = item.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    text.split(between).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::source_reports::tests::described;

    /// As ntpsec 1.2.2 answered, synchronised; shortened.
    const SYSTEM: &str = "leap=0, stratum=3, precision=-24, rootdelay=12.000, rootdisp=4.500, refid=192.0.2.1,\r\n\
        reftime=0xec5e3c00.80000000, tc=6, peer=17767, offset=-1.250000, frequency=0.1, sys_jitter=0.0, clock=0xec5e3c10.0,\r\n\
        processor=\"x86_64\", system=\"Linux/6.1, x\", version=\"ntpd ntpsec-1.2.2\"";

    fn reported(associations: &[(u16, &str)]) -> DaemonReport {
        let associations = associations.iter().map(|(status, text)| (*status, text.as_bytes().to_vec())).collect();
        Answers { system: SYSTEM.as_bytes().to_vec(), associations }.reported(Realtime::from_secs(1_793_491_200))
    }

    #[test]
    fn its_servers_are_those_it_has_and_a_pool_is_one() {
        let reported = reported(&[
            (0x961a, "srcadr=192.0.2.1, srcport=123, srchost=\"ntp.example\", leap=0"),
            (0x9014, "srcadr=192.0.2.9, srcport=1123, srchost=\"\""),
            (0x8811, "srcadr=0.0.0.0, srcport=0, srchost=\"0.debian.pool.ntp.org\""),
            (0x1414, "srcadr=192.0.2.20, srcport=123, srchost=\"192.0.2.20\""),
            (0x1414, "srcadr=2001:db8::5, srcport=123"),
            (0x9014, "srcadr=127.127.28.0, srcport=123, srchost=\"SHM(0)\""),
            (0x9014, "srcadr=127.127.1.0, srcport=123, srchost=\"LOCAL(0)\""),
        ]);
        assert_eq!(
            described(&reported.servers),
            [
                "ntp.example server 192.0.2.1:123",
                "192.0.2.9:1123 server ",
                "0.debian.pool.ntp.org pool 192.0.2.20:123,[2001:db8::5]:123",
            ]
        );
        assert_eq!((reported.others, reported.authority()), (1, None));
    }

    #[test]
    fn sources_with_keys_alone_outrank_plain_answers() {
        let keyed = (0xf61a, "srcadr=192.0.2.1, srchost=nts.example");
        assert_eq!(reported(&[keyed]).authority().unwrap().sources, ["nts.example"]);
        assert_eq!(reported(&[keyed, (0x961a, "srcadr=192.0.2.2, srchost=plain.example")]).authority(), None);
        for clock in ["srcadr=127.127.28.0", "srcadr=127.127.1.0"] {
            assert!(reported(&[keyed, (0x9014, clock)]).authority().is_some(), "{clock} is no plain answer");
        }
    }

    #[test]
    fn what_it_makes_of_the_clock_is_in_milliseconds_and_of_its_last_update() {
        let claim = reported(&[]).claim.unwrap();
        assert_eq!(claim.offset.as_nanos(), -1_250_000);
        assert_eq!(claim.root_distance, Duration::from_micros(10_500));
        assert_eq!((claim.stratum, claim.leap), (Some(3), Leap::None));
        let updated = Timestamp(0xec5e_3c00_8000_0000).near(Realtime::from_secs(1_793_491_200));
        assert_eq!(claim.updated, Some(updated));
    }

    /// As ntpsec 1.2.2 answered just after its start.
    #[test]
    fn before_its_first_update_it_makes_nothing_of_the_clock() {
        let started = "leap=3, stratum=16, precision=-24, rootdelay=0.000, rootdisp=0.180, refid=INIT, reftime=0x00000000.00000000, \
            peer=0, offset=0.000000";
        assert_eq!(claim(&variables(started.as_bytes()), Realtime::from_secs(1_793_491_200)), None);
        assert_eq!(claim(&variables(b"\xff\xfe=,=\"x"), Realtime::from_secs(0)), None);
    }

    #[test]
    fn a_comma_between_quotes_ends_nothing() {
        let all = variables(SYSTEM.as_bytes());
        assert_eq!(all["system"], "Linux/6.1, x");
        assert_eq!(all["version"], "ntpd ntpsec-1.2.2");
        assert_eq!(numbers(&[0x45, 0x67, 0x90, 0x14, 1]), [(0x4567, 0x9014)]);
    }

    #[test]
    fn a_real_socket_is_asked_until_its_deadline_and_no_longer() {
        let stand_in = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = stand_in.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut bytes = [0; 64];
            for data in [SYSTEM.as_bytes(), &[0x00, 0x07, 0x96, 0x1a], b"srcadr=192.0.2.1, srchost=ntp.example"] {
                let (_, from) = stand_in.recv_from(&mut bytes).unwrap();
                let mut answer = bytes[..12].to_vec();
                answer[1] |= 0x80;
                answer[10..12].copy_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
                answer.extend_from_slice(data);
                stand_in.send_to(&answer, from).unwrap();
            }
        });
        assert_eq!(described(&ask(address).unwrap().servers), ["ntp.example server 192.0.2.1:123"]);
        answering.join().unwrap();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = ask(silent.local_addr().unwrap()).unwrap_err();
        assert!(error.contains("does not answer control messages"), "{error}");
    }
}
