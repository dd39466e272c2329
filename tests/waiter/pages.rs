//! Pages as the world treats them: moved clocks, agents that are gone, other things in their place, time namespaces, a full /run.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Differences, Offset, Snapshot};
use clockgate::page::at;
use clockgate::sys::clock::{boottime, standing};
use libtest_mimic::Failed;

use super::program::Program;
use super::support::{CLOCKGATE, Outcome, expect, texts, until};
use super::{page, proven, shut};

/// What the clocks would show, had somebody moved them after this proof was made.
pub fn moved_clocks(program: Program) -> Outcome {
    let hour = Duration::from_secs(3601);
    let now = standing();
    let shift = |by: i64| Offset::from_secs(by);
    let stepped = Differences { real_minus_boot: now.real_minus_boot - shift(3601), ..now };
    let back = Differences { real_minus_boot: now.real_minus_boot + shift(3601), ..now };
    let slewed = Differences { mono_minus_raw: now.mono_minus_raw + shift(1), ..now };
    let slept = Differences { boot_minus_mono: now.boot_minus_mono + hour, ..now };
    for (differences, word) in [
        (stepped, "set forward by 1 h"),
        (back, "set back by 1 h"),
        (slewed, "slewed back by"),
        (slept, "slept for 1 h"),
    ] {
        let snapshot = Snapshot { differences, ..proven() };
        let output = program.run_at(&snapshot, &["--max-wait", "50ms", "--", "echo", "through"])?;
        let said = texts(&output).1.contains(word);
        expect(output.status.code() == Some(75) && output.stdout.is_empty() && said, &output)?;
    }
    // A tenth of a second is part of the bound.
    let a_little = Differences { real_minus_boot: now.real_minus_boot - Offset::from_nanos(100_000_000), ..now };
    let output = program.run_at(&Snapshot { differences: a_little, ..proven() }, &["--", "echo", "through"])?;
    expect(output.stdout == b"through\n", &output)
}

pub fn gone_agents(program: Program) -> Outcome {
    let (folder, mut page) = page(&shut())?;
    page.end("it was stopped")?;
    let run = |args: &[&str]| program.waiter("run", folder.path(), args).output();
    // It may be on its way back.
    let at_once = run(&["--no-agent", "fail", "--max-wait", "50ms", "--", "true"])?;
    expect(at_once.status.code() == Some(75) && texts(&at_once).1.contains("it was stopped"), &at_once)?;
    let path = folder.path().join("public/gate");
    let mut bytes = std::fs::read(&path)?;
    let long_ago = boottime().as_nanos() - 20_000_000_000;
    bytes[at::ALIVE_UNTIL..at::ALIVE_UNTIL + 8].copy_from_slice(&long_ago.to_ne_bytes());
    std::fs::write(&path, &bytes)?;
    let fail = run(&["--no-agent", "fail", "--", "echo", "through"])?;
    let said = texts(&fail).1.contains("it was stopped (20.");
    expect(fail.status.code() == Some(69) && fail.stdout.is_empty() && said, &fail)?;
    let open = run(&["--no-agent", "open", "--", "echo", "through"])?;
    expect(open.stdout == b"through\n" && texts(&open).1.contains("no agent"), &open)?;
    let status = program.waiter("status", folder.path(), [""; 0]).output()?;
    expect(status.status.code() == Some(69) && texts(&status).0.contains("it was stopped (20."), &status)
}

/// Nothing but silence says that it was killed, and after a sleep of the machine every agent is silent for a moment.
pub fn silent_agents(program: Program) -> Outcome {
    let (folder, mut page) = page(&shut())?;
    page.alive(boottime())?;
    let began = boottime();
    let run = program.waiter("run", folder.path(), ["--no-agent", "fail", "--", "echo", "through"]).output()?;
    let watched = (Duration::from_secs(9)..Duration::from_secs(30)).contains(&boottime().since(began));
    let said = texts(&run).1.contains("was killed or hangs: silent for");
    expect(run.status.code() == Some(69) && run.stdout.is_empty() && said && watched, &run)?;
    let status = program.waiter("status", folder.path(), [""; 0]).output()?;
    expect(status.status.code() == Some(69) && texts(&status).0.contains("was killed or hangs"), &status)?;
    // It is back before it is given up.
    let mut child =
        program.waiter("run", folder.path(), ["--no-agent", "fail", "--", "true"]).stderr(Stdio::piped()).spawn()?;
    child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut [0; 1])?;
    page.alive(boottime() + Duration::from_secs(60))?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success(), &output)
}

