//! The agent and `sync` as processes on this host, without the privilege to set its clock: what is left then, and what is said.

mod attacks;
mod listening;
mod nts;
mod renewed;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::page::{Page, View};
use libtest_mimic::{Arguments, Failed};
use nix::sys::signal::{Signal, kill};
use support::liar::Liar;
use support::{Ours, Outcome, clockgate, expect, lacks_program, needing, texts, until};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let trial = |name, test: fn() -> Outcome| needing(lacks_program("setpriv"), name, test);
    let trials = vec![
        trial("it_opens_on_a_proof_and_shuts_when_it_is_told_to_end", opens_and_shuts),
        trial("what_a_guard_refuses_is_a_warning_long_before_the_deadline", warned_at_once),
        trial("measure_ends_in_one_sentence", measured),
        needing(
            lacks_program("setpriv").or_else(|| lacks_program("strace")),
            "below_another_root_page_and_bus_lie_there_and_nothing_of_the_host_is_touched",
            below_a_root,
        ),
        trial("killed_it_leaves_a_gate_that_shut_gate_shuts_and_its_successor_counts_on", killed),
        needing(
            lacks_program("setpriv").or_else(|| lacks_program("python3")),
            "a_lease_on_the_page_of_a_dead_agent_does_not_keep_the_next_one_out",
            leased,
        ),
        trial("it_listens_on_its_own_socket_and_on_nothing_else", listening::own_socket),
        trial("the_program_that_replaces_it_goes_on_as_the_same_process", renewed::goes_on),
        trial("a_second_agent_is_refused_and_the_first_one_keeps_the_gate", second_agent),
        trial("a_waiter_that_tolerates_more_than_the_clock_is_off_goes_on_at_a_shut_gate", tolerances),
        trial("without_the_privilege_it_says_what_to_do_and_holds", without_the_privilege),
        trial("a_wrong_configuration_ends_it_with_78_and_a_reload_of_one_changes_nothing", wrong_configuration),
        needing(
            lacks_program("setpriv").or_else(|| lacks_program("strace")),
            "an_error_that_ends_the_loop_leaves_a_shut_gate_and_last_words",
            broken_loop,
        ),
        trial("more_references_than_there_can_be_are_a_warning", too_few_references),
        trial("a_reload_is_taken_as_a_whole_and_says_what_wants_a_restart", reload),
        trial("with_few_descriptors_it_says_so_and_does_not_panic", few_descriptors),
        trial("a_log_that_is_full_or_read_by_nobody_does_not_end_it", broken_log),
        needing(lacks_program("script"), "its_lines_are_coloured_on_a_terminal_that_can_and_nobody_minds", colours),
        trial("sync_needs_no_privilege_where_the_clock_is_right", sync_of_a_right_clock),
        trial("sync_ends_with_77_where_it_may_not_step", sync_without_the_privilege),
        trial("sync_ends_with_75_where_nobody_answers_and_names_who_did_not", sync_in_vain),
        trial("sync_asks_the_agent_where_there_is_one", sync_by_the_agent),
        needing(
            lacks_program("setpriv").or_else(support::chronyd::missing),
            "by_nts_a_proof_takes_two_round_trips_and_after_a_restore_keys_come_first",
            nts::round_trips,
        ),
        needing(
            lacks_program("setpriv").or_else(support::chronyd::missing),
            "each_outlet_says_whether_the_proof_is_authenticated",
            nts::outlets,
        ),
        trial("a_dry_run_says_what_would_be_done", dry_runs),
    ];
    let attacked = attacks::ALL
        .iter()
        .map(|(name, test)| needing(lacks_program("setpriv").or_else(support::chronyd::missing), name, *test));
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().chain(attacked).collect()).exit_code()
}

/// A host's root in a folder: a configuration, a page, a socket.
struct Host(tempfile::TempDir);

impl Host {
    /// One whose configuration names these servers, and says this as well.
    fn new(servers: &[&Liar], more: &str) -> Result<Self, Failed> {
        let host = Self(tempfile::tempdir()?);
        host.configure(servers, more)?;
        Ok(host)
    }

