//! `clockgate hooks` on hosts that are folders: `tests/install/NN-name/` has the host's files in `host/`, in `absent.txt` programs
//! that it has not, what is to be installed in `targets.txt`, and in `expected.txt` what `install` says. Whatever it says, `remove` has
//! to leave every file as it was, to the byte. A case needs no Rust; `CLOCKGATE_BLESS=1` writes what came out, to be read before it is committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use clockgate::container::runtime_list::RuntimeList;
use libtest_mimic::{Arguments, Failed, Trial};
use support::expected::is_as_written;
use support::{Outcome, ensure, folders};

/// Programs that every host has.
const PROGRAMS: [&str; 7] = [
    "usr/lib/systemd/systemd",
    "usr/lib/clockgate/clockgate-oci",
    "usr/bin/clockgate",
    "usr/bin/clockgate-nri",
    "usr/bin/runc",
    "usr/bin/crun",
    "usr/sbin/dockerd",
];

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = folders::of("install")
        .into_iter()
        .map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            Trial::test(name, move || install_and_remove(&folder))
        })
        .collect();
    trials.extend([
        Trial::test("a_file_that_was_changed_since_is_left_alone", changed_since),
        Trial::test("a_runtime_that_was_added_since_is_named_as_not_held", no_longer_held),
        Trial::test("what_a_distribution_makes_of_our_files_is_no_foreign_wrapper", made_since),
        Trial::test("what_was_taken_out_by_hand_can_be_forgotten", forgotten),
        Trial::test("docker_keeps_the_wrapper_that_its_containers_name", orphans),
        Trial::test("the_last_target_takes_the_folders_away", any_order),
        Trial::test("links_stay_for_the_containers_that_run_through_them", links_stay),
        Trial::test("a_failure_half_way_is_taken_back", half_way),
        Trial::test("a_wrapper_that_is_missing_is_not_named_to_an_engine", no_wrapper),
        Trial::test("owner_and_mode_stay", modes),
        Trial::test("list_shows_what_stands_where_and_what_was_passed_over", list),
        Trial::test("list_says_which_gate_holds_what_and_what_nri_lacks", gates),
        Trial::test("json_says_the_same", json),
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A host below a folder.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for program in PROGRAMS {
            host.put(program, "#!/bin/sh\n", 0o755);
        }
        for alias in ["clockgate-runc", "clockgate-crun"] {
            symlink("clockgate-oci", host.at("usr/lib/clockgate").join(alias)).unwrap();
        }
        host
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let host = Self::new();
        files.iter().for_each(|(path, text)| host.put(path, text, 0o644));
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, text: &str, mode: u32) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn hooks(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_clockgate"))
            .arg("hooks")
            .args(args)
            .arg("--root")
            .arg(self.0.path())
            .output()
            .unwrap()
    }

    /// What a command says, and that it ends so.
    fn says(&self, code: i32, args: &[&str]) -> Result<String, Failed> {
        let output = self.hooks(args);
        let text = all(&output);
        if output.status.code() == Some(code) { Ok(text) } else { Err(format!("{:?}: {text}", output.status).into()) }
    }

    /// Every file and folder: its mode, and what it holds or leads to. But for our own links, which stay.
    fn tree(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let name = path.strip_prefix(self.0.path()).unwrap().to_owned();
                // The folder for what clockgate keeps is its package's.
                if name == Path::new("etc/clockgate") {
                    continue;
                }
                if ["etc", "var", "var/lib", "var/lib/clockgate"].iter().any(|ours| name == Path::new(ours)) {
                    folders.push(path);
                    continue;
                }
                let content = if meta.is_symlink() {
                    fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                } else if meta.is_dir() {
                    folders.push(path);
                    vec![]
                } else {
                    fs::read(&path).unwrap()
                };
                tree.insert(name, (meta.mode(), content));
            }
        }
        tree
    }

    fn is_as(&self, tree: &BTreeMap<PathBuf, (u32, Vec<u8>)>) -> Outcome {
        let now = self.tree();
        let paths: std::collections::BTreeSet<_> = now.keys().chain(tree.keys()).collect();
        let changed: Vec<_> = paths.into_iter().filter(|path| now.get(*path) != tree.get(*path)).collect();
        if changed.is_empty() { Ok(()) } else { Err(format!("not as before: {changed:?}").into()) }
    }
}

