//! Authenticated answers of a real chronyd, by NTS and by symmetric keys, and what plain liars beside it are worth.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clockgate::decision::{AuthenticationPolicy, Offset, Policy};
use clockgate::reference::{References, Security, ServerName};
use clockgate::sys::clock::{boottime, realtime};
use libtest_mimic::Failed;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::support::chronyd::{self, free_port};
use crate::support::liar::Liar;
use crate::support::{Ours, Outcome, expect, texts, until_some};
use crate::{PATIENCE, SERVES, check, measure};

const DAY: i64 = 86_400;
const KEYS: &str =
    "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n2 SHA1 ASCII:a-long-secret\n3 SHA256 HEX:0011223344556677\n";

/// A server of time and of keys, by a certificate that is its own authority.
struct Server {
    folder: TempDir,
    port: u16,
    keys: u16,
    process: Option<Ours>,
}

impl Server {
    /// With a certificate for `localhost` that is valid from one day to the other, counted from now.
    fn start(from: i64, to: i64) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let at = |days: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs((realtime().as_secs() + days * DAY).unsigned_abs())
        };
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        (params.not_before, params.not_after) = (at(from), at(to));
        fs::write(folder.path().join("certificate.pem"), params.self_signed(&key)?.pem())?;
        fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
        let secret = folder.path().join("keys");
        fs::write(&secret, KEYS)?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        let mut server = Self { folder, port: free_port()?, keys: free_port()?, process: None };
        server.run()?;
        Ok(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, again if it runs: its cookies' keys are new then.
    fn run(&mut self) -> Outcome {
        self.process = None;
        let file = |name: &str| self.file(name).display().to_string();
        let lines = [
            format!("port {}\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /", self.port),
            format!("pidfile {}\nkeyfile {}\n{SERVES}", file("pid"), file("keys")),
            // In the process that the test ends, and in no other.
            format!("ntsport {}\nntsprocesses 0", self.keys),
            format!("ntsservercert {}\nntsserverkey {}\n", file("certificate.pem"), file("key.pem")),
        ];
        fs::write(self.file("chrony.conf"), lines.join("\n"))?;
        self.process = Some(chronyd::start(&self.file("chrony.conf"), &self.file("log"))?);
        Ok(())
    }

    fn by_nts(&self) -> Result<ServerName, Failed> {
        Ok(format!("nts://localhost:{}", self.keys).parse()?)
    }

    fn security(&self) -> Security {
        Security {
            authorities: Some(self.file("certificate.pem")),
            keys: Some(self.file("keys")),
            ..Security::default()
        }
    }

    /// References that have its keys.
    fn keyed(&self, authentication: AuthenticationPolicy, others: &[ServerName]) -> Result<References, Failed> {
        let name = self.by_nts()?;
        until_some("an answer by NTS", PATIENCE, || {
            let references = References::new([std::slice::from_ref(&name), others].concat());
            references.secure(Security { authentication, ..self.security() });
            references.resolve(PATIENCE);
            let answered = references.measure(PATIENCE).readings.iter().any(|reading| reading.authenticated);
            answered.then_some(references)
        })
    }
}

pub fn by_nts() -> Outcome {
    let server = Server::start(-1, 7)?;
    let references = server.keyed(AuthenticationPolicy::Mix, &[])?;
    references.replenish();
    let measured = references.measure(PATIENCE);
    let reading = measured.readings.first().ok_or("no reading")?;
    check(reading.authenticated && reading.offset.abs() <= reading.root_distance, reading)?;
    check(reading.stratum == Some(3) && reading.root_distance < Duration::from_secs(1), reading)?;
    let (name, trusted) = (server.by_nts()?.to_string(), server.file("certificate.pem").display().to_string());
    let output = measure(&["--server", &name, "--ca-file", &trusted])?;
    let (table, _) = texts(&output);
    let is_in_words =
        table.lines().nth(1).is_some_and(|line| line.contains(&format!("({name})")) && line.ends_with("yes"));
    expect(output.status.code() == Some(0) && is_in_words, &output)
}

