//! Attacks on the road between the real client and a real chronyd, each with the sentence that is said of it.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::decision::{Measurement, Offset, Policy};
use clockgate::reference::{Hope, References, ServerName};
use clockgate::sys::clock::boottime;
use clockgate::sys::nap;

use crate::support::attack::{KISSES, SPRAY, kiss, kisses, lie, renumbered, spray};
use crate::support::liar::Liar;
use crate::support::nts_server::{GOOD, NtsServer};
use crate::support::road::{Meeting, Road};
use crate::support::{Outcome, until_some};
use crate::{PATIENCE, check};

/// How long a server is waited for that does not answer.
const SHORT: Duration = Duration::from_secs(4);
/// How long keys may take on a machine that is busy: some attempts.
const KEYS_WITHIN: Duration = Duration::from_secs(90);

/// What is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Plainly,
    ByKey,
    ByNts,
}

/// A server at the end of a road with an attacker, and who asks it.
struct Scene {
    road: Road,
    references: References,
    server: NtsServer,
}

impl Scene {
    fn with(asked: Asked, attacker: impl FnMut(&Meeting<'_>) + Send + 'static) -> Outcome<Self> {
        // A road of its own, since each chronyd serves at a port of its own.
        let at = |port| SocketAddr::from(([127, 0, 0, 7], port));
        let server = NtsServer::start(GOOD, "ntsntpserver 127.0.0.7")?;
        let road = Road::open(at(server.port), SocketAddr::from(([127, 0, 0, 1], server.port)), attacker)?;
        let name: ServerName = match asked {
            Asked::Plainly => road.address().to_string().parse()?,
            Asked::ByKey => format!("{}?key=1", road.address()).parse()?,
            Asked::ByNts => server.by_nts()?,
        };
        // It serves once it answers by another way than the road.
        let direct: ServerName = format!("127.0.0.1:{}", server.port).parse()?;
        until_some("the server answers", PATIENCE, || {
            let measured = References::new(vec![direct.clone()]).measure(SHORT);
            (!measured.readings.is_empty()).then_some(())
        })?;
        let references = References::new(vec![name.clone()]);
        references.secure(server.security());
        if asked == Asked::ByNts {
            until_some("keys", KEYS_WITHIN, || {
                references.resolve(PATIENCE);
                references.may_authenticate(Hope::AfterKeys).then_some(())
            })?;
        }
        Ok(Self { road, references, server })
    }

    fn measured(&self, patience: Duration) -> Measurement {
        self.references.replenish();
        self.references.measure(patience)
    }
}

/// That the answer came and is right, however late it was: the lies are eighteen hours off.
fn is_right(measured: &Measurement) -> Outcome {
    let [reading] = measured.readings.as_slice() else { return check(false, measured) };
    check(reading.offset.abs() <= reading.root_distance && reading.root_distance < PATIENCE, measured)
}

/// That nothing was believed, and why.
fn is_refused(measured: &Measurement, sentence: &str) -> Outcome {
    let is_said = measured.failures.iter().any(|failure| failure.why.contains(sentence));
    check(measured.readings.is_empty() && is_said, measured)?;
    check(measured.agreement(&Policy::default(), boottime()).is_err(), measured)
}

pub fn spray_beside_the_path() -> Outcome {
    for answers in [true, false] {
        let elsewhere = [UdpSocket::bind("127.0.0.7:0")?, UdpSocket::bind("127.0.0.8:0")?];
        let sent = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&sent);
        let scene = Scene::with(Asked::Plainly, move |meeting| {
            if meeting.number == 0 {
                count.store(spray(meeting, &elsewhere), Ordering::Relaxed);
            }
            if answers {
                meeting.pass();
            }
        })?;
        let measured = scene.measured(PATIENCE);
        check(sent.load(Ordering::Relaxed) == SPRAY, &sent)?;
        if answers {
            is_right(&measured)?;
        } else {
            is_refused(&measured, "other packet(s) came, the last of them an answer to a question that was not asked")?;
        }
    }
    Ok(())
}

pub fn flood_of_kisses() -> Outcome {
    for asked in [Asked::Plainly, Asked::ByKey, Asked::ByNts] {
        let scene = Scene::with(asked, move |meeting| {
            // Then it rests, or it would be the queue of packets that is attacked.
            if meeting.number == 0 {
                // By a key the attacker may even see the question.
                kisses(meeting, asked != Asked::Plainly);
            }
            meeting.pass();
        })?;
        is_right(&scene.measured(PATIENCE))?;
        // It is asked again: none of them was heeded.
        is_right(&scene.measured(PATIENCE))?;
    }
    let silenced = Scene::with(Asked::ByKey, |meeting| {
        meeting.send(&kiss(b"DENY", meeting.question));
    })?;
    is_refused(&silenced.measured(SHORT), "the last of them an answer that is not authenticated")
}

/// Who sees the questions of a plain server can silence it, and nobody else.
pub fn kisses_on_the_path() -> Outcome {
    let silenced = Scene::with(Asked::Plainly, |meeting| {
        for _ in 0..KISSES {
            meeting.send(&kiss(b"DENY", meeting.question));
        }
    })?;
    let others = [Liar::here(Offset::ZERO)?, Liar::here(Offset::ZERO)?];
    let addresses = [silenced.road.address(), others[0].address(), others[1].address()];
    let references = References::new(addresses.map(|at| ServerName::numeric(at.ip(), at.port())).to_vec());
    let measured = references.measure(PATIENCE);
    let agreed = measured.agreement(&Policy::default(), boottime()).map_err(|why| why.to_string())?;
    check(agreed.supporters == 2 && agreed.offset.abs() <= agreed.root_distance, &measured)?;
    check(measured.failures.iter().any(|failure| failure.why.contains("the kiss code DENY")), &measured)?;
    let again = references.measure(PATIENCE);
    check(again.failures.iter().any(|failure| failure.why.contains("it refuses to answer (kiss code DENY)")), &again)?;
    check(again.readings.len() == 2, &again)
}

