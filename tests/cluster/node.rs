//! The node and its control plane: each a real program, started as on a machine.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::page::Page;
use serde_json::{Value, json};

use crate::api::Api;
use crate::authority::Authority;
use crate::support::agent::CONFIG;
use crate::support::host::HostFolder;
use crate::support::liar::{Answer, Liar};
use crate::support::{CLOCKGATE, Ours, Outcome, clockgate, ensure, expect, harmless, laboratory, small, texts, until};
use crate::world;

/// Ten times what anything here takes on an idle machine.
pub const SOON: Duration = Duration::from_secs(160);
pub const NAME: &str = "node-1";
/// Where pods are in the hierarchy of cgroup2.
pub const UNIFIED: &str = "/sys/fs/cgroup/unified";

const PORT: u16 = 6443;
/// NRI as docs/kubernetes.md has it switched on, and no wrapper.
const CONTAINERD: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/library/node:latest"
[plugins."io.containerd.nri.v1.nri"]
  disable = false
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#;
/// The handlers beside runc.
pub const CRUN: &str = "crun";
pub const GVISOR: &str = "gvisor";
/// gVisor as dockerd has it, by containerd's shim for runc. At a start it makes a process that would keep the standard output open whose end
/// this shim waits for, so what a pod prints goes nowhere.
const RUNSC: &str = r#"#!/bin/sh
case " $* " in *" start "*) exec >/dev/null 2>&1 ;; esac
exec "LAB/handlers/usr/bin/runsc" --network=none "$@"
"#;

/// What runs; each ends with it.
pub struct Node {
    pub api: Api,
    pub truth: Liar,
    pub host: HostFolder,
    folder: PathBuf,
    publisher: Option<Ours>,
    kubelet: Option<Ours>,
    scheduler: Option<Ours>,
    controllers: Option<Ours>,
    gate: Option<Ours>,
    containerd: Option<Ours>,
    server: Option<Ours>,
    _etcd: Ours,
    agent: Option<Ours>,
}

