//! ConnMan, where it keeps the clock (`TimeUpdates` is `auto`), over D-Bus: its properties are read by methods of its own. It asks the
//! servers of its service (DHCP's), those that were set by a user, and those of main.conf(5), the first list that is not empty.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use zbus::message::Message;
use zbus::{OwnedObjectPath, OwnedVariant, Type, Variant};

use super::bus::{BusConnection, BusError, ObjectInterface};
use super::server_lines::Listed;
use super::source_reports::DaemonReport;
use super::sources::name;
use crate::reference::{NTP_PORT, Server};

const CLOCK: ObjectInterface<'static> =
    ObjectInterface { name: "net.connman", path: "/", interface: "net.connman.Clock" };
const MANAGER: ObjectInterface<'static> = ObjectInterface { interface: "net.connman.Manager", ..CLOCK };

/// What it says of the clock or of a service.
pub type Properties = HashMap<String, OwnedVariant>;

/// What it reports; none where it does not set the clock.
///
/// # Errors
/// Whatever the bus says.
pub async fn ask(bus: &BusConnection) -> Result<Option<DaemonReport>, BusError> {
    if !bus.owned(CLOCK.name).await? {
        return Ok(None);
    }
    let clock = clock(bus).await?;
    if text(&clock, "TimeUpdates").as_deref() == Some("manual") {
        return Ok(None);
    }
    let reply = bus.call(MANAGER, "GetServices", &()).await?;
    let services: Vec<(OwnedObjectPath, Properties)> = body(&reply, "Manager.GetServices")?;
    Ok(Some(reported(&clock, services.first().map(|(_, service)| service))))
}

/// Makes it ask at once: it begins anew when its list is set, so the list is set again, unchanged. A failure leaves nothing half
/// done, as one between switching it off and on would. (`__connman_timeserver_system_set` in its timeserver.c, from 1.38.)
///
/// # Errors
/// Whatever the bus says.
pub async fn ask_anew(bus: &BusConnection) -> Result<(), BusError> {
    let servers = list(&clock(bus).await?, "Timeservers");
    bus.call(CLOCK, "SetProperty", &("Timeservers", Variant::from(servers))).await.map(|_| ())
}

async fn clock(bus: &BusConnection) -> Result<Properties, BusError> {
    body(&bus.call(CLOCK, "GetProperties", &()).await?, "Clock.GetProperties")
}

/// The body of a reply, as it is to be.
///
/// # Errors
/// Whatever the bus says.
pub fn body<T: DeserializeOwned + Type>(reply: &Message, call: &str) -> Result<T, BusError> {
    let read = reply.body().deserialize();
    read.map_err(|source| BusError::Call { call: call.to_owned(), source })
}

/// `service` is the first of its list: the one that has the default route.
pub fn reported(clock: &Properties, service: Option<&Properties>) -> DaemonReport {
    let of_the_service = service.into_iter().flat_map(|service| {
        let configured = list(service, "Timeservers.Configuration");
        configured.into_iter().chain(list(service, "Timeservers"))
    });
    let mut reported = DaemonReport::default();
    for host in of_the_service.chain(list(clock, "Timeservers")) {
        let server = name(&host, NTP_PORT).map(Server::from);
        reported.servers.extend(server.filter(|server| reported.servers.iter().all(|known| known.name != server.name)));
    }
    reported.plain = reported.servers.len();
    reported
}

fn text(properties: &Properties, name: &str) -> Option<String> {
    properties.get(name).and_then(|value| String::try_from(value.clone()).ok())
}

fn list(properties: &Properties, name: &str) -> Vec<String> {
    properties.get(name).and_then(|value| Vec::<String>::try_from(value.clone()).ok()).unwrap_or_default()
}

/// Reads what connman.conf(5) has: `FallbackTimeservers`.
pub fn configured(text: &str) -> Listed {
    let mut listed = Listed::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        if key.trim() == "FallbackTimeservers" {
            let hosts = value.split([',', ' ']).map(str::trim).filter(|host| !host.is_empty());
            listed = Listed::default();
            hosts.for_each(|host| listed.add(host, NTP_PORT));
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, servers: &[&str]) -> Properties {
        let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
        HashMap::from([(name.to_owned(), OwnedVariant::try_from(Variant::from(servers)).unwrap())])
    }

    #[test]
    fn its_servers_are_those_of_the_service_and_those_that_a_user_set() {
        let service = with("Timeservers", &["192.0.2.1", "lan.example"]);
        let reported = reported(&with("Timeservers", &["set.example", "lan.example"]), Some(&service));
        let names: Vec<_> = reported.servers.iter().map(|server| server.name.to_string()).collect();
        assert_eq!(names, ["192.0.2.1", "lan.example", "set.example"]);
        assert_eq!((reported.plain, reported.authority()), (3, None));
        assert!(super::reported(&HashMap::new(), None).servers.is_empty());
    }

    #[test]
    fn its_file_names_what_it_falls_back_to() {
        let names =
            |text: &str| configured(text).servers.iter().map(|server| server.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            names("[General]\n# FallbackTimeservers = no.example\nFallbackTimeservers = a.example, b.example\n"),
            ["a.example", "b.example"]
        );
        assert!(names("[General]\n").is_empty());
    }
}
