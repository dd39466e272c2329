//! `run`, `wait` and `status` as they are used: at a page that an agent of ours publishes, and without one.

mod jobs;
mod pages;
mod program;
mod retry;
mod small;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod tolerances;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Gate, Offset, Snapshot};
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{Signal, kill};
use program::Program;
use support::gate_page::{self, shut};
use support::liar::Liar;
use support::{CLOCKGATE, Ours, Outcome, expect, lacks_program, lacks_root, needing, texts, until};

/// A test of either program.
type Test = fn(Program) -> Outcome;

fn main() -> std::process::ExitCode {
    if let Err(failed) = Program::build() {
        eprintln!("clockgate-run is not built: {}", failed.message().unwrap_or_default());
        return std::process::ExitCode::FAILURE;
    }
    let plain = [
        Trial::test("a_containers_label_says_what_its_start_tolerates", tolerances::labelled),
        Trial::test("without_a_page_each_way_says_on_what_ground", without_a_page),
        Trial::test("without_a_page_a_right_server_lets_go_and_a_clock_that_is_off_is_held", servers_without_a_page),
        Trial::test("an_agent_that_comes_while_we_wait_without_one_counts", an_agent_comes),
        Trial::test("status_says_how_the_gate_stands", status),
        Trial::test("refused_because_of_the_clock_it_is_run_once_more_behind_the_gate", retry::refused_and_run_again),
        Trial::test("refused_twice_it_ends_with_the_second_code", retry::no_third_try),
        Trial::test("what_ends_otherwise_is_run_once", retry::everything_else_is_run_once),
        Trial::test("what_may_mean_the_credentials_is_retried_if_the_gate_is_shut", retry::by_a_gate_that_is_shut),
        Trial::test("a_gate_that_stays_shut_leaves_the_first_code", retry::a_gate_that_stays_shut),
        Trial::test("a_pipe_that_was_read_allows_no_second_try_and_a_file_does", retry::input),
        Trial::test("signals_are_passed_on_and_an_end_by_one_is_128_and_its_number", retry::signals),
        Trial::test("as_a_child_it_has_the_mask_and_dispositions_that_it_would_have_had", retry::mask_and_dispositions),
        Trial::test(
            "output_is_passed_through_to_the_byte_and_what_it_left_behind_is_not_waited_for",
            retry::bytes_pass_untouched,
        ),
    ];
    // What `clockgate-run` has too.
    let both: [(&str, Test); 21] = [
        ("an_open_gate_lets_the_command_go_without_a_word", an_open_gate),
        ("a_shut_gate_holds_and_the_deadline_ends_with_75", a_shut_gate),
        ("a_waiter_is_woken_the_moment_the_gate_opens", woken),
        ("on_timeout_open_lets_go_and_says_so", on_timeout_open),
        ("an_unproven_gate_is_taken_unless_proof_is_required", unproven),
        ("an_expired_proof_is_shut", expired),
        ("a_wider_tolerance_goes_by_two_exchanges_and_the_gate_stays_shut_for_others", tolerances::wide),
        ("a_tolerance_below_the_threshold_waits_for_the_gate_and_a_bound_within_it", tolerances::narrow),
        ("who_waits_with_a_tolerance_goes_on_when_it_is_measured", tolerances::woken),
        ("a_page_of_another_version_or_cut_short_is_refused_by_name", foreign_pages),
        ("term_and_int_end_the_wait_at_once_with_143_and_130", signals_while_waiting),
        ("an_ignored_int_stays_ignored", ignored_int),
        ("the_command_gets_everything_as_it_was", everything_as_it_was),
        ("what_cannot_be_executed_ends_with_126_or_127", cannot_execute),
        ("output_that_cannot_be_written_decides_nothing", output_that_fails),
        ("progress_is_a_line_at_once_and_json_if_asked", progress_lines),
        ("a_step_a_slew_and_a_sleep_since_the_proof_are_seen_without_an_agent", pages::moved_clocks),
        ("at_a_shut_gate_an_agent_that_is_gone_is_none_and_its_last_words_are_said", pages::gone_agents),
        ("an_agent_that_is_silent_for_ten_seconds_is_none_and_one_that_comes_back_counts", pages::silent_agents),
        ("what_stands_in_the_page_s_place_hangs_nobody", pages::strange_pages),
        ("a_waiter_follows_a_page_that_was_made_anew_and_outlives_one_that_was_cut_short", pages::page_made_anew),
    ];
    let mut trials = Vec::from(plain);
    for (program, of_which) in [(Program::Clockgate, ""), (Program::Small, "_by_clockgate_run")] {
        trials.extend(both.map(|(name, test)| Trial::test(format!("{name}{of_which}"), move || test(program))));
        let needs: [(_, &str, Test); 5] = [
            (lacks_root().or_else(|| lacks_program("unshare")), "run_is_pid_1_of_an_empty_read_only_root", pid_1),
            (
                lacks_root().or_else(|| lacks_program("unshare")),
                "in_a_time_namespace_a_proof_is_what_it_is_outside",
                pages::time_namespaces,
            ),
            (lacks_program("script"), "on_a_terminal_there_is_one_live_line", live_line),
            (lacks_program("strace"), "it_opens_the_page_and_proc_and_no_connection", pages::what_is_opened),
            (lacks_program("python3"), "woken_by_another_reader_it_looks_and_goes_on_waiting", pages::woken_by_others),
        ];
        for (lacks, name, test) in needs {
            trials.push(needing(lacks, &format!("{name}{of_which}"), move || test(program)));
        }
    }
    trials.push(Trial::test(
        "clockgate_run_refuses_what_needs_more_than_the_page_and_names_clockgate_run",
        small::refused,
    ));
    trials.push(Trial::test("clockgate_run_has_the_same_ways_without_a_page", small::without_a_page));
    trials.push(Trial::test("clockgate_run_reads_its_line_as_clockgate_run_does", small::command_line));
    trials.push(needing(
        lacks_root().or_else(|| lacks_program("unshare")),
        "on_a_full_run_nobody_is_killed_by_the_page",
        pages::full_run,
    ));
    trials.push(needing(
        lacks_root().or_else(|| lacks_program("unshare")),
        "as_process_1_it_reaps_orphans",
        retry::orphans_of_process_1,
    ));
    trials.extend([
        Trial::test("a_pipe_that_was_not_read_allows_a_second_try", streams::unread_input),
        Trial::test("a_reader_that_is_slow_gets_all_of_it", streams::slow_reader),
        Trial::test("what_is_left_behind_and_writes_on_is_not_waited_for", streams::left_behind),
        Trial::test("what_it_writes_is_there_at_once_and_may_be_closed", streams::at_once),
        Trial::test(
            "a_reader_that_is_gone_and_a_stream_that_is_closed_are_as_without_the_option",
            streams::nobody_reads,
        ),
        Trial::test("lines_of_a_megabyte_and_of_strange_bytes_are_searched_as_others", streams::strange_lines),
        Trial::test("without_the_option_the_command_is_the_same_process", streams::same_process),
        Trial::test("the_second_run_finds_the_dispositions_of_the_first", retry::second_run_dispositions),
    ]);
    trials.push(needing(
        lacks_program("script"),
        "a_terminal_that_is_gone_ends_the_command_of_the_sessions_leader",
        jobs::hung_up,
    ));
    trials.push(Trial::test("it_stops_when_the_command_stops_and_goes_on_with_it", jobs::stopped_by_itself));
    trials.push(Trial::test("what_stops_and_continues_is_passed_on_to_the_command", jobs::passed_on));
    trials.push(needing(
        lacks_program("script").or_else(|| lacks_program("bash")),
        "as_the_job_of_a_shell_it_stops_and_is_brought_back_as_the_command_alone_is",
        jobs::of_a_shell,
    ));
    trials.push(needing(
        lacks_root().or_else(|| lacks_program("unshare")),
        "as_process_1_it_ends_as_the_command_does_and_passes_term_on",
        jobs::process_1,
    ));
    trials.push(needing(
        lacks_program("script"),
        "a_command_that_may_be_retried_sees_the_terminal",
        retry::on_a_terminal,
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A proof on a clock that drifts.
fn proven() -> Snapshot {
    Snapshot { max_drift_ppm: 500, ..gate_page::proven() }
}

/// A page in a folder of its own, published by this process.
fn page(snapshot: &Snapshot) -> Result<(tempfile::TempDir, GatePage), Failed> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let page = gate_page::publish(folder.path(), snapshot)?;
    Ok((folder, page))
}

/// `clockgate VERB --page FOLDER/public ARGS`
fn waiter<S: AsRef<OsStr>>(verb: &str, folder: &Path, args: impl IntoIterator<Item = S>) -> Command {
    Program::Clockgate.waiter(verb, folder, args)
}

fn an_open_gate(program: Program) -> Outcome {
    let output = program.run_at(&proven(), &["--", "echo", "through"])?;
    expect(output.status.success() && output.stdout == b"through\n" && output.stderr.is_empty(), &output)
}

fn a_shut_gate(program: Program) -> Outcome {
    let output = program.run_at(&shut(), &["--max-wait", "50ms", "--", "echo", "through"])?;
    let (stdout, stderr) = texts(&output);
    let said = stderr.contains("still shut") && stderr.contains("resume: measuring");
    expect(output.status.code() == Some(75) && stdout.is_empty() && said, &output)
}

fn woken(program: Program) -> Outcome {
    let (folder, mut page) = page(&shut())?;
    let mut child = program.waiter("run", folder.path(), ["--", "true"]).stderr(Stdio::piped()).spawn()?;
    // It has said why it waits, so it is about to sleep on the word, or sleeps.
    let mut first = [0; 1];
    child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut first)?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success(), &output)
}

