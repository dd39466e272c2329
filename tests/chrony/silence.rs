//! A chronyd that answers late, never, or with what is no answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clockgate::daemon::chrony::protocol::{ChronyClient, Problem, Spare};
use clockgate::sys::clock::boottime;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::Test;
use crate::lab::{Daemon, soon};
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("a_stopped_chronyd_is_waited_for_until_the_deadline_and_no_longer", a_stopped_chronyd),
    ("a_chronyd_that_goes_on_within_the_patience_has_answered", a_late_answer_is_an_answer),
    ("a_late_answer_to_the_last_question_is_not_taken_for_one_to_this", a_late_answer_to_the_last_question),
    ("a_chronyd_dead_between_two_questions_is_said_to_be", a_chronyd_dead_between_two_questions),
    ("a_connection_that_is_kept_outlives_neither_chronyd_nor_our_own_file", a_connection_that_is_kept),
    ("what_is_no_answer_is_ignored_and_named", what_is_no_answer_is_ignored_and_named),
];

fn a_stopped_chronyd() -> Outcome {
    let daemon = Daemon::server()?;
    daemon.signal(Signal::SIGSTOP)?;
    // More questions than its queue holds: the kernel makes the later ones wait to be sent.
    for _ in 0..14 {
        let began = boottime();
        let error = ChronyClient::unix(&daemon.socket(), began + Duration::from_millis(50)).tracking().err();
        let took = boottime().since(began);
        assert!((Duration::from_millis(50)..Duration::from_millis(500)).contains(&took), "{took:?}");
        let error = error.ok_or("an answer of a stopped process")?;
        assert!(matches!(error.problem, Problem::Silent { .. }) && !error.is_absent(), "{error}");
    }
    daemon.signal(Signal::SIGCONT)
}

fn a_late_answer_is_an_answer() -> Outcome {
    let daemon = Daemon::server()?;
    let socket = daemon.socket();
    daemon.signal(Signal::SIGSTOP)?;
    let asking = thread::spawn(move || ChronyClient::unix(&socket, soon()).tracking());
    let asked = || daemon.folder().read_dir().is_ok_and(|f| f.flatten().any(|e| is_ours(&e.path())));
    until("the question is asked", Duration::from_secs(1), asked)?;
    daemon.signal(Signal::SIGCONT)?;
    asking.join().map_err(|_| "the thread panicked")??;
    Ok(())
}

fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("clockgate-"))
}

fn a_connection_that_is_kept() -> Outcome {
    let (mut daemon, next) = (Daemon::server()?, Daemon::server()?);
    let spare = Spare::default();
    let ask = || ChronyClient::unix(&daemon.socket(), soon()).reusing(&spare).tracking();
    let ours = || -> Result<Vec<PathBuf>, Failed> {
        Ok(daemon.folder().read_dir()?.flatten().map(|entry| entry.path()).filter(|path| is_ours(path)).collect())
    };
    ask()?;
    let kept = ours()?;
    assert_eq!(kept.len(), 1, "{kept:?}");
    ask()?;
    assert_eq!(ours()?, kept, "nothing was connected anew");
    fs::remove_file(&kept[0])?;
    ask()?;
    assert_ne!(ours()?, kept, "chronyd cannot answer to a file that is gone");
    let socket = daemon.socket();
    let ask = || ChronyClient::unix(&socket, soon()).reusing(&spare).tracking();
    daemon.killed()?;
    let error = ask().err().ok_or("a dead chronyd answered")?;
    assert!(matches!(error.problem, Problem::Abandoned), "{error}");
    fs::remove_file(&socket)?;
    symlink(next.socket(), &socket)?;
    ask()?;
    Ok(())
}

/// A stand-in for chronyd that gives `answer` to each request, as often as it says.
fn stand_in(answer: impl Fn(u32, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Result<tempfile::TempDir, Failed> {
    let folder = tempfile::tempdir()?;
    let socket = UnixDatagram::bind(folder.path().join("chronyd.sock"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    thread::spawn(move || {
        let mut packet = [0; 1024];
        // Ends by itself when nobody has asked for five seconds.
        for count in 0.. {
            let Ok((len, client)) = socket.recv_from(&mut packet) else { return };
            let Some(client) = client.as_pathname() else { return };
            for reply in answer(count, &packet[..len]) {
                drop(socket.send_to(&reply, client));
            }
        }
    });
    Ok(folder)
}

/// A reply without content to an order.
fn done(request: &[u8]) -> Vec<u8> {
    let mut reply = vec![0; 28];
    reply[..2].copy_from_slice(&[6, 2]);
    reply[4..6].copy_from_slice(&request[4..6]);
    reply[7] = 1;
    reply[16..20].copy_from_slice(&request[8..12]);
    reply
}

fn a_late_answer_to_the_last_question() -> Outcome {
    // Silent to the first question; to the second it gives the first one's refusal, then the second one's answer.
    let last = std::sync::Mutex::new(vec![]);
    let folder = stand_in(move |_, request| {
        let mut last = last.lock().expect("no thread panics");
        if last.is_empty() {
            *last = done(request);
            last[9] = 1;
            return vec![];
        }
        vec![last.clone(), done(request)]
    })?;
    let mut ask = ChronyClient::unix(&folder.path().join("chronyd.sock"), soon());
    let mut hasty = ChronyClient::unix(&folder.path().join("chronyd.sock"), boottime() + Duration::from_millis(30));
    assert!(hasty.reset_sources().is_err());
    ask.reset_sources()?;
    Ok(())
}

fn a_chronyd_dead_between_two_questions() -> Outcome {
    let mut daemon = Daemon::server()?;
    let mut ask = daemon.ask();
    ask.reset_sources()?;
    daemon.killed()?;
    let error = ask.makestep().err().ok_or("an answer of the dead")?;
    assert!(error.is_absent() && error.to_string().contains("`makestep`"), "{error}");
    Ok(())
}

fn what_is_no_answer_is_ignored_and_named() -> Outcome {
    type Garble = fn(&mut Vec<u8>);
    let garbage: [(&str, Garble); 7] = [
        ("the protocol version is 5", |reply| reply[0] = 5),
        ("the packet type is 1", |reply| reply[1] = 1),
        ("the command is 33", |reply| reply[5] = 33),
        ("the sequence number is", |reply| reply[16] ^= 1),
        ("the reply code is 5", |reply| reply[7] = 5),
        ("too short for the header", |reply| reply.truncate(27)),
        ("too short for the protocol version", Vec::clear),
    ];
    for (named, garble) in garbage {
        let folder = stand_in(move |_, request| {
            let mut reply = done(request);
            garble(&mut reply);
            vec![reply, vec![0xff; 3], request.to_vec(), {
                let mut last = done(request);
                garble(&mut last);
                last
            }]
        })?;
        let mut ask = ChronyClient::unix(&folder.path().join("chronyd.sock"), boottime() + Duration::from_millis(60));
        let error = ask.reset_sources().err().ok_or_else(|| format!("garbage was taken for an answer: {named}"))?;
        assert!(error.to_string().contains(named), "{error}");
    }
    let folder = stand_in(|_, request| vec![vec![0; 300], done(request)])?;
    ChronyClient::unix(&folder.path().join("chronyd.sock"), soon()).reset_sources()?;
    Ok(())
}