pub fn strange_pages(program: Program) -> Outcome {
    let folder = tempfile::tempdir()?;
    let public = folder.path().join("public");
    std::fs::create_dir(&public)?;
    nix::unistd::mkfifo(&public.join("gate"), nix::sys::stat::Mode::S_IRWXU)?;
    let fifo = program.waiter("run", folder.path(), ["--max-wait", "1s", "--", "true"]).output()?;
    expect(fifo.status.code() == Some(69) && texts(&fifo).1.contains("not a regular file"), &fifo)?;
    std::fs::remove_file(public.join("gate"))?;
    std::fs::create_dir(public.join("gate"))?;
    let directory = program.waiter("wait", folder.path(), [""; 0]).output()?;
    expect(directory.status.code() == Some(69) && texts(&directory).1.contains("not a regular file"), &directory)
}

pub fn page_made_anew(program: Program) -> Outcome {
    let waiting = |folder: &Path| -> Result<std::process::Child, Failed> {
        let mut child =
            program.waiter("run", folder, ["--no-agent", "fail", "--", "true"]).stderr(Stdio::piped()).spawn()?;
        child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut [0; 1])?;
        Ok(child)
    };
    let (folder, mut page) = page(&shut())?;
    let child = waiting(folder.path())?;
    let public = folder.path().join("public");
    std::fs::rename(&public, folder.path().join("old"))?;
    std::fs::remove_dir_all(folder.path().join("old"))?;
    // An agent takes a moment to be started again: the waiter looks meanwhile, and there is no page.
    let slept = || -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    let before = slept().ok_or("no count of its naps")?;
    until("it has looked twice, or ended", Duration::from_secs(60), || slept().is_none_or(|now| now >= before + 2))?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success(), &output)?;

    page.publish(&shut())?;
    let child = waiting(folder.path())?;
    std::fs::File::options().write(true).open(public.join("gate"))?.set_len(0)?;
    page.alive(boottime() + Duration::from_secs(60))?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success(), &output)
}

pub fn time_namespaces(program: Program) -> Outcome {
    let (folder, mut page) = page(&proven())?;
    let inside = |shift: &[&str], args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork"]).args(shift).args(program.words("run")).arg("--page");
        command.arg(folder.path().join("public")).args(args).args(["--", "echo", "through"]).output()
    };
    let shifts: [&[&str]; 3] = [
        &["--boottime", "86400"],
        &["--boottime", "-1000", "--monotonic", "-1000"],
        &["--boottime", "500", "--monotonic", "7"],
    ];
    for shift in shifts {
        let open = inside(shift, &["--require-proof", "--max-wait", "50ms"])?;
        expect(open.stdout == b"through\n", &open)?;
    }
    // The reader in Python as well.
    let gate_py = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gate.py");
    for shift in shifts {
        let mut python = Command::new("unshare");
        python.args(["--time", "--fork"]).args(shift).args(["python3", gate_py]);
        let output = python.env("CLOCKGATE_PAGE", folder.path().join("public/gate")).output()?;
        expect(output.status.success(), &output)?;
    }
    page.publish(&Snapshot { valid_until: boottime(), ..proven() })?;
    for shift in shifts {
        let expired = inside(shift, &["--max-wait", "50ms"])?;
        expect(expired.status.code() == Some(75) && texts(&expired).1.contains("expired"), &expired)?;
    }
    page.publish(&proven())?;
    // A process that made a namespace for its children is not in it, and is not told where it is itself.
    let script = r#"page=$0; exec unshare --time --boottime 86400 "$@" --page "$page" --max-wait 50ms -- echo through"#;
    let own = Command::new("sh")
        .args(["-c", script])
        .arg(folder.path().join("public"))
        .args(program.words("run"))
        .output()?;
    expect(own.stdout == b"through\n", &own)
}

