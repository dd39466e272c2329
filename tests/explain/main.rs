//! Error messages as folders: `message`, `world` (may be absent: nothing was measured), `verdict`. A new message needs no Rust.
//!
//! `mentions.txt` has lines that only name an error.
//!
//! A line of `world` is `now OFFSET ROOT-DISTANCE`, `local TIME`, `past OFFSET` (and `undated`, where nobody knows since when), `credentials-until TIME`, or `zone SECONDS`; offsets are seconds, positive where our clock is
//! behind. `history`, if it is there, is what the agent has kept, as it writes it, and tells the past. `verdict` begins with the verdict, the direction and the ids of what was found; then comes what is printed.
//! `CLOCKGATE_BLESS=1` writes it anew, to be read before it is committed.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use clockgate::config::patterns;
use clockgate::decision::{Offset, Realtime};
use clockgate::explain::{
    Lifetime, Literals, Match, Now, PastMoment, Proves, Scanner, Then, TokenKind, Verdict, World, judge, text,
};
use clockgate::history::{FOLDER, HistoryRecord};
use clockgate::past::{Past, Segment};
use libtest_mimic::{Arguments, Failed, Trial};
use support::expected::is_as_written;
use support::{Outcome, folders};

fn main() -> std::process::ExitCode {
    let folders = folders::of("explain").into_iter().filter(|folder| folder.join("message").exists());
    let cases = folders.map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || case(&folder))
    });
    let others = [
        Trial::test("every_pattern_finds_a_real_text_and_not_its_near_miss", samples),
        Trial::test("every_pattern_finds_a_text_that_it_was_not_written_from", independent),
        Trial::test("a_line_that_only_names_an_error_gives_no_verdict_on_a_clock", mentions),
        Trial::test("a_message_is_found_however_its_text_is_wrapped_quoted_and_cut_into_pieces", wrappings),
        Trial::test("nothing_of_the_text_is_printed_and_no_escape_reaches_the_terminal", secrets),
        Trial::test("times_in_tokens_and_signed_urls_are_shown_and_nothing_else_of_them", carried),
        Trial::test("credentials_are_read_when_asked_for_and_only_their_expiry", credentials),
        Trial::test("nul_bytes_invalid_utf8_and_a_line_of_a_megabyte_hide_no_message", rubbish),
        Trial::test("a_hundred_megabytes_are_read_in_little_memory", large),
        Trial::test("a_command_keeps_its_output_and_its_exit_code_and_is_explained_when_it_fails", command),
        Trial::test("the_logs_of_many_tools_without_a_clock_error_give_no_clock_verdict", logs),
        Trial::test("the_journal_is_read_by_journalctl_and_who_has_none_is_told", journal),
        Trial::test("the_agents_history_tells_the_past_and_offline_no_journal_is_read", history),
        Trial::test("exit_codes_and_json_are_as_documented", codes),
        Trial::test("a_message_of_the_hosts_own_needs_no_program", own),
    ];
    libtest_mimic::run(&Arguments::from_args(), cases.chain(others).collect()).exit_code()
}

/// Since when a clock was as far off as `past` says.
const DATED: Realtime = Realtime::from_secs(1_782_561_600);

fn undated(offset: Offset) -> Then {
    Then { offset, since: None, until: None, by: None }
}

fn literals() -> &'static Literals {
    static ALL: OnceLock<Literals> = OnceLock::new();
    ALL.get_or_init(|| Literals::new(patterns::load(Path::new("/nonexistent")).unwrap()).unwrap())
}

fn found(bytes: &[u8]) -> Vec<Match<'static>> {
    let mut scanner = Scanner::new(literals());
    scanner.feed(bytes);
    scanner.finish().matches
}

