//! Histories that no agent wrote whole, and files that cannot or must not be written.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::history::{FOLDER, HistoryFiles};
use clockgate::report::{Fold, Window, write_html, write_json, write_svg, write_text};
use serde_json::Value;

use crate::cases::report;
use crate::night;
use crate::support::host::HostFolder;
use crate::support::{CLOCKGATE, Outcome, clockgate, ensure};

/// The night's file is cut at every byte: each whole record is told, the torn one is counted, and the next one is kept.
pub fn cut_at_every_byte() -> Outcome {
    // A name of more than ASCII, which is cut inside of a character too.
    let lines: Vec<String> = night::lived().0.iter().map(|line| line.replace("web", "wéb")).collect();
    let host = HostFolder::in_memory(&[(&format!("{FOLDER}/events.jsonl"), &lines.concat())])?;
    let files = HistoryFiles::below(host.path());
    let file = File::options().write(true).open(host.at(FOLDER).join("events.jsonl"))?;
    let mut before = Fold::default();
    let mut begin = 0;
    for (number, line) in lines.iter().enumerate() {
        let mut after = before.clone();
        after.add_line(line);
        let (of_before, of_after) = (as_json(&before, 0)?, as_json(&after, 0)?);
        let of_torn = as_json(&before, 1)?;
        is_written(&before)?;
        for length in 0..line.len() {
            file.write_all_at(&line.as_bytes()[..length], begin)?;
            file.set_len(begin + length as u64)?;
            // Nothing is torn between two lines, and where only the end of the line is missing.
            let expected = match line.len() - length {
                1 => &of_after,
                _ if length == 0 => &of_before,
                _ => &of_torn,
            };
            is_read(&files, (&lines[..number], &line.as_bytes()[..length]), (&before, expected))
                .map_err(|why| format!("cut {length} bytes after line {number}: {why:?}"))?;
        }
        file.write_all_at(line.as_bytes(), begin)?;
        begin += line.len() as u64;
        before = after;
    }
    Ok(())
}

/// The reader hands over the whole lines and the torn piece, before and after another line is appended; the report is as expected.
fn is_read(files: &HistoryFiles, (lines, piece): (&[String], &[u8]), (before, expected): (&Fold, &str)) -> Outcome {
    let piece = String::from_utf8_lossy(piece);
    let whole = || lines.iter().map(|line| line.trim_end());
    let piece = Some(piece.trim_end()).filter(|piece| !piece.is_empty());
    let read = read_lines(files)?;
    ensure(read.iter().eq(whole().chain(piece)), format!("{read:?}"))?;
    let mut fold = before.clone();
    read[lines.len()..].iter().for_each(|piece| fold.add_line(piece));
    let found = as_json(&fold, 0)?;
    ensure(found == expected, format!("expected {expected}, found {found}"))?;
    files.append("next\n", None)?;
    let read = read_lines(files)?;
    ensure(read.iter().eq(whole().chain(piece).chain(["next"])), format!("with one more: {read:?}"))
}

fn read_lines(files: &HistoryFiles) -> Outcome<Vec<String>> {
    let mut read = vec![];
    files.each_line(|line| read.push(line.trim_end().to_owned()))?;
    Ok(read)
}

/// Every form is written, and the gate has no hole.
fn is_written(fold: &Fold) -> Outcome {
    let found = fold.clone().report(&Window::default());
    let lanes: Duration = found.gate.iter().map(|one| one.span.length()).sum();
    ensure(found.span.map_or(Duration::ZERO, |span| span.length()) == lanes, "a hole")?;
    let mut forms = vec![];
    write_text(&found, |_| Some(3600), &mut forms)?;
    write_svg(&found, |_| None, &mut forms)?;
    Ok(write_html(&found, |_| None, &mut forms)?)
}

