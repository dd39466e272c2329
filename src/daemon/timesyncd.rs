//! systemd-timesyncd: kicked or restarted into measuring, and read over D-Bus.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::decision::{Boottime, Leap, Offset, Reading, Realtime, ReferenceKind, Voice};
use crate::reference::{NTP_PORT, Server, ServerName};

use super::bus::{BusConnection, BusError, ObjectInterface};
use super::facts::Daemon;
use super::sources::name;
use super::unit::MANAGER;

/// Its name in texts and readings.
pub const NAME: &str = Daemon::Timesyncd.facts().name;
const UNIT: &str = Daemon::Timesyncd.facts().units[0];
/// From here on it steps, below it slews (NTP_MAX_ADJUST in timesyncd-manager.c).
const STEPS_FROM: Duration = Duration::from_millis(400);

const TIMESYNC: ObjectInterface<'static> = ObjectInterface {
    name: "org.freedesktop.timesync1",
    path: "/org/freedesktop/timesync1",
    interface: "org.freedesktop.timesync1.Manager",
};
const TIMEDATE: ObjectInterface<'static> = ObjectInterface {
    name: "org.freedesktop.timedate1",
    path: "/org/freedesktop/timedate1",
    interface: "org.freedesktop.timedate1",
};

/// The daemon, seen over the bus.
#[derive(Debug)]
pub struct Timesyncd {
    bus: BusConnection,
    runtime: PathBuf,
}

impl Timesyncd {
    /// `runtime` is its runtime directory: systemd makes it with the service and removes it with the service.
    pub const fn new(bus: BusConnection, runtime: PathBuf) -> Self {
        Self { bus, runtime }
    }

    /// Whether it runs. A bus that is not there is no error: then its folder alone says it.
    pub async fn runs(&self) -> bool {
        self.is_started() || self.bus.owned(TIMESYNC.name).await.unwrap_or(false)
    }

    /// Whether its folder is there, which says nothing of the bus.
    pub fn is_started(&self) -> bool {
        self.runtime.exists()
    }

    /// The last answer it got, if it has got one.
    pub async fn message(&self) -> Result<Option<Message>, BusError> {
        if !self.bus.owned(TIMESYNC.name).await? {
            return Ok(None);
        }
        let fields: MessageFields = self.bus.property(TIMESYNC, "NTPMessage").await?;
        Ok(Message::from(fields).answered())
    }

    /// The server it asks: by the address that it has resolved, so that no DNS is needed, else by name.
    pub async fn server(&self) -> Result<Option<ServerName>, BusError> {
        if !self.bus.owned(TIMESYNC.name).await? {
            return Ok(None);
        }
        let (_, bytes): (i32, Vec<u8>) = self.bus.property(TIMESYNC, "ServerAddress").await?;
        let name: String = self.bus.property(TIMESYNC, "ServerName").await?;
        Ok(address(&bytes).map(|ip| ServerName::numeric(ip, NTP_PORT)).or_else(|| name.parse().ok()))
    }