fn ids(found: &[Match<'_>]) -> Vec<String> {
    found.iter().map(|one| one.pattern.id.clone()).collect()
}

fn case(folder: &Path) -> Outcome {
    let message = std::fs::read(folder.join("message"))?;
    let world = std::fs::read_to_string(folder.join("world")).unwrap_or_default();
    let (mut known, mut past) = (World::default(), None);
    for line in world.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["now", offset, distance] => {
                known.now = Some(Now {
                    offset: seconds(offset)?,
                    root_distance: seconds(distance)?.abs(),
                    supporters: Some(4),
                });
            }
            ["local", at] => known.local = Some(Realtime::from_nanos(at.parse::<i64>()? * 1_000_000_000)),
            ["credentials-until", at] => known.lifetimes.push(Lifetime {
                kind: TokenKind::Credentials,
                line: None,
                from: None,
                until: Some(Realtime::from_secs(at.parse()?)),
            }),
            ["zone", secs] => known.zone_secs = secs.parse()?,
            ["past", offset] => past = Some(Then { since: Some(DATED), ..undated(seconds(offset)?) }),
            ["past", offset, "undated"] => past = Some(undated(seconds(offset)?)),
            _ => return Err(format!("{}: {line}", folder.display()).into()),
        }
    }
    let history = std::fs::read_to_string(folder.join("history")).unwrap_or_default();
    let records: Vec<HistoryRecord> = history.lines().filter_map(HistoryRecord::parse).collect();
    let now = known.now.as_ref().map(|now| now.offset);
    let kept = |moment| {
        let segments = Segment::of_history(&records, None);
        let Past { offset, since, until, by } = match moment {
            PastMoment::True(at) => Past::at(at, &segments, now),
            PastMoment::Local(at) => Past::when_it_said(at, &segments, now),
        }?;
        Some(Then { offset, since, until, by })
    };
    let explained = judge(found(&message), &known, |moment| past.clone().or_else(|| kept(moment)));
    let became = format!(
        "{} {} {}\n{}",
        explained.verdict.name(),
        explained.direction.name(),
        ids(&explained.matches).join(" "),
        text(&explained, known.zone_secs)
    );
    is_as_written(&folder.join("verdict"), &became)
}

fn seconds(text: &str) -> Result<Offset, Failed> {
    let seconds: f64 = text.parse()?;
    let size = i64::try_from(Duration::try_from_secs_f64(seconds.abs())?.as_nanos())?;
    Ok(Offset::from_nanos(if seconds < 0.0 { -size } else { size }))
}

