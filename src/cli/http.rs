//! The `Date` of web servers, asked for by a person: `measure --http` and `sync --http`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::config::Config;
use crate::decision::{Boottime, Failure, HttpDate, PeerCheck, bound_in_words, nanos_u64};
use crate::error_chain::in_full;
use crate::exit::Exit;
use crate::reference::http::{self, HttpQuestion, HttpUrl, TrustedAuthorities};

/// What to do where no web server said anything.
pub const ASK_ANOTHER: &str = "name another server with `--http URL`, or your authority with `--ca-file FILE`";

// Whom to verify by; no documentation comment, which would be what `measure --help` begins with.
#[derive(Debug, clap::Args)]
pub struct AuthorityOptions {
    /// Verify https and NTS servers by the certificate authorities of this PEM file (default: `ca-file` of the configuration,
    /// SSL_CERT_FILE, the system's, or built-in ones)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl AuthorityOptions {
    /// How to ask.
    ///
    /// # Errors
    /// [`Exit::Config`] for a file without certificates.
    pub fn question(&self, config: &Config, timeout: Duration) -> Result<HttpQuestion, CliError> {
        let named = self.ca_file.as_deref().or(config.ca_file.as_deref());
        let authorities = TrustedAuthorities::load(named)
            .map_err(|error| CliError::caused(Exit::Config, "cannot verify https servers", error))?;
        Ok(HttpQuestion { timeout, authorities, floor: config.policy.floor.clone() })
    }

    /// The configuration with the file that was named, for NTS servers too.
    pub fn take_into(&self, config: Config) -> Config {
        let nts_ca_file = self.ca_file.clone().or(config.nts_ca_file.clone());
        Config { nts_ca_file, ..config }
    }
}

/// What web servers said, in the order in which they were named.
pub fn ask(urls: &[HttpUrl], question: &HttpQuestion) -> (Vec<HttpDate>, Vec<Failure>) {
    let asked: Vec<Result<HttpDate, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = urls.iter().map(|url| (url, scope.spawn(|| http::measure(url, question)))).collect();
        let joined =
            |(url, thread): (&HttpUrl, std::thread::ScopedJoinHandle<'_, Result<HttpDate, http::HttpError>>)| {
                let failure = |why: String| Failure::remark(url.to_string(), why);
                match thread.join() {
                    Ok(outcome) => outcome.map_err(|error| failure(in_full(&error))),
                    Err(_) => Err(failure("asking it failed".to_owned())),
                }
            };
        threads.into_iter().map(joined).collect()
    });
    let (mut dates, mut failures) = (vec![], vec![]);
    for outcome in asked {
        match outcome {
            Ok(date) => dates.push(date),
            Err(failure) => failures.push(failure),
        }
    }
    (dates, failures)
}

/// One of them for programs.
pub fn json_of(date: &HttpDate, now: Boottime, drift_ppm: u32) -> Value {
    json!({
        "url": date.source,
        "verified": date.peer == PeerCheck::Verified,
        "offset_ns": date.offset.as_nanos(),
        "bound_ns": nanos_u64(date.bound_at(now, drift_ppm)),
        "measured_ns": nanos_u64(date.measured),
        "delay_ns": nanos_u64(date.delay),
        "answers": date.answers,
    })
}

/// How exact it is, for people.
pub fn exactness(date: &HttpDate, now: Boottime, drift_ppm: u32) -> String {
    let who = match date.peer {
        PeerCheck::Verified => "certificate verified at the time received",
        PeerCheck::Unverified => "plain HTTP, not verified",
    };
    format!("exact to {}, {who}", bound_in_words(date.width_at(now, drift_ppm)))
}
