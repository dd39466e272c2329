//! Whom a configuration names: the lines that ntp.conf(5), chrony.conf(5) and openntpd's ntpd.conf(5) share.

use super::sources::name;
use crate::reference::{NTP_PORT, Server};

/// What a configuration names.
#[derive(Debug, Default)]
pub struct Listed {
    /// Servers, pools and peers.
    pub servers: Vec<Server>,
    /// Reference clocks.
    pub others: usize,
    /// How many of the servers are asked without authentication.
    pub plain: usize,
    /// Those that are asked by NTS or with a key, by name.
    pub authenticated: Vec<String>,
    /// chronyd's command socket, or `/` for none (chrony.conf(5), `bindcmdaddress`).
    pub socket: Option<String>,
}

/// What a line says of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLine {
    /// Its name has many addresses.
    pub is_pool: bool,
    /// By NTS, or with a key.
    pub is_authenticated: bool,
}

impl Listed {
    /// Whether it names no source at all.
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.others == 0
    }

    /// Adds a server that is asked without authentication, where that is a name.
    pub fn add(&mut self, host: &str, port: u16) {
        self.take(host, port, ServerLine::default());
    }

    /// Adds the server of a line, where it names one.
    pub fn take(&mut self, host: &str, port: u16, line: ServerLine) {
        let Some(server) = name(host, port).map(Server::from) else { return };
        if line.is_authenticated {
            self.authenticated.push(host.to_owned());
        } else {
            self.plain += 1;
        }
        self.servers.push(Server { is_pool: line.is_pool || server.is_pool, ..server });
    }
}

/// Reads what chronyd, ntpsec, ntpd and openntpd read.
pub fn ntp_conf(text: &str) -> Listed {
    let mut listed = Listed::default();
    for line in text.lines() {
        // chrony's comments begin a line with any of these, ntpd's and openntpd's with `#` anywhere.
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with(['!', ';', '%']) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches('"')).collect();
        let Some((directive, rest)) = words.split_first() else { continue };
        // ntp.conf(5): which of the name's addresses to take.
        let rest = rest.strip_prefix(&["-4"]).or_else(|| rest.strip_prefix(&["-6"])).unwrap_or(rest);
        let (Some(first), options) = (rest.first(), rest) else { continue };
        let directive = directive.to_ascii_lowercase();
        match directive.as_str() {
            // The reference implementation's drivers; that of the undisciplined local clock knows nothing.
            "server" | "peer" if first.starts_with("127.127.1.") => {}
            "server" | "peer" if first.starts_with("127.127.") => listed.others += 1,
            "server" | "peer" | "pool" | "servers" => {
                let is_pool = matches!(directive.as_str(), "pool" | "servers");
                let is_authenticated = options.iter().any(|word| matches!(*word, "nts" | "key" | "autokey"));
                listed.take(first, port(options), ServerLine { is_pool, is_authenticated });
            }
            "refclock" | "sensor" => listed.others += 1,
            "bindcmdaddress" if first.starts_with('/') => listed.socket = Some((*first).to_owned()),
            _ => {}
        }
    }
    listed
}

fn port(options: &[&str]) -> u16 {
    let option = options.windows(2).find(|pair| pair[0].eq_ignore_ascii_case("port"));
    option.and_then(|pair| pair[1].parse().ok()).unwrap_or(NTP_PORT)
}

/// Reads what systemd-timesyncd reads, one text a file in its order: the servers of `NTP=`, else those of `FallbackNTP=`
/// (timesyncd.conf(5)). What it falls back to without either is built into it.
pub fn timesyncd_conf(texts: &[String]) -> Vec<Server> {
    let (mut servers, mut fallback): (Vec<Server>, Vec<Server>) = (vec![], vec![]);
    for line in texts.iter().flat_map(|text| text.lines()) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let list = match key.trim() {
            "NTP" => &mut servers,
            "FallbackNTP" => &mut fallback,
            _ => continue,
        };
        // An empty one takes back what was said before.
        if value.trim().is_empty() {
            list.clear();
        }
        list.extend(value.split_whitespace().filter_map(|host| name(host, NTP_PORT)).map(Server::from));
    }
    if servers.is_empty() { fallback } else { servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(listed: &Listed) -> Vec<String> {
        let of = |s: &Server| format!("{}{}", s.name, if s.is_pool { " pool" } else { "" });
        listed.servers.iter().map(of).collect()
    }

    #[test]
    fn servers_pools_and_peers_are_read_as_each_daemon_writes_them() {
        let chrony =
            ntp_conf("! no\n% server no.example\nServer a.example port 1123 iburst\npool b.example maxsources 2\n");
        assert_eq!(described(&chrony), ["a.example:1123", "b.example pool"]);
        let ntpsec =
            ntp_conf("driftfile /x # server no.example\npool -4 0.debian.pool.ntp.org iburst\npeer 2001:db8::1\n");
        assert_eq!(described(&ntpsec), ["0.debian.pool.ntp.org pool", "2001:db8::1"]);
        let openntpd =
            ntp_conf("servers \"c.example\"\nserver d.example weight 5\nconstraint from \"https://e.example\"\n");
        assert_eq!(described(&openntpd), ["c.example pool", "d.example"]);
        assert_eq!(described(&ntp_conf("server\nserver a/b\nserver 1.2.3.4 port 0x\npool")), ["1.2.3.4"]);
    }

    /// As Debian's package of ntpsec 1.2.2 has it.
    #[test]
    fn debians_ntpsec_asks_four_pools() {
        let text = "driftfile /var/lib/ntpsec/ntp.drift\nleapfile /usr/share/zoneinfo/leap-seconds.list\ntos maxclock 11\n\
            tos minclock 4 minsane 3\n# pool.ntp.org maps to about 1000 low-stratum NTP servers.\npool 0.debian.pool.ntp.org iburst\n\
            pool 1.debian.pool.ntp.org iburst\npool 2.debian.pool.ntp.org iburst\npool 3.debian.pool.ntp.org iburst\n\
            # server ntp.your-provider.example\nrestrict default kod nomodify nopeer noquery limited\nrestrict 127.0.0.1\n";
        let pools: Vec<String> = (0..4).map(|n| format!("{n}.debian.pool.ntp.org pool")).collect();
        assert_eq!(described(&ntp_conf(text)), pools);
    }

    #[test]
    fn servers_with_nts_or_a_key_are_authenticated() {
        let listed =
            ntp_conf("server a.example nts iburst\nserver b.example key 3\npool c.example\nrefclock shm unit 0\n");
        assert_eq!(
            (listed.authenticated.as_slice(), listed.plain),
            (&["a.example".to_owned(), "b.example".to_owned()][..], 1)
        );
    }

    #[test]
    fn reference_clocks_are_counted_and_the_local_clock_is_none() {
        assert_eq!(ntp_conf("refclock SHM 0\nrefclock PPS /dev/pps0\n").others, 2);
        assert_eq!(ntp_conf("server 127.127.28.0\nserver 127.127.1.0\nfudge 127.127.1.0 stratum 10\n").others, 1);
    }

    #[test]
    fn timesyncds_files_add_up_and_an_empty_line_takes_back() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            timesyncd_conf(&texts).iter().map(|server| server.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            read(&["[Time]\n#NTP=\nNTP=a.example 192.0.2.1\n", "NTP = 2001:db8::1"]),
            ["a.example", "192.0.2.1", "2001:db8::1"]
        );
        assert_eq!(read(&["NTP=a.example\nFallbackNTP=f.example\n", "NTP=\n"]), ["f.example"]);
        assert!(read(&["[Time]\n"]).is_empty());
    }
}