/// Lines of `samples.txt`: `id + text` that has to be found, `id - text` that must not be.
fn samples() -> Outcome {
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/samples.txt"))?;
    let mut wrong = vec![];
    let mut seen = std::collections::BTreeSet::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let (Some(id), Some(sign), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("an id, + or -, and a text are wanted: {line}").into());
        };
        let ids = ids(&found(text.as_bytes()));
        if ids.iter().any(|found| found == id) != (sign == "+") {
            wrong.push(format!("{line}\n    found: {ids:?}"));
        }
        seen.insert((id.to_owned(), sign.to_owned()));
    }
    for pattern in literals().patterns() {
        for sign in ["+", "-"] {
            if !seen.contains(&(pattern.id.clone(), sign.to_owned())) {
                wrong.push(format!("no `{sign}` for {}", pattern.id));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Lines of `independent.txt`: `id | source | text`; each message is found, by the pattern of that id and it is what decides.
fn independent() -> Outcome {
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/independent.txt"))?;
    let mut wrong = vec![];
    let mut seen = std::collections::BTreeSet::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, " | ");
        let (Some(id), Some(source), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("an id, a source and a text are wanted: {line}").into());
        };
        let ids = ids(&judge(found(text.as_bytes()), &World::default(), |_| None).matches);
        if source.is_empty() || ids.first().is_none_or(|found| found != id) {
            wrong.push(format!("{line}\n    found: {ids:?}"));
        }
        seen.insert(id.to_owned());
    }
    let patterns = literals().patterns().iter();
    wrong.extend(patterns.filter(|one| !seen.contains(&one.id)).map(|one| format!("no text for {}", one.id)));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Lines of `mentions.txt`, each alone: a changelog, a commit, a test, a listing. A report among them is found.
fn mentions() -> Outcome {
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/mentions.txt"))?;
    let lines: Vec<&str> = file.lines().skip(1).collect();
    let judged = |text: &str| judge(found(text.as_bytes()), &World::default(), |_| None);
    let verdict = |line: &&&str| judged(line).verdict != Verdict::Unknown;
    let wrong: Vec<_> =
        lines.iter().filter(verdict).map(|line| format!("{line}\n    {:?}", ids(&found(line.as_bytes())))).collect();
    assert!(lines.len() >= 80 && wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(judged(&lines.join("\n")).verdict, Verdict::Unknown);
    let report = "curl: (60) SSL certificate problem: certificate is not yet valid";
    let among = judged(&[&lines[..20], &[report], &lines[20..]].concat().join("\n"));
    assert_eq!((among.verdict, among.matches[0].line), (Verdict::ClockUnmeasured, 21));
    Ok(())
}

const EXPIRED: &str =
    "Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)";

fn wrappings() -> Outcome {
    let json =
        serde_json::json!({"level": "error", "msg": format!("\u{1b}[31mcaused by:\n\t{EXPIRED}\u{1b}[0m")}).to_string();
    let nested = serde_json::json!({ "log": json }).to_string();
    let coloured = EXPIRED.replace("expired:", "\u{1b}[1;31mexpired:\u{1b}[0m");
    let narrow: Vec<String> = EXPIRED.as_bytes().chunks(37).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    for text in [
        json,
        nested,
        coloured,
        EXPIRED.replace(' ', "\n    "),
        EXPIRED.replace(' ', "\r\n"),
        narrow.join("\n"),
        format!("<Message>{}</Message>", EXPIRED.replace('-', "&#45;").replace("&#45;", "-")),
    ] {
        let all = found(text.as_bytes());
        assert_eq!(ids(&all), ["aws.sigv4.expired"], "{text}");
        assert_eq!(all[0].said.map(|said| said.offset), Some(Offset::from_secs(1800)), "{text}");
        let mut scanner = Scanner::new(literals());
        for byte in text.as_bytes() {
            scanner.feed(&[*byte]);
        }
        assert_eq!(ids(&scanner.finish().matches), ["aws.sigv4.expired"], "{text}");
    }
    Ok(())
}

fn explain(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clockgate"))
        .arg("explain")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A process that has ended early has closed it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn secrets() -> Outcome {
    let text =
        format!("\u{1b}]0;owned\u{7}AKIASECRETSECRET hunter2 \u{1b}[2J {EXPIRED} \u{9b}31m eyJhbGciOi.secret.sig\n");
    for arguments in [&["--offline"][..], &["--offline", "--json"]] {
        let output = explain(arguments, text.as_bytes());
        let said = String::from_utf8(output.stdout)?;
        for secret in ["AKIA", "hunter2", "owned", "eyJ", "\u{1b}", "\u{9b}", "\u{7}"] {
            assert!(!said.contains(secret), "{secret:?} in {said}");
        }
        assert!(said.contains("aws.sigv4.expired"), "{said}");
    }
    Ok(())
}

/// A token, a signed URL and a shared access signature, each with secrets beside its times.
fn carried() -> Outcome {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzZWNyZXQiLCJpYXQiOjE3ODI1Njg4MDAsImV4cCI6MTc4MjU3MjQwMH0.c2lnbmF0dXJl";
    let url = "https://bucket7.example/k?X-Amz-Credential=AKIA7%2F20260627&X-Amz-Date=20260627T140000Z&X-Amz-Expires=3600&X-Amz-Security-Token=hunter2&X-Amz-Signature=ab12";
    let sas = "https://a.example/c?st=2026-06-27T14%3A00%3A00Z&amp;se=2026-06-27T15%3A00%3A00Z&amp;sig=hunter3%3D";
    let text = format!("AuthFailure\nAuthorization: Bearer {token}\nGET {url} HTTP/1.1\n<a href=\"{sas}\">\n");
    for arguments in [&["--offline"][..], &["--offline", "--json"]] {
        let said = String::from_utf8(explain(arguments, text.as_bytes()).stdout)?;
        for secret in ["secret", "AKIA", "hunter", "bucket7", "c2ln", "eyJ", "ab12", "a.example"] {
            assert!(!said.contains(secret), "{secret:?} in {said}");
        }
        if arguments.len() == 1 {
            for (carrier, line) in [("JSON web token", 2), ("Signed URL", 3), ("Shared access signature", 4)] {
                let wanted = format!(
                    "{carrier} in line {line}: valid from 2026-06-27 14:00:00 UTC until 2026-06-27 15:00:00 UTC."
                );
                assert!(said.contains(&wanted), "{wanted} is not in {said}");
            }
        }
    }
    Ok(())
}

/// A home with credentials, each with secrets beside its expiry; one file of each kind is broken.
fn credentials() -> Outcome {
    let home = tempfile::tempdir()?;
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| std::fs::write(path, text))
    };
    let role = |at: &str| {
        format!(
            r#"{{"Credentials": {{"SecretAccessKey": "hunter2", "SessionToken": "hunter3", "Expiration": "{at}"}}}}"#
        )
    };
    write(".aws/cli/cache/a.json", &role("2026-06-27T14:00:00+00:00"))?;
    write(".aws/cli/cache/b.json", &role("2026-06-27T15:00:00+00:00"))?;
    write(".aws/cli/cache/broken.json", "hunter4")?;
    write(".aws/sso/cache/a.json", r#"{"accessToken": "hunter5", "expiresAt": "2026-06-27T16:00:00UTC"}"#)?;
    write(".aws/sso/cache/client.json", r#"{"clientSecret": "hunter6", "expiresAt": "2027-06-27T16:00:00Z"}"#)?;
    write("client.pem", include_str!("client.pem"))?;
    let users = "users:\n- name: hunter7\n  user: {client-certificate: ../client.pem, client-key-data: hunter8}\n";
    write(".kube/config", &format!("apiVersion: v1\nclusters: []\n{users}"))?;
    write("other", &users.replace("../client.pem", "nowhere.pem"))?;
    let explain = |arguments: &[&str], files: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clockgate"));
        command.args(["explain", "--offline", "AuthFailure"]).args(arguments).env("HOME", home.path()).env("TZ", "UTC");
        command.env("AWS_CREDENTIAL_EXPIRATION", "2026-06-27T17:00:00Z").env_remove("KUBECONFIG");
        if let Some(files) = files {
            command.env("KUBECONFIG", files);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let said = explain(&["--credentials"], None);
    for wanted in [
        "Temporary credentials of this user: valid until 2026-06-27 15:00:00 UTC.",
        "Session of this user: valid until 2026-06-27 16:00:00 UTC.",
        "Temporary credentials of this user: valid until 2026-06-27 17:00:00 UTC.",
        "Client certificate of this user: valid from 2026-11-28 22:47:10 UTC until 2026-11-30 22:47:10 UTC.",
        "broken.json: not the JSON of a cached token",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    let json = explain(&["--credentials", "--json"], None);
    assert!(!(said.clone() + &json).contains("hunter"), "{said}{json}");
    let said = explain(&["--credentials"], Some(&home.path().join("other")));
    assert!(said.contains("cannot read a client certificate of ") && !said.contains("hunter"), "{said}");
    assert!(!explain(&[], None).contains("valid until"), "read without being asked to");
    Ok(())
}

fn rubbish() -> Outcome {
    let mut text = vec![b'x'; 1 << 20];
    text.extend_from_slice(b"\xff\xfe\0 ");
    text.extend_from_slice(EXPIRED.replace(' ', " \0").as_bytes());
    text.extend_from_slice(&vec![b'y'; 1 << 20]);
    assert_eq!(ids(&found(&text)), ["aws.sigv4.expired"]);
    assert_eq!(ids(&found(b"\xff\0\x1b[")), [] as [&str; 0]);
    assert_eq!(ids(&found(b"")), [] as [&str; 0]);
    Ok(())
}

fn large() -> Outcome {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(env!("CARGO_BIN_EXE_clockgate"));
    command.args(["explain", "--offline", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    // More than 32 MiB of data and it is refused memory; threads and the program itself count elsewhere.
    let limit = || nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_DATA, 32 << 20, 32 << 20);
    #[expect(unsafe_code, reason = "setrlimit(2) is async-signal-safe")]
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(move || limit().map_err(std::io::Error::from));
    }
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let line = "2026-06-27T14:00:00Z INFO compiling certificate store, AuthFailur, Signature of token is fine\n";
    let block = line.repeat(10_000) + &"\n".repeat(100_000);
    for part in 0..100 {
        if part == 50 {
            writeln!(stdin, "{EXPIRED}")?;
        }
        stdin.write_all(block.as_bytes())?;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse()?;
    assert!(peak_kib < 32 << 10, "{peak_kib} KiB were resident");
    drop(stdin);
    let output = child.wait_with_output()?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(said["matches"][0]["line"], 50 * 110_000 + 1);
    Ok(())
}

fn command() -> Outcome {
    let script = format!("echo out; echo '{EXPIRED}' >&2; exit 3");
    let output = explain(&["--offline", "--", "sh", "-c", &script], b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"out\n"[..]));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.starts_with(EXPIRED) && said.contains("THE CLOCK: your clock was 30 min 0 s behind"), "{said}");

    let script = format!("echo '{EXPIRED}' >&2");
    let output = explain(&["--offline", "--", "sh", "-c", &script], b"");
    assert_eq!((output.status.code(), String::from_utf8(output.stderr)?), (Some(0), format!("{EXPIRED}\n")));

    let output = explain(&["--offline", "--", "sh", "-c", "cat; kill -TERM $$"], b"handed on");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(143), &b"handed on"[..]));
    assert_eq!(explain(&["--", "/nonexistent/program"], b"").status.code(), Some(127));
    // What it leaves behind holds its output, and is not waited for.
    let output =
        explain(&["--offline", "--", "sh", "-c", "sleep 300 >/dev/null 2>&1 & exec 3>&2; sleep 2 & exit 4"], b"");
    assert_eq!(output.status.code(), Some(4));
    Ok(())
}

/// What tools print when they fail for another reason; with one line of a clock error in its middle that line is found.
fn logs() -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain/logs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let log = String::from_utf8(std::fs::read(&path)?)?;
        let explained = judge(found(log.as_bytes()), &World::default(), |_| None);
        // A test may speak of a token that is expired; it proves nothing of the clock.
        let is_proof = |one: &Match<'_>| one.proves == Proves::Clock;
        let is_quiet = !explained.verdict.is_our_clock() && !explained.matches.iter().any(is_proof);
        assert!(is_quiet, "{}: {:?}", path.display(), ids(&explained.matches));
        let lines: Vec<&str> = log.lines().collect();
        let middle = lines.len() / 2;
        let planted = [&lines[..middle], &[EXPIRED], &lines[middle..]].concat().join("\n");
        let explained = judge(found(planted.as_bytes()), &World::default(), |_| None);
        assert_eq!(explained.matches[0].pattern.id, "aws.sigv4.expired", "{}", path.display());
        assert_eq!(explained.matches[0].line, middle as u64 + 1, "{}", path.display());
        count += 1;
    }
    assert!(count >= 32, "{count} logs");
    Ok(())
}

