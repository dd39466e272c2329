//! The servers to ask where none are configured: the daemon's own servers, the cloud's, a public pool.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::server::Server;
use super::server_name::{NTP_PORT, ServerName};

/// Where a list of servers comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServersOrigin {
    /// The running time daemon uses them.
    Daemon,
    /// The cloud that this machine runs in offers them.
    Cloud(&'static str),
    /// No configuration names any: the public pool.
    Pool,
    /// The running time daemon has sources, and none that we could ask: no server is asked beside it.
    DaemonAlone,
}

impl fmt::Display for ServersOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("the servers of the running time daemon"),
            Self::Cloud(name) => write!(f, "the servers of {name}"),
            Self::Pool => f.write_str("the public pool"),
            Self::DaemonAlone => {
                f.write_str("none: the running time daemon has only reference clocks, or sources that cannot be read")
            }
        }
    }
}

/// The servers to ask where the configuration names none; `root` is where `/sys` is found, `/` but for tests.
///
/// `of_the_daemon` are the running time daemon's servers, `others` counts its other sources: beside either no other server is asked.
/// A cloud's servers are asked alone: Google and Amazon smear leap seconds, the pool does not.
#[must_use]
pub fn servers(root: &Path, of_the_daemon: Vec<Server>, others: usize) -> (Vec<Server>, ServersOrigin) {
    if !of_the_daemon.is_empty() {
        return (of_the_daemon, ServersOrigin::Daemon);
    }
    if others > 0 {
        return (vec![], ServersOrigin::DaemonAlone);
    }
    let (servers, origin) = elsewhere(root);
    (servers.into_iter().map(Server::from).collect(), origin)
}

fn elsewhere(root: &Path) -> (Vec<ServerName>, ServersOrigin) {
    match of_the_cloud(root) {
        Some((name, servers)) => (servers, ServersOrigin::Cloud(name)),
        None => (named(&POOL), ServersOrigin::Pool),
    }
}

/// The cloud that this machine runs in, and the servers that it offers to its machines; none elsewhere.
#[must_use]
pub fn of_the_cloud(root: &Path) -> Option<(&'static str, Vec<ServerName>)> {
    CLOUDS.iter().find(|cloud| cloud.is_here(root)).map(|cloud| (cloud.name, cloud.servers()))
}

/// Each of the four names has other servers; only `2.` has IPv6. (A vendor that ships many of these has to ask the pool for a
/// zone of its own: <https://www.ntppool.org/vendors.html>.)
const POOL: [&str; 4] = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"];

struct Cloud {
    name: &'static str,
    /// The file below `/sys/class/dmi/id` that every user may read, and what it says.
    dmi: (&'static str, Says),
    addresses: &'static [IpAddr],
    names: &'static [&'static str],
}

enum Says {
    Just(&'static str),
    EndsIn(&'static str),
}

/// How the clouds are known is as in cloud-init's tools/ds-identify, without the files that only root may read.
const CLOUDS: [Cloud; 5] = [
    // docs.aws.amazon.com, "Set the time reference on your EC2 instance"; IPv6 on Nitro only.
    Cloud {
        name: "Amazon EC2",
        dmi: ("sys_vendor", Says::Just("Amazon EC2")),
        addresses: &[AMAZON, IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123))],
        names: &[],
    },
    // The older ones, on Xen: `4.11.amazon`.
    Cloud { name: "Amazon EC2", dmi: ("bios_version", Says::EndsIn(".amazon")), addresses: &[AMAZON], names: &[] },
    // cloud.google.com, "Configure NTP on a VM": metadata.google.internal, whose address is always this one; a name would
    // have to be resolved.
    Cloud {
        name: "Google Compute Engine",
        dmi: ("product_name", Says::Just("Google Compute Engine")),
        addresses: &[METADATA],
        names: &[],
    },
    // docs.oracle.com, "Configuring the Oracle Cloud Infrastructure NTP Service for an Instance".
    Cloud {
        name: "Oracle Cloud",
        dmi: ("chassis_asset_tag", Says::Just("OracleCloud.com")),
        addresses: &[METADATA],
        names: &[],
    },
    // alibabacloud.com, "Alibaba Cloud NTP server", the names inside a VPC.
    Cloud {
        name: "Alibaba Cloud",
        dmi: ("product_name", Says::Just("Alibaba Cloud ECS")),
        addresses: &[],
        names: &[
            "ntp.cloud.aliyuncs.com",
            "ntp7.cloud.aliyuncs.com",
            "ntp8.cloud.aliyuncs.com",
            "ntp10.cloud.aliyuncs.com",
        ],
    },
];