    fn configure(&self, servers: &[&Liar], more: &str) -> Outcome {
        self.configure_names(&servers.iter().map(|server| server.address().to_string()).collect::<Vec<_>>(), more)
    }

    fn configure_names(&self, servers: &[String], more: &str) -> Outcome {
        let folder = self.0.path().join("etc/clockgate");
        fs::create_dir_all(&folder)?;
        let servers: Vec<String> = servers.iter().map(|server| format!("'{server}'")).collect();
        let at = self.0.path().display();
        let places = format!(
            "page: {at}/public\nbus: {{system: false, peer: {at}/bus}}\nchrony: {{socket: {at}/no, udp: none}}\n"
        );
        Ok(fs::write(folder.join("config.yaml"), format!("servers: [{}]\n{places}{more}\n", servers.join(", ")))?)
    }

    fn page(&self) -> PathBuf {
        self.0.path().join("public")
    }

    fn clockgate(&self, verb: &str) -> Command {
        let mut command = clockgate();
        command.arg(verb).arg("--root").arg(self.0.path()).env_remove("CLOCKGATE_SERVERS");
        command
    }

    fn agent(&self) -> Result<Ours, Failed> {
        let log = fs::File::options().create(true).append(true).open(self.0.path().join("log"))?;
        Ours::spawn(self.clockgate("agent").stderr(log))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap_or_default()
    }

    fn gate(&self, what: &str, wanted: impl Fn(&View) -> bool) -> Result<View, Failed> {
        let mut seen = None;
        let found = until(what, SOON, || {
            seen = Page::open(&self.page()).ok().map(|page| page.read());
            seen.as_ref().is_some_and(&wanted)
        });
        found.map_err(|failed| format!("{}: {seen:?}\n{}", failed.message().unwrap_or_default(), self.log()))?;
        seen.ok_or_else(|| "no page".into())
    }
}

fn proven(view: &View) -> bool {
    view.gate == Gate::Proven
}

fn ended(agent: &mut Ours) -> Result<Option<i32>, Failed> {
    let mut status = None;
    until("the agent ends", SOON, || {
        status = agent.0.try_wait().ok().flatten();
        status.is_some()
    })?;
    Ok(status.and_then(|status| status.code()))
}

fn opens_and_shuts() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let mut agent = host.agent()?;
    let view = host.gate("the gate is proven", proven)?;
    assert_eq!((view.epoch, view.cause_name(), view.state_name()), (1, "started", "Synchronized"));
    kill(agent.pid(), Signal::SIGTERM)?;
    assert_eq!(ended(&mut agent)?, Some(0), "{}", host.log());
    let view = host.gate("the gate is shut", |view| view.gate == Gate::Shut)?;
    assert_eq!((view.why.as_str(), view.state_name()), ("the agent has ended: it was stopped", "Ended"));
    // What the unit does then leaves the last words as they are.
    let shut = host.clockgate("agent").arg("--shut-gate").output()?;
    expect(shut.status.success(), &shut)?;
    let status = clockgate().args(["status", "--page"]).arg(host.page()).output()?;
    expect(status.status.code() == Some(69) && texts(&status).0.contains("it was stopped ("), &status)?;
    // An agent that is gone keeps no clock.
    let sync = host.clockgate("sync").output()?;
    expect(sync.status.success() && texts(&sync).0.starts_with("proven: the clock is "), &sync)?;
    Ok(())
}