/// A journalctl that says how it was called; the real one reads the journal of the machine.
fn journal() -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("journalctl");
    let said = folder.path().join("called");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nyes warning | head -c 200000 >&2\necho '2026-06-27T14:30:02+0000 host app[1]: {EXPIRED}'\nexit ${{FAILS:-0}}\n",
        said.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let explain = |path: String, fails: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clockgate"));
        command.args(["explain", "--offline", "--json"]).args(arguments).env("PATH", path).env("FAILS", fails).output()
    };
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = explain(path.clone(), "0", &["--journal", "-u", "app.service", "--since", "-2h"])?;
    let judged: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(judged["matches"][0]["id"], "aws.sigv4.expired");
    // By the journal's own time of the line the request was old when it was sent.
    assert_eq!((&judged["verdict"], output.status.code()), (&"stale-request".into(), Some(1)));
    // A full pipe of warnings does not hold it up.
    assert!(!judged["hints"].to_string().contains("cannot read the journal"), "{judged}");
    // It is read twice: for the messages, and for the clock's past.
    let called = || -> Result<String, Failed> {
        let calls = std::fs::read_to_string(&said)?;
        std::fs::remove_file(&said)?;
        Ok(calls.lines().find(|call| call.contains("short-iso")).ok_or(calls.clone())?.to_owned())
    };
    let call = called()?;
    assert!(call.contains("--unit=app.service --since=-2h") && !call.contains("--boot"), "{call}");
    explain(path.clone(), "0", &["--journal"])?;
    assert!(called()?.contains("--boot"));
    let output = explain(path, "1", &["--journal"])?;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = explain("/nonexistent".to_owned(), "0", &["--journal"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("no journalctl here"));
    let output = explain(String::new(), "0", &["-u", "app.service"])?;
    assert_eq!(output.status.code(), Some(2), "a unit without --journal");
    Ok(())
}

