//! Histories that no agent wrote whole, and files that cannot or must not be written.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::report::{Fold, Window, write_html, write_json, write_svg, write_text};
use serde_json::Value;

use crate::cases::report;
use crate::night;
use crate::support::host::HostFolder;
use crate::support::{CLOCKGATE, Outcome, ensure};

/// What is cut off is missing, and nothing else changes but the end.
pub fn cut_at_every_byte() -> Outcome {
    let (lines, _) = night::lived();
    let mut ends = vec![];
    let mut length = 0;
    for line in &lines {
        length += line.len();
        ends.push(length);
    }
    let whole = lines.concat();
    // Around every end of a line, and in steps over the rest: each byte of 50,000 in each form takes minutes.
    let is_near = |cut: usize| ends.iter().any(|end| end.abs_diff(cut) < 3);
    for cut in (0..=whole.len()).filter(|cut| whole.is_char_boundary(*cut) && (is_near(*cut) || cut % 17 == 0)) {
        let mut fold = Fold::default();
        whole[..cut].lines().filter(|line| !line.is_empty()).for_each(|line| fold.add_line(line));
        let found = fold.report(&Window::default());
        // The end of a line may be missing.
        let kept = ends.iter().filter(|end| **end <= cut + 1).count() as u64;
        let is_torn = cut > 0 && !ends.iter().any(|end| *end == cut || *end == cut + 1);
        ensure((found.records, found.skipped) == (kept, u64::from(is_torn)), format!("cut at {cut}"))?;
        let lanes: Duration = found.gate.iter().map(|one| one.span.length()).sum();
        ensure(found.span.map_or(Duration::ZERO, |span| span.length()) == lanes, format!("a hole at {cut}"))?;
        let mut forms = vec![];
        write_text(&found, |_| Some(3600), &mut forms)?;
        write_svg(&found, |_| None, &mut forms)?;
        write_html(&found, |_| None, &mut forms)?;
        let mut json = vec![];
        write_json(&found, &mut json)?;
        serde_json::from_slice::<Value>(&json)?;
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
