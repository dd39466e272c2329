//! From nothing to a gated container by each way of installing: packages of this run, on a Debian in user-mode Linux that has a container
//! engine, a time daemon that keeps the clock, and AppArmor. What is on the disk is installed: no download is in the times.

use std::path::Path;
use std::time::Duration;

use clockgate::sys::clock::boottime;

use crate::lab::guest::Guest;
use crate::lab::stage::Begins;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, folder, podman};
use crate::night;
use crate::report::{Table, median};

/// How often each is done, in turn.
const ROUNDS: usize = 3;
const LONG: Duration = Duration::from_secs(120);

/// Where the packages were downloaded to, and the source.
const HAND: &str = "/run/hand";
const HOOK: &str = "clockgate hooks install podman";
const START: &str = "systemctl enable --now clockgate.service";
/// The container is one program, which notes that it ran.
const RUN: &str = "podman run --rm --network none --log-driver passthrough --volume /usr/lib/lab:/lab:ro localhost/box /lab/part stamp";
/// The same container, which waits by itself.
const RUN_BEHIND_THE_WAITER: &str = "podman run --rm --network none --log-driver passthrough --volume /usr/lib/lab:/lab:ro \
     --volume /usr/bin/clockgate-run:/clockgate-run:ro --volume /run/clockgate/public:/run/clockgate/public:ro \
     --entrypoint /clockgate-run localhost/box -- /lab/part stamp";

/// A way from nothing to a gated container, and back.
struct Way {
    name: &'static str,
    /// What is typed, in order.
    typed: Vec<String>,
    /// Whose size is what has to be there first; none where that was built.
    package: Option<u64>,
    gone: &'static str,
    is_hooked: bool,
    took: Vec<Duration>,
}

impl Way {
    fn new(name: &'static str, typed: &[&str], package: Option<u64>, gone: &'static str) -> Self {
        let typed: Vec<String> = typed.iter().copied().map(str::to_owned).collect();
        let is_hooked = typed.iter().any(|command| command == HOOK);
        Self { name, typed, package, gone, is_hooked, took: vec![] }
    }

    /// One round: all that is typed, a look at what it came to, and everything taken away again.
    fn take(&mut self, guest: &Guest) -> Outcome {
        let mut took = Duration::ZERO;
        let mut said = String::new();
        for command in &self.typed {
            let began = boottime();
            said = guest.sh_within(&format!("cd {HAND} && {command}"), LONG)?;
            took += boottime().since(began);
        }
        let has_run = !said.is_empty() && said.split(' ').all(|number| number.parse::<u64>().is_ok());
        ensure(has_run, format!("the container did not run: {said}"))?;
        // 0: open, on a proof.
        guest.sh("clockgate status")?;
        if self.is_hooked {
            let runtime = guest.sh("podman info --format '{{.Host.OCIRuntime.Path}}'")?;
            ensure(runtime.contains("clockgate"), format!("the container was started by {runtime}"))?;
        }
        guest.sh_within(&format!("cd {HAND} && {}", self.gone), LONG)?;
        ensure(guest.run("clockgate --version")?.code != 0, format!("left after {}", self.gone))?;
        self.took.push(took);
        Ok(())
    }
}

/// Writes the table, of the packages in `dist` and of the programs beside `binary`.
pub fn measure(world: &World, dist: &Path, binary: &Path) -> Outcome {
    let guest = Guest::boot(world, Begins::Confined { installed: false })?;
    table(&guest, world, dist, binary).inspect_err(|_| eprintln!("{}", guest.last_words()))
}

fn table(guest: &Guest, world: &World, dist: &Path, binary: &Path) -> Outcome {
    prepare(guest, world, dist, binary)?;
    let size = |end: &str| -> Outcome<u64> { Ok(std::fs::metadata(super::package(dist, end)?)?.len()) };
    let (deb, tarball) = (size(".deb")?, size("-linux.tar.gz")?);
    let purge = "dpkg --purge clockgate";
    let install = "clockgate-*-linux/install.sh";
    let mut ways = [
        Way::new("the deb, Podman's containers wait", &["dpkg -i clockgate_*.deb", HOOK, RUN], Some(deb), purge),
        Way::new(
            "the deb, one container waits by `clockgate-run`",
            &["dpkg -i clockgate_*.deb", RUN_BEHIND_THE_WAITER],
            Some(deb),
            purge,
        ),
        Way::new(
            "the tarball, Podman's containers wait",
            &["tar -xzf clockgate-*-linux.tar.gz", install, START, HOOK, RUN],
            Some(tarball),
            "clockgate-*-linux/install.sh uninstall; rm -r clockgate-*-linux",
        ),
        Way::new(
            "`make install`, Podman's containers wait; the build comes before",
            &["make -s -C source install PREFIX=/usr BINARY=/run/packed/programs/clockgate", START, HOOK, RUN],
            None,
            "make -s -C source uninstall",
        ),
    ];
    let mut bare = vec![];
    for _ in 0..ROUNDS {
        let began = boottime();
        guest.sh_within(RUN, LONG)?;
        bare.push(boottime().since(began));
        for way in &mut ways {
            way.take(guest)?;
        }
    }
    let mut table = Table::new(&["way", "commands", "takes", "at the latest", "bytes", "typed"]);
    for way in &ways {
        let latest = way.took.iter().max().copied().unwrap_or_default();
        let bytes = way.package.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        let typed: Vec<String> = way.typed.iter().map(|command| format!("`{}`", shown(command))).collect();
        let commands = way.typed.len();
        table.row(&[&way.name, &commands, &seconds(median(&way.took)), &seconds(latest), &bytes, &typed.join(", ")]);
    }
    let latest = bare.iter().max().copied().unwrap_or_default();
    let name = "the same container without clockgate, for comparison";
    table.row(&[&name, &1, &seconds(median(&bare)), &seconds(latest), &"-", &"`podman run`"]);
    table.write("installation")
}

/// What is needed before the first command: the engine, a right clock, the packages where they were downloaded to, and the source.
fn prepare(guest: &Guest, world: &World, dist: &Path, binary: &Path) -> Outcome {
    let Some(packed) = binary.ancestors().nth(2) else {
        return fail(format!("{} lies nowhere", binary.display()));
    };
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    let hands = std::fs::canonicalize(folder().join("hands/tree"))?;
    // The folder that goes first makes nobody's agent but the laboratory's another one.
    let script = format!(
        "set -e
         rm -rf /etc/systemd/system/clockgate.service.d
         mkdir -p /run/packed /run/hands {HAND}/source
         mount -t hostfs -o {packed} none /run/packed
         mount -t hostfs -o {hands} none /run/hands
         tar -C /run/hands -c . | tar -C / --no-overwrite-dir -x
         cp /run/packed/{dist}/clockgate_*.deb /run/packed/{dist}/clockgate-*-linux.tar.gz {HAND}
         cd /run/packed/source
         cp -r Makefile Cargo.toml packaging hooks docs crates README.md {HAND}/source",
        packed = packed.display(),
        hands = hands.display(),
        dist = dist.strip_prefix(packed)?.display(),
    );
    guest.sh_within(&script, LONG).map(drop)
}

/// As much of a command as somebody would remember of it.
fn shown(command: &str) -> &str {
    let words: Vec<usize> = command.match_indices(' ').map(|(at, _)| at).collect();
    let kept = if command.starts_with("podman") { 2 } else { 5 };
    words.get(kept - 1).map_or(command, |end| &command[..*end])
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
