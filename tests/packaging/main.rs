//! `make build` and `make install` on a folder that stands for a host; on a running system, in user-mode Linux: `tests/uml`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn make(arguments: &[&str]) -> Output {
    Command::new("make")
        .args(["--no-print-directory", "--silent", "-C", env!("CARGO_MANIFEST_DIR")])
        .args(arguments)
        // Flags of a make that called us are not for this one.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap()
}

/// Performs a goal of the Makefile below `root`, with two scripts in place of the programs.
fn below(root: &Path, goal: &str, prefix: &str) -> Output {
    let programs = root.with_extension("programs");
    fs::create_dir_all(&programs).unwrap();
    for name in ["clockgate", "clockgate-nri", "clockgate-oci", "clockgate-run"] {
        fs::write(programs.join(name), "#!/bin/sh\n").unwrap();
    }
    let binary = programs.join("clockgate");
    let output = make(&[
        goal,
        &format!("DESTDIR={}", root.display()),
        &format!("PREFIX={prefix}"),
        &format!("BINARY={}", binary.display()),
    ]);
    fs::remove_dir_all(programs).unwrap();
    output
}

fn tree(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn uninstall_leaves_the_files_and_folders_that_were_there_before() {
    for prefix in ["/usr", "/usr/local"] {
        let root = tempfile::tempdir().unwrap();
        // As Debian has it: a folder of systemd's that is empty, and a manual of somebody else's.
        fs::create_dir_all(root.path().join("usr/lib/systemd/system-sleep")).unwrap();
        fs::create_dir_all(root.path().join("usr/share/man/man8")).unwrap();
        fs::write(root.path().join("usr/share/man/man8/other.8"), "").unwrap();
        let before = tree(root.path());

        assert!(below(root.path(), "install", prefix).status.success());
        let unit = fs::read_to_string(root.path().join("usr/lib/systemd/system/clockgate.service")).unwrap();
        assert!(unit.contains(&format!("\nExecStart={prefix}/bin/clockgate agent\n")), "{unit}");
        let unit = fs::read_to_string(root.path().join("usr/lib/systemd/system/clockgate-nri.service")).unwrap();
        assert!(unit.contains(&format!("\nExecStart={prefix}/bin/clockgate-nri\n")), "{unit}");
        // The agent starts itself: as its guard, and as the program of after an upgrade.
        let profile = fs::read_to_string(root.path().join("etc/apparmor.d/clockgate-agent")).unwrap();
        let programs: Vec<&str> = profile.lines().filter(|line| line.contains("/bin/clockgate ")).collect();
        assert_eq!(programs, [format!("  {prefix}/bin/clockgate mrix,")], "{profile}");
        assert!(root.path().join(&prefix[1..]).join("bin/clockgate-nri").is_file());
        let hook = root.path().join("usr/lib/systemd/system-sleep/clockgate");
        assert!(root.path().join(&prefix[1..]).join("bin/clockgate-run").is_file());
        assert!(root.path().join(&prefix[1..]).join("include/clockgate-page.h").is_file());
        assert_eq!(fs::metadata(hook).unwrap().permissions().mode() & 0o777, 0o755);

        for name in [
            "bash-completion/completions/clockgate",
            "fish/vendor_completions.d/clockgate.fish",
            "zsh/site-functions/_clockgate",
        ] {
            assert!(root.path().join(&prefix[1..]).join("share").join(name).is_file(), "{name}");
        }

        let shipped = root.path().join(format!("{}/share/clockgate/prometheus", &prefix[1..]));
        for name in ["clockgate.rules.yaml", "clockgate.rules.test.yaml", "dashboard.json"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name);
            assert_eq!(fs::read(shipped.join(name)).unwrap(), fs::read(source).unwrap(), "{name}");
        }

        // Twice is an upgrade, which takes away what the version before had and this one has not.
        let list = root.path().join(format!("{}/lib/clockgate/files", &prefix[1..]));
        let old = format!("{prefix}/lib/clockgate/old-hook");
        fs::write(root.path().join(&old[1..]), "").unwrap();
        fs::write(&list, format!("{}{old}\n", fs::read_to_string(&list).unwrap())).unwrap();
        assert!(below(root.path(), "install", prefix).status.success());
        assert!(!root.path().join(&old[1..]).exists());

        // Where it was put is known: nobody has to say PREFIX again.
        let output = below(root.path(), "uninstall", "/elsewhere");
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(tree(root.path()), before);
        assert!(stderr(&below(root.path(), "uninstall", prefix)).contains("has not installed it here"));
    }
}

