//! `run --retry-clock` and the three streams: what a command reads may be gone, and what it writes is there as if it were no child.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::retry::{REFUSED, holds, once, retried, runs, with_page};
use super::support::{Ours, Outcome, expect, texts, until};
use super::waiter;

const PATIENCE: Duration = Duration::from_secs(20);

/// A command that is refused the first time and never reads.
fn refused_unread(folder: &std::path::Path) -> String {
    format!("if [ $(wc -l < {}/count) = 1 ]; then echo '{REFUSED}' >&2; exit 254; fi; cat", folder.display())
}

pub fn unread_input() -> Outcome {
    // A pipe that nobody writes to for as long as the command runs, as a builder's container has it.
    let (folder, _page) = with_page()?;
    let (reader, writer) = std::io::pipe()?;
    let mut command = retried(folder.path(), &refused_unread(folder.path()), &[]);
    let mut child = command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(command);
    until("the second run", PATIENCE, || runs(folder.path()) == 2)?;
    drop(writer);
    let mut said = String::new();
    child.stdout.take().ok_or("no stdout")?.read_to_string(&mut said)?;
    holds(child.wait()?.success() && said.is_empty(), "it was not run once more to its end")?;
    // One with something in it, and what comes later, is read by the second run whole.
    let (folder, _page) = with_page()?;
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(b"before\n")?;
    let mut command = retried(folder.path(), &refused_unread(folder.path()), &[]);
    let child = command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(command);
    until("the second run", PATIENCE, || runs(folder.path()) == 2)?;
    writer.write_all(b"after\n")?;
    drop(writer);
    let output = child.wait_with_output()?;
    expect(output.status.success() && texts(&output).0 == "before\nafter\n", &output)?;
    // One byte is enough to be gone, though the rest is there.
    let (folder, _page) = with_page()?;
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(b"abc\n")?;
    let script = format!("head -c 1; {}", refused_unread(folder.path()));
    let output = retried(folder.path(), &script, &[]).stdin(reader).output()?;
    drop(writer);
    expect(output.status.code() == Some(254) && runs(folder.path()) == 1, &output)?;
    expect(texts(&output).1.contains("may have read"), &output)?;
    // Of a socket nobody can tell.
    let (folder, _page) = with_page()?;
    let (reader, _writer) = UnixStream::pair()?;
    let output = retried(folder.path(), &refused_unread(folder.path()), &[]).stdin(OwnedFd::from(reader)).output()?;
    expect(output.status.code() == Some(254) && runs(folder.path()) == 1, &output)?;
    expect(texts(&output).1.contains("may have read"), &output)?;
    // /dev/null is as empty the second time.
    let (folder, _page) = with_page()?;
    let output = retried(folder.path(), &once(folder.path(), "cat"), &[]).stdin(Stdio::null()).output()?;
    expect(output.status.success() && runs(folder.path()) == 2, &output)
}

