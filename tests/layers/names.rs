//! What is called how, and where a name of somebody else's may stand.

use std::collections::BTreeMap;

use crate::tree::{Source, Tree, types};

/// No two types have the same name.
pub fn equal(tree: &Tree) -> Vec<String> {
    let mut declared = BTreeMap::<&str, Vec<&str>>::new();
    for source in tree.ours() {
        for name in types(source.code()) {
            declared.entry(name).or_default().push(&source.path);
        }
    }
    let equal = declared.into_iter().filter(|(_, paths)| paths.len() > 1);
    equal.map(|(name, paths)| format!("{name} is declared in {}", paths.join(", "))).collect()
}

/// Where the name of a time daemon may stand in code: in the room that knows them, and in the keys that people configure.
const KNOWS_DAEMONS: [&str; 2] = ["daemon/", "config/"];

const DAEMONS: [&str; 10] =
    ["chrony", "timesync", "ntpd", "ntpsec", "ntp-daemon", "ntpctl", "connman", "phc2sys", "ptp4l", "timemaster"];

/// A time daemon's name stands in its room alone.
pub fn daemons(tree: &Tree) -> Vec<String> {
    let knows = |source: &&Source| KNOWS_DAEMONS.iter().any(|room| source.path.starts_with(room));
    let named = |line: &&str| DAEMONS.iter().any(|name| line.to_ascii_lowercase().contains(name));
    let strays = |source: &Source| {
        source.lines().filter(named).map(|line| format!("{}: {}", source.path, line.trim())).collect::<Vec<_>>()
    };
    tree.ours().filter(|source| !knows(source)).flat_map(strays).collect()
}

/// What engines, and what they write, are called.
const ENGINES: &[&str] = &[
    "docker",
    "podman",
    "libpod",
    "buildah",
    "containerd",
    "cri-o",
    "crio",
    "kube",
    "k8s",
    "k3s",
    "lxc",
    "nspawn",
    "moby",
];

/// Words of ours that have an engine's name in them: keys of the configuration, and sentences that explain one.
const SPOKEN_OF: &[(&str, &str)] = &[
    // Whose dates `explain --credentials` reads.
    ("cli/explain/credentials.rs", "KUBECONFIG"),
    ("cli/explain/credentials.rs", ".kube/config"),
    (
        "config/keys.rs",
        "The engines whose containers are frozen until the clock is proven. containerd: those of nerdctl and ctr. []: none.",
    ),
    ("config/value.rs", "[docker, podman]"),
    ("waiter/oci/settings.rs", "max-wait.docker"),
];

/// The texts in double quotes, as far as a line has them whole.
fn literals(source: &Source) -> Vec<&str> {
    source.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

/// Engines are known in `container` alone; the installer's targets are called as engines are.
pub fn engines(tree: &Tree) -> Vec<String> {
    let mut strays = vec![];
    let mut spoken_of: Vec<_> = SPOKEN_OF.to_vec();
    let knows =
        |source: &&Source| ["container", "installer"].contains(&source.room()) || source.path.ends_with("tests.rs");
    for source in tree.ours().filter(|source| !knows(source)) {
        for literal in literals(source) {
            let named = ENGINES.iter().any(|engine| literal.to_lowercase().contains(engine));
            match spoken_of.iter().position(|(file, words)| *file == source.path && *words == literal) {
                Some(at) => drop(spoken_of.remove(at)),
                None if named => strays.push(format!("{}: \"{literal}\"", source.path)),
                None => {}
            }
        }
    }
    strays.extend(spoken_of.iter().map(|(file, words)| format!("{file}: \"{words}\" is not there any more")));
    strays
}

/// Whoever owns a process says what some of its files hold, and how long they are: `sys::foreign` reads them.
pub fn files_of_others(tree: &Tree) -> Vec<String> {
    let files = ["\"comm\"", "\"cmdline\"", "\"status\"", "\"cgroup\"", "\"uid_map\"", "\"stat\"", "/proc/{"];
    let reads = |line: &&str| {
        ["fs::read", "read_to_string(", "File::open("].iter().any(|way| line.contains(way))
            && files.iter().any(|file| line.contains(file))
            && !line.contains("read_link")
            && !line.contains("read_dir")
    };
    let strays = |source: &Source| {
        source.lines().filter(reads).map(|line| format!("{}: {}", source.path, line.trim())).collect::<Vec<_>>()
    };
    tree.ours().flat_map(strays).collect()
}

/// Every file can be read in one sitting.
pub fn length(tree: &Tree) -> Vec<String> {
    let lines = tree.0.iter().map(|source| (&source.path, source.text.lines().count()));
    lines.filter(|(_, count)| *count > 400).map(|(path, count)| format!("{path} has {count} lines")).collect()
}
