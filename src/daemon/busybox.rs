//! BusyBox' ntpd, which answers no queries and takes no orders: its servers are in its arguments, else in its file.

use super::process::Process;
use super::server_lines::{Listed, ntp_conf};
use crate::reference::{Server, ServerName};

/// Whether an ntpd is BusyBox': by its own name, or by a peer among its arguments, where others have a file.
pub fn is(process: &Process) -> bool {
    let called = process.arguments.first().is_some_and(|program| program.rsplit('/').next() == Some("busybox"));
    called || peers(process).next().is_some()
}

/// Whom it asks; `file` is `/etc/ntp.conf`, which it reads where no argument names a peer.
pub fn configured(process: &Process, file: &str) -> Listed {
    let mut listed = Listed::default();
    listed.servers.extend(peers(process).filter_map(|peer| peer.parse::<ServerName>().ok()).map(Server::from));
    if listed.is_empty() { ntp_conf(file) } else { listed }
}

/// `-p [keyno:N:]PEER` in several; elsewhere `-p` is the file with the process's number.
fn peers(process: &Process) -> impl Iterator<Item = &str> {
    process.values("-p").filter(|value| !value.contains('/')).map(unkeyed)
}

fn unkeyed(value: &str) -> &str {
    match value.splitn(3, ':').collect::<Vec<_>>().as_slice() {
        ["keyno", _, peer] => peer,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(arguments: &str) -> Process {
        let arguments = arguments.split(' ').map(str::to_owned).collect();
        Process { comm: "ntpd".to_owned(), arguments, unit: None, is_the_hosts: true }
    }

    #[test]
    fn it_is_known_by_its_name_or_its_arguments() {
        for busybox in ["busybox ntpd", "/bin/busybox ntpd -n", "ntpd -N -p pool.ntp.org", "ntpd -n -p 192.0.2.1"] {
            assert!(is(&process(busybox)), "{busybox}");
        }
        for other in
            ["/usr/sbin/ntpd -p /run/ntpd.pid -c /etc/ntpsec/ntp.conf -g -N -u ntpsec:ntpsec", "ntpd -f /etc/ntpd.conf"]
        {
            assert!(!is(&process(other)), "{other}");
        }
    }

    #[test]
    fn its_peers_are_its_servers_and_its_file_counts_only_without_them() {
        let names = |arguments: &str, file: &str| {
            let listed = configured(&process(arguments), file);
            listed.servers.iter().map(|server| server.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            names("ntpd -p pool.ntp.org -p keyno:1:192.0.2.1", "server no.example\n"),
            ["pool.ntp.org", "192.0.2.1"]
        );
        assert_eq!(names("ntpd", "server a.example\n"), ["a.example"]);
    }
}
