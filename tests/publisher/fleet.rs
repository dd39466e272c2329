//! Many nodes, each with a publisher of its own, a page of its own and the certificate of its kubelet, and one API server, which counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::decision::Snapshot;
use clockgate::sys::clock::realtime;
use clockgate::sys::nap;
use serde_json::Value;

use crate::audit::{Audit, Request};
use crate::cluster::{Cluster, audit_name};
use crate::publisher::Publisher;
use crate::support::{Outcome, ensure, section, until_answered};
use crate::{proven_in, restored};

const NODES: usize = 30;
const NODES_AT_NIGHT: usize = 1000;
const NAME: &str = "fleet-";
const CONDITION: &str = "clockgate.org/ClockTrusted";

/// Ten times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longer than a publisher waits before it writes what has happened, or tries again for the first time.
const QUIET: Duration = Duration::from_secs(15);
/// The first heartbeat after a change comes no earlier, and from then on as many come as always.
const FIRST_HEARTBEATS: Duration = Duration::from_secs(150);
const PERIOD: Duration = Duration::from_secs(300);

/// What was measured.
struct Measured {
    nodes: usize,
    /// Writes of the condition by a node, at most.
    at_start: usize,
    in_storm: usize,
    events_in_storm: usize,
    busiest_second: usize,
    idle_after: Duration,
    shortest_pause: Duration,
    not_done: BTreeMap<u64, usize>,
    loads: Vec<f64>,
    /// In the five minutes without a change.
    heartbeats: Option<usize>,
}

pub fn storm(cluster: &mut Cluster, program: &Path) -> Outcome {
    let is_night = std::env::var_os("CLOCKGATE_NIGHT").is_some();
    let mut fleet = Fleet::start(cluster, program, if is_night { NODES_AT_NIGHT } else { NODES })?;
    let mut loads = vec![load()];
    fleet.until_each_wrote("the first condition of each", Duration::ZERO)?;
    fleet.until_quiet()?;
    let at_start = fleet.writes_of_a_node(Duration::ZERO, false)?;
    loads.push(load());

    let began = now();
    fleet.pages_say(|| restored(2))?;
    fleet.until_each_wrote("False of each", began)?;
    fleet.all_are(cluster, "False")?;
    loads.push(load());
    let opened = now();
    fleet.pages_say(|| proven_in(2))?;
    fleet.until_each_wrote("True of each", opened)?;
    fleet.until_quiet()?;
    fleet.all_are(cluster, "True")?;
    loads.push(load());
    let in_storm = fleet.since(began)?;
    let last = in_storm.iter().map(|request| request.at).max().unwrap_or_default();

    let mut measured = Measured {
        nodes: fleet.nodes.len(),
        at_start,
        in_storm: fleet.writes_of_a_node(began, false)?,
        events_in_storm: fleet.writes_of_a_node(began, true)?,
        busiest_second: busiest_second(&in_storm),
        idle_after: last.saturating_sub(opened),
        shortest_pause: Duration::MAX,
        not_done: BTreeMap::new(),
        loads,
        heartbeats: None,
    };
    if is_night {
        let from = opened + FIRST_HEARTBEATS;
        while now() < from + PERIOD {
            nap(Duration::from_secs(1));
            if now() > from {
                measured.loads.push(load());
            }
        }
        let all = fleet.since(from)?;
        measured.heartbeats = Some(all.iter().filter(|request| request.at < from + PERIOD).count());
    }
    measured.judge(&fleet.since(Duration::ZERO)?)
}

/// The publishers, and what the server wrote of them.
struct Fleet {
    nodes: Vec<Publisher>,
    audit: Audit,
}

impl Fleet {
    fn start(cluster: &Cluster, program: &Path, count: usize) -> Outcome<Self> {
        let names: Vec<String> = (0..count).map(|number| format!("{NAME}{number}")).collect();
        names.iter().try_for_each(|name| cluster.join(name))?;
        let audit = Audit::follow(&cluster.folder().join(audit_name(cluster.api.port)), NAME)?;
        let start = |name: &String| {
            let kubeconfig: PathBuf = cluster.kubeconfig(name, cluster.api.port)?;
            Publisher::start(program, &kubeconfig, &proven_in(1))
        };
        Ok(Self { nodes: names.iter().map(start).collect::<Outcome<_>>()?, audit })
    }

    fn pages_say(&mut self, what: impl Fn() -> Snapshot) -> Outcome {
        self.nodes.iter_mut().try_for_each(|node| node.page_says(&what()))
    }

    /// The requests that the server got from then on.
    fn since(&mut self, from: Duration) -> Outcome<Vec<Request>> {
        Ok(self.audit.read()?.iter().filter(|request| request.at >= from).copied().collect())
    }

    /// Waits until each node has written its condition since then.
    fn until_each_wrote(&mut self, what: &str, from: Duration) -> Outcome {
        let count = self.nodes.len();
        let mut missing = count;
        let is_so = || {
            // The machine is for the nodes.
            nap(Duration::from_millis(200));
            let mut has_written = vec![false; count];
            for request in self.since(from)?.iter().filter(|request| !request.is_event && request.is_done()) {
                has_written[request.node] = true;
            }
            missing = has_written.iter().filter(|has_written| !**has_written).count();
            Ok((missing == 0).then_some(()))
        };
        until_answered(what, PATIENCE, is_so).map_err(|failed| format!("{failed:?}: {missing} nodes have not").into())
    }