    /// Its whole list; none where it is not on the bus. Its fallback servers count only where it has no others.
    pub async fn servers(&self) -> Result<Option<Vec<Server>>, BusError> {
        if !self.bus.owned(TIMESYNC.name).await? {
            return Ok(None);
        }
        let mut names: Vec<String> = vec![];
        for property in ["SystemNTPServers", "RuntimeNTPServers", "LinkNTPServers", "FallbackNTPServers"] {
            if property == "FallbackNTPServers" && !names.is_empty() {
                break;
            }
            // An older one does not know them all; one that hangs is an error.
            match self.bus.property::<Vec<String>>(TIMESYNC, property).await {
                Ok(more) => names.extend(more),
                Err(BusError::Call { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let asked: String = self.bus.property(TIMESYNC, "ServerName").await?;
        let (_, bytes): (i32, Vec<u8>) = self.bus.property(TIMESYNC, "ServerAddress").await?;
        Ok(Some(listed(names, &asked, address(&bytes))))
    }

    /// Starts it anew: it measures and steps in 1.5 to 2.6 s, and we need no right to set the clock for that.
    pub async fn restart(&self) -> Result<(), BusError> {
        self.bus.call(MANAGER, "RestartUnit", &(UNIT, "replace")).await.map(|_| ())
    }

    /// Has systemd start the time daemon that this host is set up for.
    pub async fn set_ntp(&self) -> Result<(), BusError> {
        self.bus.call(TIMEDATE, "SetNTP", &(true, false)).await.map(|_| ())
    }
}

/// Each name once; the one that it asks just now is at this address.
fn listed(mut names: Vec<String>, asked: &str, at: Option<IpAddr>) -> Vec<Server> {
    if !asked.is_empty() {
        names.push(asked.to_owned());
    }
    let mut servers: Vec<Server> = vec![];
    for host in names {
        let Some(server) = name(&host, NTP_PORT).map(Server::from) else { continue };
        if servers.iter().any(|known| known.name == server.name) {
            continue;
        }
        let is_found = host == asked && server.name.address().is_none();
        let addresses = at.filter(|_| is_found).map(|ip| SocketAddr::new(ip, NTP_PORT)).into_iter().collect();
        servers.push(Server { addresses, ..server });
    }
    servers
}

/// A link-local address is of no use without its interface, which is not reported.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b)));
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from).filter(|ip| !ip.is_unicast_link_local());
    v4().or_else(|| v6().map(IpAddr::V6))
}

/// `NTPMessage` as it comes, `(uuuuittayttttbtt)`: leap, version, mode, stratum, precision, root delay, root dispersion, reference,
/// origin, receive, transmit and destination time, whether the sample was ignored, packet count, jitter; times in microseconds.
pub type MessageFields = (u32, u32, u32, u32, i32, u64, u64, Vec<u8>, u64, u64, u64, u64, bool, u64, u64);

/// One answer of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    leap: u32,
    mode: u32,
    stratum: u32,
    precision: i32,
    root_delay: Duration,
    root_dispersion: Duration,
    origin: Realtime,
    receive: Realtime,
    transmit: Realtime,
    destination: Realtime,
    /// Taken for a spike: nothing was done about it.
    ignored: bool,
}

impl From<MessageFields> for Message {
    fn from(fields: MessageFields) -> Self {
        let (leap, _, mode, stratum, precision, root_delay, root_dispersion, _, t1, t2, t3, t4, ignored, _, _) = fields;
        let time = |us| Realtime::from_nanos(i64::try_from(us).unwrap_or(i64::MAX).saturating_mul(1000));
        Self {
            leap,
            mode,
            stratum,
            precision,
            root_delay: Duration::from_micros(root_delay),
            root_dispersion: Duration::from_micros(root_dispersion),
            origin: time(t1),
            receive: time(t2),
            transmit: time(t3),
            destination: time(t4),
            ignored,
        }
    }
}

impl Message {
    /// Itself, if it is a server's answer: before the first one every field is zero.
    pub fn answered(self) -> Option<Self> {
        let sane = self.mode == 4 && self.leap < 3 && (1..16).contains(&self.stratum) && !self.ignored;
        sane.then_some(self)
    }

    /// What the clock was off by before timesyncd did anything about it.
    pub fn offset(&self) -> Offset {
        let there = (self.receive - self.origin).as_nanos();
        let back = (self.transmit - self.destination).as_nanos();
        Offset::from_nanos(there / 2 + back / 2)
    }

    /// What timesyncd still has to correct; none where that was so much that it has stepped: its next answer is of another clock.
    pub fn left(&self) -> Option<Offset> {
        Some(self.offset()).filter(|offset| offset.abs() < STEPS_FROM)
    }

    /// Whether it answered a question that was asked after `moment`, by a clock that was not set since.
    pub fn is_after(&self, moment: Realtime) -> bool {
        self.origin >= moment
    }