fn on_timeout_open(program: Program) -> Outcome {
    let output = program.run_at(&shut(), &["--max-wait", "50ms", "--on-timeout", "open", "--", "echo", "through"])?;
    expect(
        output.stdout == b"through\n" && texts(&output).1.contains("deadline has passed while the gate was shut"),
        &output,
    )
}

fn unproven(program: Program) -> Outcome {
    let open = Snapshot { gate: Gate::Unproven, why: "opened without a proof: no reference".into(), ..shut() };
    let taken = program.run_at(&open, &["--", "echo", "through"])?;
    expect(taken.stdout == b"through\n" && texts(&taken).1.contains("without a proof"), &taken)?;
    let refused = program.run_at(&open, &["--require-proof", "--max-wait", "50ms", "--", "echo", "through"])?;
    expect(refused.status.code() == Some(75) && refused.stdout.is_empty(), &refused)
}

fn expired(program: Program) -> Outcome {
    let output =
        program.run_at(&Snapshot { valid_until: boottime(), ..proven() }, &["--max-wait", "50ms", "--", "true"])?;
    expect(output.status.code() == Some(75) && texts(&output).1.contains("expired"), &output)
}

fn foreign_pages(program: Program) -> Outcome {
    let (folder, page) = page(&proven())?;
    drop(page);
    let path = folder.path().join("public/gate");
    let mut bytes = std::fs::read(&path)?;
    for (what, text) in [("short", "shorter than"), ("version", "its version is 9"), ("magic", "does not begin with")] {
        match what {
            "short" => std::fs::write(&path, &bytes[..100])?,
            "version" => {
                bytes[8..12].copy_from_slice(&9_u32.to_ne_bytes());
                std::fs::write(&path, &bytes)?;
            }
            _ => std::fs::write(&path, vec![7; 4096])?,
        }
        for verb in ["run", "wait", "status"] {
            let command: &[&str] = if verb == "run" { &["--", "echo", "through"] } else { &[] };
            let output = program.waiter(verb, folder.path(), command).output()?;
            let (stdout, stderr) = texts(&output);
            let named = stderr.contains(text) && stderr.contains("public/gate");
            expect(output.status.code() == Some(69) && stdout.is_empty() && named, &output)?;
        }
    }
    Ok(())
}

