//! The packages of arm64, as `make deb tarball ARCH=arm64` builds them, and their programs by QEMU, which translates each instruction: for
//! `tests/night aarch64`. What they say is compared with what this machine's program says, beside the same page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use clockgate::decision::{Epoch, Gate, Offset, Snapshot};
use clockgate::page::Page;
use serde_json::Value;

use super::contents::listed;
use super::support::agent::CONFIG;
use super::support::gate_page::{proven, public, publish, shut};
use super::support::host::HostFolder;
use super::support::liar::Liar;
use super::support::{CLOCKGATE, Ours, Outcome, ensure, expect, harmless, laboratory, packages, texts, until};
use super::{Test, twins};

/// Far more than a program takes that is translated, beside other work.
const SOON: Duration = Duration::from_secs(120);

pub const TESTS: [(&str, Test); 6] = [
    ("aarch64::the_deb_and_the_tarball_have_the_files_and_the_metadata_of_this_machines", packed),
    ("aarch64::every_program_is_static_and_for_aarch64_and_says_its_version", programs),
    ("aarch64::run_wait_and_status_judge_a_page_as_this_machines_program_does", judged),
    ("aarch64::who_waits_is_released_by_a_page_that_this_machine_writes", released),
    ("aarch64::explain_says_of_the_known_messages_what_this_machines_program_says", explained),
    ("aarch64::the_page_bus_and_history_of_its_agent_are_read_on_this_machine_and_the_other_way_round", agents),
];

/// What keeps these from running.
pub fn missing() -> Option<String> {
    packages::missing().or_else(|| laboratory::missing(&["aarch64"]))
}

/// In this checkout, where what is built stays: it takes minutes.
fn dist() -> Outcome<&'static Path> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        packages::make(Path::new(env!("CARGO_MANIFEST_DIR")), &[("ARCH", "arm64")], &["deb", "tarball"])
            .map_err(|failed| failed.message().unwrap_or("failed").to_owned())
    });
    made.as_deref().map_err(|error| error.as_str().into())
}

/// Its deb, unpacked.
fn root() -> Outcome<&'static Path> {
    static UNPACKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let unpack = || {
        let to = twins()?.folder.path().join("arm64");
        packages::run(Command::new("dpkg-deb").arg("-x").arg(deb(dist()?, "arm64")).arg(&to))?;
        Ok(to)
    };
    let failed = |failed: libtest_mimic::Failed| failed.message().unwrap_or("failed").to_owned();
    UNPACKED.get_or_init(|| unpack().map_err(failed)).as_deref().map_err(|error| error.as_str().into())
}

fn deb(dist: &Path, architecture: &str) -> PathBuf {
    dist.join(format!("clockgate_{}-1_{architecture}.deb", env!("CARGO_PKG_VERSION")))
}

fn packed() -> Outcome {
    let (of_arm, native) = (dist()?, &twins()?.dists[0]);
    let unpacked = twins()?.folder.path().join("amd64");
    packages::run(Command::new("dpkg-deb").arg("-x").arg(deb(native, "amd64")).arg(&unpacked))?;
    ensure(listed(root()?)? == listed(&unpacked)?, "the debs have different files")?;
    let fields = |deb: PathBuf| -> Outcome<Vec<String>> {
        let said = packages::said(Command::new("dpkg-deb").arg("-f").arg(deb))?;
        let lines = said.lines().filter(|line| !line.starts_with("Installed-Size: "));
        Ok(lines.map(str::to_owned).collect())
    };
    let wanted = fields(deb(native, "amd64"))?
        .into_iter()
        .map(|line| line.replace("Architecture: amd64", "Architecture: arm64"));
    let found = fields(deb(of_arm, "arm64"))?;
    ensure(found == wanted.collect::<Vec<_>>(), format!("{found:#?}"))?;
    let names = |dist: &Path, machine: &str| {
        let name = format!("clockgate-{}-{machine}-linux.tar.gz", env!("CARGO_PKG_VERSION"));
        packages::said(Command::new("tar").arg("-tzf").arg(dist.join(name)))
    };
    ensure(
        names(of_arm, "aarch64")? == names(native, "x86_64")?.replace("x86_64", "aarch64"),
        "the tarballs have different files",
    )
}