/// What the agent has kept of a clock that was set back and stepped, on a host whose journalctl says that it was called.
fn history() -> Outcome {
    let case = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/explain/26-the-agents-history-knows-that-the-clock-was-set-back");
    let root = tempfile::tempdir()?;
    let (folder, called) = (root.path().join(FOLDER), root.path().join("called"));
    std::fs::create_dir_all(&folder)?;
    let script = root.path().join("journalctl");
    std::fs::write(&script, format!("#!/bin/sh\necho \"$@\" >> {}\n", called.display()))?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let explain = |text: &str| -> Result<(serde_json::Value, Option<i32>), Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clockgate"));
        command.args(["explain", "--offline", "--json", "--root"]).arg(root.path()).arg(text);
        let output = command.env("PATH", format!("{}:/usr/bin:/bin", root.path().display())).output()?;
        Ok((serde_json::from_slice(&output.stdout)?, output.status.code()))
    };
    let refused = std::fs::read_to_string(case.join("message"))?;
    let (unknown, code) = explain(&refused)?;
    assert_eq!((&unknown["verdict"], code), (&"clock-unmeasured".into(), Some(0)), "{unknown:#}");
    std::fs::copy(case.join("history"), folder.join("events.jsonl"))?;
    let (known, code) = explain(&refused)?;
    assert_eq!((&known["verdict"], code), (&"clock-then".into(), Some(0)), "{known:#}");
    assert_eq!((&known["direction"], &known["then"]["by"]), (&"behind".into(), &"clockgate".into()), "{known:#}");
    assert_eq!(known["then"]["offset_ns"], 1_800_000_000_000_i64, "{known:#}");
    assert!(!called.exists(), "offline, the journal is left alone: it may be large");
    Ok(())
}

