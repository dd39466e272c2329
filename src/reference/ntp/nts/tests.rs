//! Key exchanges with servers that are right, slow, mad and hostile, and answers that only one of them can have made.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::cipher::SessionKeys;
use super::fields::{UniqueId, tests::answer};
use super::key_exchange::exchange_keys;
use super::records::{key_context, request};
use crate::decision::{Floor, Measurement, Offset, Realtime};
use crate::reference::ntp::fake::{FakeAnswer, FakeServer};
use crate::reference::ntp::security::{CertificateTime, Security};
use crate::reference::{References, ServerName};
use crate::sys::clock::realtime;

const DAY: i64 = 86_400;
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(700);

/// An authority, and its certificate in a file.
struct CertificateSigner {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate: for whom, and from when to when in days from now.
#[derive(Clone, Copy)]
struct Life(&'static str, i64, i64);

const GOOD: Life = Life("localhost", -1, 7);

impl CertificateSigner {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2100, 1, 1));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server's identity, which speaks this protocol.
    fn signs(&self, Life(name, begins, ends): Life, protocol: &[u8]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let at = |days: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs((realtime().as_secs() + days * DAY).unsigned_abs())
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (at(begins), at(ends));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    }

    /// Nothing is earlier than ten days ago.
    fn security(&self) -> Security {
        let release = Realtime::from_secs(realtime().as_secs() - 10 * DAY);
        Security { authorities: Some(self.file()), floor: Floor { release, file: None }, ..Security::default() }
    }
}

/// What a server of keys does after the handshake.
#[derive(Clone)]
enum Keeper {
    /// It answers with these bytes, and waits for the other side to go.
    Says(Vec<u8>),
    /// It answers, and hangs up.
    HangsUp(Vec<u8>),
    /// It sends bytes without an end.
    Floods,
    /// It agrees on keys for this port, and keeps them.
    Agrees(u16, Arc<Mutex<Vec<SessionKeys>>>),
}

fn record(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn agreement(port: u16) -> Vec<u8> {
    let cookies = (0..8).map(|n| record(5, &[n; 100])).collect::<Vec<_>>().concat();
    [record(0x8001, &[0, 0]), record(0x8004, &[0, 15]), cookies, record(7, &port.to_be_bytes()), record(0x8000, &[])]
        .concat()
}

/// Begins to keep keys, and returns the server's name.
fn keep(config: Arc<ServerConfig>, keeper: Keeper) -> ServerName {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("nts://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
    // It ends with the process; nothing of it outlives the tests.
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket);
            let mut question = [0; 16];
            if stream.read_exact(&mut question).is_err() {
                continue;
            }
            assert_eq!(question.to_vec(), request());
            let _ = match &keeper {
                Keeper::Says(bytes) | Keeper::HangsUp(bytes) => stream.write_all(bytes),
                Keeper::Floods => {
                    std::iter::repeat_n((), 1000).try_for_each(|()| stream.write_all(&record(99, &[0; 1000])))
                }
                Keeper::Agrees(port, keys) => {
                    let export = |direction| {
                        let context = key_context(direction);
                        stream
                            .conn
                            .export_keying_material([0; 32], b"EXPORTER-network-time-security", Some(&context))
                            .unwrap()
                    };
                    let fresh = SessionKeys { ours: export(0), theirs: export(1) };
                    keys.lock().unwrap().push(fresh);
                    stream.write_all(&agreement(*port))
                }
            };
            if let Keeper::Says(_) | Keeper::Agrees(..) = keeper {
                let _ = stream.read(&mut question);
            }
        }
    });
    name
}

fn refusal(name: &ServerName, security: &Security) -> String {
    exchange_keys(name, security).unwrap_err().to_string()
}

#[test]
fn a_certificate_that_does_not_hold_is_refused_with_its_sentence() {
    let ours = CertificateSigner::new();
    let says = |life| keep(ours.signs(life, b"ntske/1"), Keeper::Says(agreement(123)));
    let expired = refusal(&says(Life("localhost", -40, -20)), &ours.security());
    assert!(expired.contains("it expired at") && expired.contains("it cannot be earlier than"), "{expired}");
    let wrong_name = refusal(&says(Life("other.example", -1, 7)), &ours.security());
    assert!(wrong_name.contains("it is for another name"), "{wrong_name}");
    let foreign =
        refusal(&says(GOOD), &Security { authorities: Some(CertificateSigner::new().file()), ..ours.security() });
    assert!(foreign.contains("no authority that is trusted here") && foreign.contains("nts-ca-file"), "{foreign}");
    let strict = Security { certificate_time: CertificateTime::Strict, ..ours.security() };
    let later = refusal(&says(Life("localhost", 2, 7)), &strict);
    assert!(later.contains("nts-cert-time: strict") && later.contains("it begins at"), "{later}");
    assert!(exchange_keys(&says(Life("localhost", 2, 7)), &ours.security()).is_ok(), "it is judged by its answer");
    let none = Security { authorities: Some("/nonexistent".into()), ..ours.security() };
    assert!(refusal(&says(GOOD), &none).contains("cannot verify the certificates"));
}