/// A program of its own, by QEMU; without the right to set a clock.
fn of_arm(program: &str) -> Outcome<Command> {
    let mut command = harmless(laboratory::folder().join("aarch64/usr/bin/qemu-aarch64"));
    command.arg(root()?.join(program)).stdin(Stdio::null()).env_remove("CLOCKGATE_SERVERS");
    Ok(command)
}

/// Of this machine's the one program: that the small one says the same is shown in `tests/waiter`.
fn native() -> Command {
    let mut command = harmless(CLOCKGATE);
    command.stdin(Stdio::null()).env_remove("CLOCKGATE_SERVERS");
    command
}

fn programs() -> Outcome {
    for name in
        ["usr/bin/clockgate", "usr/lib/clockgate/clockgate-oci", "usr/bin/clockgate-run", "usr/bin/clockgate-nri"]
    {
        let head = packages::said(Command::new("readelf").args(["-hl", "-W"]).arg(root()?.join(name)))?;
        ensure(head.contains("Machine:                           AArch64"), head.clone())?;
        ensure(!head.contains("INTERP"), format!("{name} is not static:\n{head}"))?;
        // The wrapper hands options on to a runtime, and has none of its own.
        if name.ends_with("-oci") {
            continue;
        }
        let output = of_arm(name)?.arg("--version").output()?;
        expect(output.status.success() && texts(&output).0.contains(env!("CARGO_PKG_VERSION")), &output)?;
    }
    Ok(())
}

fn judged() -> Outcome {
    let unsound = Snapshot { valid_until: Snapshot::default().valid_until, ..proven() };
    let pages = [Some(proven()), Some(shut()), Some(unsound), None];
    let lines: [&[&str]; 5] = [
        &["run", "--", "sh", "-c", "echo through $1; exit 3", "sh", "argument"],
        &["run", "--no-agent", "open", "--", "echo", "through"],
        &["wait", "--no-agent", "fail", "--max-wait", "200ms"],
        &["status", "--json"],
        &["status", "--format", "nagios"],
    ];
    for (snapshot, line) in pages.iter().flat_map(|page| lines.map(|line| (page, line))) {
        let folder = tempfile::tempdir()?;
        let _page = snapshot.as_ref().map(|snapshot| publish(folder.path(), snapshot)).transpose()?;
        let at = ["--max-wait", "200ms"];
        let patience: &[&str] = if line[0] == "run" { &at } else { &[] };
        let said = |mut command: Command, verb: &[&str]| -> Outcome<Output> {
            command.args(verb).arg("--page").arg(public(folder.path())).args(patience).args(&line[1..]);
            Ok(command.output()?)
        };
        let wanted = said(native(), &line[..1])?;
        same(&said(of_arm("usr/bin/clockgate")?, &line[..1])?, &wanted)?;
        if line[0] == "run" {
            same(&said(of_arm("usr/bin/clockgate-run")?, &[])?, &wanted)?;
        }
    }
    Ok(())
}

/// The same words and exit code. Of numbers only that they are there: between two looks the clock goes on. Whether
/// it is said meanwhile that it waits depends on how long a program took to begin.
fn same(found: &Output, wanted: &Output) -> Outcome {
    let words = |output: &Output| {
        let (stdout, stderr) = texts(output);
        let is_meanwhile = |line: &&str| line.starts_with("clockgate: waiting for the gate: ");
        let said: Vec<&str> = stdout.lines().chain(stderr.lines()).filter(|line| !is_meanwhile(line)).collect();
        said.join("\n").replace(|char: char| char.is_ascii_digit() || char == '.', "")
    };
    let (stdout, stderr) = texts(wanted);
    let both = format!(
        "wanted: {:?}\n{stdout}{stderr}\nfound: {:?}\n{}{}",
        wanted.status,
        found.status,
        texts(found).0,
        texts(found).1
    );
    ensure(found.status.code() == wanted.status.code() && words(found) == words(wanted), both)
}