fn all(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn install_and_remove(folder: &Path) -> Outcome {
    let host = Host::new();
    copy(&folder.join("host"), host.0.path());
    for program in fs::read_to_string(folder.join("absent.txt")).unwrap_or_default().lines() {
        fs::remove_file(host.at(program))?;
    }
    let before = host.tree();
    let targets = fs::read_to_string(folder.join("targets.txt"))?;
    let install: Vec<&str> = std::iter::once("install").chain(targets.split_whitespace()).collect();

    let tried = host.hooks(&[&install[..], &["--dry-run"]].concat());
    host.is_as(&before)?;
    let done = host.hooks(&install);
    assert_eq!(all(&tried).replace("would be installed", "installed"), all(&done));
    let text = format!("{}exit {}\n", all(&done), done.status.code().unwrap_or(-1));
    is_as_written(&folder.join("expected.txt"), &text)?;
    if done.status.success() {
        let installed = host.tree();
        assert!(host.says(0, &install)?.contains("is installed already"));
        host.is_as(&installed)?;
        let removed = host.says(0, &["remove"])?;
        // Where systemd does not start the services, its command is of no use.
        let is_systemds = !host.at("proc/1/comm").exists();
        ensure(is_systemds || !format!("{text}{removed}").contains("systemctl"), format!("{text}{removed}"))?;
    }
    host.is_as(&before)
}

fn changed_since() -> Outcome {
    let before = "{\n    \"debug\": true\n}\n";
    let host = Host::with(&[("etc/docker/daemon.json", before)]);
    host.says(0, &["install", "docker"])?;
    let ours = host.read("etc/docker/daemon.json");
    host.put("etc/docker/daemon.json", &ours.replace("true", "false"), 0o644);
    let edited = host.tree();
    let said = host.says(1, &["remove", "docker"])?;
    let says = |part: &str| assert!(said.contains(part), "{part} is not in {said}");
    says(
        "clockgate: /etc/docker/daemon.json was changed since it was installed; nothing was touched. Remove clockgate's entries by hand (",
    );
    // Each line in its own words, by its number.
    let lines: Vec<_> = (1..).zip(ours.lines()).filter(|(_, line)| line.contains("clockgate")).collect();
    assert!(!lines.is_empty());
    lines.iter().for_each(|(number, line)| says(&format!("line {number}, `{}`", line.trim())));
    says("; `--dry-run` shows the previous content), then run `clockgate hooks remove docker` again\n");
    assert!(host.says(1, &["install", "docker"])?.contains("was changed since"));
    assert!(
        host.says(0, &["list"])?
            .contains("docker: note: /etc/docker/daemon.json still has entries of clockgate: line ")
    );
    host.is_as(&edited)?;
    assert!(host.says(0, &["remove", "docker", "--dry-run"])?.contains("\n-"));
    host.is_as(&edited)?;

    // Written anew without us, there is nothing to take out, and it stays as it is.
    host.put("etc/docker/daemon.json", "{\"debug\": false}", 0o644);
    let anew = host.read("etc/docker/daemon.json");
    let said = host.says(0, &["list"])?;
    assert!(
        said.contains(
            "docker: note: /etc/docker/daemon.json no longer has clockgate's entries: container starts are not held\n"
        ),
        "{said}"
    );
    assert!(host.says(1, &["install", "docker"])?.contains("run `clockgate hooks remove docker` first"));
    host.says(0, &["remove", "docker"])?;
    assert_eq!(host.read("etc/docker/daemon.json"), anew);
    host.says(0, &["install", "docker"])?;
    Ok(())
}

fn no_longer_held() -> Outcome {
    let main = "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    let nvidia = "[plugins.\"io.containerd.cri.v1.runtime\".containerd]\n  default_runtime_name = \"nvidia\"\n\
                  [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.nvidia]\n  runtime_type = \"io.containerd.runc.v2\"\n\
                  [plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.nvidia.options]\n  BinaryName = \"/usr/bin/crun\"\n";
    let host = Host::with(&[
        ("etc/containerd/config.toml", main),
        ("etc/crio/crio.conf", "[crio.runtime]\ndefault_runtime = \"runc\"\n"),
    ]);
    host.says(0, &["install", "containerd", "crio", "podman"])?;
    let installed = host.says(0, &["list"])?;
    assert!(!installed.contains("no longer held") && installed.contains("containerd    installed "), "{installed}");

    host.put("etc/containerd/conf.d/99-nvidia.toml", nvidia, 0o644);
    host.put(
        "etc/crio/crio.conf.d/10-crun.conf",
        "[crio.runtime.runtimes.crun]\nruntime_path = \"/usr/bin/crun\"\n",
        0o644,
    );
    host.put("etc/containers/containers.conf", "[engine]\nruntime = \"youki\"\n", 0o644);
    let said = host.says(0, &["list"])?;
    let note = |target: &str, why: &str| {
        let note = format!("{target}: note: some of its containers are no longer held: ");
        let line = said.lines().find(|line| line.starts_with(&note)).unwrap_or_default();
        assert!(
            line.contains(why)
                && line.ends_with(&format!("; run `clockgate hooks remove {target}`, then install it again")),
            "{note} {why} is not in {said}"
        );
        assert!(said.contains(&format!("{target:<14}not all held ")), "{said}");
    };
    note("containerd", "zz-clockgate.toml would be written differently now");
    note("crio", "99-clockgate.conf would be written differently now");
    note("podman", "youki");

    let said = host.says(1, &["install", "containerd"])?;
    assert!(
        said.starts_with("clockgate: containerd is installed, and some of its containers are no longer held: "),
        "{said}"
    );

    host.says(0, &["remove", "containerd"])?;
    host.says(0, &["install", "containerd"])?;
    assert!(host.says(0, &["list"])?.contains("containerd    installed "));
    // Forgotten, and there all the same.
    host.says(0, &["remove", "--forget", "containerd"])?;
    assert!(host.says(0, &["install", "containerd"])?.contains("is installed already"));
    assert!(host.read("etc/containerd/conf.d/zz-clockgate.toml").contains("/clockgate-crun\""));
    Ok(())
}

fn made_since() -> Outcome {
    for (case, made, wrapped) in [
        (
            "93-k0s",
            "run/k0s/containerd-cri.toml",
            ("BinaryName = \"\"", "BinaryName = \"/etc/clockgate/oci/k0s/runc/clockgate-runc\""),
        ),
        (
            "95-microk8s",
            "var/snap/microk8s/current/args/containerd.toml",
            (
                "runtime_type = \"io.containerd.runc.v2\"\n",
                "runtime_type = \"io.containerd.runc.v2\"\noptions = { BinaryName = \"/etc/clockgate/oci/microk8s/runc/clockgate-runc\" }\n",
            ),
        ),
    ] {
        let host = Host::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/install").join(case).join("host"), host.0.path());
        host.says(0, &["install", "containerd"])?;
        // As the distribution does when it starts.
        host.put(made, &host.read(made).replacen(wrapped.0, wrapped.1, 1), 0o644);
        let said = host.says(0, &["list"])?;
        assert!(said.contains("containerd    installed "), "{case}: {said}");
        // Taken away and not started since, it can be installed again.
        host.says(0, &["remove", "containerd"])?;
        host.says(0, &["install", "containerd"])?;
    }
    Ok(())
}

fn forgotten() -> Outcome {
    let host = Host::new();
    let before = host.tree();
    host.says(0, &["install", "podman-hook"])?;
    let file = "usr/share/containers/oci/hooks.d/99-clockgate-podman.json";
    host.put(file, "{}", 0o644);
    host.says(0, &["remove", "--forget", "podman-hook"])?;
    assert_eq!(host.read(file), "{}");
    fs::remove_dir_all(host.at("usr/share"))?;
    host.is_as(&before)?;
    assert!(host.says(1, &["remove", "podman-hook"])?.contains("podman-hook is not installed"));
    // A file that is gone altogether is nothing to put back.
    host.says(0, &["install", "podman-hook"])?;
    fs::remove_file(host.at(file))?;
    host.says(0, &["remove", "podman-hook"])?;
    host.is_as(&before)
}

fn orphans() -> Outcome {
    let host = Host::with(&[
        ("etc/docker/daemon.json", "{\"data-root\": \"/srv/docker\"}\n"),
        ("srv/docker/containers/ab/hostconfig.json", "{\"Runtime\": \"runc\"}"),
        ("srv/docker/containers/ab/config.v2.json", "{\"Name\": \"/old\"}"),
        ("srv/docker/containers/cd/hostconfig.json", "{\"Runtime\": \"kata\"}"),
    ]);
    let said = host.says(0, &["install", "docker"])?;
    let note = "docker: note: containers keep the runtime they were made with: 1 (old) is held only when made anew\n";
    assert!(said.ends_with(note), "{said}");
    host.put("srv/docker/containers/ef/hostconfig.json", "{\"Runtime\": \"clockgate-runc\"}", 0o600);
    host.put("srv/docker/containers/ef/config.v2.json", "{\"Name\": \"/new\"}", 0o600);
    // With `userns-remap`, dockerd keeps them below the remapped user's numbers.
    host.put("srv/docker/100000.100000/containers/gh/hostconfig.json", "{\"Runtime\": \"clockgate-runc\"}", 0o600);
    host.put("srv/docker/100000.100000/containers/gh/config.v2.json", "{\"Name\": \"/remapped\"}", 0o600);
    let installed = host.tree();
    let said = host.says(1, &["remove", "docker"])?;
    assert_eq!(
        said,
        "clockgate: 2 (new, remapped) are made with a runtime that Docker would no longer know, and could not start. What is made anew before that gets it \
         again: `clockgate hooks remove docker --force`, `systemctl restart docker`, and make them anew then\n"
    );
    host.is_as(&installed)?;
    host.says(0, &["remove", "docker", "--force"])?;
    assert_eq!(host.read("etc/docker/daemon.json"), "{\"data-root\": \"/srv/docker\"}\n");
    Ok(())
}

fn any_order() -> Outcome {
    for order in [["crio-hook", "podman-hook"], ["podman-hook", "crio-hook"]] {
        let host = Host::new();
        let before = host.tree();
        host.says(0, &["install", "crio-hook", "podman-hook"])?;
        host.says(0, &["remove", order[0]])?;
        host.says(0, &["remove", order[1]])?;
        host.is_as(&before)?;
    }
    Ok(())
}

fn links_stay() -> Outcome {
    let host = Host::with(&[(
        "etc/docker/daemon.json",
        r#"{"default-runtime": "k", "runtimes": {"k": {"path": "/opt/kata"}}}"#,
    )]);
    host.put("opt/kata", "", 0o755);
    let before = host.tree();
    host.says(0, &["install", "docker"])?;
    host.says(0, &["remove", "docker"])?;
    let link = |name: &str| fs::read_link(host.at("etc/clockgate/oci/docker").join(name));
    assert_eq!(link("clockgate-kata")?, Path::new("/usr/lib/clockgate/clockgate-oci"));
    assert_eq!(link("kata")?, Path::new("/opt/kata"));
    host.is_as(&before)?;
    // They are no hindrance to the next time, and nobody's foreign link is taken for one of them.
    host.says(0, &["install", "docker"])?;
    host.says(0, &["remove", "docker"])?;
    fs::remove_file(host.at("etc/clockgate/oci/docker/kata"))?;
    symlink("/bin/true", host.at("etc/clockgate/oci/docker/kata"))?;
    assert!(host.says(78, &["install", "docker"])?.contains("already exists and points elsewhere"));
    host.is_as(&before)
}

fn half_way() -> Outcome {
    // The folder for the last file is a file.
    let host = Host::with(&[("usr/share/containers", "")]);
    host.put("etc/containers/containers.conf.d/10-a.conf", "", 0o644);
    let before = host.tree();
    let said = host.says(70, &["install", "podman-hook"])?;
    assert!(said.contains("cannot make /usr/share/containers/oci") || said.contains("cannot look at"), "{said}");
    host.is_as(&before)
}

fn no_wrapper() -> Outcome {
    let host = Host::new();
    fs::remove_file(host.at("usr/lib/clockgate/clockgate-oci"))?;
    let before = host.tree();
    let said = host.says(1, &["install", "docker"])?;
    assert!(said.contains("clockgate-oci is not installed (looked for /usr/lib/clockgate/clockgate-oci, "), "{said}");
    assert!(host.says(1, &["install", "docker", "--oci", "/opt/no"])?.contains("/opt/no is not a program"));
    host.is_as(&before)
}

fn modes() -> Outcome {
    let host = Host::new();
    host.put("etc/docker/daemon.json", "{}", 0o640);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(host.at("etc/docker/daemon.json"), Some(0), Some(7))?;
    }
    let before = fs::metadata(host.at("etc/docker/daemon.json"))?;
    let same = |host: &Host| -> Outcome {
        let now = fs::metadata(host.at("etc/docker/daemon.json"))?;
        assert_eq!((now.mode(), now.uid(), now.gid()), (before.mode(), before.uid(), before.gid()));
        Ok(())
    };
    host.says(0, &["install", "docker"])?;
    same(&host)?;
    host.says(0, &["remove"])?;
    same(&host)
}

fn list() -> Outcome {
    let host = Host::with(&[("etc/clockgate/oci.conf", "max-wait = 10s\ncolour = blue\n")]);
    host.says(0, &["install", "docker"])?;
    let said = host.says(0, &["list"])?;
    // Of this host alone: whoever is held on the machine that the test runs on is no part of it.
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "docker        installed      /etc/docker/daemon.json",
            "podman        not here",
            "podman-hook   not here",
            "containerd    not here",
            "crio          not here",
            "crio-hook     not here",
            "nri           not here",
            "systemd-sleep not here",
            "docker: holds containers of dockerd's default runtime",
            "docker: note: has started no container since the install",
            &format!("skipped: {}:2: unknown setting `colour`", host.at("etc/clockgate/oci.conf").display()),
        ]
    );
    // The wrapper's first start takes the file away.
    fs::remove_file(host.at("var/lib/clockgate/hooks/docker.unused"))?;
    assert!(!host.says(0, &["list"])?.contains("note: "));
    host.put("etc/docker/daemon.json", "{}", 0o644);
    assert!(host.says(0, &["list"])?.starts_with("docker        changed since  /etc/docker/daemon.json\n"));
    host.put("proc/7/comm", "clockgate-runc\n", 0o644);
    host.put("proc/7/cmdline", "/w/clockgate-runc\0create\0ab\0", 0o644);
    assert!(host.says(0, &["list"])?.contains("container ab (process 7)"));
    // What `make install` brought is there, and is not ours to remove.
    let hook = "usr/lib/systemd/system-sleep/clockgate";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/systemd-sleep"))?;
    host.put(hook, &text, 0o755);
    let said = host.says(0, &["list"])?;
    assert!(said.contains(&format!("systemd-sleep by the package /{hook}")), "{said}");
    assert!(host.says(0, &["install", "systemd-sleep"])?.contains("is installed already"));
    assert!(host.says(1, &["remove", "systemd-sleep"])?.contains("belongs to the package"));
    Ok(())
}

