//! Attacks on the servers of a running agent: each is refused, and the agent's log has a sentence that says what was refused and why.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::page::View;
use clockgate::reference::{References, ServerName};
use clockgate::sys::clock::realtime;
use clockgate::sys::nap;
use libtest_mimic::Failed;

use super::{Host, SOON, proven};
use crate::support::attack::{SPRAY, kiss, kisses, lie, renumbered, spray};
use crate::support::liar::{Liar, Manner};
use crate::support::nts_server::{Certificate, GOOD, KEYS, NtsServer};
use crate::support::road::{Meeting, Road};
use crate::support::{Ours, Outcome, ensure, until, until_some};

type Attack = (&'static str, fn() -> Outcome);

pub const ALL: &[Attack] = &[
    ("the_log_names_a_near_liar_that_a_far_majority_outvotes", near_liar),
    ("the_log_names_plain_liars_that_a_keyed_server_outranks", outranked),
    ("the_log_says_that_a_replayed_answer_is_refused", replayed),
    ("the_log_says_that_an_answer_changed_on_the_way_is_refused", changed),
    ("the_log_has_one_line_for_a_flood_of_kisses_of_death", flooded),
    ("the_log_says_which_server_a_kiss_of_death_on_the_path_silences", silenced),
    ("the_log_has_one_line_for_a_spray_of_100000_packets_beside_the_path", sprayed),
    ("the_log_says_that_a_delayed_answer_is_too_imprecise", delayed),
    ("the_log_says_why_no_step_into_another_era_is_made", other_eras),
    ("the_log_says_that_a_certificate_has_expired", expired),
    ("the_log_says_that_a_certificate_is_not_valid_yet", not_valid_yet),
    ("the_log_says_that_a_certificate_is_for_another_name", another_name),
    ("the_log_says_that_the_old_certificate_of_a_revoked_key_has_expired", revoked),
    ("cookies_are_in_the_agents_memory_alone", in_memory_alone),
];

/// Nothing else than the attack keeps a gate shut, and silence is noticed soon.
const CONFIG: &str = "correction: none\nmeasure-timeout: 2s\ndeadline: 5s\nat-deadline: {unreachable: hold, imprecise: hold, wrong: hold}\n";
/// Rounds of questions come within seconds: a log that has more lines than this says each packet.
const FEW_LINES: usize = 60;

/// How the server behind a road is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Plainly,
    ByKey,
    ByNts,
}

/// An agent, and the road to its only server.
struct Scene {
    host: Host,
    road: Road,
    _agent: Ours,
    _server: NtsServer,
}

