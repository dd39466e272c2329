//! What clockgate costs, as ratios within one run: each pair is measured in turn, A B A B, so that a machine that is busy for
//! a while is busy for both. Prints the rows of the table in docs/performance.md, which `make bench` writes.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clockgate::decision::{Epoch, Gate, Snapshot};
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::boottime;
use clockgate::sys::futex;
use clockgate::sys::mapping::{LEN, Mapping, WritableMapping};

const CLOCKGATE: &str = env!("CARGO_BIN_EXE_clockgate");
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    // As one of its own waiters: a bare futex, nothing around it.
    let mut args = std::env::args().skip(1);
    if let (Some("bare-waiter"), Some(path)) = (args.next().as_deref(), args.next()) {
        return bare_waiter(Path::new(&path));
    }
    let folder = tempfile::tempdir()?;
    let (mut page, _) = GatePage::open(&folder.path().join("public"))?;
    page.publish(&open());
    println!("| what | clockgate | beside it | ratio | goal |\n|---|---:|---:|---:|---|");
    through_an_open_gate(folder.path())?;
    for count in [1, 100, 10_000] {
        released(folder.path(), &mut page, count)?;
    }
    Ok(())
}

fn open() -> Snapshot {
    Snapshot {
        state: 4,
        gate: Gate::Proven,
        epoch: Epoch::new(1),
        bound: Some(Duration::from_millis(2)),
        valid_until: boottime() + Duration::from_secs(3600),
        ..Snapshot::default()
    }
}

/// `run` in front of a command, against the command alone.
fn through_an_open_gate(folder: &Path) -> Result<()> {
    let empty = empty_program(folder)?;
    let public = folder.join("public");
    let gated = |command: &[&str]| {
        let mut run = Command::new(CLOCKGATE);
        run.args(["run", "--page"]).arg(&public).arg("--").args(command);
        run
    };
    let bare = |command: &[&str]| {
        let mut run = Command::new(command[0]);
        run.args(&command[1..]);
        run
    };
    let empty = empty.to_str().ok_or("path")?;
    let (a, b) = in_turn(400, || timed(gated(&[empty])), || timed(bare(&[empty])))?;
    let goal = format!(
        "one more exec of it + 0.3 ms = {:.2} ms: {}",
        millis(b * 2) + 0.3,
        met(a <= b * 2 + Duration::from_micros(300))
    );
    row("`run -- EMPTY`, a static program that does nothing", a, b, &goal);
    // Debian's own, not a wrapper script of somebody's version manager.
    let python = ["/usr/bin/python3", "-c", "pass"];
    let (a, b) = in_turn(100, || timed(gated(&python)), || timed(bare(&python)))?;
    row("`run -- python3 -c pass`", a, b, &format!("under 1.1: {}", met(a.as_secs_f64() < b.as_secs_f64() * 1.1)));
    Ok(())
}

/// From the word that opens the gate until the last of so many waiters has ended, against a bare futex and as many sleepers.
fn released(folder: &Path, page: &mut GatePage, count: usize) -> Result<()> {
    let public = folder.join("public");
    let rounds = if count > 1000 { 3 } else { 15 };
    let bare_path = folder.join("bare");
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&bare_path)?;
    file.set_len(LEN as u64)?;
    let bare = WritableMapping::new(&file)?;
    let this = std::env::current_exe()?;
    let gate = || -> Result<Duration> {
        page.publish(&Snapshot { gate: Gate::Shut, ..open() });
        let waiters = sleepers(count, || {
            let mut wait = Command::new(CLOCKGATE);
            wait.args(["run", "--max-wait", "infinity", "--page"]).arg(&public).args(["--", "/bin/true"]);
            wait
        })?;
        let started = Instant::now();
        page.publish(&open());
        all_ended(waiters, started)
    };
    let futex = || -> Result<Duration> {
        bare.store_u32(0, 0);
        let waiters = sleepers(count, || {
            let mut wait = Command::new(&this);
            wait.arg("bare-waiter").arg(&bare_path);
            wait
        })?;
        let started = Instant::now();
        bare.store_u32(0, 1);
        futex::wake_all(&bare, 0)?;
        all_ended(waiters, started)
    };
    let (a, b) = in_turn(rounds, gate, futex)?;
    let goal = format!("under 1.3: {}", met(a.as_secs_f64() < b.as_secs_f64() * 1.3));
    row(&format!("{count} waiter(s) released, until the last has become `true` and ended"), a, b, &goal);
    Ok(())
}

/// What `run` comes to without clockgate: map, sleep on the word, execute.
fn bare_waiter(path: &Path) -> Result<()> {
    let mapping = Mapping::new(&std::fs::File::open(path)?)?;
    eprintln!("waiting");
    while mapping.load_u32(0) == 0 {
        futex::wait(&mapping, 0, 0, Duration::from_secs(60));
    }
    Err(Command::new("/bin/true").exec().into())
}

/// So many processes that have said that they wait.
fn sleepers(count: usize, command: impl Fn() -> Command) -> Result<Vec<Child>> {
    let mut waiters = Vec::with_capacity(count);
    for _ in 0..count {
        let mut child = command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut first = [0; 1];
        child.stderr.take().ok_or("no stderr")?.read_exact(&mut first)?;
        waiters.push(child);
    }
    // The last one has spoken and may not be asleep yet.
    for child in &waiters {
        while !asleep(child.id()) {
            std::thread::yield_now();
        }
    }
    Ok(waiters)
}

fn asleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "))
}

fn all_ended(waiters: Vec<Child>, started: Instant) -> Result<Duration> {
    for mut child in waiters {
        if !child.wait()?.success() {
            return Err("a waiter failed".into());
        }
    }
    Ok(started.elapsed())
}

fn timed(mut command: Command) -> Result<Duration> {
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).status()?;
    if status.success() { Ok(started.elapsed()) } else { Err(format!("{command:?} failed").into()) }
}

/// The medians of `rounds` of each, taken in turn, after one of each that does not count.
fn in_turn(
    rounds: usize,
    mut a: impl FnMut() -> Result<Duration>,
    mut b: impl FnMut() -> Result<Duration>,
) -> Result<(Duration, Duration)> {
    a()?;
    b()?;
    let (mut all_a, mut all_b) = (vec![], vec![]);
    for _ in 0..rounds {
        all_a.push(a()?);
        all_b.push(b()?);
    }
    Ok((median(all_a), median(all_b)))
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn row(what: &str, a: Duration, b: Duration, goal: &str) {
    let ratio = a.as_secs_f64() / b.as_secs_f64();
    println!("| {what} | {:.2} ms | {:.2} ms | {ratio:.2} | {goal} |", millis(a), millis(b));
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "not met" }
}

/// The smallest program that our own compiler makes: static, and at once at its end.
fn empty_program(folder: &Path) -> Result<PathBuf> {
    let (source, program) = (folder.join("empty.rs"), folder.join("empty"));
    std::fs::write(&source, "fn main() {}")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let made = Command::new(rustc)
        .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"])
        .args([&program, &source])
        .status()?;
    if made.success() { Ok(program) } else { Err("cannot compile the empty program".into()) }
}