fn below_a_root() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let root = tempfile::tempdir()?;
    let config = root.path().join("etc/clockgate/config.yaml");
    fs::create_dir_all(config.parent().ok_or("no folder")?)?;
    fs::write(config, format!("servers: [{}]\ncorrection: none\n", truth.address()))?;
    let agent = clockgate();
    let calls = tempfile::NamedTempFile::new()?;
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-e", "trace=connect,open,openat,creat,mkdir,rename,unlink,bind", "-o"])
        .arg(calls.path());
    traced.arg(agent.get_program()).args(agent.get_args()).arg("agent").arg("--root").arg(root.path());
    let mut traced = Ours::spawn(traced.env_remove("CLOCKGATE_SERVERS"))?;
    let page = root.path().join("run/clockgate/public");
    until("the gate below the root is proven", SOON, || {
        Page::open(&page).is_ok_and(|page| page.read().gate == Gate::Proven)
    })?;
    assert!(root.path().join("run/clockgate/bus").exists());
    // strace, ended, would let it run on.
    let agent = fs::read_to_string(format!("/proc/{0}/task/{0}/children", traced.pid()))?;
    kill(nix::unistd::Pid::from_raw(agent.trim().parse()?), Signal::SIGTERM)?;
    assert_eq!(ended(&mut traced)?, Some(0));
    let calls = fs::read_to_string(calls.path())?;
    let (below, server) = (root.path().display().to_string(), format!("htons({})", truth.address().port()));
    // What is written, made, taken away or spoken to; reading the machine's own /proc and libraries is none of it.
    let touches = |call: &&str| {
        let is_reading =
            call.contains(" open") && !["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|mode| call.contains(mode));
        // A port of ours to ask the server from, whichever it is.
        let is_asking = call.contains(&server) || call.contains("sin_port=htons(0)");
        !is_reading && !call.contains(&below) && !is_asking && !call.contains("AF_NETLINK")
    };
    // A call that another thread's cuts in two has its arguments in the first line, and its outcome alone in the second.
    let made = |call: &&str| call.contains('(') && !call.contains("resumed>");
    let touched: Vec<&str> = calls.lines().filter(made).filter(touches).collect();
    assert!(calls.contains(&server) && touched.is_empty(), "{touched:#?}");
    Ok(())
}

fn measured() -> Outcome {
    for (lie, end) in [
        (Offset::ZERO, "your clock is right: wrong by at most "),
        (Offset::from_nanos(1_200_500_000_000), "your clock is 20 min 0 s behind; `sudo clockgate sync` sets it right"),
        (
            Offset::from_nanos(-3_601_500_000_000),
            "your clock is 1 h 0 min 1 s ahead; `sudo clockgate sync` sets it right",
        ),
    ] {
        let liar = Liar::here(lie)?;
        let mut measure = clockgate();
        let output = measure.args(["measure", "--server", &liar.address().to_string()]).output()?;
        let text = texts(&output).0;
        let last = text.lines().next_back().unwrap_or_default();
        expect(output.status.success() && last.starts_with(end), &output)?;
    }
    Ok(())
}

fn warned_at_once() -> Outcome {
    let liar = Liar::here(Offset::from_secs(-7200))?;
    let host = Host::new(&[&liar], "correction: none\ndeadline: 10min")?;
    let _agent = host.agent()?;
    until("the refusal is a warning", SOON, || host.log().contains("WARN one reference alone says"))?;
    assert!(host.log().contains("sync --server A --server B`"), "{}", host.log());
    Ok(())
}

fn killed() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let mut agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    kill(agent.pid(), Signal::SIGKILL)?;
    ended(&mut agent)?;
    // Nobody had the time to shut it; the unit's ExecStopPost= does.
    host.gate("the gate is left open", proven)?;
    let output = host.clockgate("agent").arg("--shut-gate").output()?;
    expect(output.status.success(), &output)?;
    host.gate("the gate is shut", |view| view.gate == Gate::Shut)?;
    let _agent = host.agent()?;
    let view = host.gate("the gate is proven again", proven)?;
    assert_eq!(view.epoch, 2, "the count of this boot goes on");
    Ok(())
}

