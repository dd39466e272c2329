//! The part that runs in the guest: the same program, static, as a service on a serial line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use clockgate::decision::nanos_u64;
use clockgate::sys::clock;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::wire::{Answer, Ask, Clocks, Ran, Reply, Request};
use super::{killer, looks, relay, watch, work};

/// The first argument that makes the program this part.
pub const VERB: &str = "inside-the-guest";

/// What this program does in the guest, if its arguments say that it runs there.
pub fn perform_verb() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [VERB, line] => Some(end(serve(Path::new(line)))),
        [killer::VERB, seed] => Some(end(seed.parse().map_err(io::Error::other).and_then(killer::kill_agents))),
        [relay::VERB, here, there] => Some(end(relay::pass_on(here, there))),
        [work::VERB] => {
            work::stamp();
            Some(ExitCode::SUCCESS)
        }
        [work::VERB_FOR_EVER] => {
            work::stamp_for_ever();
            Some(ExitCode::SUCCESS)
        }
        [watch::VERB_STATES] => Some(end(watch::watch_pid1())),
        [watch::VERB] => {
            watch::watch();
            Some(ExitCode::SUCCESS)
        }
        [looks::VERB, times] => Some(end(times.parse().map_err(io::Error::other).and_then(looks::look))),
        [looks::VERB_SLEWED, millis] => {
            let millis = millis.parse().map_err(io::Error::other);
            Some(end(millis.map(looks::wait_for_slew)))
        }
        [watch::VERB_OFTEN] => {
            watch::work_often();
            Some(ExitCode::SUCCESS)
        }
        [watch::VERB_ONCE] => {
            println!("{}", watch::Moment::now());
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

fn end(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the host until the line closes.
fn serve(line: &Path) -> io::Result<()> {
    let reader = OpenOptions::new().read(true).write(true).open(line)?;
    let raw = Command::new("stty").arg("-F").arg(line).args(["raw", "-echo"]).status()?;
    if !raw.success() {
        return Err(io::Error::other(format!("stty ended with {raw}")));
    }
    let writer = Arc::new(Mutex::new(reader.try_clone()?));
    send(&writer, &Answer { id: 0, reply: Ok(Reply::Ready) })?;
    for text in BufReader::new(reader).lines() {
        let text = text?;
        let Ok(request) = serde_json::from_str::<Request>(&text) else {
            eprintln!("not a request: {text:?}");
            continue;
        };
        let writer = Arc::clone(&writer);
        std::thread::spawn(move || {
            let answer = Answer { id: request.id, reply: perform(request.ask).map_err(|e| e.to_string()) };
            if let Err(error) = send(&writer, &answer) {
                eprintln!("cannot answer: {error}");
            }
        });
    }
    Ok(())
}

fn send(writer: &Mutex<File>, answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    let mut writer = writer.lock().map_err(|_| io::Error::other("a writer panicked"))?;
    writer.write_all(&text)
}

fn perform(ask: Ask) -> io::Result<Reply> {
    match ask {
        Ask::Run { script, deadline_ms } => run(&script, Duration::from_millis(deadline_ms)).map(Reply::Ran),
        Ask::Write { path, text, mode } => write(Path::new(&path), &text, mode).map(|()| Reply::Written),
        Ask::Clocks => {
            let asleep = nanos_u64(clock::standing().boot_minus_mono);
            let realtime = clock::realtime().as_nanos();
            let raw = clock::monotonic_raw_nanos();
            Ok(Reply::Clocks(Clocks { realtime, boottime: clock::boottime().as_nanos(), raw, asleep }))
        }
        Ask::Read { path, from } => lines(Path::new(&path), from).map(Reply::Lines),
    }
}

fn lines(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = read_all(Some(file))?;
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    Ok(text)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn run(script: &str, deadline: Duration) -> io::Result<Ran> {
    let mut child = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let (ended, end) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Gone already is as good as killed.
            let _ = killpg(group, Signal::SIGKILL);
        }
    });
    let err = child.stderr.take();
    let errors = std::thread::spawn(move || read_all(err));
    let out = read_all(child.stdout.take())?;
    let status = child.wait()?;
    drop(ended);
    let (Ok(()), Ok(err)) = (watch.join(), errors.join()) else {
        return Err(io::Error::other("a thread panicked"));
    };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Ran { code, out, err: err? })
}

fn read_all(stream: Option<impl Read>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