#[test]
fn a_server_of_keys_that_talks_nonsense_is_refused_with_its_sentence() {
    let ours = CertificateSigner::new();
    let refused = |keeper| refusal(&keep(ours.signs(GOOD, b"ntske/1"), keeper), &ours.security());
    let http = refused(Keeper::HangsUp(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    assert!(http.contains("closed the connection after 28 bytes"), "{http}");
    let silent = refused(Keeper::HangsUp(vec![]));
    assert!(silent.contains("after 0 bytes"), "{silent}");
    let huge = refused(Keeper::Floods);
    assert!(huge.contains("no end within 16384 bytes"), "{huge}");
    let no = refused(Keeper::Says([record(0x8002, &[0, 1]), record(0x8000, &[])].concat()));
    assert!(no.contains("the server refuses the key exchange"), "{no}");
    let other = keep(ours.signs(GOOD, b"http/1.1"), Keeper::Says(agreement(123)));
    let other = refusal(&other, &ours.security());
    assert!(other.contains("no keys of NTS") && other.to_lowercase().contains("protocol"), "{other}");
    let slow = refused(Keeper::Says(agreement(123)[..40].to_vec()));
    assert!(slow.contains("no whole answer: no answer in time"), "{slow}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = refusal(&format!("nts://127.0.0.1:{closed}").parse().unwrap(), &ours.security());
    assert!(closed.contains("(TCP) for the keys of NTS"), "{closed}");
}

/// What a server of time does with a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vice {
    None,
    /// It turns a bit of the time.
    Tampers,
    /// It answers an earlier question's unique identifier.
    Replays,
    /// It answers without authentication.
    IsPlain,
    /// It cannot read the first keys' cookies.
    Forgets,
}

struct NtsServer {
    name: ServerName,
    keys: Arc<Mutex<Vec<SessionKeys>>>,
    questions: Arc<Mutex<Vec<Vec<u8>>>>,
    _time: FakeServer,
}

fn server(life: Life, ahead: Offset, vice: Vice, ours: &CertificateSigner) -> NtsServer {
    let keys: Arc<Mutex<Vec<SessionKeys>>> = Arc::default();
    let questions: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (known, asked) = (keys.clone(), questions.clone());
    let time = FakeServer::start("127.0.0.1", move |question| {
        asked.lock().unwrap().push(question.to_vec());
        let unique: UniqueId = question[52..84].try_into().unwrap();
        let mut header = FakeAnswer::ahead(question, ahead).bytes();
        let (count, keys) = {
            let known = known.lock().unwrap();
            (known.len(), known.last().unwrap().clone())
        };
        let number = u8::try_from(asked.lock().unwrap().len()).unwrap();
        let cookies = [vec![100 + 2 * number; 100], vec![101 + 2 * number; 100]];
        vec![match vice {
            Vice::None => answer(&header, &keys, &unique, &cookies),
            Vice::Tampers => {
                let mut packet = answer(&header, &keys, &unique, &cookies);
                packet[35] ^= 1;
                packet
            }
            Vice::Replays => answer(&header, &keys, &[9; 32], &cookies),
            Vice::IsPlain => header,
            Vice::Forgets if count < 2 => {
                header[1] = 0;
                header[12..16].copy_from_slice(b"NTSN");
                let field = [&[1, 4, 0, 36][..], &unique].concat();
                [header, field].concat()
            }
            Vice::Forgets => answer(&header, &keys, &unique, &cookies),
        }]
    });
    let name = keep(ours.signs(life, b"ntske/1"), Keeper::Agrees(time.address.port(), keys.clone()));
    NtsServer { name, keys, questions, _time: time }
}

fn asked(server: &NtsServer, ours: &CertificateSigner, patience: Duration) -> (References, Measurement) {
    let references = References::new(vec![server.name.clone()]);
    references.secure(ours.security());
    references.resolve(LONG);
    let measurement = references.measure(patience);
    (references, measurement)
}

fn why(measurement: &Measurement) -> String {
    measurement.failures.iter().map(|failure| failure.why.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_server_by_nts_is_measured_each_question_with_a_cookie_of_its_own() {
    let ours = CertificateSigner::new();
    let hour = Offset::from_secs(3600);
    let server = server(GOOD, hour, Vice::None, &ours);
    let (references, measurement) = asked(&server, &ours, LONG);
    let [reading] = measurement.readings.as_slice() else { panic!("{measurement:?}") };
    assert!(reading.authenticated && (reading.offset - hour).abs() <= reading.root_distance, "{reading:?}");
    assert_eq!(reading.voice.name, server.name.to_string());
    assert!(reading.source.ends_with(&format!("({})", server.name)), "{reading:?}");
    assert!(measurement.authenticated.contains(&reading.voice.name));
    for _ in 0..5 {
        references.replenish();
        assert_eq!(references.measure(LONG).readings.len(), 1);
    }
    let questions = server.questions.lock().unwrap();
    let spent: BTreeSet<Vec<u8>> = questions.iter().map(|question| question[84..188].to_vec()).collect();
    assert!(spent.len() >= 6 && spent.len() == questions.len(), "no cookie twice");
    assert!(spent.iter().all(|cookie| cookie[..4] == [2, 4, 0, 104]));
    assert_eq!(server.keys.lock().unwrap().len(), 1, "an answer brings new cookies");
}

#[test]
fn an_answer_that_is_not_the_servers_own_says_nothing() {
    let ours = CertificateSigner::new();
    for (vice, words) in [
        (Vice::Tampers, "whose authentication is false"),
        (Vice::Replays, "an authenticated answer to another question"),
        (Vice::IsPlain, "an answer that is not authenticated"),
    ] {
        let server = server(GOOD, Offset::ZERO, vice, &ours);
        let (_, measurement) = asked(&server, &ours, SHORT);
        assert!(measurement.readings.is_empty() && why(&measurement).contains(words), "{measurement:?}");
    }
}

#[test]
fn a_server_that_forgot_its_cookies_gets_new_keys_in_the_same_exchange() {
    let ours = CertificateSigner::new();
    let server = server(GOOD, Offset::ZERO, Vice::Forgets, &ours);
    let (_, measurement) = asked(&server, &ours, LONG);
    assert_eq!(measurement.readings.len(), 1, "{measurement:?}");
    assert_eq!(server.keys.lock().unwrap().len(), 2);
}

#[test]
fn a_certificate_is_judged_at_the_time_that_the_answer_yields() {
    let ours = CertificateSigner::new();
    // Our clock is three days behind: by it the certificate does not begin before the day after tomorrow.
    let ahead = server(Life("localhost", 2, 7), Offset::from_secs(3 * DAY), Vice::None, &ours);
    assert_eq!(asked(&ahead, &ours, LONG).1.readings.len(), 1);
    let early = server(Life("localhost", 2, 7), Offset::ZERO, Vice::None, &ours);
    let said = why(&asked(&early, &ours, LONG).1);
    assert!(said.contains("its answer is not believed") && said.contains("it begins at"), "{said}");
    // Its key may be an old one, whose certificate has ended by the time that it says.
    let late = server(Life("localhost", -5, -2), Offset::ZERO, Vice::None, &ours);
    let said = why(&asked(&late, &ours, LONG).1);
    assert!(said.contains("its answer is not believed") && said.contains("it expired at"), "{said}");
    // The time that it says is below the floor, at which the certificate holds, and before the certificate began.
    let below = server(Life("localhost", -12, 20), Offset::from_secs(-15 * DAY), Vice::None, &ours);
    let said = why(&asked(&below, &ours, LONG).1);
    assert!(said.contains("its answer is not believed") && said.contains("it begins at"), "{said}");
}

#[test]
fn after_a_restore_no_key_is_used_again() {
    let ours = CertificateSigner::new();
    let server = server(GOOD, Offset::ZERO, Vice::None, &ours);
    let (references, measurement) = asked(&server, &ours, LONG);
    assert_eq!(measurement.readings.len(), 1);
    references.renew_keys();
    // The exchange waits for the keys, which are on their way.
    assert_eq!(references.measure(LONG).readings.len(), 1);
    assert_eq!(server.keys.lock().unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn no_bytes_from_a_server_of_keys_break_the_exchange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let ours = CertificateSigner::new();
        let name = keep(ours.signs(GOOD, b"ntske/1"), Keeper::HangsUp(bytes));
        prop_assert!(exchange_keys(&name, &ours.security()).is_err());
    }
}
