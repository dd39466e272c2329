//! What lies in the packages, beside what `make install` lays out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::support::{Outcome, ensure, packages};
use super::{linters, package, package_of_the_publisher, twins};

/// What a package has and an installation by hand has not.
const DOCUMENTS: [&str; 4] = ["copyright", "changelog.gz", "changelog.Debian.gz", "licences.txt.gz"];

pub fn deb() -> Outcome {
    let unpacked = twins()?.folder.path().join("deb");
    packages::run(Command::new("dpkg-deb").arg("-x").arg(package(".deb")?).arg(&unpacked))?;
    let [found, mut wanted] = [listed(&unpacked)?, laid_out()?];
    wanted.extend(DOCUMENTS.map(|name| format!("644 f /usr/share/doc/clockgate/{name}")));
    same(&found, &wanted)?;
    let link = std::fs::read_link(unpacked.join("usr/lib/clockgate/clockgate-runc"))?;
    ensure(link == Path::new("clockgate-oci"), format!("the link goes to {}", link.display()))?;
    let unit = std::fs::read_to_string(unpacked.join("usr/lib/systemd/system/clockgate.service"))?;
    ensure(unit.contains("\nExecStart=/usr/bin/clockgate agent\n"), unit)?;
    let copyright = std::fs::read_to_string(unpacked.join("usr/share/doc/clockgate/copyright"))?;
    let licence = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE-MIT"))?;
    let plain = |text: &str| text.replace(" .\n", "\n").split_whitespace().collect::<Vec<_>>().join(" ");
    let body = licence.lines().skip(2).collect::<Vec<_>>().join("\n");
    ensure(plain(&copyright).contains(&plain(&body)), "its copyright is not LICENSE-MIT's")
}

/// Nothing of it is in the other package: both can be installed side by side.
pub fn publisher() -> Outcome {
    let unpacked = twins()?.folder.path().join("publisher");
    let package = package_of_the_publisher()?;
    packages::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
    let files = [
        "755 f /usr/bin/clockgate-kubernetes",
        "644 f /usr/lib/systemd/system/clockgate-kubernetes.service",
        "644 f /usr/share/man/man8/clockgate-kubernetes.8.gz",
        "644 f /usr/share/clockgate-kubernetes/rbac.yaml",
    ];
    let documents = DOCUMENTS.map(|name| format!("644 f /usr/share/doc/clockgate-kubernetes/{name}"));
    let wanted = files.map(str::to_owned).into_iter().chain(documents).collect();
    same(&listed(&unpacked)?, &wanted)?;
    let others = laid_out()?;
    ensure(others.is_disjoint(&wanted), "both packages have the same file")?;
    let field = |name: &str| packages::said(Command::new("dpkg-deb").arg("-f").arg(&package).arg(name));
    ensure(
        field("Package")?.trim() == "clockgate-kubernetes" && field("Recommends")?.trim() == "clockgate",
        field("Recommends")?,
    )
}

pub fn rpm() -> Outcome {
    let name = package(".rpm")?;
    let format = "[%{FILEMODES:perms} %{FILENAMES}\\n]";
    let listed = linters::in_a_root("linters", &name, &["rpm", "-qp", "--nosignature", "--qf", format])?;
    let files = listed.lines().filter_map(|line| line.split_once(' ')).filter(|(mode, _)| !mode.starts_with('d'));
    let found = files.map(|(mode, path)| match mode {
        "-rwxr-xr-x" => format!("755 f {path}"),
        "-rw-r--r--" => format!("644 f {path}"),
        other => format!("{other} {path}"),
    });
    let mut wanted = laid_out()?;
    // Its scripts make the links, and its changes stand nowhere else.
    wanted.retain(|line| !line.starts_with("777 l "));
    let documents = DOCUMENTS.iter().filter(|name| **name != "changelog.Debian.gz");
    wanted.extend(documents.map(|name| format!("644 f /usr/share/doc/clockgate/{name}")));
    wanted.insert("644 f /usr/lib/systemd/system-preset/80-clockgate.preset".into());
    same(&found.collect(), &wanted)?;
    let names = ["--provides", "--conflicts", "--recommends"]
        .map(|what| linters::in_a_root("linters", &name, &["rpm", "-qp", what]));
    let [provides, conflicts, recommends] = names;
    ensure(!provides?.contains("time-daemon") && conflicts?.is_empty(), "it provides or conflicts")?;
    let recommends = recommends?;
    ensure(recommends.trim() == "chrony", format!("recommended: {recommends}"))
}

pub fn relations() -> Outcome {
    let field = |name: &str| packages::said(Command::new("dpkg-deb").arg("-f").arg(package(".deb")?).arg(name));
    for name in ["Provides", "Conflicts", "Breaks", "Replaces"] {
        ensure(field(name)?.trim().is_empty(), format!("{name}: {}", field(name)?))?;
    }
    // The programs are static; what its scripts call is essential in Debian.
    ensure(field("Depends")?.trim() == "init-system-helpers (>= 1.54)", field("Depends")?)?;
    ensure(field("Recommends")?.trim() == "chrony | time-daemon", field("Recommends")?)
}

fn same(found: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Outcome {
    let (more, less): (Vec<_>, Vec<_>) = (found.difference(wanted).collect(), wanted.difference(found).collect());
    ensure(more.is_empty() && less.is_empty(), format!("too much: {more:?}; missing: {less:?}"))
}

/// The files that `make install` lays out, as a package has them: the manuals compressed, without the list of what it installed.
fn laid_out() -> Outcome<BTreeSet<String>> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/install"));
    command.arg("install").env("DESTDIR", &root).env("PREFIX", "/usr");
    packages::run(command.env("BINARY", twins()?.folder.path().join("programs/clockgate")))?;
    let files = listed(&root)?.into_iter().filter(|line| !line.ends_with("/usr/lib/clockgate/files"));
    let manual = |line: String| if line.contains("/share/man/") { format!("{line}.gz") } else { line };
    Ok(files.map(manual).collect())
}

/// Mode, type and path of everything below `root` that is no folder.
pub fn listed(root: &Path) -> Outcome<BTreeSet<String>> {
    let found = packages::said(Command::new("find").arg(root).args(["!", "-type", "d", "-printf", "%m %y /%P\\n"]))?;
    Ok(found.lines().map(str::to_owned).collect())
}
