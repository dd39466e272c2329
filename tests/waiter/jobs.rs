//! `run --retry-clock` as a job: what stops the command stops us, what continues us continues it, and at a terminal a shell sees the same
//! as without the option.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::retry::with_page;
use super::support::{CLOCKGATE, Ours, Outcome, expect, texts, until};
use super::waiter;

const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_MS: u16 = 20_000;

/// `T` where it is stopped (proc_pid_stat(5)).
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).unwrap_or('?')
}

fn only_child(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.trim().parse().ok()
}

pub fn stopped_by_itself() -> Outcome {
    let (folder, _page) = with_page()?;
    let script = "echo once; kill -STOP $$; echo twice; kill -STOP $$; exit 7";
    let mut command = waiter("run", folder.path(), ["--retry-clock", "--", "sh", "-c", script]);
    let mut child = Ours(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let pid = child.0.id();
    let mut stdout = child.0.stdout.take().ok_or("no stdout")?;
    for said in ["once\n", "twice\n"] {
        until("it is stopped with the command", PATIENCE, || state(pid) == 'T')?;
        // What the command wrote before is seen while both are stopped.
        let is_there = poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], PATIENCE_MS)? == 1;
        if !is_there {
            return Err(format!("{said:?} is not passed on").into());
        }
        let mut line = vec![0; said.len()];
        stdout.read_exact(&mut line)?;
        if line != said.as_bytes() {
            return Err(format!("it said {line:?}").into());
        }
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT)?;
    }
    let status = child.0.wait()?;
    if status.code() == Some(7) { Ok(()) } else { Err(format!("ended with {status}").into()) }
}

pub fn passed_on() -> Outcome {
    for signal in [Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGWINCH] {
        let (folder, _page) = with_page()?;
        let name = signal.as_str().trim_start_matches("SIG");
        let script = format!("trap 'echo caught; exit 9' {name}; echo ready; while :; do sleep 0.01; done");
        let mut command = waiter("run", folder.path(), ["--retry-clock", "--", "sh", "-c", &script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut ready = [0; 6];
        child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut ready)?;
        kill(Pid::from_raw(child.id().cast_signed()), signal)?;
        let output = child.wait_with_output()?;
        expect(output.status.code() == Some(9) && output.stdout == b"caught\n", &output)?;
    }
    // One who was stopped from outside, and us with it: who continues us continues it.
    let (folder, _page) = with_page()?;
    let mut command = waiter("run", folder.path(), ["--retry-clock", "--", "sleep", "600"]);
    let child = Ours(command.stdin(Stdio::null()).spawn()?);
    let pid = child.0.id();
    until("the command runs", PATIENCE, || only_child(pid).is_some_and(|inner| state(inner) == 'S'))?;
    let inner = only_child(pid).ok_or("no child")?;
    kill(Pid::from_raw(inner.cast_signed()), Signal::SIGSTOP)?;
    until("both are stopped", PATIENCE, || state(pid) == 'T' && state(inner) == 'T')?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT)?;
    until("both go on", PATIENCE, || state(pid) == 'S' && state(inner) == 'S')?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
    until("the command is ended", PATIENCE, || state(inner) != 'S')
}

