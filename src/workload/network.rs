//! Who carries the host's network, and whether it leads anywhere: a VPN, a resolver, a relay of NTP and a network plugin can be
//! containers too, and a road through one that is frozen leads nowhere.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::sys::foreign;
use crate::sys::process_status::{Capability, ProcessStatus};

/// RTF_UP and RTF_REJECT of linux/route.h. The routes of an interface that is down are not in the tables at all.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;
/// How long a prefix still means nearly everywhere: a VPN lays halves of IPv4's addresses over the default route, and of IPv6's
/// `2000::/3`, all that IANA has given out.
const DEFAULT_BITS: (u32, u32) = (1, 3);
/// Tables longer than this are those of a router, and are not read to their end.
const TABLE_MAX: u64 = 1 << 20;

/// Whether a default route is up in the network that our questions go out by.
#[must_use]
pub fn has_a_way_out(proc_root: &Path) -> bool {
    let is_in = |table: &str, is_default: fn(&str) -> Option<bool>| {
        let mut bytes = vec![];
        let file = File::open(proc_root.join("self/net").join(table));
        let read = file.and_then(|file| file.take(TABLE_MAX).read_to_end(&mut bytes));
        let is_long = read.is_ok_and(|length| length as u64 == TABLE_MAX);
        is_long || String::from_utf8_lossy(&bytes).lines().any(|line| is_default(line).unwrap_or(false))
    };
    is_in("route", is_default_4) || is_in("ipv6_route", is_default_6)
}

/// Iface Destination Gateway Flags RefCnt Use Metric Mask, numbers in hexadecimal (net/ipv4/fib_trie.c); the head has no flags.
fn is_default_4(line: &str) -> Option<bool> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (flags, mask) = (hex(fields.get(3)?)?, hex(fields.get(7)?)?);
    Some(mask.count_ones() <= DEFAULT_BITS.0 && leads_on(flags, fields.first()?))
}

/// Destination, its length, source, its length, next hop, metric, two counts, flags, interface (net/ipv6/route.c).
fn is_default_6(line: &str) -> Option<bool> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (length, flags) = (hex(fields.get(1)?)?, hex(fields.get(8)?)?);
    Some(length <= DEFAULT_BITS.1 && leads_on(flags, fields.get(9)?))
}

/// The kernel has a default route of its own, which refuses, where IPv6 has none.
fn leads_on(flags: u32, interface: &str) -> bool {
    flags & UP != 0 && flags & REJECT == 0 && interface != "lo"
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

/// The host's network: the namespaces of a process that has to do with it, as far as `/proc` shows them without CAP_SYS_PTRACE,
/// which the agent has not: the links in `ns/` of a process with more capabilities than ours are closed to us.
#[derive(Debug)]
pub struct Network {
    proc_root: PathBuf,
    homes: Vec<Home>,
}

/// A network namespace, and the user namespace in which a capability reaches it (network_namespaces(7), user_namespaces(7)).
#[derive(Debug, PartialEq, Eq)]
struct Home {
    /// The inode of a file that each network namespace has its own of (proc_register in fs/proc/generic.c gives no number twice).
    network: u64,
    /// The map of the user namespace. One that maps everything as the host does would be taken for the host's: then a container too
    /// many is thawed.
    user: String,
}

impl Network {
    /// That of process 1, and our own, which is the same but for an agent in a container.
    #[must_use]
    pub fn of_the_host(proc_root: &Path) -> Self {
        let homes = ["self", "1"].iter().filter_map(|process| home(&proc_root.join(process))).collect();
        Self { proc_root: proc_root.to_owned(), homes }
    }

    /// Whether a process may carry it: it lives in it, with CAP_NET_ADMIN in effect or at hand. The files that are read take no
    /// lock of the process (`cmdline`, `environ` and `maps` would).
    #[must_use]
    pub fn is_carried_by(&self, process: u32) -> bool {
        let process = self.proc_root.join(process.to_string());
        let may = |status: ProcessStatus| {
            [status.effective(), status.permitted()].into_iter().flatten().any(|set| set.has(Capability::NetAdmin))
        };
        home(&process).is_some_and(|home| self.homes.contains(&home)) && ProcessStatus::read(&process).is_ok_and(may)
    }
}

/// None where the process has ended.
fn home(process: &Path) -> Option<Home> {
    let network = fs::metadata(process.join("net/dev")).ok()?.ino();
    Some(Home { network, user: foreign::text(&process.join("uid_map")).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    const LINK: &str = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const NONE_6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
         00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    fn leads_out(route: &str, route_6: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("self/net")).unwrap();
        fs::write(folder.path().join("self/net/route"), format!("{HEAD}{route}")).unwrap();
        fs::write(folder.path().join("self/net/ipv6_route"), route_6).unwrap();
        has_a_way_out(folder.path())
    }

    #[test]
    fn a_default_route_leads_out_and_so_do_the_halves_of_a_vpn() {
        assert!(leads_out("eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", ""));
        assert!(leads_out("tun0\t00000080\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", ""));
        let default_6 = NONE_6.replace("00200200       lo", "00450003     eth0");
        assert!(leads_out("", &format!("{NONE_6}{default_6}")));
        assert!(leads_out(&LINK.repeat(1 << 15), ""), "a router's table");
    }

    #[test]
    fn a_link_a_refusal_and_an_empty_table_lead_nowhere() {
        assert!(!leads_out(LINK, NONE_6));
        assert!(!leads_out("*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", ""));
        assert!(!has_a_way_out(Path::new("/nonexistent")));
    }

    #[test]
    fn who_lives_in_the_host_s_network_and_may_change_it_carries_it() {
        let folder = tempfile::tempdir().unwrap();
        let process = |pid: &str, network: &str, user: &str, capabilities: &str| {
            let process = folder.path().join(pid);
            fs::create_dir_all(process.join("net")).unwrap();
            let dev = folder.path().join(format!("dev-{network}"));
            fs::write(&dev, "").unwrap();
            std::os::unix::fs::symlink(dev, process.join("net/dev")).unwrap();
            fs::write(process.join("uid_map"), format!("0 {user} 65536\n")).unwrap();
            fs::write(process.join("status"), format!("Name:\tx\n{capabilities}\n")).unwrap();
        };
        let (may, may_not) = ("CapPrm:\t0000000000001000\nCapEff:\t0000000000001000", "CapPrm:\t0\nCapEff:\t0");
        let at_hand = "CapPrm:\t0000000000001000\nCapEff:\t0000000000000000";
        process("self", "9", "1", may_not);
        process("1", "8", "1", may);
        for (pid, network, user, capabilities) in [
            ("10", "8", "1", may),
            ("11", "9", "1", at_hand),
            ("12", "8", "1", may_not),
            ("13", "7", "1", may),
            ("14", "8", "2", may),
        ] {
            process(pid, network, user, capabilities);
        }
        let network = Network::of_the_host(folder.path());
        let carries: Vec<u32> = (10..=15).filter(|pid| network.is_carried_by(*pid)).collect();
        assert_eq!(carries, [10, 11]);
    }
}
