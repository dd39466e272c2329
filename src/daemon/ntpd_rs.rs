//! ntpd-rs, asked at its observation socket: eight bytes of length and JSON (ntp.toml(5), `observation-path`). It takes no orders.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use toml_edit::DocumentMut;

use super::server_lines::{Listed, ServerLine};
use super::source_reports::{Claim, DaemonReport, length, offset};
use super::sources::name;
use crate::decision::{Leap, Realtime};
use crate::reference::ntp::timestamp::Timestamp;
use crate::reference::{NTP_PORT, Server, ServerName};
use crate::sys::clock::realtime;

/// Where the packages have the socket; none is there without `observation-path`.
const SOCKET: &str = "run/ntpd-rs/observe";
/// It answers at once.
const PATIENCE: Duration = Duration::from_millis(500);
/// A source is some 500 bytes.
const LONGEST: u64 = 1024 * 1024;

/// Where it can be asked, by its configuration.
pub fn socket(root: &Path, configuration: &str) -> PathBuf {
    let document = configuration.parse::<DocumentMut>().unwrap_or_default();
    let path = document.get("observability").and_then(|table| table.get("observation-path")).and_then(|p| p.as_str());
    root.join(path.unwrap_or(SOCKET).trim_start_matches('/'))
}

/// The report of the ntpd-rs at this socket; blocks.
///
/// # Errors
/// In words.
pub fn ask(socket: &Path) -> Result<DaemonReport, String> {
    let failed = |error: std::io::Error| format!("cannot ask ntpd-rs at {}: {error}", socket.display());
    let stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut bytes = vec![];
    let mut limited = stream.take(LONGEST);
    let outcome = limited.read_to_end(&mut bytes);
    // It has said everything when it closes; a whole answer before that will do.
    match (report(&bytes, realtime()), outcome) {
        (Some(report), _) => Ok(report),
        (None, Err(error)) => Err(failed(error)),
        (None, Ok(_)) => Err(format!("cannot parse the answer of ntpd-rs at {}", socket.display())),
    }
}

/// The report in the whole of an answer; none where it is no such JSON. Before 1.0 there is no length before it.
pub fn report(answer: &[u8], now: Realtime) -> Option<DaemonReport> {
    parse(answer).map(|observed| reported(&observed, now))
}

fn parse(bytes: &[u8]) -> Option<Value> {
    let json = if bytes.first() == Some(&b'{') { bytes } else { bytes.get(8..)? };
    serde_json::from_slice(json).ok().filter(Value::is_object)
}

fn reported(observed: &Value, now: Realtime) -> DaemonReport {
    let mut reported = DaemonReport::default();
    let mut best: Option<Claim> = None;
    let mut by_nts: Vec<(ServerName, u16)> = vec![];
    for source in observed["sources"].as_array().into_iter().flatten() {
        let claim = claim(source, &observed["system"], now);
        if let Some(claim) = claim.filter(|c| best.as_ref().is_none_or(|b| c.root_distance < b.root_distance)) {
            best = Some(claim);
        }
        let Some(server) = server(source) else {
            reported.others += 1;
            continue;
        };
        if source["nts_cookies"].is_u64() {
            by_nts.extend(key_port(source).map(|port| (server.name.clone(), port)));
            reported.authenticated.push(server.name.host().to_owned());
        } else {
            reported.plain += 1;
        }
        match reported.servers.iter_mut().find(|known| known.name == server.name) {
            // Several sources of one name are those of a pool.
            Some(known) => {
                known.is_pool = true;
                known.addresses.extend(server.addresses);
            }
            None => reported.servers.push(server),
        }
    }
    reported.claim = best;
    // Where plain answers are no downgrade, it is asked as before.
    if reported.authority().is_some() {
        for (name, port) in by_nts {
            let found = reported.servers.iter_mut().find(|server| server.name == name && !server.is_pool);
            if let Some(server) = found {
                *server = Server::from(name.by_nts(port));
            }
        }
    }
    reported
}