fn gates() -> Outcome {
    let host = Host::with(&[("etc/containerd/config.toml", "version = 2\n")]);
    host.put("usr/bin/containerd", "", 0o755);
    host.says(0, &["install", "containerd", "nri"])?;
    let said = host.says(0, &["list"])?;
    for line in [
        "nri           installed      /etc/systemd/system/multi-user.target.d/clockgate-nri.conf",
        "containerd: holds pods that runc or another binary starts, not those of Kata and gVisor",
        "nri: holds pods of containerd and CRI-O, whatever starts them; their containers are refused, and tried again by the kubelet",
    ] {
        assert!(said.lines().any(|other| other == line), "{line}: {said}");
    }
    let lacks =
        "nri: note: the socket /run/nri/nri.sock does not exist: containerd 2 and CRI-O 1.30 make it when they start; ";
    assert!(said.contains(lacks), "{said}");
    host.put("run/nri/nri.sock", "", 0o600);
    let said = host.says(0, &["list"])?;
    assert!(!said.contains("does not exist") && said.contains("nri: note: not connected, so pods start "), "{said}");
    host.put("run/clockgate/nri", "1 containerd v2.0.0\n", 0o644);
    assert!(host.says(0, &["list"])?.contains("nri: note: not connected"), "left by a program that was killed");
    let list = RuntimeList::publish(&host.at("run/clockgate/nri"), "containerd v2.1.9", &[])?;
    let said = host.says(0, &["list"])?;
    assert!(said.contains("nri: note: connected to containerd v2.1.9\n"), "{said}");
    drop(list);
    let off = "version = 2\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n";
    host.put("etc/containerd/conf.d/nri.toml", off, 0o644);
    let main = host.read("etc/containerd/config.toml");
    host.put("etc/containerd/config.toml", &format!("imports = [\"/etc/containerd/conf.d/*.toml\"]\n{main}"), 0o644);
    let said = host.says(0, &["list"])?;
    assert!(
        said.contains("nri           not all held ") && said.contains("has the Node Resource Interface off"),
        "{said}"
    );
    // Without the program systemd would have nothing to start.
    host.says(0, &["remove", "nri"])?;
    fs::remove_file(host.at("usr/bin/clockgate-nri"))?;
    assert!(host.says(1, &["install", "nri"])?.contains("clockgate-nri is not installed"));
    Ok(())
}

fn json() -> Outcome {
    let host = Host::new();
    let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text);
    let done = parse(host.says(0, &["install", "docker", "--json"])?)?;
    assert_eq!((&done["version"], &done["targets"][0]["state"]), (&2.into(), &"installed".into()));
    assert!(done["targets"][0]["changes"][0]["diff"].as_str().unwrap().contains("+    \"default-runtime\""));
    let listed = parse(host.says(0, &["list", "--json"])?)?;
    assert_eq!(listed["targets"][0]["files"][0], "/etc/docker/daemon.json");
    assert_eq!(listed["targets"][0]["holds"], "containers of dockerd's default runtime");
    assert!(listed["targets"][1]["holds"].is_null());
    Ok(())
}