    /// What it reports of the clock at `now`, which shows `local`.
    ///
    /// timesyncd has stepped by a large offset, so nothing is left of it; a small one it slews in a time of its own, so what is left
    /// is at most the whole.
    pub fn reading(&self, server: Option<&ServerName>, now: Boottime, local: Realtime) -> Reading {
        let left = self.left();
        let arrived = if left.is_none() { self.destination + self.offset() } else { self.destination };
        let age = (local - arrived).as_nanos().max(0).unsigned_abs();
        let round_trip = (self.destination - self.origin) - (self.transmit - self.receive);
        let delay = Duration::from_nanos(round_trip.as_nanos().max(0).unsigned_abs());
        let precision = Duration::from_secs_f64(2_f64.powi(self.precision.clamp(-30, 4)));
        Reading {
            source: server.map_or_else(|| NAME.to_owned(), |s| format!("{NAME} ({})", s.host())),
            voice: Voice::server(NAME),
            kind: ReferenceKind::Daemon,
            as_of: Boottime::from_nanos(now.as_nanos().saturating_sub(age)),
            local: local + Offset::from_nanos(i64::try_from(age).map_or(i64::MIN, |age| -age)),
            offset: left.unwrap_or(Offset::ZERO),
            root_distance: delay / 2 + self.root_delay / 2 + self.root_dispersion + precision,
            authenticated: false,
            leap: match self.leap {
                1 => Leap::Insert,
                2 => Leap::Delete,
                _ => Leap::None,
            },
            stratum: u8::try_from(self.stratum).ok(),
            delay: Some(delay),
            upstream: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: u64 = 1_800_014_400_000_000;

    /// An answer to a clock that is `behind_us` behind, over a path of 2 ms each way.
    fn says(behind_us: u64) -> MessageFields {
        let (asked, there) = (NOON_US, NOON_US + behind_us + 2_000);
        (0, 4, 4, 2, -20, 1_000, 3_000, vec![127, 0, 0, 1], asked, there, there + 10, asked + 4_010, false, 1, 0)
    }

    fn reading(fields: MessageFields, later_us: u64) -> Option<Reading> {
        let local = Realtime::from_nanos((NOON_US + later_us) as i64 * 1000);
        Message::from(fields).answered().map(|m| m.reading(None, Boottime::from_nanos(90_000_000_000), local))
    }

    #[test]
    fn a_clock_behind_is_a_positive_offset_and_half_the_round_trip_is_in_its_distance() {
        let behind = reading(says(50_000), 4_010).expect("an answer");
        assert_eq!(behind.offset, Offset::from_nanos(50_000_000));
        assert_eq!(behind.root_distance, Duration::from_nanos(2_000_000 + 500_000 + 3_000_000 + 954));
        assert_eq!(behind.as_of, Boottime::from_nanos(90_000_000_000));
    }

    #[test]
    fn an_old_answer_is_as_of_when_it_came() {
        let old = reading(says(0), 4_010 + 32_000_000).expect("an answer");
        assert_eq!(old.as_of, Boottime::from_nanos(58_000_000_000));
    }

    #[test]
    fn what_was_stepped_away_is_no_longer_an_offset() {
        let hour = 3_600_000_000;
        let stepped = reading(says(hour), hour + 4_010 + 1_000_000).expect("an answer");
        assert_eq!((stepped.offset, stepped.as_of), (Offset::ZERO, Boottime::from_nanos(89_000_000_000)));
    }

    #[test]
    fn before_its_first_answer_and_after_a_spike_it_says_nothing() {
        assert_eq!(reading((0, 0, 0, 0, 0, 0, 0, vec![], 0, 0, 0, 0, false, 0, 0), 0), None);
        let mut spike = says(50_000);
        spike.12 = true;
        assert_eq!(reading(spike, 4_010), None);
    }

    #[test]
    fn an_address_without_its_interface_is_none() {
        assert_eq!(address(&[192, 0, 2, 1]), Some([192, 0, 2, 1].into()));
        let mut link_local = [0; 16];
        link_local[..2].copy_from_slice(&[0xfe, 0x80]);
        assert_eq!(address(&link_local), None);
        assert_eq!(address(&[]), None);
    }

    #[test]
    fn every_name_is_listed_once_and_the_address_belongs_to_the_one_it_asks() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let at = Some(IpAddr::from([192, 0, 2, 7]));
        let servers = listed(names(&["a.example", "b.example", "a.example", "192.0.2.9"]), "b.example", at);
        let reported: Vec<_> =
            servers.iter().map(|server| (server.name.to_string(), server.addresses.clone())).collect();
        let at_seven = vec![SocketAddr::from(([192, 0, 2, 7], 123))];
        let expected = [("a.example", vec![]), ("b.example", at_seven), ("192.0.2.9", vec![])];
        assert_eq!(reported, expected.map(|(name, addresses)| (name.to_owned(), addresses)));
        assert_eq!(listed(vec![], "c.example", None).len(), 1, "whom it asks is on its list");
        assert!(listed(vec![], "", None).is_empty());
    }
}
