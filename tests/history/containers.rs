//! What a real agent writes of containers that it froze, held and released, under each value of `history.containers`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use clockgate::decision::Offset;
use clockgate::history::FOLDER;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::cgroups::{Cgroups, id};
use crate::support::agent::CONFIG;
use crate::support::host::HostFolder;
use crate::support::liar::Liar;
use crate::support::{CLOCKGATE, Ours, until};
use crate::{SOON, agent, history, is_open, records};

/// No other container on this machine is called so.
const NAME: &str = "a-marker-for-names";

/// A host whose hierarchy of cgroups is a test's own, with a container of Docker's in it.
struct ContainerHost {
    host: HostFolder,
    truth: Liar,
    _cgroups: Cgroups,
}

impl ContainerHost {
    fn new(naming: &str) -> Self {
        let mut cgroups = Cgroups::new().unwrap();
        cgroups.container(&format!("docker/{}", id(1))).unwrap();
        let truth = Liar::here(Offset::ZERO).unwrap();
        let mount = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", cgroups.folder.display());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let named = format!(r#"{{"Name": "/{NAME}"}}"#);
        let docker = format!("var/lib/docker/containers/{}/config.v2.json", id(1));
        let host = HostFolder::new(&[
            ("var/lib/clockgate/.keep", ""),
            ("proc/self/mountinfo", &mount),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/sys/kernel/random/boot_id", &boot),
            (&docker, &named),
        ]);
        let host = Self { host: host.unwrap(), truth, _cgroups: cgroups };
        host.configure(naming);
        host
    }

    fn configure(&self, naming: &str) {
        let server = self.truth.address();
        let text = format!("servers: ['{server}']\ncorrection: none\nhistory: {{containers: {naming}}}\n");
        self.host.put(CONFIG, &text).unwrap();
    }

    fn notify(&self, what: &str) {
        let mut notify = Command::new(CLOCKGATE);
        let said = notify.args(["notify", what, "--wait", "--bus"]).arg(self.host.at("run/clockgate/bus")).output();
        assert!(said.as_ref().is_ok_and(|said| said.status.success()), "{said:?}");
    }

    /// A sleep that freezes, and a wake-up that thaws; until that is written.
    fn sleep_and_wake(&self) {
        let before = self.of("thawed").len();
        self.notify("suspend");
        self.notify("resume");
        until("the thaw is recorded", SOON, || self.of("thawed").len() > before).unwrap();
    }

    fn of(&self, event: &str) -> Vec<Value> {
        records(&self.host).into_iter().filter(|record| record["event"] == event).collect()
    }

    fn file(&self) -> String {
        fs::read_to_string(self.host.at(FOLDER).join("events.jsonl")).unwrap()
    }

    /// A wrapper around a container's start, which waits at the page of this host.
    fn start(&self, container: &str) -> Ours {
        let wrapper = self.host.at("clockgate-true");
        if !wrapper.exists() {
            symlink(env!("CARGO_BIN_EXE_clockgate-oci"), &wrapper).unwrap();
        }
        let page = self.host.at("run/clockgate/public");
        let settings = format!("page = {}\nruntime = /bin/true\nsyslog = /nowhere\n", page.display());
        self.host.put("clockgate-true.conf", &settings).unwrap();
        let bundle = self.bundle();
        let mut create = Command::new(&wrapper);
        create.args(["create", "--bundle"]).arg(bundle).arg(container).stderr(Stdio::null());
        Ours::spawn(&mut create).unwrap()
    }

    fn bundle(&self) -> std::path::PathBuf {
        let named = json!({ "annotations": { "nerdctl/name": NAME } });
        let bundle = "run/io.containerd.runtime.v2.task/default/a";
        self.host.put(&format!("{bundle}/config.json"), &named.to_string()).unwrap();
        self.host.at(bundle)
    }
}

fn lists(records: &[Value], field: &str) -> Vec<Value> {
    records.iter().map(|record| record[field].clone()).collect()
}

pub fn frozen() {
    let host = ContainerHost::new("names");
    let agent = agent(&host.host);
    until("the gate opens", SOON, || is_open(&host.host)).unwrap();
    host.sleep_and_wake();
    let named = json!([{ "engine": "docker", "id": id(1), "name": NAME }]);
    for event in ["frozen", "thawed"] {
        assert_eq!(lists(&host.of(event), "frozen_containers"), std::slice::from_ref(&named), "{event}");
    }
    let line = format!("frozen=1 of=1 containers=\"{NAME} (docker {})\"", &id(1)[..12]);
    assert!(history(&host.host, &[]).contains(&line), "{}", history(&host.host, &[]));

    // From a reload on, and not for what is written already.
    for (naming, listed) in [("ids", json!([{ "engine": "docker", "id": id(1) }])), ("none", Value::Null)] {
        host.configure(naming);
        let reloads = || crate::log(&host.host).matches("configuration reloaded").count();
        let before = (reloads(), host.file().len(), host.of("frozen").len());
        kill(agent.pid(), Signal::SIGHUP).unwrap();
        until("it is reloaded", SOON, || reloads() > before.0).unwrap();
        host.sleep_and_wake();
        let new = &host.file()[before.1..];
        assert!(!new.contains(NAME), "{new}");
        assert_eq!(new.contains(&id(1)[..12]), naming == "ids", "{new}");
        let frozen = &host.of("frozen")[before.2..];
        assert_eq!((lists(frozen, "frozen_containers"), lists(frozen, "frozen")), (vec![listed], vec![json!(1)]));
    }
    assert!(crate::log(&host.host).contains(&line), "the log names it in any case");
}

pub fn held() {
    for (naming, listed) in [
        ("names", Some(json!({ "engine": "containerd", "id": "started-by-a-test", "name": NAME }))),
        ("ids", Some(json!({ "engine": "containerd", "id": "started-by-a-test" }))),
        ("none", None),
    ] {
        let host = ContainerHost::new(naming);
        let _agent = agent(&host.host);
        until("the gate opens", SOON, || is_open(&host.host)).unwrap();
        host.notify("suspend");
        let mut start = host.start("started-by-a-test");
        let comm =
            || fs::read_to_string(Path::new("/proc").join(start.0.id().to_string()).join("comm")).unwrap_or_default();
        until("the wrapper runs", SOON, || comm() == "clockgate-true\n").unwrap();
        // While it waits something happens at the shut gate, and it is looked for.
        until("it is recorded as held", SOON, || {
            host.notify("suspend");
            host.of("gate-shut").iter().any(|record| record["held"].as_u64() >= Some(1))
        })
        .unwrap();
        host.notify("resume");
        until("it is released", SOON, || start.0.try_wait().is_ok_and(|status| status.is_some())).unwrap();
        until("that is recorded", SOON, || host.of("gate-open").len() == 2).unwrap();
        // Other tests may have starts of their own that are held.
        let ours = |record: &Value, field: &str| {
            record[field].as_array().into_iter().flatten().find(|one| one["id"] == "started-by-a-test").cloned()
        };
        let opened = &host.of("gate-open")[1];
        assert_eq!(ours(opened, "released_containers"), listed, "{opened}");
        assert!(opened["released"].as_u64() >= Some(1), "{opened}");
        let held: Vec<Value> =
            host.of("gate-shut").iter().filter_map(|record| ours(record, "held_containers")).collect();
        assert_eq!(held.first(), listed.as_ref());
        let may_have = [(NAME, naming == "names"), ("started-by-a-test", naming != "none")];
        for (text, wanted) in may_have {
            assert_eq!(host.file().contains(text), wanted, "{naming}: {text} in {}", host.file());
        }
    }
}