fn without_a_page() -> Outcome {
    let folder = tempfile::tempdir()?;
    let run = |args: &[&str]| waiter("run", folder.path(), args).output();
    let open = run(&["--no-agent", "open", "--", "echo", "through"])?;
    expect(open.stdout == b"through\n" && texts(&open).1.contains("the clock was not checked"), &open)?;
    let fail = run(&["--no-agent", "fail", "--", "echo", "through"])?;
    expect(fail.status.code() == Some(69) && fail.stdout.is_empty(), &fail)?;
    // Servers are named, so they are asked; this one does not answer.
    let asked = run(&["--server", "127.0.0.1:9", "--max-wait", "10ms", "--", "echo", "through"])?;
    let names = texts(&asked).1.contains("127.0.0.1:9");
    expect(asked.status.code() == Some(75) && asked.stdout.is_empty() && names, &asked)?;
    let kernel = run(&["--max-wait", "10ms", "--require-proof", "--", "echo", "through"])?;
    expect(kernel.status.code() == Some(75) && texts(&kernel).1.contains("--require-proof"), &kernel)
}

fn servers_without_a_page() -> Outcome {
    let folder = tempfile::tempdir()?;
    let right = Liar::here(Offset::ZERO)?;
    let name = right.address().to_string();
    let through = waiter("run", folder.path(), ["--server", &name, "--", "echo", "through"]).output()?;
    expect(through.stdout == b"through\n" && texts(&through).1.contains("says that the clock is off by"), &through)?;
    let wrong = Liar::here(Offset::from_secs(7))?;
    let name = wrong.address().to_string();
    let held =
        waiter("run", folder.path(), ["--server", &name, "--max-wait", "10ms", "--", "echo", "through"]).output()?;
    expect(held.status.code() == Some(75) && held.stdout.is_empty() && texts(&held).1.contains("s behind, ±"), &held)
}