/// What `systemd-analyze security` says of a unit by itself, from 0 to 10; docs/decisions/0033 has what the agent's consists of.
#[test]
fn no_unit_is_more_exposed_than_it_has_to_be() {
    let folder = |path: &str| fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let files = folder("packaging/usr/lib/systemd/system").chain(folder("packaging/kubernetes"));
    let mut units: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    units.retain(|path| path.extension().is_some_and(|end| end == "service"));
    assert!(units.len() >= 4, "{units:?}");
    for unit in units {
        let name = unit.file_name().unwrap().to_str().unwrap().to_owned();
        let most = match name.as_str() {
            "clockgate.service" => 3.6,
            // It speaks to the API server, at any address.
            "clockgate-kubernetes.service" => 1.6,
            _ => 1.0,
        };
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&unit)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = said.split("Overall exposure level for ").nth(1).and_then(|rest| rest.split_whitespace().nth(1));
        let level: f64 = last.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{said}{}", stderr(&output)));
        assert!(level <= most, "{name}: {level}, at most {most}\n{said}");
    }
}

/// The keys of NTS are in memory alone, and a watchdog ends a hanging agent by SIGABRT.
#[test]
fn no_core_of_the_agent_is_dumped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/usr/lib/systemd/system");
    let unit = fs::read_to_string(folder.join("clockgate.service")).unwrap();
    let said: Vec<&str> = unit.lines().filter(|line| line.starts_with("LimitCORE=")).collect();
    assert_eq!(said, ["LimitCORE=0"]);
}

/// What of the page's crate would be published: nothing is left out, nothing is too much, and cargo has nothing to warn of.
#[test]
fn the_pages_crate_is_ready_to_be_published() {
    let package = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "package",
            "--package",
            "clockgate-page",
            "--offline",
            "--allow-dirty",
        ]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success() && !stderr(&output).contains("warning"), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = package(&["--list"]);
    let is_source = |line: &&str| line.starts_with("src/") || line.starts_with("tests/");
    let (sources, others): (Vec<&str>, Vec<&str>) = listed.lines().partition(is_source);
    let made = [".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"];
    let ours = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "include/clockgate-page.h"];
    // Without a repository around it there is no state of one to be noted.
    let noted = others.iter().filter(|name| **name != made[0]).copied().collect::<Vec<_>>();
    assert_eq!(noted, [&made[1..], &ours].concat());
    assert!(sources.contains(&"src/lib.rs") && sources.contains(&"tests/page/main.rs"), "{sources:?}");
    let target = tempfile::tempdir().unwrap();
    package(&["--no-verify", "--target-dir", target.path().to_str().unwrap()]);
    let archive = fs::read_dir(target.path().join("package")).unwrap().map(|entry| entry.unwrap().path());
    let archive = archive.filter(|path| path.extension().is_some_and(|end| end == "crate")).collect::<Vec<_>>();
    assert_eq!(archive.len(), 1, "{archive:?}");
    let unpacked = Command::new("tar")
        .args(["-xOf", archive[0].to_str().unwrap(), "--wildcards", "*/LICENSE-MIT"])
        .output()
        .unwrap();
    assert_eq!(unpacked.stdout, fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE-MIT")).unwrap());
    let manifest = Command::new("tar")
        .args(["-xOf", archive[0].to_str().unwrap(), "--wildcards", "*/Cargo.toml"])
        .output()
        .unwrap();
    let manifest = String::from_utf8(manifest.stdout).unwrap();
    for key in ["rust-version", "license", "description", "repository", "readme", "keywords", "categories"] {
        assert!(manifest.contains(&format!("\n{key} = ")), "{key} in\n{manifest}");
    }
    assert!(!manifest.contains("path = \"../"), "{manifest}");
}

#[test]
fn it_is_not_installed_in_two_places() {
    let root = tempfile::tempdir().unwrap();
    assert!(below(root.path(), "install", "/usr/local").status.success());
    let said = stderr(&below(root.path(), "install", "/usr"));
    assert!(said.contains("it is installed below /usr/local already: say PREFIX=/usr/local"), "{said}");
}

#[test]
fn a_rust_that_is_too_old_or_missing_is_said_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    fs::write(&cargo, "#!/bin/sh\necho 'cargo 1.63.0'\n").unwrap();
    fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let output = make(&["build", &format!("CARGO={}", cargo.display())]);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("or later is needed") && said.contains("is 1.63.0"), "{said}");
    let said = stderr(&make(&["build", &format!("CARGO={}/none", folder.path().display())]));
    assert!(said.contains("is not found") && said.contains("without sudo"), "{said}");
    // Who only looks what there is to make is told as well.
    let help = make(&["help", &format!("CARGO={}", cargo.display())]);
    assert!(help.status.success() && stderr(&help).contains("is 1.63.0"), "{help:?}");
}

#[test]
fn who_installs_before_building_is_told_what_comes_first() {
    let root = tempfile::tempdir().unwrap();
    let said = stderr(&make(&["install", &format!("DESTDIR={}", root.path().display()), "BINARY="]));
    assert!(said.contains("run `make build` first, without sudo"), "{said}");
}