    /// Waits until there was no request for a while.
    fn until_quiet(&mut self) -> Outcome {
        until_answered("no requests any more", PATIENCE, || {
            nap(Duration::from_millis(200));
            let last = self.audit.read()?.iter().map(|request| request.at).max().unwrap_or_default();
            Ok((now().saturating_sub(last) > QUIET).then_some(()))
        })
    }

    /// How many conditions or events the node with the most of them has written since then.
    fn writes_of_a_node(&mut self, from: Duration, is_event: bool) -> Outcome<usize> {
        let mut counts = vec![0_usize; self.nodes.len()];
        for request in self.since(from)?.iter().filter(|request| request.is_event == is_event) {
            counts[request.node] += 1;
        }
        Ok(counts.into_iter().max().unwrap_or_default())
    }

    /// What the server says of the nodes.
    fn all_are(&self, cluster: &Cluster, expected: &str) -> Outcome {
        let nodes = cluster.api.admin("GET", "/api/v1/nodes", &Value::Null)?;
        let has_it = |node: &&Value| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|one| one["type"] == CONDITION && one["status"] == expected)
        };
        let is_ours = |node: &&Value| node["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(NAME));
        let nodes = nodes["items"].as_array().into_iter().flatten().filter(is_ours);
        let found = nodes.filter(has_it).count();
        ensure(found == self.nodes.len(), format!("{found} of {} nodes are {expected}", self.nodes.len()))
    }
}

impl Measured {
    fn judge(mut self, all: &[Request]) -> Outcome {
        self.shortest_pause = shortest_pause(all);
        for request in all.iter().filter(|request| !request.is_done()) {
            *self.not_done.entry(request.status).or_default() += 1;
        }
        let table = self.table();
        println!("{table}");
        ensure(self.at_start == 1, format!("a node wrote {} times at its start", self.at_start))?;
        ensure(self.in_storm <= 2, format!("a node wrote {} times in the storm", self.in_storm))?;
        ensure(self.events_in_storm <= 1, format!("a node wrote {} events in the storm", self.events_in_storm))?;
        ensure(self.idle_after <= Duration::from_secs(90), format!("idle after {:?} only", self.idle_after))?;
        ensure(self.shortest_pause >= Duration::from_secs(1), format!("a pause of {:?}", self.shortest_pause))?;
        let Some(heartbeats) = self.heartbeats else { return Ok(()) };
        // A node writes once in the period; one of a whole number is at its edges.
        ensure(heartbeats.abs_diff(self.nodes) <= self.nodes / 20, format!("{heartbeats} writes in {PERIOD:?}"))?;
        section::write("docs/kubernetes.md", "fleet", "tests/night fleet", &table)
    }

    fn table(&self) -> String {
        let secs = |length: Duration| format!("{:.2} s", length.as_secs_f64());
        let not_done: Vec<String> =
            self.not_done.iter().map(|(status, count)| format!("{count} of {status}")).collect();
        let not_done = if not_done.is_empty() { "none".to_owned() } else { not_done.join(", ") };
        // Each node once in the time between two heartbeats.
        let steady = format!("{:.2}", self.nodes as f64 / PERIOD.as_secs_f64());
        let mut rows = vec![
            ("writes of its condition by a node at its start, at most", "1", self.at_start.to_string()),
            ("the same in the storm", "2", self.in_storm.to_string()),
            ("events by a node in the storm, at most", "1", self.events_in_storm.to_string()),
            ("from the open gate to the last request of the storm", "90 s", secs(self.idle_after)),
            ("between two requests of a node, at least", "1 s", secs(self.shortest_pause)),
        ];
        if let Some(heartbeats) = self.heartbeats {
            let rate = heartbeats as f64 / PERIOD.as_secs_f64();
            rows.push((
                "writes in a second by all nodes, over five minutes without a change",
                &steady,
                format!("{rate:.2}"),
            ));
        }
        rows.push(("requests in the busiest second of the storm", "", self.busiest_second.to_string()));
        rows.push(("requests that were not answered with a success, by status", "", not_done));
        let least = self.loads.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.loads.iter().copied().fold(0.0, f64::max);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        rows.push((
            "load of the machine, nodes and server together",
            "",
            format!("{least:.1} to {most:.1} on {cores} cores"),
        ));
        let rows: String = rows.iter().map(|(what, bound, is)| format!("| {what} | {bound} | {is} |\n")).collect();
        format!("| {} nodes | bound | measured |\n|---|---:|---:|\n{rows}", self.nodes)
    }
}

fn busiest_second(requests: &[Request]) -> usize {
    let mut moments: Vec<Duration> = requests.iter().map(|request| request.at).collect();
    moments.sort();
    let until = |from: Duration| moments.partition_point(|at| *at < from + Duration::from_secs(1));
    moments.iter().enumerate().map(|(i, from)| until(*from) - i).max().unwrap_or_default()
}

fn shortest_pause(requests: &[Request]) -> Duration {
    let mut moments: Vec<(usize, Duration)> = requests.iter().map(|request| (request.node, request.at)).collect();
    moments.sort();
    let pairs = moments.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    pairs.map(|pair| pair[1].1 - pair[0].1).min().unwrap_or(Duration::MAX)
}

/// The time as the server's log has it.
fn now() -> Duration {
    Duration::from_nanos(realtime().as_nanos().unsigned_abs())
}

/// Over the last minute.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