fn released() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut page = publish(folder.path(), &shut())?;
    let mut waiting = [of_arm("usr/bin/clockgate")?, of_arm("usr/bin/clockgate-run")?];
    waiting[0].arg("run");
    let mut waiting = waiting.map(|mut command| {
        command.args(["--no-agent", "fail", "--page"]).arg(public(folder.path())).args(["--", "true"]);
        command.stderr(Stdio::piped()).spawn().map(Ours)
    });
    for one in &mut waiting {
        let one = one.as_mut().map_err(|error| error.to_string())?;
        // It says so when it begins to wait.
        std::io::Read::read_exact(one.0.stderr.as_mut().ok_or("no standard error")?, &mut [0])?;
        ensure(one.0.try_wait()?.is_none(), "it has not waited")?;
    }
    page.publish(&Snapshot { epoch: Epoch::new(3), ..proven() })?;
    for one in &mut waiting {
        let one = one.as_mut().map_err(|error| error.to_string())?;
        until("the waiter goes on", SOON, || one.0.try_wait().is_ok_and(|status| status.is_some()))?;
        ensure(one.0.wait()?.success(), "the waiter failed")?;
    }
    Ok(())
}

fn explained() -> Outcome {
    let cases = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain"))?.flatten();
    let messages: Vec<PathBuf> = cases.map(|case| case.path().join("message")).filter(|path| path.exists()).collect();
    ensure(messages.len() > 20, format!("{messages:?}"))?;
    for message in messages {
        let said = |mut command: Command| -> Outcome<Output> {
            command.args(["explain", "--offline"]).stdin(fs::File::open(&message)?);
            Ok(command.output()?)
        };
        let (found, wanted) = (said(of_arm("usr/bin/clockgate")?)?, said(native())?);
        same(&found, &wanted)
            .map_err(|failed| format!("{}: {}", message.display(), failed.message().unwrap_or_default()))?;
    }
    Ok(())
}

/// Each agent is asked by the other's program.
fn agents() -> Outcome {
    let [foreign, ours]: [fn() -> Outcome<Command>; 2] = [|| of_arm("usr/bin/clockgate"), || Ok(native())];
    for (serves, asks) in [(foreign, ours), (ours, foreign)] {
        let truth = Liar::here(Offset::ZERO)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let host = HostFolder::new(&[
            (CONFIG, &format!("servers: ['{}']\ncorrection: none\n", truth.address())),
            ("var/lib/clockgate/.keep", ""),
            ("proc/self/mountinfo", ""),
            ("proc/self/cgroup", "0::/\n"),
            ("proc/sys/kernel/random/boot_id", &boot),
        ])?;
        let [page, bus, log] = ["run/clockgate/public", "run/clockgate/bus", "log"].map(|path| host.at(path));
        let _agent = Ours::logged(serves()?.args(["agent", "--root"]).arg(host.path()), &log)?;
        let proves = || {
            let is_open = || Page::open(&page).is_ok_and(|page| page.read().gate == Gate::Proven) && bus.exists();
            let said = |failed: libtest_mimic::Failed| {
                format!("{}\n{}", failed.message().unwrap_or_default(), fs::read_to_string(&log).unwrap_or_default())
            };
            until("the gate opens", SOON, is_open).map_err(said)
        };
        proves()?;
        for what in ["suspend", "resume"] {
            let output = asks()?.args(["notify", what, "--wait", "--bus"]).arg(&bus).output()?;
            expect(output.status.success(), &output)?;
        }
        proves()?;
        let json = |arguments: &[&str], at: &Path| -> Outcome<Value> {
            let output = asks()?.args(arguments).arg(at).output()?;
            expect(output.status.success(), &output)?;
            Ok(serde_json::from_slice(&output.stdout)?)
        };
        let status = json(&["status", "--json", "--page"], &page)?;
        ensure(status["gate"] == "open" && status["cause"] == "resume", format!("{status:#}"))?;
        let history = json(&["history", "--json", "--root"], host.path())?;
        let records = history["records"].as_array().ok_or("no records")?;
        ensure(history["skipped"] == 0 && records.len() >= 2, format!("{history:#}"))?;
    }
    Ok(())
}
