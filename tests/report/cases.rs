//! The cases: `history/` is what is below `/var/lib/clockgate/history`, `report.txt`, `report.json` and `report.svg` what becomes of it, where
//! they are there; `arguments` may hold options, `zone` a time zone. `CLOCKGATE_BLESS=1` writes them anew, to be read before they are
//! committed.

use std::fs;
use std::path::Path;
use std::process::Output;

use clockgate::history::FOLDER;
use libtest_mimic::Trial;

use crate::support::expected::is_as_written;
use crate::support::host::HostFolder;
use crate::support::{Outcome, clockgate, ensure, folders};

pub fn trials() -> Vec<Trial> {
    let trial = |folder: std::path::PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || case(&folder))
    };
    folders::of("report").into_iter().map(trial).collect()
}

/// A host with this history.
pub fn host(history: &Path) -> Outcome<HostFolder> {
    let host = HostFolder::new(&[("var/lib/clockgate/.keep", "")])?;
    for file in fs::read_dir(history)? {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        host.put(&format!("{FOLDER}/{name}"), &fs::read_to_string(&file)?)?;
    }
    Ok(host)
}

/// What the verb prints of a host.
pub fn report(host: &HostFolder, zone: &str, arguments: &[&str]) -> Outcome<Output> {
    report_of(host.path(), zone, arguments)
}

/// The same of a host at a path.
pub fn report_of(root: &Path, zone: &str, arguments: &[&str]) -> Outcome<Output> {
    let mut command = clockgate();
    command.arg("report").args(arguments).arg("--root").arg(root).env("TZ", zone);
    Ok(command.output()?)
}

fn case(folder: &Path) -> Outcome {
    let host = host(&folder.join("history"))?;
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (arguments, zone) = (text("arguments"), text("zone"));
    let zone = if zone.is_empty() { "UTC" } else { zone.trim() };
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    for (file, option) in [("report.txt", vec![]), ("report.json", vec!["--json"]), ("report.svg", vec!["--svg", "-"])]
    {
        let expected = folder.join(file);
        if file != "report.txt" && !expected.exists() {
            continue;
        }
        let output = report(&host, zone, &[&arguments[..], &option].concat())?;
        ensure(output.status.success(), format!("{output:?}"))?;
        is_as_written(&expected, &String::from_utf8(output.stdout)?)?;
    }
    Ok(())
}