pub fn replay() -> Outcome {
    for (asked, renumbers, sentence) in [
        (Asked::Plainly, false, "an answer to a question that was not asked"),
        (Asked::ByKey, false, "an answer to a question that was not asked"),
        (Asked::ByKey, true, "an answer whose authentication is false"),
        (Asked::ByNts, false, "an answer to a question that was not asked"),
        (Asked::ByNts, true, "an authenticated answer to another question"),
    ] {
        let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
        let scene = Scene::with(asked, move |meeting| {
            let Ok(mut kept) = kept.lock() else { return };
            match kept.as_deref() {
                None => {
                    *kept = Some(meeting.answer.to_vec());
                    meeting.pass();
                }
                Some(old) if renumbers => {
                    meeting.send(&renumbered(old, meeting.question));
                }
                Some(old) => {
                    meeting.send(old);
                }
            }
        })?;
        is_right(&scene.measured(PATIENCE))?;
        is_refused(&scene.measured(SHORT), sentence)?;
    }
    Ok(())
}

pub fn changed_on_the_way() -> Outcome {
    for asked in [Asked::ByKey, Asked::ByNts] {
        let scene = Scene::with(asked, |meeting| {
            meeting.send(&lie(meeting.answer));
        })?;
        is_refused(&scene.measured(SHORT), "an answer whose authentication is false: forged or changed on the way")?;
    }
    Ok(())
}

pub fn delayed() -> Outcome {
    let delay = Duration::from_millis(600);
    for asked in [Asked::Plainly, Asked::ByKey, Asked::ByNts] {
        let scene = Scene::with(asked, move |meeting| {
            nap(delay);
            meeting.pass();
        })?;
        let measured = scene.measured(PATIENCE);
        let [reading] = measured.readings.as_slice() else { return check(false, &measured) };
        // Half of the delay is what it shifts, and no more than that is in the bound, so the gate stays shut.
        check(reading.offset.abs() <= reading.root_distance && reading.root_distance >= delay / 2, &measured)?;
        let agreed = measured.agreement(&Policy::default(), boottime()).map_err(|why| why.to_string())?;
        check(agreed.bound() > Policy::default().threshold, &agreed)?;
    }
    Ok(())
}

/// Plain servers that agree on a lie, however many, do not outvote one by a key.
pub fn outvoted() -> Outcome {
    let scene = Scene::with(Asked::ByKey, |meeting| {
        meeting.pass();
    })?;
    let lie = Offset::from_secs(100);
    let liars = [Liar::here(lie)?, Liar::here(lie)?, Liar::here(lie)?, Liar::here(lie)?];
    let keyed: ServerName = format!("{}?key=1", scene.road.address()).parse()?;
    let plain = liars.each_ref().map(|liar| ServerName::numeric(liar.address().ip(), liar.address().port()));
    let references = References::new([vec![keyed], plain.to_vec()].concat());
    references.secure(scene.server.security());
    let measured = references.measure(PATIENCE);
    let agreed = measured.agreement(&Policy::default(), boottime()).map_err(|why| why.to_string())?;
    check(agreed.authenticated && agreed.offset.abs() <= agreed.root_distance, &agreed)?;
    let named = plain.iter().all(|name| agreed.falsetickers.iter().any(|liar| liar.contains(&name.to_string())));
    check(named, &agreed)
}

/// Whoever sees none of the questions has a port and 64 bits to guess, anew each time.
pub fn unguessable() -> Outcome {
    const TIMES: usize = 16;
    let honest = Liar::here(Offset::ZERO)?;
    let seen = Arc::<Mutex<Vec<(u16, Vec<u8>)>>>::default();
    let kept = Arc::clone(&seen);
    let road = Road::open(SocketAddr::from(([127, 0, 0, 7], 0)), honest.address(), move |meeting| {
        if let Ok(mut kept) = kept.lock() {
            kept.push((meeting.client.port(), meeting.question.to_vec()));
        }
        meeting.pass();
    })?;
    for _ in 0..TIMES {
        let name = ServerName::numeric(road.address().ip(), road.address().port());
        is_right(&References::new(vec![name]).measure(PATIENCE))?;
    }
    let seen = seen.lock().map_err(|_| "the attacker panicked")?;
    let ports: BTreeSet<u16> = seen.iter().map(|(port, _)| *port).collect();
    let numbers: BTreeSet<&[u8]> = seen.iter().map(|(_, question)| &question[40..48]).collect();
    check(numbers.len() == seen.len() && ports.len() > TIMES / 2, &(&ports, &numbers))?;
    // No clock counts so: each half of the number has bits that are set and bits that are not, in about half of all questions.
    let bits = |at: usize| seen.iter().map(|(_, question)| question[at].count_ones()).sum::<u32>() as usize;
    let half = seen.len() * 4;
    (40..48).try_for_each(|at| check(bits(at).abs_diff(half) < seen.len() * 3, &(at, &numbers)))?;
    // Two in a row are not the numbers of two ports in a row.
    let steps: BTreeSet<i32> = seen.windows(2).map(|two| i32::from(two[1].0) - i32::from(two[0].0)).collect();
    check(steps.len() > 2, &ports)
}