/// A server by its configured name, `ntp.example:123`; none for a reference clock, whose name is a path.
fn server(source: &Value) -> Option<Server> {
    let named: ServerName = source["name"].as_str().filter(|name| !name.contains('/'))?.parse().ok()?;
    let at = source["address"].as_str().and_then(|address| address.parse::<std::net::SocketAddr>().ok());
    // The port of a name by NTS is where keys are agreed upon.
    let port = at.map_or(NTP_PORT, |at| at.port());
    let server = Server::from(name(named.host(), port)?);
    let addresses = at.filter(|_| server.name.address().is_none()).into_iter().collect();
    Some(Server { addresses, ..server })
}

/// The port in the name of a source by NTS, which is where keys are exchanged.
fn key_port(source: &Value) -> Option<u16> {
    source["name"].as_str()?.parse::<ServerName>().ok().map(|named| named.port())
}

/// What one source makes of the clock, where the daemon is synchronised and the source answers. Times are in seconds.
fn claim(source: &Value, system: &Value, now: Realtime) -> Option<Claim> {
    let leap = match system["leap_indicator"].as_str()? {
        "NoWarning" => Leap::None,
        "Leap61" => Leap::Insert,
        "Leap59" => Leap::Delete,
        _ => return None,
    };
    let stratum = u8::try_from(system["stratum"].as_u64()?).ok().filter(|stratum| (1..16).contains(stratum))?;
    // Its register of eight polls: none of them was answered.
    source["unanswered_polls"].as_u64().filter(|unanswered| *unanswered < 8)?;
    let secs = |key: &str| source[key].as_f64();
    let updated = Timestamp(source["last_update"]["timestamp"].as_u64().filter(|at| *at != 0)?).near(now);
    let distance =
        secs("uncertainty")? + secs("delay")? / 2.0 + secs("remote_delay")? / 2.0 + secs("remote_uncertainty")?;
    let (offset, root_distance) = (offset(secs("offset")?)?, length(distance)?);
    Some(Claim { offset, root_distance, leap, stratum: Some(stratum), updated: Some(updated) })
}

