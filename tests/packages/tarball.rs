//! The tarball: its install.sh, below a folder that stands for a host.

use std::path::Path;
use std::process::Command;

use super::support::{Outcome, ensure, packages};
use super::{package, twins};

pub fn undone() -> Outcome {
    let at = twins()?.folder.path().join("tarball");
    std::fs::create_dir(&at)?;
    packages::run(Command::new("tar").arg("-xz").arg("-C").arg(&at).arg("-f").arg(package(".tar.gz")?))?;
    let unpacked = std::fs::read_dir(&at)?.next().ok_or("it is empty")??.path();
    let host = at.join("host");
    std::fs::create_dir_all(host.join("usr/share/man/man8"))?;
    let before = listed(&host)?;
    let script =
        |words: &[&str]| packages::run(Command::new(unpacked.join("install.sh")).args(words).env("DESTDIR", &host));
    script(&["PREFIX=/opt/clockgate"])?;
    let unit = std::fs::read_to_string(host.join("usr/lib/systemd/system/clockgate.service"))?;
    ensure(unit.contains("\nExecStart=/opt/clockgate/bin/clockgate agent\n"), unit)?;
    for name in
        ["lib/clockgate/clockgate-oci", "bin/clockgate-run", "share/man/man8/clockgate.8", "include/clockgate-page.h"]
    {
        ensure(host.join("opt/clockgate").join(name).is_file(), format!("{name} is missing"))?;
    }
    let pages = packages::said(Command::new("ls").arg(unpacked.join("docs/man")))?;
    ensure(pages.lines().count() > 3, pages.clone())?;
    for page in pages.lines() {
        let laid = host.join("opt/clockgate/share/man").join(format!("man{}", &page[page.len() - 1..])).join(page);
        ensure(laid.is_file(), format!("install.sh does not lay {page}"))?;
    }
    // Where it was put is known.
    script(&["uninstall"])?;
    let after = listed(&host)?;
    ensure(before == after, format!("before: {before}after: {after}"))?;
    let refused = Command::new(unpacked.join("install.sh")).arg("instal").env("DESTDIR", &host).output()?;
    ensure(refused.status.code() == Some(2), format!("{refused:?}"))
}

fn listed(root: &Path) -> Outcome<String> {
    packages::said(Command::new("find").arg(root).args(["-printf", "%P %m\\n"]))
}
