//! The start gate of pods by the Node Resource Interface: real containerds that ask, and what a kubelet is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use clockgate::container::runtime_list;
use libtest_mimic::Failed;

use crate::support::gate_page::{proven, shut};
use crate::support::{Outcome, ensure, expect, laboratory, texts, until};
use crate::world::{NODE, NRI, SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its wrapper's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("containerd_2_asks_before_it_makes_a_container_and_no_file_was_changed_for_that", "", by_default),
    ("containerd_1_asks_where_its_file_says_so_and_a_restarted_one_asks_again", "", switched_on),
    ("the_wrapper_and_nri_do_no_harm_to_each_other", "", both),
];

/// A containerd as a node has it.
struct Node<'a> {
    world: &'a World,
    program: PathBuf,
    config: PathBuf,
    state: PathBuf,
    /// Where pods are made.
    cgroup: String,
}

impl<'a> Node<'a> {
    fn start(world: &'a World, (version, config): (&str, &str), name: &str) -> Result<Self, Failed> {
        let program = fs::canonicalize(laboratory::folder())?.join("dockerds").join(version).join("containerd");
        let node = Self {
            world,
            program,
            config: world.path(&format!("{name}.toml")),
            state: world.path(&format!("{name}-state")),
            cgroup: format!("{}/{name}/kubepods/besteffort/pod1", world.cgroup),
        };
        fs::write(&node.config, config)?;
        node.start_again()?;
        Ok(node)
    }

    fn start_again(&self) -> Outcome {
        self.world.start_a_kubernetes_containerd(&self.program.to_string_lossy(), &self.config, &self.state)
    }

    fn kill(&self) -> Outcome {
        let pid = fs::read_to_string(self.state.with_extension("pid"))?;
        done(
            self.world
                .command("sh")
                .args(["-c", "kill -9 \"$1\"; while kill -0 \"$1\"; do sleep 0.05; done", "sh"])
                .arg(pid.trim()),
        )
    }

    fn call(&self, pod: &str, call: &[&str]) -> Result<Output, Failed> {
        Ok(self.world.cri(&self.state, &self.cgroup, pod, call).output()?)
    }

    /// What a call that has to succeed prints.
    fn says(&self, pod: &str, call: &[&str]) -> Result<String, Failed> {
        let output = self.call(pod, call)?;
        expect(output.status.success(), &output)?;
        Ok(texts(&output).0.trim().to_owned())
    }

    /// That a container of this pod is refused, in these words.
    fn refuses(&self, pod: &str, sandbox: &str) -> Outcome {
        let output = self.call(pod, &["container", sandbox])?;
        let words = format!(
            "failed to get NRI adjustment for container: rpc error: code = FailedPrecondition desc = clockgate: refusing to create \
             container {pod} of pod default/{pod}: the gate is shut: resume: measuring; `clockgate status` says more"
        );
        expect(!output.status.success() && texts(&output).1.contains(&words), &output)
    }

    /// That a container of this pod is made and runs.
    fn runs(&self, pod: &str, sandbox: &str, annotations: &[&str]) -> Outcome {
        let container = self.says(pod, &[&["container", sandbox], annotations].concat())?;
        assert_eq!(self.says(pod, &["state", &container])?, "running 0");
        Ok(())
    }
}

/// The program, with the gate page of a wrapper.
struct NriGate {
    log: PathBuf,
}

impl NriGate {
    fn start(world: &World, wrapper: &Wrapper, socket: Option<&Path>) -> Result<Self, Failed> {
        let program = wrapper.program.with_file_name("clockgate-nri");
        std::os::unix::fs::symlink(NRI, &program)?;
        fs::write(format!("{}.conf", program.display()), format!("page = {}\n", wrapper.public.display()))?;
        let gate = Self { log: program.with_extension("log") };
        let mut daemon = world.daemon(&program.to_string_lossy());
        if let Some(socket) = socket {
            daemon.arg("--socket").arg(socket);
        }
        world.run(&mut daemon, &gate.log)?;
        Ok(gate)
    }

    fn until_said(&self, times: usize, text: &str) -> Outcome {
        let said = || fs::read_to_string(&self.log).unwrap_or_default();
        until(text, SOON, || said().matches(text).count() >= times)
            .map_err(|_| format!("`{text}` was not said, but: {}", said()).into())
    }
}

/// containerd 1 has it off.
fn with_nri(socket: &Path) -> String {
    format!(
        "{NODE}[plugins.\"io.containerd.nri.v1.nri\"]\n  disable = false\n  socket_path = \"{}\"\n  plugin_path = \"/nowhere\"\n  \
         plugin_config_path = \"/nowhere\"\n",
        socket.display()
    )
}

fn by_default(world: &World, wrapper: &Wrapper, name: &str) -> Outcome {
    // The gate is there first, as at boot, and finds the socket when it comes.
    let gate = NriGate::start(world, wrapper, None)?;
    gate.until_said(1, "waiting for a container runtime at /var/run/nri/nri.sock")?;
    let node = Node::start(world, ("forky", NODE), name)?;
    gate.until_said(1, "connected to containerd ")?;
    gate.until_said(1, "its time-out for a request is 2000 ms")?;
    asked(wrapper, &node, &gate)
}