fn codes() -> Outcome {
    for (text, code, verdict, direction) in [
        (EXPIRED, 0, "clock-unmeasured", "behind"),
        ("ExpiredToken: The security token included in the request is expired", 1, "credentials", "none"),
        ("AuthFailure", 1, "unknown", "either"),
        ("make: *** [all] Error 2", 1, "unknown", "none"),
    ] {
        let output = explain(&["--offline", "--json", text], b"");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(
            (&said["version"], &said["verdict"], &said["direction"]),
            (&2.into(), &verdict.into(), &direction.into())
        );
    }
    assert_eq!(explain(&["--no-such-option"], b"").status.code(), Some(2));
    let listed = explain(&["--list"], b"");
    let lines = String::from_utf8(listed.stdout)?.lines().count();
    assert_eq!((listed.status.code(), lines), (Some(0), literals().patterns().len()));
    Ok(())
}

fn own() -> Outcome {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("etc/clockgate/explain.d");
    std::fs::create_dir_all(&folder)?;
    let pattern = "- id: own.drift\n  issuer: our billing\n  literal: timestamps differ\n  regex: 'timestamps differ by (?P<offset>\\d+)'\n  unit: s\n  direction: behind\n  proves: clock\n";
    std::fs::write(folder.join("own.yaml"), pattern)?;
    let at = root.path().to_string_lossy().into_owned();
    let output = explain(&["--offline", "--root", &at, "billing: timestamps differ by 90"], b"");
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.success() && said.contains("1 min 30 s behind"), "{said}");
    std::fs::write(folder.join("own.yaml"), pattern.replace("behind", "late"))?;
    let output = explain(&["--offline", "--root", &at, "x"], b"");
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(78) && said.contains("own.yaml:6: direction"), "{said}");
    let check = || Command::new(env!("CARGO_BIN_EXE_clockgate")).args(["config", "check", "--root", &at]).output();
    let output = check()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(78) && said.contains("own.yaml:6: direction"), "{said}");
    std::fs::write(folder.join("own.yaml"), pattern)?;
    assert!(check()?.status.success());
    Ok(())
}
