//! Three agents, a node_exporter that reads the textfile of one of them, and both versions of Prometheus beside an Alertmanager.

use std::time::Duration;

use clockgate::decision::Offset;

use crate::alertmanager::{Alertmanager, Notice};
use crate::shipped;
use crate::support::agent::Agent;
use crate::support::host::HostFolder;
use crate::support::liar::{Liar, Manner};
use crate::support::prometheus::{Prometheus, SUITES, free_port, hasty_rules, program};
use crate::support::{Ours, harmless, until};

/// Far more than anything here takes.
pub const SOON: Duration = Duration::from_secs(60);

/// All of them; each ends with what is dropped.
#[derive(Debug)]
pub struct Fleet {
    pub agents: Vec<Scraped>,
    /// The server that all agents ask.
    pub server: Liar,
    /// A server that the first agent asks too, and that never answers.
    _silent: Liar,
    pub node: String,
    pub alertmanager: Alertmanager,
    pub servers: Vec<Prometheus>,
    _exporter: Ours,
    _folder: tempfile::TempDir,
}

/// An agent, and where it is scraped.
#[derive(Debug)]
pub struct Scraped {
    pub agent: Agent,
    pub instance: String,
}

impl Fleet {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Liar::here(Offset::ZERO).unwrap();
        let silent = Liar::here_as(Manner::default().silent()).unwrap();
        let agents = (0..3).map(|number| {
            let more = if number == 0 { format!(", '{}'", silent.address()) } else { String::new() };
            Scraped::start(&format!("servers: ['{}'{more}]", server.address()))
        });
        let agents: Vec<Scraped> = agents.collect();
        let node = format!("127.0.0.1:{}", free_port().unwrap());
        let mut exporter = harmless(program("bookworm", "prometheus-node-exporter"));
        exporter.args(["--collector.disable-defaults", "--collector.time", "--collector.stat", "--collector.textfile"]);
        exporter.arg(format!("--collector.textfile.directory={}", agents[0].agent.host.at("textfile").display()));
        exporter.arg(format!("--web.listen-address={node}"));
        let exporter = Ours::logged(&mut exporter, &folder.path().join("exporter")).unwrap();
        let alertmanager = Alertmanager::start();
        let rules = folder.path().join("rules.yaml");
        hasty_rules(&shipped::text(shipped::RULES).unwrap(), &rules).unwrap();
        let instances: Vec<String> = agents.iter().map(|one| format!("'{}'", one.instance)).collect();
        let servers = SUITES.map(|suite| {
            let config = format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, external_labels: {{server: {suite}}}}}\n\
                 rule_files: ['{}']\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]}}\n\
                 scrape_configs:\n\
                 - {{job_name: clockgate, static_configs: [{{targets: [{}]}}]}}\n\
                 - {{job_name: node, static_configs: [{{targets: ['{node}']}}]}}\n",
                rules.display(),
                alertmanager.port,
                instances.join(", ")
            );
            Prometheus::start(suite, &config).unwrap()
        });
        Self {
            agents,
            server,
            _silent: silent,
            node,
            alertmanager,
            servers: servers.into(),
            _exporter: exporter,
            _folder: folder,
        }
    }

    /// Waits until both servers give this answer to a query, by instance.
    pub fn when(&self, what: &str, query: &str, is_so: impl Fn(&str, f64) -> bool) {
        for server in &self.servers {
            let all = || {
                let found = server.query(query);
                found.len() == self.agents.len() + 1
                    && found.iter().all(|one| is_so(one.label("instance"), one.points[0].1))
            };
            let came = until(what, SOON, all);
            assert!(came.is_ok(), "{came:?}: {:?}\n{}", server.query(query), server.log());
        }
    }

    /// Waits until this alert arrives from each server, of each of these instances, as the last that was said of it.
    pub fn arrives(&self, alert: &str, instances: &[String], is_firing: bool) -> Notice {
        let last = |instance: &str| {
            let all = self.alertmanager.received();
            all.into_iter().rev().find(|one| one.alert == alert && one.instance == instance)
        };
        let is_last = || instances.iter().all(|instance| last(instance).is_some_and(|one| one.is_firing == is_firing));
        let came = until(alert, SOON, is_last);
        let said = self.alertmanager.received();
        let said: Vec<_> = said.iter().map(|one| (one.is_firing, &one.alert, &one.instance)).collect();
        assert!(came.is_ok(), "{alert}, {is_firing}: {said:?}\n{}", self.alertmanager.log());
        last(&instances[0]).unwrap()
    }

    /// Every instance that is scraped.
    pub fn instances(&self) -> Vec<String> {
        self.agents.iter().map(|one| &one.instance).chain([&self.node]).cloned().collect()
    }
}

impl Scraped {
    /// One that measures each second, whose proofs last some seconds, and that gives up after one.
    fn start(servers: &str) -> Self {
        let instance = format!("127.0.0.1:{}", free_port().unwrap());
        let config = format!(
            "{servers}\ncorrection: none\ndeadline: 1s\nmeasure-timeout: 500ms\nremeasure: {{min: 1s, max: 1s}}\n\
             threshold: 100ms\nmax-drift-ppm: 10000\n\
             metrics: {{listen: '{instance}', textfile: /textfile/clockgate.prom}}\n"
        );
        let labels = r#"{"Config": {"Labels": {"clockgate.tolerance": "60s"}}}"#;
        let container = format!("{:064}", 7);
        let files = [
            ("textfile/.keep", ""),
            ("proc/self/cgroup", "0::/elsewhere\n"),
            (&format!("cgroup/docker/{container}/cgroup.procs"), ""),
            (&format!("var/lib/docker/containers/{container}/config.v2.json"), labels),
        ];
        let host = HostFolder::new(&files).unwrap();
        // The hierarchy of a host with one container.
        let mount = format!("1 1 0:1 / {} rw - cgroup2 cgroup2 rw\n", host.at("cgroup").display());
        host.put("proc/self/mountinfo", &mount).unwrap();
        let agent = Agent::start_on(host, &config).unwrap();
        Self { agent, instance }
    }
}