impl Scene {
    fn with(asked: Asked, attacker: impl FnMut(&Meeting<'_>) + Send + 'static) -> Result<Self, Failed> {
        let server = served("ntsntpserver 127.0.0.7")?;
        let at = |last| SocketAddr::from(([127, 0, 0, last], server.port));
        let road = Road::open(at(7), at(1), attacker)?;
        let name = match asked {
            Asked::Plainly => road.address().to_string(),
            Asked::ByKey => format!("{}?key=1", road.address()),
            Asked::ByNts => server.by_nts()?.to_string(),
        };
        let host = secured(&server, &[name], "")?;
        let agent = host.agent()?;
        Ok(Self { host, road, _agent: agent, _server: server })
    }
}

/// A server that answers already.
fn served(more: &str) -> Result<NtsServer, Failed> {
    let server = NtsServer::start(GOOD, more)?;
    let name: ServerName = format!("127.0.0.1:{}", server.port).parse()?;
    until_some("the server answers", SOON, || {
        let measured = References::new(vec![name.clone()]).measure(Duration::from_secs(4));
        (!measured.readings.is_empty()).then_some(())
    })?;
    Ok(server)
}

/// A host that asks these, and has the keys and the authority of a server.
fn secured(server: &NtsServer, names: &[String], more: &str) -> Result<Host, Failed> {
    let host = Host(tempfile::tempdir()?);
    let config = format!("{CONFIG}keys-file: /etc/clockgate/keys\nnts-ca-file: /etc/clockgate/authority.pem\n{more}");
    host.configure_names(names, &config)?;
    let folder = host.0.path().join("etc/clockgate");
    fs::copy(server.file("certificate.pem"), folder.join("authority.pem"))?;
    fs::write(folder.join("keys"), KEYS)?;
    fs::set_permissions(folder.join("keys"), Permissions::from_mode(0o600))?;
    Ok(host)
}

/// Waits until a line of the log has all of these.
fn said(host: &Host, words: &[&str]) -> Outcome {
    let is_said = || host.log().lines().any(|line| words.iter().all(|word| line.contains(word)));
    until("the sentence is in the log", SOON * 3, is_said)
        .map_err(|_| format!("no line of the log has all of {words:?}:\n{}", host.log()).into())
}

fn is_shut(host: &Host) -> Outcome {
    let shut = |view: &View| view.gate == Gate::Shut;
    host.gate("the gate is shut", shut)?;
    ensure(!host.log().contains("gate open"), host.log())
}

/// The proof is by the truth, and not by a lie that is hours off.
fn is_right(host: &Host) -> Outcome {
    let view = host.gate("the gate is proven", proven)?;
    ensure(view.offset.is_some_and(|offset| offset.abs() < SOON), format!("{view:?}\n{}", host.log()))
}

fn has_few_lines(host: &Host) -> Outcome {
    let lines = host.log().lines().count();
    ensure(lines <= FEW_LINES, format!("{lines} lines:\n{}", host.log()))
}

fn near_liar() -> Outcome {
    let near = Liar::here_as(Manner::far(Duration::from_millis(2)).off(Offset::from_secs(30 * 86_400)))?;
    let far = || Liar::here_as(Manner::far(Duration::from_millis(150)));
    let others = [far()?, far()?, far()?];
    let host = Host::new(&[&near, &others[0], &others[1], &others[2]], CONFIG)?;
    let _agent = host.agent()?;
    is_right(&host)?;
    let source = format!("source={}", near.address());
    said(&host, &["not used: it says that the clock is ", "and the majority contradicts it", &source])
}

fn outranked() -> Outcome {
    let server = served("")?;
    let lie = Offset::from_secs(100);
    let liars = [Liar::here(lie)?, Liar::here(lie)?, Liar::here(lie)?, Liar::here(lie)?];
    let keyed = format!("127.0.0.1:{}?key=1", server.port);
    let names = std::iter::once(keyed).chain(liars.iter().map(|liar| liar.address().to_string()));
    let host = secured(&server, &names.collect::<Vec<_>>(), "")?;
    let _agent = host.agent()?;
    is_right(&host)?;
    liars.iter().try_for_each(|liar| {
        let source = format!("source={}", liar.address());
        said(&host, &["not used: it says that the clock is ", "authenticated references contradict it", &source])
    })
}

fn replayed() -> Outcome {
    for (asked, renumbers, sentence) in [
        (Asked::Plainly, false, "an answer to a question that was not asked"),
        (Asked::ByKey, true, "an answer whose authentication is false: forged or changed on the way"),
        (Asked::ByNts, true, "an authenticated answer to another question"),
    ] {
        let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let scene = Scene::with(asked, move |meeting| {
            let Ok(mut kept) = kept.lock() else { return };
            let old = kept.get_or_insert_with(|| meeting.answer.to_vec());
            meeting.send(&if renumbers { renumbered(old, meeting.question) } else { old.clone() });
        })?;
        said(&scene.host, &["no reading: no answer within ", "other packet(s) came", sentence])?;
        is_shut(&scene.host)?;
    }
    Ok(())
}

fn changed() -> Outcome {
    for asked in [Asked::ByKey, Asked::ByNts] {
        let scene = Scene::with(asked, |meeting| {
            meeting.send(&lie(meeting.answer));
        })?;
        let sentence = "an answer whose authentication is false: forged or changed on the way";
        said(&scene.host, &["no reading: no answer within ", "other packet(s) came", sentence])?;
        is_shut(&scene.host)?;
    }
    Ok(())
}

fn flooded() -> Outcome {
    for (asked, sentence) in [
        (Asked::Plainly, "an answer to a question that was not asked"),
        (Asked::ByKey, "an answer that is not authenticated"),
        (Asked::ByNts, "an answer that is not authenticated"),
    ] {
        let scene = Scene::with(asked, move |meeting| {
            // Then it rests, or it would be the queue of packets that is attacked.
            if meeting.number == 0 {
                kisses(meeting, asked != Asked::Plainly);
            }
            meeting.pass();
        })?;
        is_right(&scene.host)?;
        said(&scene.host, &["not used: ", "packet(s) beside its answer, the last of them", sentence])?;
        has_few_lines(&scene.host)?;
    }
    Ok(())
}

fn silenced() -> Outcome {
    let scene = Scene::with(Asked::Plainly, |meeting| {
        meeting.send(&kiss(b"DENY", meeting.question));
    })?;
    let source = format!("source={}", scene.road.address());
    said(&scene.host, &["no reading: the server answered with the kiss code DENY instead of the time", &source])?;
    is_shut(&scene.host)?;
    has_few_lines(&scene.host)
}

fn sprayed() -> Outcome {
    for answers in [true, false] {
        let elsewhere = [UdpSocket::bind("127.0.0.7:0")?, UdpSocket::bind("127.0.0.8:0")?];
        let sent: Arc<Mutex<usize>> = Arc::default();
        let count = Arc::clone(&sent);
        let scene = Scene::with(Asked::Plainly, move |meeting| {
            if meeting.number == 0 {
                let all = spray(meeting, &elsewhere);
                if let Ok(mut count) = count.lock() {
                    *count = all;
                }
            }
            if answers {
                meeting.pass();
            }
        })?;
        let sentence = "the last of them an answer to a question that was not asked";
        if answers {
            is_right(&scene.host)?;
            // Where the machine was too busy to answer in time, the answer is that of the next round.
            said(&scene.host, &["packet(s)", sentence])?;
        } else {
            said(&scene.host, &["no reading: no answer within ", "other packet(s) came, ", sentence])?;
            is_shut(&scene.host)?;
        }
        has_few_lines(&scene.host)?;
        ensure(sent.lock().is_ok_and(|sent| *sent == SPRAY), "not all packets were sent")?;
    }
    Ok(())
}

fn delayed() -> Outcome {
    for asked in [Asked::Plainly, Asked::ByKey] {
        let scene = Scene::with(asked, |meeting| {
            nap(Duration::from_millis(600));
            meeting.pass();
        })?;
        said(&scene.host, &["WARN", "the references know the time only to ±"])?;
        is_shut(&scene.host)?;
    }
    Ok(())
}

/// The first second of the era that begins in 2036, by one server; and 2100 by two, where NTP's seconds are those of 1963.
fn other_eras() -> Outcome {
    const FIRST_OF_2036: i64 = 2_085_978_496;
    const OF_2100: i64 = 4_102_444_800;
    let to = |secs: i64| Liar::here(Offset::from_secs(secs - realtime().as_secs()));
    for (liars, sentence) in
        [(vec![to(FIRST_OF_2036)?], "one reference alone says"), (vec![to(OF_2100)?, to(OF_2100)?], "release")]
    {
        let host = Host::new(&liars.iter().collect::<Vec<_>>(), "")?;
        let _agent = host.agent()?;
        said(&host, &["WARN", sentence])?;
        is_shut(&host)?;
    }
    Ok(())
}

/// What keys are exchanged for is in no file: the road sees every cookie, and looks for them in all that the agent has written.
pub fn in_memory_alone() -> Outcome {
    /// Where the unique identifier ends and the first cookie begins (RFC 8915 section 5.7; each field has a head of four bytes).
    const COOKIE: std::ops::Range<usize> = 48 + 36 + 4..48 + 36 + 4 + 32;
    let cookies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let seen = Arc::clone(&cookies);
    let scene = Scene::with(Asked::ByNts, move |meeting| {
        if let (Ok(mut seen), Some(cookie)) = (seen.lock(), meeting.question.get(COOKIE)) {
            seen.push(cookie.to_vec());
        }
        meeting.pass();
    })?;
    is_right(&scene.host)?;
    let cookies = cookies.lock().map_err(|_| "the attacker panicked")?.clone();
    ensure(cookies.len() >= 2 && cookies[0] != cookies[1], format!("{cookies:x?}"))?;
    let written = files_below(scene.host.0.path())?;
    ensure(written.len() > 4, format!("only these files: {written:?}"))?;
    for file in written {
        let bytes = fs::read(&file)?;
        let has = |cookie: &Vec<u8>| bytes.windows(cookie.len()).any(|part| part == cookie);
        ensure(!cookies.iter().any(has), format!("a cookie is in {}", file.display()))?;
    }
    Ok(())
}

/// Regular ones.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => files.extend(files_below(&entry.path())?),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(files)
}

/// An agent whose only server shows this certificate.
fn certified(certificate: Certificate, words: &[&str]) -> Outcome {
    let server = NtsServer::start(certificate, "")?;
    let host = secured(&server, &[server.by_nts()?.to_string()], "")?;
    let _agent = host.agent()?;
    said(&host, &[&["no reading: "], words].concat())?;
    is_shut(&host)?;
    has_few_lines(&host)
}

fn expired() -> Outcome {
    certified(Certificate { from: -4000, to: -3000, ..GOOD }, &["it expired at", "it cannot be earlier than"])
}

fn not_valid_yet() -> Outcome {
    certified(Certificate { from: 10, to: 20, ..GOOD }, &["its answer is not believed", "it begins at"])
}

fn another_name() -> Outcome {
    certified(Certificate { name: "other.example", ..GOOD }, &["it is for another name"])
}

fn revoked() -> Outcome {
    certified(Certificate { from: -9, to: -2, ..GOOD }, &["its answer is not believed", "it expired at"])
}