pub fn after_a_restart() -> Outcome {
    let mut server = Server::start(-1, 7)?;
    let references = server.keyed(AuthenticationPolicy::Mix, &[])?;
    server.run()?;
    // It cannot read the cookies that it made before; new keys are exchanged at once.
    until_some("an answer by new keys", PATIENCE, || {
        references.replenish();
        references.measure(Duration::from_secs(2)).readings.first().cloned()
    })
    .map(drop)
}

pub fn expired() -> Outcome {
    let server = Server::start(-4000, -3000)?;
    let (name, trusted) = (server.by_nts()?.to_string(), server.file("certificate.pem").display().to_string());
    let output = until_some("a word of the certificate", PATIENCE, || {
        let output = measure(&["--server", &name, "--ca-file", &trusted]).ok()?;
        texts(&output).0.contains("it expired at").then_some(output)
    })?;
    expect(output.status.code() == Some(75) && texts(&output).0.contains("it cannot be earlier than"), &output)
}

pub fn by_keys() -> Outcome {
    let server = Server::start(-1, 7)?;
    let asked = |key: u32, security: Security| {
        let references =
            References::new(vec![format!("127.0.0.1:{}?key={key}", server.port).parse::<ServerName>().ok()?]);
        references.secure(security);
        Some(references.measure(Duration::from_secs(1)))
    };
    for key in 1..=3 {
        let reading = until_some("an answer by a key", PATIENCE, || asked(key, server.security())?.readings.pop())?;
        check(reading.authenticated && reading.voice.name.ends_with(&format!("?key={key}")), &reading)?;
    }
    // Another secret of the same number.
    let other = server.file("other");
    fs::write(&other, "1 AES128 HEX:ff0102030405060708090a0b0c0d0e0f\n")?;
    fs::set_permissions(&other, Permissions::from_mode(0o600))?;
    let wrong = asked(1, Security { keys: Some(other.clone()), ..server.security() }).ok_or("no name")?;
    check(wrong.readings.is_empty() && wrong.authenticated.len() == 1, &wrong)?;
    let absent = asked(2, Security { keys: Some(other.clone()), ..server.security() }).ok_or("no name")?;
    check(absent.failures[0].why.contains("`keys-file` has none of that number"), &absent)?;
    fs::set_permissions(&other, Permissions::from_mode(0o644))?;
    let open = asked(1, Security { keys: Some(other), ..server.security() }).ok_or("no name")?;
    check(open.failures[0].why.contains("are no secret: its mode is 0644"), &open)
}

pub fn beside_liars() -> Outcome {
    let server = Server::start(-1, 7)?;
    let mut liars = vec![];
    for host in [4, 5, 6] {
        liars.push(Liar::start(SocketAddr::from(([127, 0, 0, host], 0)), Offset::from_secs(100))?);
    }
    let plain: Vec<ServerName> =
        liars.iter().map(|liar| ServerName::numeric(liar.address().ip(), liar.address().port())).collect();
    for authentication in [AuthenticationPolicy::Require, AuthenticationPolicy::Prefer, AuthenticationPolicy::Mix] {
        let references = server.keyed(authentication, &plain)?;
        references.replenish();
        let measured = references.measure(PATIENCE);
        let policy = Policy { authentication, ..Policy::default() };
        let agreed = measured.agreement(&policy, boottime()).map_err(|why| why.to_string())?;
        check(agreed.authenticated && agreed.offset.abs() <= agreed.root_distance, &agreed)?;
        let were_asked = liars.iter().any(|liar| !liar.asked().is_empty());
        match authentication {
            AuthenticationPolicy::Require => check(!were_asked, &authentication)?,
            AuthenticationPolicy::Mix => check(were_asked, &authentication)?,
            // They are asked after a second, which can pass here.
            AuthenticationPolicy::Prefer => {}
        }
    }
    // Without the server nothing is proven, whatever the liars agree on.
    drop(server);
    let references = References::new([vec!["nts://localhost:9".parse()?], plain].concat());
    references.secure(Security { authentication: AuthenticationPolicy::Prefer, ..Security::default() });
    references.resolve(PATIENCE);
    let measured = references.measure(PATIENCE);
    check(measured.readings.len() == 3, &measured)?;
    let why = measured.agreement(&Policy::default(), boottime()).err().map(|why| why.to_string());
    check(why.as_ref().is_some_and(|why| why.contains("no authenticated reference answered")), &why)
}
