//! What others say of the packages: lintian, rpmlint and shellcheck. Each tag that is not followed has its reason here.

use std::path::Path;
use std::process::Command;

use super::support::{Outcome, ensure, laboratory, packages};
use super::{package, package_of_the_publisher, twins};

/// Tags of lintian's that are not followed, and why.
const LINTIAN: &[(&str, &str)] = &[
    ("initial-upload-closes-no-bugs", "it was never uploaded to Debian, which has no bug of it"),
    ("shared-library-lacks-prerequisites", "they are static and position independent: programs, not libraries"),
];

/// And those of rpmlint's.
const RPMLINT: &[(&str, &str)] = &[
    (
        "statically-linked-binary",
        "one file that runs on any Linux, and in an image of nothing else, is what is promised",
    ),
    ("no-signature", "who publishes it signs it"),
    ("no-packager-tag", "and is its packager"),
    ("no-buildhost-tag", "the same source gives the same bytes on every host"),
    ("no-group-tag", "RPM has done without since 4.16"),
    ("no-changelogname-tag", "CHANGELOG.md is among the documents"),
    ("no-manual-page-for-binary", "they are compressed by gzip, and this rpmlint looks for bzip2"),
    ("manpage-not-compressed", "the same"),
    ("invalid-license", "SPDX's names, which Fedora has used since 2022; this rpmlint knows older ones"),
    (
        "files-duplicate",
        "zsh of Debian and that of the others look into different folders, and rpm packs no links here",
    ),
    ("devel-file-in-non-devel-package", "one header, which needs no library"),
];

pub fn lintian() -> Outcome {
    let said = in_a_root(
        "linters",
        &package(".deb")?,
        &["lintian", "--allow-root", "--fail-on", "none", "--tag-display-limit", "0"],
    )?;
    // `E: package: tag more`
    answered(&said, LINTIAN, |line| line.splitn(3, ": ").nth(2)?.split([' ', '\n']).next())
}

pub fn rpmlint() -> Outcome {
    let said = in_a_root(
        "linters",
        &package(".rpm")?,
        &["sh", "-c", "rpmlint --ignore-unused-rpmlintrc \"$1\" 2>&1 || true", "sh"],
    )?;
    // `package.arch: E: tag more`
    // What begins with `(none)` is of rpmlint itself.
    let is_finding =
        |line: &&str| [": E: ", ": W: "].iter().any(|level| line.contains(level)) && !line.starts_with("(none)");
    let found: Vec<&str> = said.lines().filter(is_finding).collect();
    ensure(said.contains("1 packages and 0 specfiles checked"), said.clone())?;
    answered(&found.join("\n"), RPMLINT, |line| line.splitn(3, ": ").nth(2)?.split(' ').next())
}

/// Every line's tag is in the list, and every tag of the list is said.
fn answered(said: &str, list: &[(&str, &str)], tag: impl Fn(&str) -> Option<&str>) -> Outcome {
    let known = |line: &str| tag(line).is_some_and(|tag| list.iter().any(|(name, _)| *name == tag));
    let unknown: Vec<&str> = said.lines().filter(|line| !line.starts_with("N: ") && !known(line)).collect();
    ensure(unknown.is_empty(), unknown.join("\n"))?;
    for (name, _) in list {
        let is_said = said.lines().any(|line| tag(line) == Some(*name));
        ensure(is_said, format!("{name} is said no longer: take it out of the list"))?;
    }
    Ok(())
}

pub fn shellcheck() -> Outcome {
    let agents = ("control", package(".deb")?, &["preinst", "postinst", "prerm", "postrm"][..]);
    let publishers = ("publishers-control", package_of_the_publisher()?, &["postinst", "prerm", "postrm"][..]);
    for (folder, package, scripts) in [agents, publishers] {
        let control = twins()?.folder.path().join(folder);
        packages::run(Command::new("dpkg-deb").arg("-e").arg(package).arg(&control))?;
        for name in scripts {
            let script = control.join(name);
            packages::run(Command::new("dash").arg("-n").arg(&script))?;
            // Functions are for all scripts, and each uses some; variables too.
            packages::run(Command::new("shellcheck").args(["--exclude", "SC2034,SC2317,SC2329"]).arg(&script))?;
        }
    }
    // openrc-run is no shell by its name, and `make check` does not know it for one.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/openrc/clockgate");
    packages::run(Command::new("dash").arg("-n").arg(&ours))?;
    packages::run(Command::new("shellcheck").arg(&ours))
}

/// The real parser compiles it, and nothing is loaded into this machine's kernel.
pub fn apparmor() -> Outcome {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/etc/apparmor.d/clockgate-agent");
    // As for a kernel that has all that the profile is written for.
    let kernel = "--features-file=/etc/apparmor.d/abi/3.0";
    let parser = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", kernel, "--warn=all", "--Werror"];
    let listed = in_a_root("inits", &profile, &[&parser[..], &["--names"]].concat())?;
    ensure(listed.trim() == "clockgate-agent", listed)?;
    in_a_root("inits", &profile, &parser).map(drop)
}

/// Runs a program with a file as its last argument where what `part` of the laboratory has is installed: in the guest's root with that
/// laid over it. What they change is in memory, and nothing of it is left.
pub fn in_a_root(part: &str, file: &Path, command: &[&str]) -> Outcome<String> {
    let tree = format!("{part}/tree");
    let [guest, tree] = ["guest", &tree].map(|part| laboratory::folder().join(part).canonicalize());
    let script = "set -e
        work=$1 lower=$2 folder=$3
        shift 3
        mount -t tmpfs tmpfs \"$work\"
        mkdir \"$work/upper\" \"$work/work\" \"$work/root\"
        mount -t overlay -o \"lowerdir=$lower,upperdir=$work/upper,workdir=$work/work\" overlay \"$work/root\"
        mount -t proc proc \"$work/root/proc\"
        mount --bind \"$folder\" \"$work/root/mnt\"
        exec chroot \"$work/root\" \"$@\"";
    let work = tempfile::tempdir()?;
    let mut run = Command::new("unshare");
    run.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]).arg(work.path());
    run.arg(format!("{}:{}", tree?.display(), guest?.display())).arg(file.parent().unwrap_or(file));
    let name = Path::new("/mnt").join(file.file_name().unwrap_or_default());
    packages::said(run.args(command).arg(name).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8"))
}