fn switched_on(world: &World, wrapper: &Wrapper, name: &str) -> Outcome {
    let socket = world.path(&format!("{name}-nri.sock"));
    let node = Node::start(world, ("trixie", &with_nri(&socket)), name)?;
    let gate = NriGate::start(world, wrapper, Some(&socket))?;
    gate.until_said(1, "connected to containerd ")?;
    asked(wrapper, &node, &gate)?;

    wrapper.publish(&shut())?;
    let sandbox = node.says("after", &["sandbox"])?;
    node.kill()?;
    gate.until_said(1, "the runtime closed the connection")?;
    let list = runtime_list::beside(&wrapper.public);
    ensure(runtime_list::connected(&list).is_none(), "a runtime that is gone is connected")?;
    node.start_again()?;
    gate.until_said(2, "connected to containerd ")?;
    // The next one lists what runs on.
    listed(wrapper)?;
    node.refuses("after", &sandbox)?;
    wrapper.publish(&proven())?;
    node.runs("after", &sandbox, &[])
}

/// At a shut gate a sandbox is made, its container is not, and who is exempt passes; at the open gate it is.
fn asked(wrapper: &Wrapper, node: &Node<'_>, gate: &NriGate) -> Outcome {
    wrapper.publish(&shut())?;
    let sandbox = node.says("web", &["sandbox"])?;
    node.refuses("web", &sandbox)?;
    node.refuses("web", &sandbox)?;
    gate.until_said(1, "refused: container web of pod default/web: the gate is shut: resume: measuring")?;
    for (pod, annotation, rule) in [
        ("static", "kubernetes.io/config.source=file", "exempt by static-pod"),
        ("time", "clockgate.exempt=true", "exempt by clockgate.exempt=true"),
        ("calico-node-x7k2p", "a=b", "exempt by pod:calico-node-*"),
    ] {
        let sandbox = node.says(pod, &["sandbox", annotation])?;
        node.runs(pod, &sandbox, &[annotation])?;
        gate.until_said(1, rule)?;
    }
    wrapper.publish(&proven())?;
    node.runs("web", &sandbox, &[])?;
    gate.until_said(1, "containers are made again, after 2 refusals")?;
    listed(wrapper)
}

/// Who is exempt is listed for the freezer, a pod and its container each, and nobody else; and that a runtime is connected.
fn listed(wrapper: &Wrapper) -> Outcome {
    let list = runtime_list::beside(&wrapper.public);
    let connected = runtime_list::connected(&list).unwrap_or_default();
    ensure(connected.starts_with("containerd "), format!("connected to `{connected}`"))?;
    let exempt = runtime_list::exempt(&list);
    let mut reasons: Vec<&str> = exempt.values().map(String::as_str).collect();
    reasons.sort_unstable();
    let expected = ["clockgate.exempt=true", "pod:calico-node-*", "static-pod"].map(|why| [why; 2]).concat();
    ensure(reasons == expected, format!("{exempt:?}"))
}

fn both(world: &World, wrapper: &Wrapper, name: &str) -> Outcome {
    let socket = world.path(&format!("{name}-nri.sock"));
    let runtimes = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes";
    let runtime = |name: &str, program: &Path| {
        let table = format!("{runtimes}.{name}");
        let program = program.display();
        format!(
            "{table}]\n  runtime_type = \"io.containerd.runc.v2\"\n{table}.options]\n  BinaryName = \"{program}\"\n"
        )
    };
    let config = with_nri(&socket) + &runtime("runc", &wrapper.program) + &runtime("unwrapped", Path::new("runc"));
    let node = Node::start(world, ("trixie", &config), name)?;
    let gate = NriGate::start(world, wrapper, Some(&socket))?;
    gate.until_said(1, "connected to containerd ")?;

    // The wrapper would hold a sandbox.
    wrapper.publish(&proven())?;
    let wrapped = node.says("wrapped", &["sandbox"])?;
    let unwrapped = node.says("unwrapped", &["sandbox", "unwrapped"])?;
    wrapper.publish(&shut())?;
    for (pod, sandbox) in [("wrapped", &wrapped), ("unwrapped", &unwrapped)] {
        node.refuses(pod, sandbox)?;
    }
    assert!(!wrapper.said().contains("held"), "the wrapper was not called: {}", wrapper.said());
    // Exempt by both, its sandbox too.
    let exempt = node.says("calico-node-x7k2p", &["sandbox"])?;
    node.runs("calico-node-x7k2p", &exempt, &[])?;
    wrapper.wait_until_said(2, "exempt by pod:calico-node-*")?;
    gate.until_said(1, "exempt by pod:calico-node-*")?;
    wrapper.publish(&proven())?;
    for (pod, sandbox) in [("wrapped", &wrapped), ("unwrapped", &unwrapped)] {
        node.runs(pod, sandbox, &[])?;
    }
    Ok(())
}
