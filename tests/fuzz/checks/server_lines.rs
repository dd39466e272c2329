//! Whom the configurations of time daemons name: no more servers than were written, each a name that is read again as itself, and
//! files that follow one another add up.

use clockgate::daemon::server_lines::{Listed, ntp_conf, timesyncd_conf};
use clockgate::daemon::{busybox, connman, ntpd_rs, process::Process};
use clockgate::reference::{Server, ServerName};

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    lines(text);
    assignments(text);
    let named = ntpd_rs::configured(text);
    assert_counted(&named, text.matches("address").count());
    let process = Process { arguments: text.split_whitespace().map(str::to_owned).collect(), ..Process::default() };
    let peers = busybox::configured(&process, "");
    assert!(peers.servers.len() <= process.arguments.iter().filter(|word| *word == "-p").count());
    assert_named(&peers.servers);
}

fn lines(text: &str) {
    let listed = ntp_conf(text);
    assert_counted(&listed, text.lines().count());
    assert!(listed.socket.as_ref().is_none_or(|socket| socket.starts_with('/') && text.contains(socket.as_str())));
    let twice = ntp_conf(&format!("{text}\n{text}"));
    assert_eq!((twice.servers, twice.socket), ([&listed.servers[..], &listed.servers].concat(), listed.socket));
    assert_eq!((twice.others, twice.plain), (2 * listed.others, 2 * listed.plain));
    let commented = ntp_conf(&text.lines().map(|line| format!(" #{line}\n")).collect::<String>());
    assert!(commented.is_empty() && commented.socket.is_none(), "{commented:?}");
}

/// timesyncd.conf and connman.conf: `KEY=` with nothing behind it takes back what was said.
fn assignments(text: &str) {
    let servers = timesyncd_conf(&[text.to_owned()]);
    assert_named(&servers);
    let half = text.match_indices('\n').nth(text.lines().count() / 2).map_or(text.len(), |(at, _)| at + 1);
    let (first, second) = text.split_at(half);
    assert_eq!(timesyncd_conf(&[first.to_owned(), second.to_owned()]), servers, "in two files");
    assert!(timesyncd_conf(&[text.to_owned(), "NTP=\nFallbackNTP=\n".to_owned()]).is_empty());
    let listed = connman::configured(text);
    assert_counted(&listed, text.len());
    assert!(connman::configured(&format!("{text}\nFallbackTimeservers=\n")).is_empty());
}

fn assert_counted(listed: &Listed, most: usize) {
    assert_eq!(listed.plain + listed.authenticated.len(), listed.servers.len());
    assert!(listed.servers.len() <= most, "{} of {most}", listed.servers.len());
    assert_named(&listed.servers);
}

/// Each is read again as what it is written as.
pub fn assert_named(servers: &[Server]) {
    for Server { name, .. } in servers {
        assert_eq!(name.to_string().parse::<ServerName>().as_ref(), Ok(name));
        assert!(
            !name.host().is_empty() && !name.to_string().contains(|c: char| c.is_control() || c == ' '),
            "{name:?}"
        );
    }
}
