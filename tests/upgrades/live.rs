//! The previous release's program beside this one: each meets the other's agent, page, ledger, history, hooks and bus. For `tests/night previous`,
//! which has built it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::page::Page;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::cgroups::{Cgroups, id};
use super::hooks::{self, BEFORE, DAEMON};
use super::pages::{ends_with_success, waiter};
use super::support::agent::CONFIG;
use super::support::host::HostFolder;
use super::support::liar::Liar;
use super::support::{CLOCKGATE, Ours, Outcome, ensure, expect, harmless, laboratory, texts, until};
use super::{Test, keeping};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(60);

pub const TESTS: [Test; 7] = [
    ("what_is_kept_is_what_the_previous_release_writes", keeping::keep),
    ("each_releases_waiters_wait_at_the_others_gate_in_an_empty_root_too", waiters),
    ("who_waits_goes_on_when_the_agent_was_replaced_by_the_other_releases", replaced),
    ("what_one_release_froze_the_other_thaws", thawed),
    ("one_history_is_written_and_read_by_both", history),
    ("what_one_release_hooked_the_other_removes", hooked),
    ("each_releases_command_line_asks_the_others_agent", asked),
];

/// The previous release's program.
pub fn previous() -> PathBuf {
    laboratory::folder().join("previous/clockgate")
}

fn ours() -> PathBuf {
    CLOCKGATE.into()
}

/// Both ways round.
fn each(test: impl Fn(&Path, &Path) -> Outcome) -> Outcome {
    test(&previous(), &ours())?;
    test(&ours(), &previous())
}

/// A host that is a folder, with a container of Docker's in cgroups of its own, and a server that knows the time.
pub struct Place {
    pub host: HostFolder,
    _truth: Liar,
    cgroups: Cgroups,
}

impl Place {
    pub fn new() -> Outcome<Self> {
        let mut cgroups = Cgroups::new()?;
        cgroups.container(&format!("docker/{}", id(1)))?;
        let truth = Liar::here(Offset::ZERO)?;
        let mount = format!("30 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", cgroups.folder.display());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let host = HostFolder::new(&[
            (CONFIG, &format!("servers: ['{}']\ncorrection: none\n", truth.address())),
            ("var/lib/clockgate/.keep", ""),
            ("proc/self/mountinfo", &mount),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/sys/kernel/random/boot_id", &boot),
        ])?;
        Ok(Self { host, _truth: truth, cgroups })
    }

    pub fn page(&self) -> PathBuf {
        self.host.at("run/clockgate/public")
    }

    fn bus(&self) -> PathBuf {
        self.host.at("run/clockgate/bus")
    }

    /// Starts that release's agent, without the right to set a clock.
    pub fn agent(&self, program: &Path) -> Outcome<Ours> {
        let mut agent = harmless(program);
        agent.args(["agent", "--root"]).arg(self.host.path()).env_remove("CLOCKGATE_SERVERS");
        Ours::logged(&mut agent, &self.host.at("log"))
    }

    pub fn ends(&self, agent: &mut Ours) -> Outcome {
        kill(agent.pid(), Signal::SIGTERM)?;
        until("the agent ends", SOON, || agent.0.try_wait().is_ok_and(|status| status.is_some()))
    }

    pub fn opens(&self) -> Outcome {
        let is_open = || Page::open(&self.page()).is_ok_and(|page| page.read().gate == Gate::Proven);
        until("the gate opens", SOON, || is_open() && self.bus().exists())
    }

    fn ask(&self, program: &Path, arguments: &[&str]) -> Outcome<Output> {
        Ok(harmless(program).args(arguments).arg("--bus").arg(self.bus()).stdin(Stdio::null()).output()?)
    }

    pub fn notify(&self, program: &Path, what: &str) -> Outcome {
        let output = self.ask(program, &["notify", what, "--wait"])?;
        expect(output.status.success(), &output)
    }

    fn container(&self) -> String {
        format!("docker/{}", id(1))
    }

    /// Kills the guards of this host's agents.
    fn kill_guards(&self) -> Outcome {
        let ledger = self.host.at("run/clockgate/ledger");
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            if words.any(|word| word == "--guard") && words.any(|word| *word == *ledger.to_string_lossy()) {
                kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            }
        }
        Ok(())
    }
}

