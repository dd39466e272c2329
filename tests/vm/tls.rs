//! TLS across an image: an authority that the machine trusts, a server outside of it whose certificate is younger than the
//! image, and OpenSSL's own client in it, which reads the machine's clock as any program does.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Boottime, Offset, Realtime};

use crate::lab::guest::Guest;
use crate::lab::stage::succeed;
use crate::lab::work::{PART, VERB, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, fail, until};

const PORT: u16 = 4433;
/// Where the machine keeps the authority that it trusts.
const TRUSTED: &str = "/etc/lab-authority.pem";
const CLIENT: &str = "/usr/local/bin/handshake";

/// What OpenSSL says of a certificate whose time has not come.
pub const NOT_YET_VALID: &str = "certificate is not yet valid";
/// What [`CLIENT`] says of one that is well.
pub const VERIFIED: &str = "verified";

/// Who issues certificates.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    server: Ipv4Addr,
}

impl Authority {
    /// Makes an authority that the machine trusts from now on, and gives the machine a client, `handshake NAME [ASKED]`: the
    /// first thing it does is a handshake, of which `/run/NAME` gets how it went.
    pub fn trusted_by(guest: &Guest, world: &World) -> Outcome<Self> {
        let authority = Self { folder: world.run().join("tls"), server: world.address(1) };
        std::fs::create_dir_all(&authority.folder)?;
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=authority -days 2 \
             -keyout authority.key -out authority.pem",
        )?;
        guest.put(TRUSTED, &std::fs::read_to_string(authority.folder.join("authority.pem"))?)?;
        let address = authority.server;
        guest.put_program(
            CLIENT,
            &format!(
                "#!/bin/sh\nbegan=$({PART} {VERB})\n\
                 said=$(openssl s_client -connect {address}:{PORT} -CAfile {TRUSTED} -verify_ip {address} \
                 -verify_return_error -brief 2>&1 </dev/null) && said={VERIFIED}\n\
                 echo \"$began\"; echo \"$began\" \"${{2-$began}}\" $said >>\"/run/$1\"\n"
            ),
        )?;
        Ok(authority)
    }

    /// Issues a certificate that is valid from now on, by the true time, and serves with it.
    pub fn serve(&self) -> Outcome<Server> {
        std::fs::write(self.folder.join("names"), format!("subjectAltName=IP:{}\n", self.server))?;
        self.openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout server.key -out server.csr",
        )?;
        self.openssl(
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 1 -extfile names \
             -out server.pem",
        )?;
        let mut serve =
            self.command(&format!("s_server -accept {}:{PORT} -cert server.pem -key server.key -www", self.server));
        let server = Server(serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        // Who hangs up before a word is said does no harm to it.
        until("the server listens", Duration::from_secs(10), || Ok(TcpStream::connect((self.server, PORT)).ok()))?;
        Ok(server)
    }

    fn openssl(&self, arguments: &str) -> Outcome {
        succeed(&mut self.command(arguments))
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(&self.folder);
        command
    }
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A handshake as it went.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// When whoever made it asked at the gate, or when it began; both on the machine's clock that nobody sets.
    pub asked: Boottime,
    pub began: Boottime,
    /// What the machine's clock said when it began.
    clock: Realtime,
    pub went: String,
}

impl Handshake {
    /// Makes one at once and without asking anybody.
    pub fn careless(guest: &Guest) -> Outcome<Self> {
        guest.sh(&format!("rm -f /run/careless-tls; {CLIENT} careless-tls"))?;
        let made = Self::all(guest, "careless-tls", Boottime::default())?;
        made.into_iter().next().map_or_else(|| fail("no handshake was made"), Ok)
    }

    /// Starts a workload that asks at the gate before each of them.
    pub fn behind_the_gate(guest: &Guest, name: &str) -> Outcome<Work> {
        let asked = format!("asked=$({PART} {VERB})");
        let run = format!("clockgate run --max-wait infinity -- {CLIENT} {name}-tls \"$asked\"");
        Work::over_and_over(guest, name, &format!("{asked}; {run}"))
    }

    /// Those of a workload that began after `at`.
    pub fn made_by(work: &Work, guest: &Guest, at: Boottime) -> Outcome<Vec<Self>> {
        Self::all(guest, &format!("{}-tls", work.name()), at)
    }

    /// How wrong the machine's clock was when it began: on a machine whose true time minus its time since boot is `truth`.
    pub fn off_by(&self, truth: Offset) -> Offset {
        Realtime::from_nanos(i64::try_from(self.began.as_nanos()).unwrap_or(i64::MAX)) + truth - self.clock
    }

    fn all(guest: &Guest, file: &str, after: Boottime) -> Outcome<Vec<Self>> {
        let text = guest.sh(&format!("awk '$1 > {}' /run/{file}", after.as_nanos()))?;
        text.lines()
            .map(|line| Self::read(line).map_or_else(|| fail(format!("not of a handshake: {line}")), Ok))
            .collect()
    }

    /// When it began, by both clocks; when it was asked for, by both; what was said.
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let &[began, clock, asked, _, said] = words.as_slice() else { return None };
        let went = [NOT_YET_VALID, VERIFIED].into_iter().find(|known| said.contains(known)).unwrap_or(said);
        Some(Self {
            asked: Boottime::from_nanos(asked.parse().ok()?),
            began: Boottime::from_nanos(began.parse().ok()?),
            clock: Realtime::from_nanos(clock.parse().ok()?),
            went: went.to_owned(),
        })
    }
}