/// What root in a container can do to a page that is open to nobody for writing (fcntl(2), `F_SETLEASE`).
fn leased() -> Outcome {
    let hold = "import fcntl, os, signal, sys, time; signal.signal(signal.SIGIO, signal.SIG_IGN); \
                fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK); \
                print(1, flush=True); time.sleep(600)";
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let mut agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    kill(agent.pid(), Signal::SIGKILL)?;
    ended(&mut agent)?;
    let told = host.0.path().join("leased");
    let mut holder = Command::new("python3");
    holder.args(["-c", hold]).arg(host.page().join("gate")).stdout(fs::File::create(&told)?);
    let _holder = Ours::spawn(&mut holder)?;
    until("the lease is taken", SOON, || fs::read(&told).is_ok_and(|told| !told.is_empty()))?;
    let output = host.clockgate("agent").arg("--shut-gate").output()?;
    expect(output.status.success(), &output)?;
    host.gate("the gate is shut", |view| view.gate == Gate::Shut)?;
    let _agent = host.agent()?;
    let view = host.gate("the gate is proven again", proven)?;
    assert_eq!(view.epoch, 2, "the count of this boot goes on");
    Ok(())
}

/// The kernel refuses an alarm after some time: what ends the loop ends it in the same way as a person does.
fn broken_loop() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let agent = host.clockgate("agent");
    let log = fs::File::create(host.0.path().join("log"))?;
    let mut broken = Command::new("strace");
    broken.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=timerfd_settime:error=EIO:when=5+"]);
    broken.arg(agent.get_program()).args(agent.get_args()).stderr(log);
    let mut broken = Ours::spawn(&mut broken)?;
    assert_eq!(ended(&mut broken)?, Some(69), "{}", host.log());
    let view = host.gate("the gate is shut", |view| view.gate == Gate::Shut)?;
    assert!(view.state_name() == "Ended" && view.why.contains("cannot set an alarm"), "{view:?}");
    Ok(())
}

/// A wrong configuration is an error that is logged, and the verb ends.
fn colours() -> Outcome {
    let host = Host::new(&[], "treshold: 5s")?;
    let agent = format!("{} agent --shut-gate --root {}", env!("CARGO_BIN_EXE_clockgate"), host.0.path().display());
    for (environment, is_coloured) in
        [("TERM=xterm", true), ("TERM=xterm NO_COLOR=", true), ("TERM=xterm NO_COLOR=1", false), ("TERM=dumb", false)]
    {
        let command = format!("env -u NO_COLOR -u JOURNAL_STREAM {environment} {agent}");
        let output = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output()?;
        let said = texts(&output).0;
        assert!(said.contains("treshold") && said.contains("\u{1b}[") == is_coloured, "{environment}: {said:?}");
    }
    Ok(())
}

fn too_few_references() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none\nmin-references: 2")?;
    let _agent = host.agent()?;
    until("it is said", SOON, || host.log().contains("min-references is 2, servers names 1"))
}

fn second_agent() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let _first = host.agent()?;
    host.gate("the gate is proven", proven)?;
    let second = host.clockgate("agent").output()?;
    let said = texts(&second).1;
    expect(second.status.code() == Some(69) && said.contains("is another agent running"), &second)?;
    host.gate("the gate is as it was", |view| proven(view) && view.epoch == 1).map(drop)
}

fn without_the_privilege() -> Outcome {
    let liar = Liar::here(Offset::from_secs(5))?;
    let host = Host::new(&[&liar], "")?;
    let _agent = host.agent()?;
    host.gate("the gate says why it is shut", |view| view.gate == Gate::Shut && view.why.contains("CAP_SYS_TIME"))?;
    Ok(())
}