pub fn slow_reader() -> Outcome {
    let (folder, _page) = with_page()?;
    // More than the pipes on the way hold; the reader begins when the command has been gone for a while.
    let script = "head -c 100000 /dev/zero; echo end >&2; exit 6";
    let mut command = retried(folder.path(), script, &[]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stderr = child.stderr.take().ok_or("no stderr")?;
    let mut end = String::new();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    until("the command's end", PATIENCE, || {
        runs(folder.path()) == 1 && std::fs::read_to_string(&children).is_ok_and(|all| all.trim().is_empty())
    })?;
    // Longer than a wait for silence would be.
    until("half a second", PATIENCE, {
        let began = clockgate::sys::clock::boottime();
        move || clockgate::sys::clock::boottime().since(began) > Duration::from_millis(500)
    })?;
    holds(child.try_wait()?.is_none(), "it has ended before its output was read")?;
    let mut said = vec![];
    child.stdout.take().ok_or("no stdout")?.read_to_end(&mut said)?;
    stderr.read_to_string(&mut end)?;
    let code = child.wait()?.code();
    holds(said.len() == 100_000 && end == "end\n" && code == Some(6), &format!("{} bytes, {code:?}", said.len()))
}

pub fn left_behind() -> Outcome {
    for writes in ["sleep 600", "while :; do echo x; done", "while :; do echo x >&2; sleep 0.05; done"] {
        let (folder, _page) = with_page()?;
        let script = format!("({writes}) & echo $! > {}/left; exit 3", folder.path().display());
        let files = ["stdout", "stderr"].map(|name| folder.path().join(name));
        let mut command = retried(folder.path(), &script, &[]);
        command.stdin(Stdio::null());
        command.stdout(std::fs::File::create(&files[0])?).stderr(std::fs::File::create(&files[1])?);
        let mut child = Ours(command.spawn()?);
        let mut ended = None;
        let in_time = until("its end beside what it left behind", PATIENCE, || {
            ended = child.0.try_wait().ok().flatten();
            ended.is_some()
        });
        let left: i32 = std::fs::read_to_string(folder.path().join("left"))?.trim().parse()?;
        // It may have ended by itself, of a pipe that nobody reads.
        let _ = kill(Pid::from_raw(left), Signal::SIGKILL);
        in_time?;
        holds(ended.and_then(|status| status.code()) == Some(3), &format!("{writes}: {ended:?}"))?;
    }
    Ok(())
}

pub fn at_once() -> Outcome {
    let (folder, _page) = with_page()?;
    let script = "printf question; read answer; printf \"%s\" \"$answer\" >&2; exec 1>&- 2>&-; exec sleep 600";
    let mut command = retried(folder.path(), script, &[]);
    let (reader, mut writer) = std::io::pipe()?;
    let mut child = Ours(command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
    drop(command);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    let mut question = [0; 8];
    let mut stdout = stdout.ok_or("no stdout")?;
    stdout.read_exact(&mut question)?;
    holds(&question == b"question", "another question")?;
    writer.write_all(b"answer\n")?;
    let mut answer = [0; 6];
    stderr.ok_or("no stderr")?.read_exact(&mut answer)?;
    holds(&answer == b"answer", "another answer")?;
    // A command that has closed its output runs on, and is ended as ever.
    kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGTERM)?;
    holds(child.0.wait()?.code() == Some(143), "it did not end by TERM")
}

pub fn nobody_reads() -> Outcome {
    // Of a reader that goes, a command that writes on hears as ever.
    let (folder, _page) = with_page()?;
    let mut child = retried(folder.path(), "exec yes", &[]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().ok_or("no stdout")?;
    stdout.read_exact(&mut [0; 2])?;
    drop(stdout);
    holds(child.wait()?.code() == Some(128 + 13), "no SIGPIPE")?;
    // One that was gone before: the first word fails, as it does without us.
    let (folder, _page) = with_page()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let script = format!(
        "trap '' PIPE; i=0; while echo word 2>/dev/null; do sleep 0.01; i=$((i+1)); [ $i -lt 500 ] || exit 1; done; \
         echo '{REFUSED}' >&2; exit 7"
    );
    let output = retried(folder.path(), &script, &[]).stdin(Stdio::null()).stdout(writer).output()?;
    expect(output.status.code() == Some(7) && runs(folder.path()) == 2, &output)?;
    // What is closed stays closed, and nothing of ours is written into what took its place.
    for (closed, number) in [(">&-", 1), ("2>&-", 2), ("<&- >&-", 1), ("<&- >&- 2>&-", 2)] {
        let (folder, _page) = with_page()?;
        let script = format!(
            "[ -e /proc/self/fd/{number} ] && exit 9; echo lost >&{number}; [ $(wc -l < {}/count) = 2 ] && exit 8; \
             echo '{REFUSED}' >&2; exit 7",
            folder.path().display()
        );
        let inner = retried(folder.path(), &script, &[]);
        let mut outer = Command::new("sh");
        let line = format!("exec \"$@\" {closed}");
        outer.args(["-c", &line, "sh"]).arg(inner.get_program()).args(inner.get_args());
        let output = outer.stdin(Stdio::null()).output()?;
        // Who has no standard error says nothing that could be read there.
        let (code, times) = if number == 1 { (8, 2) } else { (7, 1) };
        expect(output.status.code() == Some(code) && runs(folder.path()) == times, &output)?;
    }
    Ok(())
}

pub fn strange_lines() -> Outcome {
    let long = "head -c 1000000 /dev/zero | tr '\\0' x";
    for (script, times) in [
        // The end of a line of a megabyte, without an end.
        (format!("({long}; printf ' {REFUSED}') >&2; exit 254"), 2),
        // Its beginning is further back than what is kept.
        (format!("(printf '{REFUSED} '; {long}) >&2; exit 254"), 1),
        (format!("(printf '\\377\\300\\0 {REFUSED} \\376'; printf '\\n\\355\\240\\200') >&2; exit 254"), 2),
        // The clock, but the command had done something by then.
        ("echo 'tar: a: time stamp 2026-06-27 15:00:00 is 3599.99 s in the future' >&2; exit 2".to_owned(), 1),
    ] {
        let (folder, _page) = with_page()?;
        let output = retried(folder.path(), &script, &[]).stdin(Stdio::null()).output()?;
        let is_right = !output.status.success() && runs(folder.path()) == times;
        holds(is_right, &format!("{script}: run {} times, {}", runs(folder.path()), output.status))?;
    }
    Ok(())
}

pub fn same_process() -> Outcome {
    let (folder, _page) = with_page()?;
    for (option, is_child) in [(&[][..], false), (&["--retry-clock"], true)] {
        let mut command = waiter("run", folder.path(), [option, &["--", "sh", "-c", "echo $$"]].concat());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let pid = child.id().to_string();
        let output = child.wait_with_output()?;
        expect((texts(&output).0.trim() != pid) == is_child, &output)?;
    }
    Ok(())
}