fn an_agent_comes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let args = ["--no-agent", "measure", "--server", "127.0.0.1:9", "--", "true"];
    let mut child = waiter("run", folder.path(), args).stderr(Stdio::piped()).spawn()?;
    let mut first = [0; 1];
    child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut first)?;
    let _page = gate_page::publish(folder.path(), &proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success(), &output)
}

fn signals_while_waiting(program: Program) -> Outcome {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (folder, _page) = page(&shut())?;
        let waiter = program.waiter("run", folder.path(), ["--", "true"]);
        // Who runs the tests in the background has them ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,TERM").arg(waiter.get_program()).args(waiter.get_args());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut first = [0; 1];
        child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut first)?;
        kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal)?;
        let output = child.wait_with_output()?;
        expect(output.status.code() == Some(code), &output)?;
    }
    Ok(())
}

fn ignored_int(program: Program) -> Outcome {
    let (folder, mut page) = page(&shut())?;
    let script = format!(
        "trap '' INT; exec {} --page {}/public -- grep SigIgn /proc/self/status",
        program.words("run").join(" "),
        folder.path().display()
    );
    let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut first = [0; 1];
    child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut first)?;
    kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), Signal::SIGINT)?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    // Signal 2 is bit 1; who runs the tests may have ignored others.
    let mask = texts(&output).0.split_whitespace().last().map(|mask| u64::from_str_radix(mask, 16));
    expect(mask.is_some_and(|mask| mask.is_ok_and(|mask| mask & 2 != 0)), &output)
}

fn everything_as_it_was(program: Program) -> Outcome {
    let show = r#"cat /proc/self/status | grep -E '^Sig(Ign|Cgt|Blk)'; env | grep ^ODD; env | sort | grep -v ^_= | cksum; pwd; echo "$0" "$@"; readlink /proc/self/fd/*; true"#;
    let (folder, _page) = page(&proven())?;
    let inherited = |command: &mut Command| -> Result<String, Failed> {
        // A closed standard input and an ignored SIGPIPE are what a language's runtime likes to change.
        let output = command.env("ODD", " a=b\n c").current_dir("/").output()?;
        expect(output.status.success(), &output)?;
        Ok(texts(&output).0)
    };
    let outer = r#"trap '' PIPE USR1; exec "$@" <&-"#;
    let page = folder.path().join("public");
    let args = ["-c", show, "zero", "one two", "", "-- three"];
    let bare = inherited(Command::new("sh").args(["-c", outer, "outer", "sh"]).args(args))?;
    let gated = inherited(
        Command::new("sh")
            .args(["-c", outer, "outer"])
            .args(program.words("run"))
            .arg("--page")
            .arg(&page)
            .args(["--", "sh"])
            .args(args),
    )?;
    // Pipes and the shell's own process differ by number alone.
    let same = |text: &str| {
        text.lines().filter(|l| !l.contains("pipe:") && !l.contains("/proc/")).collect::<Vec<_>>().join("\n")
    };
    if same(&bare) == same(&gated) { Ok(()) } else { Err(format!("bare:\n{bare}\ngated:\n{gated}").into()) }
}

