//! Who is never frozen: what the configuration or a label excludes, and who keeps the clock or the network that we need to set
//! it right.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::about::About;
use super::container::{Container, Engine};
use super::tree::Place;
use crate::sys::foreign;

/// The label, or annotation, that exempts a container; the start gate knows it too.
pub const LABEL: (&str, &str) = ("clockgate.exempt", "true");

/// Programs by the name that the kernel keeps (at most 15 bytes), and the capability without which they are something else.
const KEEPERS: [(&str, u32); 9] = [
    ("chronyd", CAP_SYS_TIME),
    ("ntpd", CAP_SYS_TIME),
    ("ntp-daemon", CAP_SYS_TIME),
    ("systemd-timesyn", CAP_SYS_TIME),
    ("phc2sys", CAP_SYS_TIME),
    ("ptp4l", CAP_SYS_TIME),
    ("ts2phc", CAP_SYS_TIME),
    ("timemaster", CAP_SYS_TIME),
    ("gpsd", CAP_SYS_TIME),
];
/// The same for the network of Kubernetes, without which no server can be asked.
const NETWORKERS: [(&str, u32); 10] = [
    ("calico-node", CAP_NET_ADMIN),
    ("bird", CAP_NET_ADMIN),
    ("cilium-agent", CAP_NET_ADMIN),
    ("flanneld", CAP_NET_ADMIN),
    ("kube-router", CAP_NET_ADMIN),
    ("kube-proxy", CAP_NET_ADMIN),
    ("antrea-agent", CAP_NET_ADMIN),
    ("ovn-controller", CAP_NET_ADMIN),
    ("ovs-vswitchd", CAP_NET_ADMIN),
    ("weaver", CAP_NET_ADMIN),
];
/// linux/capability.h.
pub const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_TIME: u32 = 25;

/// A pattern of `freeze.exclude`: a container's name or id; its cgroup, if it begins with `/`; or `LABEL=VALUE`. In each, `*`
/// stands for anything and `?` for one character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Name(String),
    Cgroup(String),
    Label(String, String),
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() != text || text.is_empty() {
            return Err("is empty, or begins or ends with a blank");
        }
        if text.starts_with('/') {
            return Ok(Self(Form::Cgroup(text.to_owned())));
        }
        Ok(Self(match text.split_once('=') {
            Some(("", _)) => return Err("has no label before the `=`"),
            Some((label, value)) => Form::Label(label.to_owned(), value.to_owned()),
            None => Form::Name(text.to_owned()),
        }))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Name(glob) | Form::Cgroup(glob) => f.write_str(glob),
            Form::Label(label, value) => write!(f, "{label}={value}"),
        }
    }
}

impl Pattern {
    /// Whether it means this container.
    #[must_use]
    pub fn matches(&self, container: &Container, about: &About) -> bool {
        match &self.0 {
            Form::Name(glob) => matches(glob, &container.id) || about.name.iter().any(|name| matches(glob, name)),
            Form::Cgroup(glob) => matches(glob, &format!("/{}", container.cgroup.display())),
            Form::Label(label, value) => {
                about.labels.iter().any(|(key, text)| matches(label, key) && matches(value, text))
            }
        }
    }
}

/// Whether a label exempts the container.
#[must_use]
pub fn by_label(about: &About) -> bool {
    about.labels.iter().any(|(key, value)| (key.as_str(), value.as_str()) == LABEL)
}

/// Compares with a pattern of `*` and `?`, in time that grows with the product of the lengths at worst.
fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // Where the last star stands, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                g = at + 1;
                t = end + 1;
            }
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// A container that runs a program which keeps the clock, or the network that Kubernetes' nodes need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its cgroup, relative to the hierarchy.
    pub cgroup: PathBuf,
    /// The program.
    pub program: String,
    /// Whether it counts in Kubernetes' containers alone.
    kubernetes: bool,
}

impl Keeper {
    /// Whether it keeps this container from being frozen.
    #[must_use]
    pub fn is_in(&self, container: &Container) -> bool {
        self.cgroup == container.cgroup && (!self.kubernetes || container.engine == Engine::Kubernetes)
    }
}