/// The report, with so many more torn lines.
fn as_json(fold: &Fold, torn: u64) -> Outcome<String> {
    let mut report = fold.clone().report(&Window::default());
    report.skipped += torn;
    let mut json = vec![];
    write_json(&report, &mut json)?;
    Ok(String::from_utf8(json)?)
}

/// By the verbs, cut in the middle and at both ends of each line.
pub fn cut_and_printed() -> Outcome {
    let lines = night::lived().0;
    let whole = lines.concat();
    let host = HostFolder::new(&[])?;
    let mut begin = 0;
    for (number, line) in lines.iter().enumerate() {
        for length in [0, 1, line.len() / 2, line.len() - 2, line.len() - 1] {
            host.put(&format!("{FOLDER}/events.jsonl"), &whole[..begin + length])?;
            let is_torn = !matches!(line.len() - length, 1) && length > 0;
            let kept = number + usize::from(length + 1 == line.len());
            let json: Value = serde_json::from_slice(&report(&host, "UTC", &["--json"])?.stdout)?;
            ensure(
                json["records"] == kept && json["skipped"] == u64::from(is_torn),
                format!("{length} of {line}: {json}"),
            )?;
            let history = clockgate().arg("history").arg("--root").arg(host.path()).output()?;
            let printed = String::from_utf8(history.stdout)?;
            let records = printed.lines().filter(|line| line.starts_with("20")).count();
            let is_said = printed.contains("1 line skipped: torn");
            ensure(
                history.status.success() && (records, is_said) == (kept, is_torn),
                format!("{length} of {line}: {printed}"),
            )?;
        }
        begin += line.len();
    }
    Ok(())
}

/// A file of another's making is not what the name promises.
pub fn not_overwritten() -> Outcome {
    let host = HostFolder::new(&[("mine", "old")])?;
    symlink(host.at("mine"), host.at("link"))?;
    for (option, target) in [("--html", "link"), ("--svg", "link"), ("--svg", "."), ("--html", "missing/file")] {
        let path = host.at(target);
        let output = report(&host, "UTC", &[option, path.to_str().ok_or("a path")?])?;
        ensure(output.status.code() == Some(2), format!("{option} {target}: {output:?}"))?;
    }
    ensure(fs::read_to_string(host.at("mine"))? == "old", "the target of the link is as it was")
}

/// What was there stays whole.
pub fn full_disk() -> Outcome {
    let host = crate::cases::host(&night::folder().join("history"))?;
    let script = r#"
        mkdir disk && mount -t tmpfs -o size=64k none disk && echo old >disk/report.html && chmod 600 disk/report.html
        head -c 100000 /dev/zero >disk/fill 2>/dev/null
        "$0" report --root "$PWD" --html disk/report.html >out 2>err && exit 3
        [ "$(ls -A disk | sort | tr '\n' ' ')" = "fill report.html " ] || exit 4
        [ "$(cat disk/report.html)" = old ] || exit 5
        rm disk/fill; "$0" report --root "$PWD" --html disk/report.html >out 2>err || exit 6
        grep -q '</html>' disk/report.html
    "#;
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, CLOCKGATE]).current_dir(host.path());
    let output = shell.output()?;
    let said = fs::read_to_string(host.at("err")).unwrap_or_default();
    ensure(output.status.success(), format!("{output:?}: {said}"))
}

/// Two things on one standard output are none.
pub fn printed_once() -> Outcome {
    let host = crate::cases::host(&night::folder().join("history"))?;
    for arguments in [["--json", "--svg", "-"].as_slice(), &["--html", "-", "--svg", "-"]] {
        ensure(report(&host, "UTC", arguments)?.status.code() == Some(2), format!("{arguments:?}"))?;
    }
    let script = format!(
        "{CLOCKGATE} report --html - --root {} | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}",
        host.path().display()
    );
    let status = Command::new("bash").args(["-c", &script]).stdout(Stdio::null()).status()?;
    ensure(status.success(), format!("{status}"))
}