fn cannot_execute(program: Program) -> Outcome {
    let missing = program.run_at(&proven(), &["--", "no-such-command-anywhere"])?;
    expect(missing.status.code() == Some(127) && texts(&missing).1.contains("no-such-command-anywhere"), &missing)?;
    let folder = program.run_at(&proven(), &["--", "/etc"])?;
    expect(folder.status.code() == Some(126), &folder)?;
    let none = program.run_at(&proven(), &["--"])?;
    expect(none.status.code() == Some(2), &none)
}

/// Standard output and standard error that are full, closed, or read by nobody.
fn output_that_fails(program: Program) -> Outcome {
    let broken: [fn() -> std::io::Result<Stdio>; 2] = [
        || Ok(std::fs::File::create("/dev/full")?.into()),
        // The end that would be read from is dropped here.
        || Ok(std::io::pipe()?.1.into()),
    ];
    let (folder, mut page) = page(&proven())?;
    let ends = |verb: &str, args: &[&str], stdout: Stdio, stderr: Stdio, code: i32| -> Outcome {
        let output = program.waiter(verb, folder.path(), args).stdout(stdout).stderr(stderr).output()?;
        if output.status.code() == Some(code) {
            return Ok(());
        }
        Err(format!("{verb} {args:?} ended with {}, not {code}", output.status).into())
    };
    for open in broken {
        ends("wait", &[], open()?, open()?, 0)?;
        ends("wait", &["--json"], open()?, open()?, 0)?;
        ends("run", &["--", "true"], open()?, open()?, 0)?;
        ends("run", &["--", "/nowhere"], open()?, open()?, 127)?;
    }
    page.publish(&Snapshot { gate: Gate::Unproven, ..shut() })?;
    for open in broken {
        ends("run", &["--", "true"], open()?, open()?, 0)?;
        ends("run", &["--require-proof", "--max-wait", "50ms", "--", "true"], open()?, open()?, 75)?;
    }
    page.publish(&shut())?;
    for open in broken {
        for verb in [&["wait"][..], &["run", "--", "true"]] {
            let args = [&["--max-wait", "50ms"], &verb[1..]].concat();
            ends(verb[0], &args, open()?, open()?, 75)?;
        }
    }
    // What is there to be read and cannot be written has failed, and says so.
    let full = program.waiter("status", folder.path(), [""; 0]).stdout(broken[0]()?).stderr(Stdio::piped()).output()?;
    expect(full.status.code() == Some(70) && texts(&full).1.contains("cannot write to standard output"), &full)
}

fn progress_lines(program: Program) -> Outcome {
    let (folder, _page) =
        page(&Snapshot { offset: Some(Offset::from_secs(3600)), bound: Some(Duration::from_secs(3601)), ..shut() })?;
    let text = program.waiter("wait", folder.path(), ["--max-wait", "50ms"]).output()?;
    let said = texts(&text).1;
    expect(
        said.contains("waiting for the gate: resume: measuring") && said.contains("last seen 1 h 0 min 0 s behind"),
        &text,
    )?;
    let json = program.waiter("wait", folder.path(), ["--max-wait", "50ms", "--json"]).output()?;
    let line: serde_json::Value = serde_json::from_str(texts(&json).1.lines().next().unwrap_or_default())?;
    expect(line["version"] == 2 && line["offset_ns"] == 3_600_000_000_000_i64, &json)
}

fn status() -> Outcome {
    let (folder, mut page) = page(&proven())?;
    let text = waiter("status", folder.path(), [""; 0]).output()?;
    expect(text.status.success() && texts(&text).0.contains("Gate: open"), &text)?;
    page.publish(&shut())?;
    let json = waiter("status", folder.path(), ["--json"]).output()?;
    let value: serde_json::Value = serde_json::from_str(&texts(&json).0)?;
    let told = value["gate"] == "shut" && value["why"] == "resume: measuring" && value["bound_ns"].is_null();
    expect(json.status.code() == Some(1) && told, &json)
}