/// The clock is 20 s off by what the server says, and nothing may correct it.
fn tolerances() -> Outcome {
    let liar = Liar::here(Offset::from_secs(20))?;
    let host = Host::new(&[&liar], "correction: none")?;
    let _agent = host.agent()?;
    let wait = |options: &[&str]| clockgate().args(["wait", "--page"]).arg(host.page()).args(options).output();
    host.gate("the clock is known to be wrong", |view| view.why.contains("correction: none"))?;
    // 20.0 s, and what the exchanges took on a busy machine.
    for options in [&["--tolerance", "60s"][..], &["--for", "sigv4", "--require-proof"]] {
        let output = wait(options)?;
        let said = texts(&output).0.contains("by two exchanges the clock is wrong by at most 20.");
        expect(output.status.success() && said, &output)?;
    }
    for options in [&["--tolerance", "19s"][..], &["--for", "ceph"], &["--for", "tls"], &[]] {
        let output = wait(&[options, &["--max-wait", "100ms"]].concat())?;
        expect(output.status.code() == Some(75) && texts(&output).1.contains(" s behind"), &output)?;
    }
    host.gate("the gate stays shut", |view| view.gate == Gate::Shut).map(drop)
}

fn wrong_configuration() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none\ntreshold: 5s")?;
    let refused = host.clockgate("agent").output()?;
    let said = texts(&refused).1;
    expect(refused.status.code() == Some(78) && said.contains("config.yaml:6") && said.contains("treshold"), &refused)?;
    assert!(!host.page().exists(), "nothing was published where the configuration would have it");
    let usual = Page::open(&host.0.path().join("run/clockgate/public"))?.read();
    assert!(usual.state_name() == "Ended" && usual.why.contains("treshold"), "{usual:?}");
    // What the unit does then touches nothing but this host's gate.
    let shut = host.clockgate("agent").arg("--shut-gate").output()?;
    expect(shut.status.success() && texts(&shut).1.contains("treshold"), &shut)?;
    host.configure(&[&truth], "correction: none")?;
    let agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    host.configure(&[&truth], "correction: none\nthreshold: never")?;
    kill(agent.pid(), Signal::SIGHUP)?;
    until("the fault is said", SOON, || host.log().contains("the previous configuration stays in force"))?;
    host.gate("the gate is as it was", |view| proven(view) && view.epoch == 1)?;
    host.configure(&[&truth], "correction: none\nthreshold: 5s")?;
    kill(agent.pid(), Signal::SIGHUP)?;
    until("the configuration is read again", SOON, || host.log().contains("configuration reloaded"))
}

/// What the service manager is told.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(host: &Host) -> Result<Self, Failed> {
        let path = host.0.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        socket.set_read_timeout(Some(SOON))?;
        Ok(Self { socket, path })
    }

    fn hears(&self, wanted: &str) -> Outcome {
        let mut buffer = [0; 4096];
        loop {
            let read = self.socket.recv(&mut buffer).map_err(|error| format!("`{wanted}` was not said: {error}"))?;
            if String::from_utf8_lossy(&buffer[..read]).contains(wanted) {
                return Ok(());
            }
        }
    }
}

fn reload() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let manager = Manager::new(&host)?;
    let log = fs::File::create(host.0.path().join("log"))?;
    let agent = Ours::spawn(host.clockgate("agent").env("NOTIFY_SOCKET", &manager.path).stderr(log))?;
    host.gate("the gate is proven", proven)?;
    host.configure(&[&truth], "correction: none\nthreshold: never")?;
    kill(agent.pid(), Signal::SIGHUP)?;
    manager.hears("cannot reload the configuration, the previous one stays in force")?;
    // Another page wants a restart, and the rest of the file is in force all the same; chronyd elsewhere is another keeper.
    let file = host.0.path().join("etc/clockgate/config.yaml");
    let text = fs::read_to_string(&file)?.replace("threshold: never", "threshold: 5s");
    let text = format!("{text}\nmetrics: {{textfile: /clockgate.prom}}\n");
    fs::write(&file, text.replace("/public", "/elsewhere").replace("/no,", "/another,"))?;
    kill(agent.pid(), Signal::SIGHUP)?;
    manager.hears("restart the agent to apply page, metrics")?;
    let asked_anew = |view: &View| proven(view) && view.epoch == 2 && view.threshold == Duration::from_secs(5);
    host.gate("the clock is proven anew", asked_anew)?;
    assert!(!host.0.path().join("elsewhere").exists());
    host.configure(&[&truth], "correction: none\nthreshold: 4s")?;
    kill(agent.pid(), Signal::SIGHUP)?;
    host.gate("the rules are those of the file", |view| view.threshold == Duration::from_secs(4)).map(drop)
}