/// Finds the containers that must run on. A process that goes while we look is passed over.
#[must_use]
pub fn keepers(proc_root: &Path, place: &Place) -> Vec<Keeper> {
    let ours = foreign::text(&proc_root.join("self/uid_map")).unwrap_or_default();
    let Ok(processes) = fs::read_dir(proc_root) else { return vec![] };
    let keeper = |process: PathBuf| {
        process.file_name()?.to_str()?.parse::<u32>().ok()?;
        let program = foreign::text(&process.join("comm")).ok()?.trim_end().to_owned();
        let named =
            |list: &[(&str, u32)]| list.iter().find(|(name, _)| *name == program).map(|(_, capability)| *capability);
        let (capability, kubernetes) = match named(&KEEPERS) {
            Some(capability) => (capability, false),
            None => (named(&NETWORKERS)?, true),
        };
        // In a user namespace of its own a capability reaches neither the host's clock nor its network.
        let is_of_the_host = foreign::text(&process.join("uid_map")).ok()? == ours;
        if !is_of_the_host || capabilities(&process, "CapEff")? >> capability & 1 == 0 {
            return None;
        }
        Some(Keeper { cgroup: place.container_of(&process)?, program, kubernetes })
    };
    processes.flatten().filter_map(|entry| keeper(entry.path())).collect()
}

/// The capabilities of a process: `CapEff`, `CapPrm` or another set that `status` shows (proc_pid_status(5)).
pub fn capabilities(process: &Path, set: &str) -> Option<u64> {
    let status = foreign::text(&process.join("status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(engine: Engine) -> Container {
        Container { engine, id: "3f2a".to_owned(), cgroup: PathBuf::from("docker/3f2a"), inode: 1 }
    }

    #[test]
    fn a_pattern_means_a_name_an_id_a_cgroup_or_a_label() {
        let about =
            About { name: Some("web-1".to_owned()), labels: vec![("com.example.tier".to_owned(), "vpn".to_owned())] };
        let means = |text: &str| text.parse::<Pattern>().unwrap().matches(&container(Engine::Docker), &about);
        for text in ["web-1", "web-?", "w*1", "3f*", "/docker/*", "/*/3f2a", "com.example.tier=vpn", "*.tier=*", "*"] {
            assert!(means(text), "{text}");
        }
        for text in ["web", "eb-1", "web-1?", "/docker", "docker/*", "com.example.tier=web", "tier=vpn"] {
            assert!(!means(text), "{text}");
        }
    }

    #[test]
    fn a_pattern_prints_as_it_was_written_and_nonsense_is_refused() {
        for text in ["web*", "/a/b", "k=v=w", "k="] {
            assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
        }
        for text in ["", " ", "web ", "=v"] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
        assert!(matches(&"*a".repeat(50), &"a".repeat(500)));
    }

    #[test]
    fn a_time_daemon_counts_where_it_may_set_this_clock() {
        let folder = tempfile::tempdir().unwrap();
        let process = |pid: &str, program: &str, capabilities: &str, map: &str, cgroup: &str| {
            let process = folder.path().join(pid);
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("comm"), format!("{program}\n")).unwrap();
            fs::write(process.join("status"), format!("Name:\tx\nCapEff:\t{capabilities}\n")).unwrap();
            fs::write(process.join("uid_map"), map).unwrap();
            fs::write(process.join("cgroup"), format!("3:freezer:/x\n0::/{cgroup}\n")).unwrap();
        };
        let id = |digit: &str| digit.repeat(64);
        let (host, userns) = ("0 0 4294967295\n", "0 100000 65536\n");
        process("self", "clockgate", "0", host, "");
        process("10", "chronyd", "0000000002000400", host, &format!("docker/{}/init", id("a")));
        process("11", "chronyd", "0000000000000400", host, &format!("docker/{}", id("b")));
        process("12", "chronyd", "000001ffffffffff", userns, &format!("docker/{}", id("c")));
        process("13", "chronyd", "000001ffffffffff", host, "system.slice/chrony.service");
        process("14", "nginx", "000001ffffffffff", host, &format!("docker/{}", id("d")));
        process("15", "flanneld", "0000000000001000", host, &format!("docker/{}", id("e")));
        let place = Place { folder: folder.path().to_owned(), prefix: PathBuf::new(), own: None, old_freezer: None };
        let mut found = keepers(folder.path(), &place);
        found.sort_by(|a, b| a.cgroup.cmp(&b.cgroup));
        let programs: Vec<&str> = found.iter().map(|keeper| keeper.program.as_str()).collect();
        assert_eq!(programs, ["chronyd", "flanneld"]);
        let within = |engine| Container { cgroup: found[1].cgroup.clone(), ..container(engine) };
        assert!(found[1].is_in(&within(Engine::Kubernetes)) && !found[1].is_in(&within(Engine::Docker)));
        assert!(found[0].is_in(&Container { cgroup: found[0].cgroup.clone(), ..container(Engine::Docker) }));
    }
}
