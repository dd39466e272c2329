//! A real chronyd that serves time by NTS and by symmetric keys, on loopback.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clockgate::decision::AuthenticationPolicy;
use clockgate::reference::{References, Security, ServerName};
use clockgate::sys::clock::realtime;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::chronyd::{self, free_port};
use super::outcome::Outcome;
use super::process::Ours;
use super::wait::until_some;

/// Far more than an exchange of keys takes.
const PATIENCE: Duration = Duration::from_secs(20);
const DAY: i64 = 86_400;
/// The keys that it knows.
pub const KEYS: &str =
    "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n2 SHA1 ASCII:a-long-secret\n3 SHA256 HEX:0011223344556677\n";

/// A server of time and of keys, by a certificate that is its own authority.
#[derive(Debug)]
pub struct NtsServer {
    folder: TempDir,
    /// Where it is asked for the time.
    pub port: u16,
    /// Where it exchanges keys.
    pub keys: u16,
    /// What else it is configured with.
    more: String,
    process: Option<Ours>,
}

/// A certificate: for whom, and from when to when in days from now.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    pub name: &'static str,
    pub from: i64,
    pub to: i64,
}

/// One that holds.
pub const GOOD: Certificate = Certificate { name: "localhost", from: -1, to: 7 };

impl NtsServer {
    /// With this certificate, and these lines more in its configuration.
    pub fn start(certificate: Certificate, more: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let at = |days: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs((realtime().as_secs() + days * DAY).unsigned_abs())
        };
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![certificate.name.to_owned()])?;
        (params.not_before, params.not_after) = (at(certificate.from), at(certificate.to));
        fs::write(folder.path().join("certificate.pem"), params.self_signed(&key)?.pem())?;
        fs::write(folder.path().join("key.pem"), key.serialize_pem())?;
        let secret = folder.path().join("keys");
        fs::write(&secret, KEYS)?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        let (port, keys, more) = (free_port()?, free_port()?, more.to_owned());
        let mut server = Self { folder, port, keys, more, process: None };
        server.run()?;
        Ok(server)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, again if it runs: its cookies' keys are new then.
    pub fn run(&mut self) -> Outcome {
        self.process = None;
        let file = |name: &str| self.file(name).display().to_string();
        let lines = [
            format!("port {}\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /", self.port),
            format!("pidfile {}\nkeyfile {}\nlocal stratum 3\nallow", file("pid"), file("keys")),
            // In the process that the test ends, and in no other.
            format!("ntsport {}\nntsprocesses 0\n{}", self.keys, self.more),
            format!("ntsservercert {}\nntsserverkey {}\n", file("certificate.pem"), file("key.pem")),
        ];
        fs::write(self.file("chrony.conf"), lines.join("\n"))?;
        self.process = Some(chronyd::start(&self.file("chrony.conf"), &self.file("log"))?);
        Ok(())
    }

    pub fn by_nts(&self) -> Outcome<ServerName> {
        Ok(format!("nts://localhost:{}", self.keys).parse()?)
    }

    pub fn security(&self) -> Security {
        Security {
            authorities: Some(self.file("certificate.pem")),
            keys: Some(self.file("keys")),
            ..Security::default()
        }
    }

    /// References that have its keys.
    pub fn keyed(&self, authentication: AuthenticationPolicy, others: &[ServerName]) -> Outcome<References> {
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