/// A tmpfs that is full: a page that was never written has no memory to be had.
pub fn full_run() -> Outcome {
    let folder = tempfile::tempdir()?;
    let script = r#"set -e
mount -t tmpfs -o size=64k tmpfs "$1"
mkdir -p "$1/public" "$1/etc/clockgate"
printf 'page: %s/public\n' "$1" >"$1/etc/clockgate/config.yaml"
truncate -s 4096 "$1/public/gate"
: >"$1/public.lock"
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null || true
set +e
"$0" status --page "$1/public"; echo "status $?"
"$0" run --page "$1/public" --no-agent fail -- true; echo "run $?"
"$0" agent --root "$1" --shut-gate; echo "agent $?""#;
    let output =
        Command::new("unshare").args(["--mount", "sh", "-c", script, CLOCKGATE]).arg(folder.path()).output()?;
    let (stdout, stderr) = texts(&output);
    let ended = stdout.lines().collect::<Vec<_>>() == ["status 69", "run 69", "agent 75"];
    expect(ended && stderr.contains("is the file system full"), &output)
}

/// What the kernel is asked between the start of `run` and that of the command.
pub fn what_is_opened(program: Program) -> Outcome {
    let (folder, _page) = page(&proven())?;
    let log = folder.path().join("strace");
    let run = program.waiter("run", folder.path(), ["--", "true"]);
    let mut traced = Command::new("strace");
    traced.arg("-o").arg(&log).arg(run.get_program()).args(run.get_args()).env_remove("CLOCKGATE_SERVERS");
    let output = traced.output()?;
    expect(output.status.success(), &output)?;
    let log = std::fs::read_to_string(log)?;
    let begin = format!("execve(\"{}\"", program.path());
    let ours = log.lines().skip_while(|call| !call.starts_with(&begin)).skip(1);
    let calls: Vec<&str> = ours.take_while(|call| !call.starts_with("execve(")).collect();
    let opened = calls.iter().filter(|call| call.starts_with("open")).filter_map(|call| call.split('"').nth(1));
    let page = folder.path().join("public/gate");
    let others: Vec<&str> = opened.filter(|path| !path.starts_with("/proc/") && Path::new(path) != page).collect();
    let talked = calls.iter().any(|call| call.starts_with("socket") || call.starts_with("connect"));
    if others.is_empty() && !talked && (1..60).contains(&calls.len()) {
        return Ok(());
    }
    Err(format!("{} calls, {others:?}:\n{}", calls.len(), calls.join("\n")).into())
}

/// What a container can do to those who wait at the same page: wake them (futex(2), `FUTEX_WAKE` on a mapping for reading).
pub fn woken_by_others(program: Program) -> Outcome {
    let wake = "import ctypes, os, sys; sys.path.insert(0, sys.argv[2]); from gate import GATE_AT, SEQUENCE_AT, SYS_FUTEX, libc, platform; \
                at = libc.mmap(None, 4096, 1, 1, os.open(sys.argv[1], os.O_RDONLY), 0); \
                wake = lambda word: libc.syscall(SYS_FUTEX[platform.machine()], ctypes.c_void_p(at + word), 1, 2**31 - 1); \
                print(sum(wake(word) for n in range(1000) for word in (GATE_AT, SEQUENCE_AT)))";
    let (folder, mut page) = page(&shut())?;
    let mut child = program.waiter("run", folder.path(), ["--", "true"]).stderr(Stdio::piped()).spawn()?;
    let gate = folder.path().join("public/gate");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    until("it was asleep and is woken", Duration::from_secs(60), || {
        let woken = Command::new("python3").args(["-B", "-c", wake]).arg(&gate).arg(&examples).output();
        woken.is_ok_and(|woken| texts(&woken).0.trim().parse::<u32>().is_ok_and(|times| times > 0))
    })?;
    let ended = child.try_wait()?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(ended.is_none() && output.status.success(), &output)
}