fn live_line(program: Program) -> Outcome {
    let (folder, _page) = page(&shut())?;
    let words = program.words("run").join(" ");
    let run = format!("{words} --page {}/public --max-wait 50ms -- true", folder.path().display());
    let output = Command::new("script").args(["-qec", &run, "/dev/null"]).stdin(Stdio::null()).output()?;
    let (stdout, _) = texts(&output);
    let live = stdout.contains("\r\x1b[Kclockgate: waiting for the gate") && stdout.contains("left");
    expect(output.status.code() == Some(75) && live, &output)?;
    // Narrower than the line: cut, so that it can be written over.
    let narrow = format!("stty cols 40; {run}");
    let output = Command::new("script").args(["-qec", &narrow, "/dev/null"]).stdin(Stdio::null()).output()?;
    let (stdout, _) = texts(&output);
    let line =
        stdout.split("\r\x1b[K").find(|part| part.starts_with("clockgate: waiting")).unwrap_or_default().to_owned();
    expect(line.chars().count() == 39 && line.ends_with("..."), &output)?;
    // A dumb terminal cannot write over a line.
    let dumb = format!("TERM=dumb {run}");
    let output = Command::new("script").args(["-qec", &dumb, "/dev/null"]).stdin(Stdio::null()).output()?;
    expect(!texts(&output).0.contains("\x1b["), &output)
}

/// The static binary alone in a root of its own: no /proc, no /dev, no libraries, read-only, no capabilities, as nobody.
fn pid_1(program: Program) -> Outcome {
    let (folder, mut page) = page(&shut())?;
    let root = folder.path().join("root");
    for inside in ["gate", "bin"] {
        std::fs::create_dir_all(root.join(inside))?;
    }
    support::copy_program(CLOCKGATE.as_ref(), &root.join("bin/clockgate"))?;
    support::copy_program(program.path().as_ref(), &root.join("bin/waiter"))?;
    let script = r#"set -e
mount --bind "$1" "$1"; mount --bind "$2" "$1/gate"; mount -o remount,bind,ro "$1/gate"; mount -o remount,bind,ro "$1"
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    chroot_as_nobody "$1""#;
    // chroot(2) needs a capability, so it comes before setpriv, whose file has to be reached from inside: `unshare` does both.
    let script = script.replace(
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \\\n    chroot_as_nobody \"$1\"",
        "exec unshare --root=\"$1\" --setuid 65534 --setgid 65534 /bin/waiter WORDS --page /gate -- /bin/clockgate status --page /gate",
    );
    let script = script.replace("WORDS", &program.words("run")[1..].join(" "));
    let waiting = |what: &mut Command| -> Result<std::process::Child, Failed> {
        let mut child = what.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut first = [0; 1];
        child.stderr.as_mut().ok_or("no stderr")?.read_exact(&mut first)?;
        Ok(child)
    };
    let mut contained = Command::new("unshare");
    contained.args([
        "--mount",
        "--pid",
        "--fork",
        "--ipc",
        "--uts",
        "--net",
        "--kill-child",
        "sh",
        "-c",
        &script,
        "sh",
    ]);
    contained.arg(&root).arg(folder.path().join("public"));
    let child = waiting(&mut contained)?;
    page.publish(&proven())?;
    let output = child.wait_with_output()?;
    expect(output.status.success() && texts(&output).0.contains("Gate: open"), &output)?;
    // As PID 1 it has no default actions: TERM has to end it all the same.
    page.publish(&shut())?;
    let mut child = Ours(waiting(&mut contained)?);
    let children = format!("/proc/{0}/task/{0}/children", child.0.id());
    let inner = std::fs::read_to_string(children)?.trim().parse().map_err(|_| "no child")?;
    kill(nix::unistd::Pid::from_raw(inner), Signal::SIGTERM)?;
    let mut ended = None;
    until("PID 1 ends on TERM", Duration::from_secs(5), || {
        ended = child.0.try_wait().ok().flatten();
        ended.is_some()
    })?;
    let code = ended.and_then(|status| status.code().or_else(|| status.signal().map(|s| 128 + s)));
    if code == Some(143) { Ok(()) } else { Err(format!("ended with {ended:?}").into()) }
}