/// Reads what ntpd-rs reads: `[[source]]` with `mode` and `address`.
pub fn configured(text: &str) -> Listed {
    let mut listed = Listed::default();
    let Ok(document) = text.parse::<DocumentMut>() else { return listed };
    let Some(sources) = document.get("source").and_then(|sources| sources.as_array_of_tables()) else { return listed };
    for source in sources {
        let value = |key: &str| source.get(key).and_then(|value| value.as_str());
        match (value("mode").unwrap_or_default(), value("address")) {
            (mode, Some(address)) => {
                let Ok(named) = address.parse::<ServerName>() else { continue };
                // That of `nts` is where keys are agreed upon.
                let port = if mode.starts_with("nts") { NTP_PORT } else { named.port() };
                let line = ServerLine { is_pool: mode.ends_with("pool"), is_authenticated: mode.starts_with("nts") };
                listed.take(named.host(), port, line);
            }
            // `sock` and `pps` have a path.
            (_, None) => listed.others += 1,
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::source_reports::tests::described;
    use serde_json::json;
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;

    const NOW: Realtime = Realtime::from_secs(1_793_491_200);

    fn source(name: &str, address: &str, cookies: Option<u64>) -> Value {
        json!({
            "offset": -0.002, "uncertainty": 0.0005, "delay": 0.01, "remote_delay": 0.004, "remote_uncertainty": 0.001,
            "last_update": { "timestamp": 0xec5e_3c00_0000_0000_u64 }, "unanswered_polls": 0, "poll_interval": 4,
            "nts_cookies": cookies, "name": name, "address": address, "id": 1
        })
    }

    /// As 1.4 has it, shortened.
    fn observed(leap: &str, sources: Vec<Value>) -> Value {
        let system = json!({ "stratum": 3, "reference_id": 1, "leap_indicator": leap, "root_delay": 0.01, "root_dispersion": 0.002 });
        json!({ "program": { "version": "1.4.0" }, "system": system, "sources": sources, "servers": [] })
    }

    #[test]
    fn its_servers_are_reported_with_their_addresses_and_a_path_is_a_clock() {
        let reported = reported(
            &observed(
                "NoWarning",
                vec![
                    source("ntp.example:123", "192.0.2.1:123", None),
                    source("many.example:123", "192.0.2.2:123", None),
                    source("many.example:123", "192.0.2.3:123", None),
                    source("/run/gpsd.sock", "/run/gpsd.sock", None),
                ],
            ),
            NOW,
        );
        let expected = ["ntp.example server 192.0.2.1:123", "many.example pool 192.0.2.2:123,192.0.2.3:123"];
        assert_eq!(described(&reported.servers), expected);
        assert_eq!((reported.others, reported.authority()), (1, None));
    }

    #[test]
    fn cookies_are_authentication_and_their_port_is_none_of_ntps() {
        let nts = source("nts.example:4460", "192.0.2.1:123", Some(8));
        let alone = reported(&observed("NoWarning", vec![nts.clone()]), NOW);
        assert_eq!(described(&alone.servers), ["nts://nts.example server "]);
        assert_eq!(alone.authority().unwrap().sources, ["nts.example"]);
        let beside = reported(&observed("NoWarning", vec![nts, source("a.example:123", "192.0.2.2:123", None)]), NOW);
        assert_eq!(beside.authority(), None);
    }

    #[test]
    fn what_it_makes_of_the_clock_is_that_of_its_nearest_source() {
        let mut near = source("near.example:123", "192.0.2.1:123", None);
        near["delay"] = json!(0.001);
        near["offset"] = json!(0.003);
        let claim =
            reported(&observed("Leap61", vec![source("far.example:123", "192.0.2.2:123", None), near]), NOW).claim;
        let claim = claim.unwrap();
        assert_eq!((claim.offset.as_nanos(), claim.leap), (3_000_000, Leap::Insert));
        assert_eq!(claim.root_distance, Duration::from_micros(4_000));
    }

    #[test]
    fn before_it_is_synchronised_it_makes_nothing_of_the_clock() {
        let sources = || vec![source("a.example:123", "192.0.2.1:123", None)];
        assert_eq!(reported(&observed("Unknown", sources()), NOW).claim, None);
        let mut never = sources();
        never[0]["last_update"] = json!({ "timestamp": 0 });
        assert_eq!(reported(&observed("NoWarning", never), NOW).claim, None);
        assert_eq!(reported(&json!({ "sources": [3, "x", {}] }), NOW).claim, None);
    }

    #[test]
    fn a_socket_is_read_to_its_end_and_what_is_no_json_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("observe");
        let listener = UnixListener::bind(&path).unwrap();
        let answers = std::thread::spawn(move || {
            for body in [
                observed("NoWarning", vec![source("a.example:123", "192.0.2.1:123", None)]).to_string(),
                "{".to_owned(),
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(&u64::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(body.as_bytes()).unwrap();
            }
        });
        assert_eq!(described(&ask(&path).unwrap().servers), ["a.example server 192.0.2.1:123"]);
        assert!(ask(&path).unwrap_err().contains("cannot parse"));
        answers.join().unwrap();
        assert!(ask(&path.with_extension("gone")).unwrap_err().contains("cannot ask ntpd-rs"));
    }

    #[test]
    fn the_socket_is_where_its_configuration_says() {
        let root = Path::new("/host");
        assert_eq!(socket(root, ""), Path::new("/host/run/ntpd-rs/observe"));
        let moved = "[observability]\nobservation-path = \"/var/run/x/observe\"\n";
        assert_eq!(socket(root, moved), Path::new("/host/var/run/x/observe"));
        assert_eq!(socket(root, "[["), Path::new("/host/run/ntpd-rs/observe"));
    }

    #[test]
    fn its_configured_sources_are_read_in_every_mode() {
        let text = "[[source]]\nmode = \"pool\"\naddress = \"ntpd-rs.pool.ntp.org\"\ncount = 4\n\n[[source]]\nmode = \"nts\"\n\
            address = \"nts.example:4460\"\n\n[[source]]\nmode = \"sock\"\npath = \"/run/x\"\n";
        let listed = configured(text);
        let names: Vec<_> = listed.servers.iter().map(|server| (server.name.to_string(), server.is_pool)).collect();
        assert_eq!(names, [("ntpd-rs.pool.ntp.org".to_owned(), true), ("nts.example".to_owned(), false)]);
        assert_eq!((listed.others, listed.plain, listed.authenticated), (1, 1, vec!["nts.example".to_owned()]));
        assert!(configured("[[source").is_empty() && configured("source = 3").is_empty());
    }
}
