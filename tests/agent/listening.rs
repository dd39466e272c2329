//! What others can reach of a running agent.

use std::fs;

use clockgate::decision::Offset;

use super::{Host, proven};
use crate::support::Outcome;
use crate::support::liar::Liar;

/// Sockets of its own that others can reach: of the unix domain those that listen, of the network all that are not connected.
pub fn own_socket() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    let mut reachable = vec![];
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{}/fd", agent.pid()))?
        .filter_map(|entry| {
            fs::read_link(entry.ok()?.path()).ok()?.to_str()?.strip_prefix("socket:[").map(str::to_owned)
        })
        .map(|inode| inode.trim_end_matches(']').to_owned())
        .collect();
    let is_its_own = |inode: Option<&&str>| inode.is_some_and(|inode| sockets.iter().any(|own| own == inode));
    for table in ["unix", "tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"] {
        let text = fs::read_to_string(format!("/proc/{}/net/{table}", agent.pid())).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match table {
                // Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON.
                "unix" if is_its_own(words.get(6)) && words[3] == "00010000" => reachable.push(words[7].to_owned()),
                "unix" => {}
                // sl local remote st ... inode; a question's socket is connected to its server.
                _ if is_its_own(words.get(9)) && words[2].ends_with(":0000") => reachable.push(line.to_owned()),
                _ => {}
            }
        }
    }
    // The kernel keeps the name that it was bound by, before it was put in its place.
    let own = format!("{}.{}.new", host.0.path().join("bus").display(), agent.pid());
    assert_eq!(reachable, [own], "{sockets:?}");
    Ok(())
}