fn few_descriptors() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    for limit in [4, 6, 8, 10, 12, 16, 24] {
        let mut limited = Command::new("prlimit");
        let agent = host.clockgate("agent");
        limited.arg(format!("--nofile={limit}")).arg(agent.get_program()).args(agent.get_args());
        let output = limited.output()?;
        let said = texts(&output).1;
        expect(
            output.status.code() == Some(69) && said.contains(&format!("the limit of open descriptors is {limit}")),
            &output,
        )?;
    }
    // A soft limit alone is raised.
    let mut limited = Command::new("prlimit");
    let agent = host.clockgate("agent");
    limited.arg("--nofile=16:4096").arg(agent.get_program()).args(agent.get_args());
    let _agent = Ours::spawn(limited.env_remove("CLOCKGATE_SERVERS").stderr(Stdio::null()))?;
    host.gate("the gate is proven", proven).map(drop)
}

fn broken_log() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let full = || Ok::<_, Failed>(Stdio::from(fs::File::create("/dev/full")?));
    let unread = || Ok::<_, Failed>(Stdio::from(std::io::pipe()?.1));
    for log in [full()?, unread()?] {
        let host = Host::new(&[&truth], "correction: none")?;
        let mut agent = Ours::spawn(host.clockgate("agent").stderr(log))?;
        host.gate("the gate is proven", proven)?;
        kill(agent.pid(), Signal::SIGTERM)?;
        assert_eq!(ended(&mut agent)?, Some(0));
    }
    Ok(())
}

fn sync_of_a_right_clock() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "")?;
    let output = host.clockgate("sync").output()?;
    expect(output.status.success() && texts(&output).0.starts_with("proven: the clock is "), &output)?;
    let json = host.clockgate("sync").arg("--json").output()?;
    let value: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    expect(value["proven"] == true && value["steps_ns"].as_array().is_some_and(Vec::is_empty), &json)
}

fn sync_without_the_privilege() -> Outcome {
    let liar = Liar::here(Offset::from_secs(5))?;
    let host = Host::new(&[], "")?;
    let output = host.clockgate("sync").arg("--server").arg(liar.address().to_string()).output()?;
    expect(output.status.code() == Some(77) && texts(&output).1.contains("CAP_SYS_TIME"), &output)
}

fn sync_in_vain() -> Outcome {
    let host = Host::new(&[], "")?;
    let output = host.clockgate("sync").args(["--server", "127.0.0.1:9", "--timeout", "1s"]).output()?;
    expect(output.status.code() == Some(75) && texts(&output).1.contains("127.0.0.1:9"), &output)
}

fn sync_by_the_agent() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let _agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    let output: Output = host.clockgate("sync").output()?;
    expect(output.status.success() && texts(&output).0.starts_with("the agent: gate open"), &output)?;
    assert!(host.log().contains("notified by a caller uid="), "{}", host.log());
    host.gate("a later epoch is proven", |view| proven(view) && view.epoch == 2 && view.cause_name() == "requested")?;
    let twice = host.clockgate("sync").args(["--server", "127.0.0.1:9"]).output()?;
    expect(twice.status.code() == Some(2), &twice)
}

fn dry_runs() -> Outcome {
    let dry = |lie: Offset| -> Result<Output, Failed> {
        let liar = Liar::here(lie)?;
        Ok(Host::new(&[&liar], "")?.clockgate("sync").arg("--dry-run").output()?)
    };
    for (lie, said, code) in [
        (Offset::ZERO, "no step is needed", 0),
        (Offset::from_secs(3600), "the clock would be stepped by +3", 0),
        (Offset::from_secs(-3600), "the step would be refused", 75),
    ] {
        let output = dry(lie)?;
        expect(output.status.code() == Some(code) && texts(&output).0.contains(said), &output)?;
    }
    Ok(())
}