/// What a shell with jobs prints of a command that its keyboard stops and that it brings back.
pub fn of_a_shell() -> Outcome {
    let (folder, _page) = with_page()?;
    let inner = folder.path().join("inner");
    std::fs::write(&inner, "echo ready; read line; echo \"read $line\"; exit 5\n")?;
    let gated =
        format!("{CLOCKGATE} run --retry-clock --page {}/public -- sh {}", folder.path().display(), inner.display());
    let bare = format!("sh {}", inner.display());
    let job = |line: &str| -> Result<String, libtest_mimic::Failed> {
        let script = folder.path().join("script");
        std::fs::write(&script, format!("set -m\n{line}\necho \"stopped $?\"\nfg >/dev/null\necho \"ended $?\"\n"))?;
        let session = format!("bash {}", script.display());
        let mut command = Command::new("script");
        command.args(["-qec", &session, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = Ours(command.spawn()?);
        let mut keys = session.0.stdin.take().ok_or("no stdin")?;
        let mut screen = session.0.stdout.take().ok_or("no stdout")?;
        let mut said = String::new();
        for (seen, key) in [("ready", "\u{1a}"), ("stopped", "typed\n"), ("ended", "")] {
            while !said.contains(seen) {
                let mut piece = [0; 256];
                let read = screen.read(&mut piece)?;
                if read == 0 {
                    return Err(format!("the session ended: {said}").into());
                }
                said += &String::from_utf8_lossy(&piece[..read]);
            }
            keys.write_all(key.as_bytes())?;
        }
        drop(keys);
        screen.read_to_string(&mut said)?;
        // The terminal echoes the key before a line.
        let told = said.lines().filter_map(|line| {
            ["ready", "stopped", "read ", "ended"]
                .iter()
                .find_map(|one| line.find(one))
                .map(|begin| line[begin..].trim_end())
        });
        Ok(told.collect::<Vec<_>>().join("\n"))
    };
    let (bare, gated) = (job(&bare)?, job(&gated)?);
    // 128 and SIGTSTP.
    let is_right = bare == gated && bare == "ready\nstopped 148\nread typed\nended 5";
    if is_right { Ok(()) } else { Err(format!("bare:\n{bare}\ngated:\n{gated}").into()) }
}

/// The kernel tells the leader of a session alone that its terminal is gone.
pub fn hung_up() -> Outcome {
    let (folder, _page) = with_page()?;
    let script = folder.path().join("inner");
    let at = folder.path().display();
    std::fs::write(
        &script,
        format!("trap 'echo caught > {at}/hup; exit 9' HUP; echo > {at}/ready\nwhile :; do sleep 0.01; done"),
    )?;
    let session = format!("exec {CLOCKGATE} run --retry-clock --page {at}/public -- sh {}", script.display());
    let (reader, _writer) = std::io::pipe()?;
    let mut command = Command::new("script");
    command.args(["-qec", &session, "/dev/null"]).stdin(reader).stdout(Stdio::null());
    let mut terminal = Ours(command.spawn()?);
    until("the command runs", PATIENCE, || folder.path().join("ready").exists())?;
    terminal.0.kill()?;
    until("the command hears of it", PATIENCE, || folder.path().join("hup").exists())
}

pub fn process_1() -> Outcome {
    let (folder, _page) = with_page()?;
    let inside = |script: &str| {
        let mut inside = Command::new("unshare");
        inside.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", CLOCKGATE, "run", "--retry-clock"]);
        inside.arg("--page").arg(folder.path().join("public")).args(["--no-agent", "open", "--", "sh", "-c", script]);
        inside.stdin(Stdio::null());
        inside
    };
    for (script, code) in [("exit 42", 42), ("kill -KILL $$", 137), ("sleep 30 & exit 3", 3)] {
        let output = inside(script).output()?;
        expect(output.status.code() == Some(code), &output)?;
    }
    // The kernel stops no process 1, and a command that stops is not continued by it.
    let stops = "(while [ \"$(cut -d' ' -f3 /proc/$$/stat)\" != T ]; do sleep 0.01; done; sleep 0.1; \
                 cut -d' ' -f3 /proc/$$/stat; kill -CONT $$) & kill -STOP $$; wait; exit 4";
    let output = inside(stops).output()?;
    expect(output.status.code() == Some(4) && texts(&output).0 == "T\n", &output)?;
    let mut command = inside("trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.01; done");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut ready = [0; 6];
    child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut ready)?;
    let first = only_child(child.id()).ok_or("no process 1")?;
    kill(Pid::from_raw(first.cast_signed()), Signal::SIGTERM)?;
    let output = child.wait_with_output()?;
    expect(output.status.code() == Some(9) && output.stdout == b"caught\n", &output)
}