/// `wait` of that release at this page.
fn wait(program: &Path, page: &Path, patience: &str) -> Outcome<Output> {
    let mut command = harmless(program);
    command.args(["wait", "--no-agent", "fail", "--max-wait", patience, "--page"]).arg(page);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// `wait` as the first process of a container: an empty root in namespaces of its own, with the page's folder mounted read-only.
fn wait_inside(program: &Path, page: &Path, patience: &str) -> Outcome<Output> {
    let root = tempfile::tempdir()?;
    fs::create_dir(root.path().join("page"))?;
    super::support::copy_program(program, &root.path().join("waiter"))?;
    let script = r#"
        mount --bind -o ro "$2" "$1/page" && mount -o remount,bind,ro "$1/page"
        exec unshare --root="$1" --setuid 65534 --setgid 65534 /waiter wait --no-agent fail --max-wait "$3" --page /page"#;
    let mut command = harmless("unshare");
    command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", script, "sh"]);
    Ok(command.arg(root.path()).arg(page).arg(patience).stdin(Stdio::null()).output()?)
}

fn waiters() -> Outcome {
    each(|agents, waits| {
        let place = Place::new()?;
        let mut agent = place.agent(agents)?;
        place.opens()?;
        let ways = [wait, wait_inside];
        for way in ways {
            let output = way(waits, &place.page(), "20s")?;
            expect(output.status.success(), &output)?;
        }
        let status = harmless(waits).args(["status", "--json", "--page"]).arg(place.page()).output()?;
        let json: Value = serde_json::from_slice(&status.stdout)?;
        expect(status.status.success() && json["gate"] == "open", &status)?;
        place.notify(agents, "suspend")?;
        for way in ways {
            let output = way(waits, &place.page(), "300ms")?;
            expect(output.status.code() == Some(75), &output)?;
        }
        let mut waiting = waiter(waits, &place.page())?;
        place.notify(agents, "resume")?;
        ends_with_success(&mut waiting)?;
        // Stopped, and killed: no gate is open whose agent has gone and whose proof is void.
        place.notify(agents, "suspend")?;
        kill(agent.pid(), Signal::SIGKILL)?;
        agent.0.wait()?;
        for way in ways {
            let output = way(waits, &place.page(), "300ms")?;
            expect(output.status.code() == Some(75), &output)?;
        }
        Ok(())
    })
}

fn replaced() -> Outcome {
    each(|first, second| {
        let place = Place::new()?;
        let mut agent = place.agent(first)?;
        place.opens()?;
        place.notify(first, "suspend")?;
        let mut waiting = [waiter(first, &place.page())?, waiter(second, &place.page())?];
        place.ends(&mut agent)?;
        let was = Page::open(&place.page())?.read();
        ensure(was.gate == Gate::Shut, "the agent has ended, and its gate is open")?;
        let _successor = place.agent(second)?;
        waiting.iter_mut().try_for_each(ends_with_success)?;
        place.opens()?;
        let is = Page::open(&place.page())?.read();
        ensure(is.epoch > was.epoch, format!("epoch {} came after {}", is.epoch, was.epoch))
    })
}

fn thawed() -> Outcome {
    each(|froze, thaws| {
        let place = Place::new()?;
        let mut agent = place.agent(froze)?;
        place.opens()?;
        place.notify(froze, "suspend")?;
        let is_frozen = || place.cgroups.is_frozen(&place.container());
        until("the container is frozen", SOON, is_frozen)?;
        // Stopped first: who is killed with a guard that lives is thawed by that.
        kill(agent.pid(), Signal::SIGSTOP)?;
        place.kill_guards()?;
        kill(agent.pid(), Signal::SIGKILL)?;
        agent.0.wait()?;
        ensure(is_frozen(), "the container is thawed already")?;
        let mut thaw = harmless(thaws);
        thaw.args(["thaw", "--json", "--root"]).arg(place.host.path()).arg("--cgroup").arg(&place.cgroups.folder);
        let output = thaw.stdin(Stdio::null()).output()?;
        let json: Value = serde_json::from_slice(&output.stdout)?;
        let done = json["done"] == true && json["damaged_lines"] == 0;
        expect(output.status.success() && done && !is_frozen(), &output)
    })
}

fn history() -> Outcome {
    each(|first, second| {
        let place = Place::new()?;
        for program in [first, second, first] {
            let mut agent = place.agent(program)?;
            place.opens()?;
            place.notify(program, "suspend")?;
            place.notify(program, "resume")?;
            place.ends(&mut agent)?;
        }
        let mut counts = vec![];
        for program in [first, second] {
            let output = Command::new(program).args(["history", "--json", "--root"]).arg(place.host.path()).output()?;
            expect(output.status.success(), &output)?;
            let json: Value = serde_json::from_slice(&output.stdout)?;
            ensure(json["skipped"] == 0, format!("{json:#}"))?;
            let records = json["records"].as_array().ok_or("no records")?;
            ensure(records.iter().all(|record| record["dated_by"] == "proof"), format!("{json:#}"))?;
            counts.push(records.len());
        }
        ensure(counts[0] == counts[1] && counts[0] >= 6, format!("{counts:?} records"))
    })
}

fn hooked() -> Outcome {
    each(|installs, removes| {
        let host = hooks::host()?;
        let installed = hooks::hooks(installs, &["install", "docker"], &host)?;
        expect(installed.status.success(), &installed)?;
        ensure(fs::read_to_string(host.at(DAEMON))? != BEFORE, "nothing was installed")?;
        let list = hooks::hooks(removes, &["list"], &host)?;
        expect(list.status.success() && texts(&list).0.contains("docker        installed"), &list)?;
        let removed = hooks::hooks(removes, &["remove", "docker"], &host)?;
        expect(removed.status.success(), &removed)?;
        ensure(fs::read_to_string(host.at(DAEMON))? == BEFORE, "the file is not as it was before clockgate")
    })
}

fn asked() -> Outcome {
    each(|serves, asks| {
        let place = Place::new()?;
        let _agent = place.agent(serves)?;
        place.opens()?;
        for what in ["suspend", "resume", "pre-snapshot", "post-restore"] {
            place.notify(asks, what)?;
        }
        let sync = harmless(asks).args(["sync", "--json", "--root"]).arg(place.host.path()).output()?;
        let json: Value = serde_json::from_slice(&sync.stdout)?;
        expect(sync.status.success() && json["agent"]["gate"] == "open", &sync)?;
        let metrics = ["status", "--format", "openmetrics", "--page"];
        let metrics = harmless(asks).args(metrics).arg(place.page()).output()?;
        expect(metrics.status.success() && texts(&metrics).0.contains("clockgate_"), &metrics)
    })
}
