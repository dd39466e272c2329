//! The keys: one line each says where it belongs, what may stand there, and what it does.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::raw::{Node, Value};
use super::value::Place;
use super::{Config, Fault, Loaded, Origin};
use crate::reference::ServerName;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name from the outermost mapping: `max-step.forward`.
    pub name: &'static str,
    /// What it does, for the sample and the manual.
    pub does: &'static str,
    place: for<'a> fn(&'a mut Config) -> Place<'a>,
}

impl Key {
    /// Its value in this configuration, as it would be written in a file.
    #[must_use]
    pub fn print(&self, config: &Config) -> String {
        (self.place)(&mut config.clone()).print()
    }

    /// What may be written there, in words.
    #[must_use]
    pub fn allows(&self) -> String {
        (self.place)(&mut Config::default()).allows()
    }
}

/// Every key, in the order of the sample; those of one section stand together.
pub static KEYS: [Key; 34] = [
    Key {
        name: "threshold",
        does: "The gate opens when the clock is proven to be wrong by no more than this.",
        place: |c| Place::Duration(&mut c.policy.threshold, MS, HOUR),
    },
    Key {
        name: "max-drift-ppm",
        does: "How fast the clock may go wrong between two measurements, in parts per million. A proof lasts until the \
               error that is possible meets the threshold.",
        place: |c| Place::Ppm(&mut c.policy.max_drift_ppm, 1, 10_000),
    },
    Key {
        name: "min-references",
        does: "How many references have to answer before any is believed. A majority of those that answer must agree.",
        place: |c| Place::Count(&mut c.policy.min_references, 1, 16),
    },
    Key {
        name: "correction",
        does: "Who corrects the clock. auto: clockgate steps it, and leaves it to the time daemon where the daemon's \
               sources are authenticated. clockgate: always clockgate. daemon: always the daemon. none: nobody on \
               clockgate's word; the gate waits.",
        place: |c| Place::Correction(&mut c.policy.correction),
    },
    Key {
        name: "max-step.forward",
        does: "The largest step forward on the word of one reference, when the length of a sleep, a restore or the first \
               start speaks for it. Two references that agree are believed without limit.",
        place: |c| Place::Duration(&mut c.policy.max_forward, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "max-step.unsupported",
        does: "The largest step forward on the word of one reference, when nothing else speaks for it.",
        place: |c| Place::Duration(&mut c.policy.max_unsupported, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "max-step.backward",
        does: "The largest step backward on the word of one reference.",
        place: |c| Place::Duration(&mut c.policy.max_backward, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "deadline",
        does: "How long the gate may stay shut before at-deadline applies.",
        place: |c| Place::Duration(&mut c.policy.deadline, SEC, YEAR),
    },
    Key {
        name: "at-deadline.unreachable",
        does: "At the deadline, when nobody who counts has answered and nothing that is known says that the clock is wrong. \
               open: open, publish the clock as unproven, and shut again the moment a reference disagrees. hold: stay shut.",
        place: |c| Place::AtDeadline(&mut c.policy.unreachable),
    },
    Key {
        name: "at-deadline.imprecise",
        does: "At the deadline, when the answers agree with the clock and cannot tell to within the threshold.",
        place: |c| Place::AtDeadline(&mut c.policy.imprecise),
    },
    Key {
        name: "at-deadline.wrong",
        does: "At the deadline, when the clock is known to be wrong, by an answer or by what is known without asking \
               (dead reckoning from the last proof, the RTC, a time that has certainly passed), and could not be made right.",
        place: |c| Place::AtDeadline(&mut c.policy.wrong),
    },
    Key {
        name: "undo-foreign-steps",
        does: "Whether a step that somebody else made is undone by dead reckoning, where no reference answers and the last \
               proof would still be valid. The gate then opens without a proof.",
        place: |c| Place::Switch(&mut c.policy.undo_foreign_steps),
    },
    Key {
        name: "sleep-deadline",
        does: "How long a sleep that was announced is believed when it does not come.",
        place: |c| Place::Duration(&mut c.policy.sleep_deadline, SEC.saturating_mul(5), HOUR),
    },
    Key {
        name: "remeasure.min",
        does: "The shortest time between two measurements while all is well, unless the proof ends sooner.",
        place: |c| Place::Duration(&mut c.policy.remeasure_min, SEC, DAY),
    },
    Key {
        name: "remeasure.max",
        does: "The longest time between two measurements while all is well.",
        place: |c| Place::Duration(&mut c.policy.remeasure_max, SEC, DAY),
    },
    Key {
        name: "servers",
        does: "NTP servers to ask. Empty: those of the running time daemon, else those of the cloud, else a public pool.",
        place: |c| Place::Servers(&mut c.servers),
    },
    Key {
        name: "measure-timeout",
        does: "How long one exchange may take. It is waited out only where nobody answers: once somebody has, a server is waited \
               for three times the largest of its last eight delays, 300 ms at least, and 1 s if it was never heard, until \
               that was in vain three times while others answered. Never longer \
               than the deadline.",
        place: |c| Place::Duration(&mut c.measure_timeout, MS.saturating_mul(10), SEC.saturating_mul(30)),
    },
    Key {
        name: "page",
        does: "The folder of the gate page; what containers mount.",
        place: |c| Place::Path(&mut c.page),
    },
    Key {
        name: "bus.system",
        does: "Whether org.clockgate.Agent1 is served on the system bus.",
        place: |c| Place::Switch(&mut c.bus.system),
    },
    Key {
        name: "bus.peer",
        does: "The socket on which the same object is served without a bus; the command line uses it.",
        place: |c| Place::Socket(&mut c.bus.peer),
    },
    Key {
        name: "clockbound.enabled",
        does: "Whether ClockBound's page is written too, for programs that ask ClockBound. Not where ClockBound itself runs.",
        place: |c| Place::Switch(&mut c.clockbound.enabled),
    },
    Key {
        name: "clockbound.path",
        does: "The file that ClockBound's clients read.",
        place: |c| Place::Path(&mut c.clockbound.path),
    },
    Key { name: "chrony.socket", does: "chronyd's command socket.", place: |c| Place::Socket(&mut c.chrony.socket) },
    Key {
        name: "chrony.udp",
        does: "chronyd's command port, read from where the socket is closed to us; none: never.",
        place: |c| Place::Address(&mut c.chrony.udp),
    },
    Key {
        name: "timesyncd.set-ntp",
        does: "Whether, after a step, timedated may be asked to start the time daemon that this host is set up for, where none runs.",
        place: |c| Place::Switch(&mut c.timesyncd.set_ntp),
    },
    Key {
        name: "vsock.enabled",
        does: "Whether the hypervisor is listened to on a vsock port: what it does to this machine, and what time it is.",
        place: |c| Place::Switch(&mut c.vsock.enabled),
    },
    Key { name: "vsock.port", does: "The port.", place: |c| Place::Count(&mut c.vsock.port, 1, 4_294_967_294) },
    Key {
        name: "vsock.peer",
        does: "Whose word counts there, by its number on vsock (CID). 2: the hypervisor. 3: the parent instance of a Nitro \
               enclave. 1: any program of this machine itself, which is for laboratories.",
        place: |c| Place::Count(&mut c.vsock.peer, 1, 4_294_967_294),
    },
    Key {
        name: "freeze.engines",
        does: "Whose containers are frozen until the clock is proven. containerd: those of nerdctl and ctr. []: nobody's.",
        place: |c| Place::Engines(&mut c.freeze.engines),
    },
    Key {
        name: "freeze.exclude",
        does: "Containers that run on: a name or an id; a cgroup, if it begins with /; LABEL=VALUE. * stands for anything, ? \
               for one character. The label clockgate.exempt=true excludes too. Time daemons, what a node needs to run, and virtual \
               machines in containers are never frozen.",
        place: |c| Place::Patterns(&mut c.freeze.exclude),
    },
    Key {
        name: "freeze.max",
        does: "How long containers stay frozen at the most, time asleep not counted. They are thawed then, whatever the clock.",
        place: |c| Place::Duration(&mut c.freeze.max, SEC, HOUR),
    },
    Key {
        name: "freeze.carriers",
        does: "Containers that carry the network (the host's network namespace and CAP_NET_ADMIN: a VPN, a network plugin, \
               a resolver that has both). thaw: they are thawed first where no reference can be reached, for the road may run through them. never: \
               they are treated as all others.",
        place: |c| Place::Carriers(&mut c.policy.thaw_carriers),
    },
    Key {
        name: "freeze.wave-size",
        does: "How many containers are thawed together, so that not everything that became due is done at once. 0: all.",
        place: |c| Place::Count(&mut c.freeze.wave_size, 0, 100_000),
    },
    Key {
        name: "freeze.wave-pause",
        does: "The time between two such waves.",
        place: |c| Place::Duration(&mut c.freeze.wave_pause, MS, SEC.saturating_mul(10)),
    },
];

/// Keys of earlier versions, and what they are called today.
const RENAMED: [(&str, &str); 2] =
    [("at-deadline.nobody-to-ask", "at-deadline.unreachable"), ("at-deadline.asked-and-wrong", "at-deadline.wrong")];

type Two = fn(&Config) -> (Duration, Duration);

/// Pairs of keys of which the first may not exceed the second.
const ORDERED: [(&str, &str, Two); 2] = [
    ("remeasure.min", "remeasure.max", |c| (c.policy.remeasure_min, c.policy.remeasure_max)),
    ("max-step.unsupported", "max-step.forward", |c| (c.policy.max_unsupported, c.policy.max_forward)),
];

/// Takes the keys of one file over what earlier files said.
pub(super) fn take(node: Node, file: &Path, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    Taking { file, loaded, faults }.section("", node);
}

/// Finds values that are right by themselves and do not go together.
pub(super) fn check_together(loaded: &Loaded, faults: &mut Vec<Fault>) {
    for (lesser, greater, values) in ORDERED {
        let (less, more) = values(&loaded.config);
        let known = |key: &str| faults.iter().any(|fault| fault.key.as_deref() == Some(key));
        if less <= more || known(lesser) || known(greater) {
            continue;
        }
        let (key, origin) = match (loaded.origins.get(lesser), loaded.origins.get(greater)) {
            (_, Some(origin)) => (greater, Some(origin)),
            (origin, None) => (lesser, origin),
        };
        let [less, more] = [less, more].map(crate::duration::print);
        faults.push(Fault {
            file: origin.map_or_else(Default::default, |o| o.file.clone()),
            line: origin.map(|o| o.line),
            key: Some(key.to_owned()),
            what: format!("{lesser} is {less} and may not exceed {greater}, which is {more}"),
        });
    }
    let (wanted, named) = (loaded.config.policy.min_references, &loaded.config.servers);
    // A clock of the hypervisor's may be one more, and a pool is as many as answer.
    let is_enough = named.is_empty() || wanted <= named.len() + 1 || named.iter().any(ServerName::is_pool);
    if let Some(origin) = loaded.origins.get("min-references").filter(|_| !is_enough) {
        faults.push(Fault {
            file: origin.file.clone(),
            line: Some(origin.line),
            key: Some("min-references".to_owned()),
            what: format!(
                "{wanted} are wanted and servers names {}: no exchange could ever have enough answers",
                named.len()
            ),
        });
    }
}

struct Taking<'a> {
    file: &'a Path,
    loaded: &'a mut Loaded,
    faults: &'a mut Vec<Fault>,
}

impl Taking<'_> {
    /// Takes a mapping whose keys begin with `prefix`, which is empty or ends in a dot.
    fn section(&mut self, prefix: &str, node: Node) {
        let Value::Map(entries) = node.value else {
            let what = format!("a mapping is wanted here: {}", within(prefix).join(", "));
            return self.fault(node.line, prefix.strip_suffix('.'), what);
        };
        for (name, node) in entries {
            let full = current(format!("{prefix}{name}"));
            // A dot in a name would let `a.b` stand for `b` within `a`: one key, one way to write it.
            let plain = !name.contains('.');
            if let Some(key) = KEYS.iter().find(|key| plain && key.name == full) {
                self.key(key, &node);
            } else if plain && KEYS.iter().any(|key| key.name.starts_with(&format!("{full}."))) {
                self.section(&format!("{full}."), node);
            } else {
                self.fault(node.line, Some(&full), unknown(prefix, &full));
            }
        }
    }

    fn key(&mut self, key: &'static Key, node: &Node) {
        match (key.place)(&mut self.loaded.config).take(&node.value) {
            Ok(()) => {
                let origin = Origin { file: self.file.to_owned(), line: node.line };
                self.loaded.origins.insert(key.name, origin);
            }
            Err(wrong) => {
                for (line, what) in wrong {
                    self.fault(line.unwrap_or(node.line), Some(key.name), what);
                }
            }
        }
    }

    fn fault(&mut self, line: u64, key: Option<&str>, what: String) {
        let line = (line > 0).then_some(line);
        self.faults.push(Fault { file: self.file.to_owned(), line, key: key.map(str::to_owned), what });
    }
}

/// A key by the name that it has today; the names of earlier versions are read as well.
fn current(name: String) -> String {
    RENAMED.iter().find(|(was, _)| *was == name).map_or(name, |(_, is)| (*is).to_owned())
}

/// The names that a section may hold.
fn within(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.name.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(name, _)| name))
        .collect();
    names.dedup();
    names
}

fn unknown(prefix: &str, full: &str) -> String {
    let mut what = String::from("unknown key");
    let near = KEYS.iter().map(|key| (distance(full, key.name), key.name)).min();
    if let Some((0, name)) = near {
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let _ = write!(what, "; it is written `{section}: {{{key}: ...}}`");
    } else if let Some((1..=3, name)) = near {
        let _ = write!(what, "; {name} is one");
    } else {
        let _ = write!(what, "; known here: {}", within(prefix).join(", "));
    }
    what
}

/// How many letters have to be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
