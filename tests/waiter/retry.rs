//! `run --retry-clock`: what is run once more and what is not, and that the command does not notice that it is a child.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::boottime;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{CLOCKGATE, expect, texts, until};
use super::{page, proven, waiter};
use crate::support::Outcome;
use crate::support::gate_page::shut;

/// As AWS refuses a signature (SigV4).
pub const REFUSED: &str =
    "Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)";

/// A script that counts its runs in `count`, and `run`s with the option, until its end.
pub fn retried(folder: &Path, script: &str, options: &[&str]) -> Command {
    let script = format!("echo run >> {}/count; {script}", folder.display());
    let arguments = [&["--retry-clock"], options, &["--", "sh", "-c", &script]].concat();
    waiter("run", folder, arguments)
}

pub fn runs(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("count")).unwrap_or_default().lines().count()
}

/// A script that is refused the first time, and then says what it reads.
pub fn once(folder: &Path, then: &str) -> String {
    format!(
        "if [ $(wc -l < {}/count) = 1 ]; then echo first; cat >/dev/null; echo '{REFUSED}' >&2; exit 254; fi; {then}",
        folder.display()
    )
}

pub fn with_page() -> Result<(tempfile::TempDir, GatePage), libtest_mimic::Failed> {
    page(&proven())
}

pub fn refused_and_run_again() -> Outcome {
    let (folder, mut page) = with_page()?;
    let go_on = folder.path().join("go-on");
    let waits = format!("while ! [ -e {} ]; do sleep 0.01; done", go_on.display());
    let script = format!("{waits}; {}", once(folder.path(), "echo second; echo careful >&2; exit 3"));
    let mut command = retried(folder.path(), &script, &["--max-wait", "infinity"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    until("the first run", Duration::from_secs(20), || runs(folder.path()) == 1)?;
    page.publish(&shut())?;
    std::fs::write(&go_on, "")?;
    // It waits: nothing is run a second time while the gate is shut.
    until("the end of the first run", Duration::from_secs(20), || {
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        std::fs::read_to_string(children).is_ok_and(|children| children.trim().is_empty())
    })?;
    holds(runs(folder.path()) == 1, "it ran behind a shut gate")?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    let (stdout, stderr) = texts(&output);
    expect(stdout == "first\nsecond\n" && output.status.code() == Some(3), &output)?;
    let said =
        "`sh` was refused because of the clock (aws.sigv4.expired), before it had an effect: it is run once more";
    expect(stderr.starts_with(&format!("{REFUSED}\n")) && stderr.contains(said), &output)?;
    expect(stderr.ends_with("careful\n") && runs(folder.path()) == 2, &output)
}

pub fn holds(condition: bool, what: &str) -> Outcome {
    if condition { Ok(()) } else { Err(what.into()) }
}

pub fn no_third_try() -> Outcome {
    let (folder, _page) = with_page()?;
    let output = retried(folder.path(), &format!("echo '{REFUSED}'; exit 254"), &[]).stdin(Stdio::null()).output()?;
    expect(output.status.code() == Some(254) && runs(folder.path()) == 2, &output)?;
    expect(texts(&output).0.lines().count() == 2, &output)
}

pub fn everything_else_is_run_once() -> Outcome {
    let ordinary = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done";
    for (script, code) in [
        (format!("echo '{REFUSED}'"), 0),
        ("echo 'no such file'; exit 3".to_owned(), 3),
        (format!("echo '{REFUSED}' >&2; kill -KILL $$"), 137),
        // Far above the last lines: something else ended it.
        (format!("(echo '{REFUSED}'; {ordinary}) >&2; exit 4"), 4),
        // The credentials or the clock, and the gate is open on a proof.
        ("echo 'An error occurred (AuthFailure) when calling the DescribeInstances operation: AWS was not able to validate the provided access credentials' >&2; exit 5".to_owned(), 5),
    ] {
        let (folder, _page) = with_page()?;
        let output = retried(folder.path(), &script, &[]).stdin(Stdio::null()).output()?;
        expect(output.status.code() == Some(code) && runs(folder.path()) == 1, &output)?;
        expect(!texts(&output).1.contains("once more"), &output)?;
    }
    // Off by default, and then it is no child.
    let (folder, _page) = with_page()?;
    let script = format!("echo run >> {}/count; echo '{REFUSED}' >&2; exit 254", folder.path().display());
    let output = waiter("run", folder.path(), ["--", "sh", "-c", &script]).output()?;
    expect(output.status.code() == Some(254) && runs(folder.path()) == 1, &output)
}

pub fn by_a_gate_that_is_shut() -> Outcome {
    // The credentials or the clock: the gate tells which.
    let (folder, mut page) = with_page()?;
    let go_on = folder.path().join("go-on");
    let either = "AWS was not able to validate the provided access credentials";
    let script = format!(
        "while ! [ -e {} ]; do sleep 0.01; done; echo '(AuthFailure) when calling: {either}' >&2; exit 255",
        go_on.display()
    );
    let mut command = retried(folder.path(), &script, &["--max-wait", "infinity"]);
    let said = folder.path().join("stderr");
    let mut child = command.stdin(Stdio::null()).stderr(std::fs::File::create(&said)?).spawn()?;
    until("the first run", Duration::from_secs(20), || runs(folder.path()) == 1)?;
    page.publish(&shut())?;
    std::fs::write(&go_on, "")?;
    until("the word that it is run once more", Duration::from_secs(20), || {
        std::fs::read_to_string(&said)
            .is_ok_and(|said| said.contains("(aws.ec2.authfailure)") && said.contains("once more"))
    })?;
    page.publish(&proven())?;
    let code = child.wait()?.code();
    holds(code == Some(255) && runs(folder.path()) == 2, &std::fs::read_to_string(&said)?)
}

pub fn a_gate_that_stays_shut() -> Outcome {
    let (folder, mut page) = with_page()?;
    let go_on = folder.path().join("go-on");
    let script = format!("while ! [ -e {} ]; do sleep 0.01; done; echo '{REFUSED}' >&2; exit 254", go_on.display());
    let mut command = retried(folder.path(), &script, &["--max-wait", "50ms"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    until("the first run", Duration::from_secs(20), || runs(folder.path()) == 1)?;
    page.publish(&shut())?;
    std::fs::write(&go_on, "")?;
    let output = child.wait_with_output()?;
    // The command's own code, and why it was not run again.
    expect(output.status.code() == Some(254) && runs(folder.path()) == 1, &output)?;
    expect(texts(&output).1.contains("not run once more: the gate is still shut after"), &output)
}

pub fn input() -> Outcome {
    // A pipe that was read is gone.
    let (folder, _page) = with_page()?;
    let script = once(folder.path(), "cat");
    let mut command = retried(folder.path(), &script, &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(b"of a pipe\n")?;
    let output = child.wait_with_output()?;
    expect(output.status.code() == Some(254) && runs(folder.path()) == 1, &output)?;
    expect(texts(&output).1.contains("standard input is a pipe that it may have read"), &output)?;
    // A file is read again from where it stood.
    let (folder, _page) = with_page()?;
    let mut file = tempfile::tempfile()?;
    file.write_all(b"gone\nof a file\n")?;
    file.seek(std::io::SeekFrom::Start(5))?;
    let output = retried(folder.path(), &once(folder.path(), "cat"), &[]).stdin(file).output()?;
    expect(texts(&output).0 == "first\nof a file\n" && output.status.success(), &output)?;
    // A pipe that has ended empty has nothing to lose.
    let (folder, _page) = with_page()?;
    let (reader, _) = std::io::pipe()?;
    let output = retried(folder.path(), &once(folder.path(), "echo second"), &[]).stdin(reader).output()?;
    expect(texts(&output).0 == "first\nsecond\n", &output)?;
    // Closed.
    let (folder, _page) = with_page()?;
    let inner = retried(folder.path(), &once(folder.path(), "echo second"), &[]);
    let mut outer = Command::new("sh");
    outer.args(["-c", r#"exec "$@" <&-"#, "sh"]).arg(inner.get_program()).args(inner.get_args());
    let output = outer.output()?;
    expect(texts(&output).0 == "first\nsecond\n", &output)
}

pub fn signals() -> Outcome {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        let (folder, _page) = with_page()?;
        let name = signal.as_str().trim_start_matches("SIG");
        // The shell waits in a child that it ends itself: a trap is run between commands.
        let script = format!("trap 'echo caught; exit 9' {name}; echo ready; while :; do sleep 0.01; done");
        let mut command = retried(folder.path(), &script, &[]);
        // Who runs the tests in the background has INT ignored.
        let mut child =
            defaults(&command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut ready = [0; 6];
        child.stdout.as_mut().ok_or("no stdout")?.read_exact(&mut ready)?;
        kill(Pid::from_raw(child.id().cast_signed()), signal)?;
        let output = child.wait_with_output()?;
        expect(output.status.code() == Some(9) && output.stdout == b"caught\n", &output)?;
        command.stdin(Stdio::null());
    }
    let (folder, _page) = with_page()?;
    let output = retried(folder.path(), "kill -TERM $$", &[]).stdin(Stdio::null()).output()?;
    expect(output.status.code() == Some(143), &output)
}

/// The same command with the default actions of the signals that a shell's background job ignores.
pub fn defaults(command: &Command) -> Command {
    let mut env = Command::new("env");
    env.arg("--default-signal=INT,TERM,QUIT").arg(command.get_program()).args(command.get_args());
    env
}

pub fn mask_and_dispositions() -> Outcome {
    let show =
        "grep -E '^Sig(Ign|Cgt|Blk)' /proc/self/status; env | grep ^ODD; pwd; readlink /proc/self/fd/0; echo \"$@\"";
    let (folder, _page) = with_page()?;
    let outer = r#"trap '' PIPE USR1 CHLD; exec "$@" <&-"#;
    let shown = |command: &mut Command| -> Result<String, libtest_mimic::Failed> {
        let output = command.env("ODD", " a=b\n c").current_dir("/").output()?;
        Ok(texts(&output).0)
    };
    let inner = ["sh", "-c", show, "zero", "one two", "", "-- three"];
    let bare = shown(Command::new("sh").args(["-c", outer, "outer"]).args(inner))?;
    let gate = folder.path().join("public");
    let mut gated = Command::new("sh");
    gated.args(["-c", outer, "outer", CLOCKGATE, "run", "--retry-clock", "--page"]).arg(gate).arg("--").args(inner);
    let gated = shown(&mut gated)?;
    if bare == gated && bare.contains("SigIgn") {
        Ok(())
    } else {
        Err(format!("bare:\n{bare}\ngated:\n{gated}").into())
    }
}

pub fn second_run_dispositions() -> Outcome {
    let (folder, _page) = with_page()?;
    // No shell: it would hear of its children.
    let script = format!(
        r#"BEGIN {{ while ((getline line < "/proc/self/status") > 0) if (line ~ /^SigIgn/) print line
                    print "run" >> "{}/count"; print "{REFUSED}" > "/dev/stderr"; exit 254 }}"#,
        folder.path().display()
    );
    let inner = waiter("run", folder.path(), ["--retry-clock", "--", "awk", &script]);
    let mut outer = Command::new("env");
    outer.arg("--ignore-signal=CHLD,USR1,PIPE").arg(inner.get_program()).args(inner.get_args());
    let output = outer.stdin(Stdio::null()).output()?;
    // The signals that programs have; 33 is the C library's own.
    let stdout = texts(&output).0;
    let ignored: Vec<_> =
        stdout.lines().filter_map(|line| u64::from_str_radix(line.get(8..)?.trim(), 16).ok()).collect();
    let programs = |set: &u64| set & 0x7fff_ffff;
    let is_same = ignored.len() == 2 && programs(&ignored[0]) == programs(&ignored[1]);
    expect(is_same && ignored[0] & (1 << 16) != 0 && runs(folder.path()) == 2, &output)
}

pub fn bytes_pass_untouched() -> Outcome {
    let (folder, _page) = with_page()?;
    let script = "head -c 3000000 /dev/urandom | tee $0/copy; printf 'no end of line' >&2; exit 6";
    let folder_of = folder.path().to_str().ok_or("a strange folder")?;
    let line = ["--retry-clock", "--", "sh", "-c", script, folder_of];
    let output = waiter("run", folder.path(), line).stdin(Stdio::null()).output()?;
    let copy = std::fs::read(folder.path().join("copy"))?;
    holds(output.stdout == copy && output.status.code() == Some(6), "another output, or another code")?;
    holds(output.stderr == b"no end of line", "another standard error")?;
    // What it left behind holds its output open, and is not waited for. A file, since this test would wait for a pipe.
    let file = folder.path().join("stdout");
    let script = "sleep 60 & echo done; echo $! > $0/left";
    let mut command = waiter("run", folder.path(), ["--retry-clock", "--", "sh", "-c", script, folder_of]);
    let started = boottime();
    let status = command.stdin(Stdio::null()).stdout(std::fs::File::create(&file)?).stderr(Stdio::null()).status()?;
    let took = boottime().since(started);
    let left: i32 = std::fs::read_to_string(folder.path().join("left"))?.trim().parse()?;
    kill(Pid::from_raw(left), Signal::SIGTERM)?;
    let is_done = std::fs::read_to_string(file)? == "done\n" && status.code() == Some(0);
    holds(is_done && took < Duration::from_secs(20), "it waited for what the command left behind")
}

pub fn on_a_terminal() -> Outcome {
    let (folder, _page) = with_page()?;
    let show = "test -t 0 && echo in; test -t 1 && echo out; stty size";
    let run = format!(
        "stty cols 77; {CLOCKGATE} run --retry-clock --page {}/public -- sh -c '{show}'",
        folder.path().display()
    );
    // script(1) takes a null input for the end of its session; a pipe that stays open is a person who types nothing.
    let (reader, _writer) = std::io::pipe()?;
    let output = Command::new("script").args(["-qec", &run, "/dev/null"]).stdin(reader).output()?;
    let (stdout, _) = texts(&output);
    expect(stdout.contains("in") && stdout.contains("out") && stdout.contains(" 77"), &output)
}

pub fn orphans_of_process_1() -> Outcome {
    let (folder, _page) = with_page()?;
    // The orphan's parent ends at once, so that process 1 has it; a zombie stays in /proc until it is reaped.
    let script = "(sh -c 'echo $$ > $0/orphan; exec sleep 0.05' $0 &); while ! [ -s $0/orphan ]; do sleep 0.01; done; \
                  i=0; while [ -e /proc/$(cat $0/orphan) ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done; \
                  [ -e /proc/$(cat $0/orphan) ] && exit 1; echo \"1 is $(cat /proc/1/comm)\"; exit 5";
    let mut inside = Command::new("unshare");
    inside.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", CLOCKGATE, "run", "--retry-clock"]);
    inside.arg("--page").arg(folder.path().join("public")).args(["--no-agent", "open", "--", "sh", "-c", script]);
    let output: Output = inside.arg(folder.path()).stdin(Stdio::null()).output()?;
    expect(output.status.code() == Some(5) && texts(&output).0 == "1 is clockgate\n", &output)
}