impl Node {
    /// Until the node is ready, with an open gate.
    pub fn start(folder: &Path) -> Outcome<Self> {
        let authority = Authority::new(folder)?;
        authority.signs_server("server", &["localhost", "127.0.0.1"], 0)?;
        authority.signs_client("admin", "admin", "system:masters")?;
        authority.signs_client("scheduler", "system:kube-scheduler", "")?;
        authority.signs_client("controllers", "system:kube-controller-manager", "")?;
        authority.signs_client("kubelet", &format!("system:node:{NAME}"), "system:nodes")?;
        for name in ["admin", "scheduler", "controllers", "kubelet"] {
            kubeconfig(folder, name)?;
        }
        let mut etcd = program("etcd");
        etcd.args(["--unsafe-no-fsync", "--data-dir"]).arg(folder.join("etcd"));
        let etcd = Ours::logged(&mut etcd, &folder.join("etcd.log"))?;
        let truth = Liar::here(Offset::ZERO)?;
        let mut node = Self {
            api: Api { address: Ipv4Addr::LOCALHOST, port: PORT, folder: folder.to_owned() },
            host: host(&truth)?,
            truth,
            folder: folder.to_owned(),
            _etcd: etcd,
            publisher: None,
            kubelet: None,
            scheduler: None,
            controllers: None,
            gate: None,
            containerd: None,
            server: None,
            agent: None,
        };
        node.start_agent()?;
        node.start_server()?;
        for (name, slot) in [("kube-scheduler", "scheduler"), ("kube-controller-manager", "controllers")] {
            let mut command = program(name);
            command.args(["--leader-elect=false", "--kubeconfig"]).arg(node.at(&format!("{slot}.conf")));
            if slot == "controllers" {
                // Each has the rights that it needs by an account of its own.
                command.arg("--use-service-account-credentials=true");
                command.arg("--service-account-private-key-file").arg(node.at("admin.key"));
            }
            let started = Ours::logged(&mut command, &node.at(&format!("{slot}.log")))?;
            if slot == "scheduler" { node.scheduler = Some(started) } else { node.controllers = Some(started) }
        }
        node.start_containerd()?;
        node.import_image()?;
        node.start_gate()?;
        node.start_kubelet()?;
        node.until_ready()?;
        node.opens()?;
        Ok(node)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn public(&self) -> PathBuf {
        self.host.at("run/clockgate/public")
    }

    pub fn gate(&self) -> Option<Gate> {
        Page::open(&self.public()).ok().map(|page| page.read().gate)
    }

    /// A disruption after which nothing can be measured.
    pub fn shuts(&self) -> Outcome {
        self.truth.change(|manner| manner.answer = Answer::Silence);
        self.sleeps()?;
        until("the gate is shut", SOON, || self.gate() == Some(Gate::Shut))
    }

    /// What it ends by.
    pub fn opens(&self) -> Outcome {
        self.truth.change(|manner| manner.answer = Answer::Time);
        self.sleeps()?;
        until("the gate is proven", SOON, || self.gate() == Some(Gate::Proven))
    }

    /// A resume without a suspend before it may be the last one, said twice.
    fn sleeps(&self) -> Outcome {
        self.notify(&["suspend", "--wait"])?;
        self.notify(&["resume"])
    }

    pub fn notify(&self, words: &[&str]) -> Outcome {
        let mut notify = Command::new(CLOCKGATE);
        let output = notify.arg("notify").args(words).arg("--bus").arg(self.host.at("run/clockgate/bus")).output()?;
        expect(output.status.success(), &output)
    }

    /// What `kubectl` prints.
    pub fn kubectl(&self, words: &[&str]) -> Outcome<String> {
        let mut kubectl = program("kubectl");
        let output = kubectl.arg("--kubeconfig").arg(self.at("admin.conf")).args(words).output()?;
        expect(output.status.success(), &output)?;
        Ok(texts(&output).0)
    }

    /// Of the log of a program.
    pub fn says(&self, log: &str, times: usize, words: &str) -> Outcome {
        let text = || fs::read_to_string(self.at(log)).unwrap_or_default();
        until(&format!("`{words}` in {log}"), SOON, || text().matches(words).count() >= times)
            .map_err(|failed| format!("{failed:?}: {}", text()).into())
    }

    pub fn start_agent(&mut self) -> Outcome {
        self.agent = None;
        let mut agent = clockgate();
        agent.args(["agent", "--root"]).arg(self.host.path()).env_remove("CLOCKGATE_SERVERS");
        self.agent = Some(Ours::logged(&mut agent, &self.at("agent.log"))?);
        until("the agent starts", SOON, || self.notify(&["resume"]).is_ok())
    }

    pub fn start_gate(&mut self) -> Outcome {
        self.gate = None;
        let program = self.at("clockgate-nri");
        if !program.exists() {
            symlink(env!("CARGO_BIN_EXE_clockgate-nri"), &program)?;
            fs::write(self.at("clockgate-nri.conf"), format!("page = {}\n", self.public().display()))?;
        }
        let before =
            fs::read_to_string(self.at("gate.log")).unwrap_or_default().matches("connected to containerd").count();
        self.gate = Some(Ours::logged(&mut harmless(program), &self.at("gate.log"))?);
        self.says("gate.log", before + 1, "connected to containerd")
    }

    pub fn start_publisher(&mut self) -> Outcome {
        let program = small::build_of("clockgate-kubernetes", &["--bins"])?.into_iter().next().ok_or("no program")?;
        let mut publisher = harmless(program);
        publisher.arg("--kubeconfig").arg(self.at("kubelet.conf")).args(["--node", NAME, "--page"]).arg(self.public());
        self.publisher = Some(Ours::logged(&mut publisher, &self.at("publisher.log"))?);
        Ok(())
    }

    pub fn start_server(&mut self) -> Outcome {
        self.server = None;
        let at = |name: &str| self.at(name).display().to_string();
        let mut command = program("kube-apiserver");
        command.args([
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            format!("--secure-port={PORT}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=10.77.0.1".to_owned(),
            format!("--tls-cert-file={}", at("server.crt")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--client-ca-file={}", at("ca.crt")),
            format!("--service-account-key-file={}", at("admin.crt")),
            format!("--service-account-signing-key-file={}", at("admin.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            // Without it a pod takes no token, which would have to be asked for.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-cluster-ip-range=10.77.1.0/24".to_owned(),
        ]);
        self.server = Some(Ours::logged(&mut command, &self.at("server.log"))?);
        until("the API server", SOON, || {
            let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node";
            ["/readyz", role].iter().all(|path| self.api.admin("GET", path, &Value::Null).is_ok())
        })
    }

    pub fn start_containerd(&mut self) -> Outcome {
        self.containerd = None;
        let lab = fs::canonicalize(laboratory::folder())?;
        fs::create_dir_all("/etc/cni/net.d")?;
        // A node is ready where there is a network; the pods here have the host's.
        let network = json!({ "cniVersion": "0.4.0", "name": "none", "plugins": [{ "type": "loopback" }] });
        fs::write("/etc/cni/net.d/10-none.conflist", network.to_string())?;
        let config = self.at("containerd.toml");
        let handlers = [(CRUN, lab.join("handlers/crun")), (GVISOR, self.runsc(&lab)?)];
        fs::write(&config, CONTAINERD.to_owned() + &handlers.map(|(name, program)| handler(name, &program)).concat())?;
        let mut containerd = harmless(lab.join("dockerds/trixie/containerd"));
        containerd.arg("--config").arg(config).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        self.containerd = Some(Ours::logged(&mut containerd, &self.at("containerd.log"))?);
        until("containerd answers", SOON, || ctr(&["version"]).output().is_ok_and(|output| output.status.success()))
    }

    fn runsc(&self, lab: &Path) -> Outcome<PathBuf> {
        let program = self.at("runsc");
        fs::write(&program, RUNSC.replace("LAB", &lab.display().to_string()))?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        Ok(program)
    }

    /// busybox and a page, with nobody's image tools.
    fn import_image(&self) -> Outcome {
        let (image, bin) = (self.at("image"), self.at("layer/bin"));
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(&image)?;
        fs::write(self.at("layer/index.html"), "well\n")?;
        fs::copy(laboratory::folder().join("engines/bin/busybox"), bin.join("busybox"))?;
        for name in ["sh", "sleep", "httpd", "cat"] {
            symlink("busybox", bin.join(name))?;
        }
        let tar = |to: &Path, from: &Path| -> Outcome {
            let output = Command::new("tar").arg("-cf").arg(to).arg("-C").arg(from).arg(".").output()?;
            expect(output.status.success(), &output)
        };
        tar(&image.join("layer.tar"), &self.at("layer"))?;
        let sum = Command::new("sha256sum").arg(image.join("layer.tar")).output()?;
        let sum = texts(&sum).0.split(' ').next().unwrap_or_default().to_owned();
        let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/bin/sleep", "100000"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] } });
        fs::write(image.join("config.json"), config.to_string())?;
        let manifest = json!([{ "Config": "config.json", "RepoTags": ["node:latest"], "Layers": ["layer.tar"] }]);
        fs::write(image.join("manifest.json"), manifest.to_string())?;
        tar(&self.at("image.tar"), &image)?;
        let output = ctr(&["images", "import"]).arg(self.at("image.tar")).output()?;
        expect(output.status.success(), &output)
    }

    fn start_kubelet(&mut self) -> Outcome {
        world::is_safe()?;
        let none = json!({ "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" });
        fs::create_dir_all(self.at("static"))?;
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": false },
                "x509": { "clientCAFile": self.at("ca.crt") } },
            "authorization": { "mode": "AlwaysAllow" },
            "cgroupDriver": "cgroupfs", "cgroupRoot": "/", "failSwapOn": false, "makeIPTablesUtilChains": false,
            // It compares the kernel's settings, and sets none.
            "protectKernelDefaults": true,
            "staticPodPath": self.at("static"), "fileCheckFrequency": "2s", "nodeStatusUpdateFrequency": "2s",
            "evictionHard": none, "imageGCHighThresholdPercent": 100, "readOnlyPort": 0,
        });
        fs::write(self.at("kubelet.yaml"), config.to_string())?;
        let mut kubelet = program("kubelet");
        kubelet.arg("--config").arg(self.at("kubelet.yaml")).arg("--kubeconfig").arg(self.at("kubelet.conf"));
        kubelet.args([
            "--container-runtime=remote",
            "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        ]);
        kubelet.args([format!("--hostname-override={NAME}"), "--node-ip=10.77.0.1".to_owned()]);
        self.kubelet = Some(Ours::logged(&mut kubelet, &self.at("kubelet.log"))?);
        Ok(())
    }

    /// Without the taint that a node begins with.
    pub fn until_ready(&self) -> Outcome {
        let is_ready = || {
            let node = self.api.admin("GET", &format!("/api/v1/nodes/{NAME}"), &Value::Null).unwrap_or_default();
            let ready = self.api.condition(NAME, "Ready").ok().flatten().unwrap_or_default();
            ready["status"] == "True" && node["spec"]["taints"].is_null()
        };
        until("the node is ready", SOON, is_ready).map_err(|failed| {
            let log = fs::read_to_string(self.at("kubelet.log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            format!("{failed:?}: {last:#?}").into()
        })
    }
}

fn program(name: &str) -> Command {
    let mut command = harmless(laboratory::folder().join("kubernetes/bin").join(name));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

/// What containerd is to know of a handler of pods.
fn handler(name: &str, program: &Path) -> String {
    let table = format!("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{name}");
    let program = program.display();
    format!("{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n{table}.options]\n  BinaryName = \"{program}\"\n")
}

fn ctr(words: &[&str]) -> Command {
    let mut ctr = Command::new("/usr/bin/ctr");
    ctr.args(["--namespace", "k8s.io"]).args(words);
    ctr
}

fn kubeconfig(folder: &Path, name: &str) -> Outcome {
    let user = json!({ "client-certificate": format!("{name}.crt"), "client-key": format!("{name}.key") });
    let cluster = json!({ "server": format!("https://127.0.0.1:{PORT}"), "certificate-authority": "ca.crt" });
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "k", "cluster": cluster }],
        "users": [{ "name": "u", "user": user }],
        "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
    });
    Ok(fs::write(folder.join(format!("{name}.conf")), config.to_string())?)
}

/// A host whose hierarchy of cgroups is the one in here, and which may freeze pods.
fn host(truth: &Liar) -> Outcome<HostFolder> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ensure(Path::new(UNIFIED).join("cgroup.procs").exists(), "no cgroup2")?;
    let config = format!(
        "servers: ['{}']\ncorrection: none\nat-deadline: {{unreachable: hold}}\nfreeze: {{engines: [kubernetes]}}\n",
        truth.address()
    );
    HostFolder::new(&[
        (CONFIG, &config),
        ("var/lib/clockgate/.keep", ""),
        ("proc/self/mountinfo", &format!("30 23 0:26 / {UNIFIED} rw - cgroup2 cgroup2 rw\n")),
        ("proc/self/cgroup", "0::/\n"),
        ("proc/sys/kernel/random/boot_id", &boot),
    ])
}