const AMAZON: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123));
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

impl Cloud {
    fn is_here(&self, root: &Path) -> bool {
        let (file, says) = &self.dmi;
        // No DMI at all is not a known cloud: a container without /sys, a board without firmware tables.
        let text = fs::read_to_string(root.join("sys/class/dmi/id").join(file)).unwrap_or_default();
        match says {
            Says::Just(all) => text.trim() == *all,
            Says::EndsIn(end) => text.trim().ends_with(end),
        }
    }

    fn servers(&self) -> Vec<ServerName> {
        let addresses = self.addresses.iter().map(|ip| ServerName::numeric(*ip, NTP_PORT));
        addresses.chain(named(self.names)).collect()
    }
}

fn named(names: &[&str]) -> Vec<ServerName> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decision::Policy;
    use crate::reference::References;
    use crate::sys::clock::boottime;

    fn found(file: &str, text: &str) -> (Vec<String>, ServersOrigin) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/dmi/id");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
        let (servers, origin) = servers(root.path(), vec![], 0);
        (servers.iter().map(|server| server.name.to_string()).collect(), origin)
    }

    #[test]
    fn each_cloud_is_known_by_its_firmware() {
        let amazon = found("sys_vendor", "Amazon EC2\n");
        assert_eq!(amazon.0, ["169.254.169.123", "fd00:ec2::123"]);
        assert_eq!(found("bios_version", "4.11.amazon\n").0, ["169.254.169.123"]);
        assert_eq!(found("product_name", "Google Compute Engine\n").0, ["169.254.169.254"]);
        assert_eq!(found("chassis_asset_tag", "OracleCloud.com\n").0, ["169.254.169.254"]);
        let alibaba = found("product_name", "Alibaba Cloud ECS\n");
        assert_eq!((alibaba.0.len(), alibaba.1), (4, ServersOrigin::Cloud("Alibaba Cloud")));
    }

    #[test]
    fn elsewhere_it_is_the_pool() {
        let (servers, origin) = found("sys_vendor", "QEMU\n");
        assert_eq!((servers.len(), origin), (4, ServersOrigin::Pool));
        assert_eq!(servers[2], "2.pool.ntp.org");
        assert_eq!(super::servers(Path::new("/nonexistent"), vec![], 0).1, ServersOrigin::Pool);
    }

    #[test]
    fn the_daemons_servers_come_first_and_beside_its_reference_clocks_no_server_is_asked() {
        let own = vec![Server::from("ntp.example".parse::<ServerName>().unwrap())];
        for others in [0, 1] {
            assert_eq!(servers(Path::new("/"), own.clone(), others), (own.clone(), ServersOrigin::Daemon));
        }
        assert_eq!(servers(Path::new("/"), vec![], 1), (vec![], ServersOrigin::DaemonAlone));
    }

    #[test]
    fn without_a_server_to_ask_an_exchange_ends_at_once_without_a_reading() {
        let none = References::new(Vec::<Server>::new());
        none.refresh();
        let measured = none.measure(Duration::from_secs(20));
        assert!(measured.readings.is_empty() && measured.waiting.is_empty(), "{measured:?}");
        assert!(measured.agreement(&Policy::default(), boottime()).is_err());
    }
}
