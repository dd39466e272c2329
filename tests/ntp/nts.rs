//! Authenticated answers of a real chronyd, by NTS and by symmetric keys, and what plain liars beside it are worth.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use clockgate::decision::{AuthenticationPolicy, Offset, Policy};
use clockgate::reference::{References, Security, ServerName};
use clockgate::sys::clock::boottime;

use crate::support::liar::Liar;
use crate::support::nts_server::{Certificate, GOOD, NtsServer};
use crate::support::{Outcome, expect, texts, until_some};
use crate::{PATIENCE, check, measure};

pub fn by_nts() -> Outcome {
    let server = NtsServer::start(GOOD, "")?;
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
    let mut server = NtsServer::start(GOOD, "")?;
    let references = server.keyed(AuthenticationPolicy::Mix, &[])?;
    server.run()?;
    // It cannot read the cookies that it made before; new keys are exchanged at once.
    until_some("an answer by new keys", PATIENCE, || {
        references.replenish();
        references.measure(Duration::from_secs(2)).readings.first().cloned()
    })
    .map(drop)
}

/// What is said of a server with this certificate, until it is this.
fn refused(certificate: Certificate, sentence: &str) -> Outcome<String> {
    let server = NtsServer::start(certificate, "")?;
    let (name, trusted) = (server.by_nts()?.to_string(), server.file("certificate.pem").display().to_string());
    let output = until_some("a word of the certificate", PATIENCE, || {
        let output = measure(&["--server", &name, "--ca-file", &trusted]).ok()?;
        texts(&output).0.contains(sentence).then_some(output)
    })?;
    expect(output.status.code() == Some(75), &output)?;
    Ok(texts(&output).0)
}

pub fn expired() -> Outcome {
    let said = refused(Certificate { from: -4000, to: -3000, ..GOOD }, "it expired at")?;
    check(said.contains("it cannot be earlier than"), &said)
}

pub fn not_valid_yet() -> Outcome {
    let said = refused(Certificate { from: 10, to: 20, ..GOOD }, "it begins at")?;
    check(said.contains("its answer is not believed") && said.contains("and the server says that it is"), &said)
}

pub fn another_name() -> Outcome {
    refused(Certificate { name: "other.example", ..GOOD }, "it is for another name").map(drop)
}

/// The certificate of a key that was revoked has been replaced, and ends as it would have: after the floor, and before today.
pub fn an_old_certificate() -> Outcome {
    let said = refused(Certificate { from: -9, to: -2, ..GOOD }, "it expired at")?;
    check(said.contains("its answer is not believed"), &said)
}

pub fn by_keys() -> Outcome {
    let server = NtsServer::start(GOOD, "")?;
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
    let server = NtsServer::start(GOOD, "")?;
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
