//! What a real SDK says on a clock that is an hour behind, explained: now, after a sync, and where the token is what is over.

use std::time::Duration;

use serde_json::Value;

use super::{Listed, night};
use crate::lab::guest::Guest;
use crate::lab::wire::Ran;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, sts};
use crate::site::{Authority, Life};

pub const SCENARIOS: &[Listed] = &[
    ("explain::a_refused_signature_is_the_clock_now_and_after_a_sync_the_clock_then", now_and_then),
    ("explain::a_certificate_that_is_fresher_than_the_clock_is_the_clock_now", fresh),
    ("explain::an_expired_token_beside_a_right_clock_is_the_credentials", expired),
];

const AUTHORITY: &str = "/etc/lab-authority.pem";
const CLIENT: &str = "/usr/local/bin/who-am-i";
/// As `aws sts get-caller-identity` does it, prints its error and ends: URL, token.
const SCRIPT: &str = r#"#!/usr/bin/python3
import sys
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

client = botocore.session.get_session().create_client(
    "sts", region_name="eu-central-1", endpoint_url=sys.argv[1], verify="/etc/lab-authority.pem",
    aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    aws_session_token=sys.argv[2], config=Config(retries={"total_max_attempts": 1}))
try:
    print(client.get_caller_identity()["Arn"])
except (BotoCoreError, ClientError) as error:
    print(f"\n{error}", file=sys.stderr)
    sys.exit(254)
"#;
const HOUR: Duration = Duration::from_secs(3600);
const A_DAY: i64 = 86_400;
/// A guest reads the SDK for the first time.
const SLOW: Duration = Duration::from_secs(120);
const REFUSED: &str = "/run/refused";

fn now_and_then(guest: &Guest, world: &World) -> Outcome {
    let url = sts_of(guest, world, -A_DAY)?;
    an_hour_behind(guest, world)?;
    let refused = explained(guest, &url, A_DAY)?;
    guest.put(REFUSED, &refused.err)?;
    let saved = verdict(guest, "")?;
    note(guest, "still an hour behind")?;
    guest.sh("clockgate sync")?;
    note(guest, "right again")?;
    let later = verdict(guest, "")?;
    let again = guest.run_within(&format!("clockgate explain -- {} 2>&1", call(&url, A_DAY)?), SLOW)?;
    night::over(guest)?;

    let is_passed_on = refused.err.contains("(SignatureDoesNotMatch)") && refused.err.contains("Signature expired: ");
    ensure(refused.code == 254 && is_passed_on, format!("{refused:?}"))?;
    ensure(
        refused.err.contains("THE CLOCK, NOW: your clock is 1 h 0 min") && refused.err.contains("behind"),
        &refused.err,
    )?;
    ensure(saved["verdict"] == "clock-now" && saved["direction"] == "behind", saved.to_string())?;
    ensure(is_an_hour(&saved["now"]["offset_ns"]) && is_an_hour(&saved["offset_ns"]), saved.to_string())?;
    // Nobody asked clockgate before the clock went wrong: what it was then is read from the journal.
    let then = &later["then"];
    ensure(later["verdict"] == "clock-then" && later["direction"] == "behind", later.to_string())?;
    ensure(is_an_hour(&then["offset_ns"]) && then["from_ns"].is_i64() && then["to_ns"].is_i64(), later.to_string())?;
    ensure(again.code == 0 && again.out.trim() == "arn:aws:iam::123456789012:user/ada", format!("{again:?}"))
}

fn fresh(guest: &Guest, world: &World) -> Outcome {
    let url = sts_of(guest, world, -60)?;
    an_hour_behind(guest, world)?;
    let refused = explained(guest, &url, A_DAY)?;
    night::over(guest)?;
    ensure(refused.code == 254 && refused.err.contains("certificate is not yet valid"), format!("{refused:?}"))?;
    ensure(refused.err.contains("THE CLOCK, NOW: your clock is 1 h 0 min"), refused.err)
}

fn expired(guest: &Guest, world: &World) -> Outcome {
    let url = sts_of(guest, world, -A_DAY)?;
    configure(guest, world)?;
    guest.set_right()?;
    let refused = explained(guest, &url, -A_DAY)?;
    night::over(guest)?;
    ensure(refused.code == 254 && refused.err.contains("(ExpiredToken)"), format!("{refused:?}"))?;
    ensure(refused.err.contains("CREDENTIALS, not the clock: your clock is right to "), refused.err)
}

/// STS by TLS, with a certificate that begins so many seconds from now.
fn sts_of(guest: &Guest, world: &World, begins: i64) -> Outcome<String> {
    let authority = Authority::new();
    let address = world.address(1);
    let name: &'static str = Box::leak(address.to_string().into_boxed_str());
    let port = sts::start(address, authority.signs(Life { name, begins, ends: A_DAY }))?;
    guest.put(AUTHORITY, &std::fs::read_to_string(authority.file())?)?;
    guest.put_program(CLIENT, SCRIPT)?;
    Ok(format!("https://{address}:{port}"))
}

fn configure(guest: &Guest, world: &World) -> Outcome {
    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))
}

/// On a host that writes its journal.
fn an_hour_behind(guest: &Guest, world: &World) -> Outcome {
    configure(guest, world)?;
    note(guest, "right")?;
    guest.sh("date -u -s '1 hour ago'")?;
    note(guest, "an hour behind")
}

fn note(guest: &Guest, what: &str) -> Outcome {
    guest.sh(&format!("systemd-cat -t work echo '{what}'; journalctl --sync")).map(drop)
}

/// The client with a token that ends so many seconds from now.
fn call(url: &str, ends: i64) -> Outcome<String> {
    let ends = clockgate::sys::clock::realtime().as_secs() + ends;
    Ok(format!("{CLIENT} {url} {}{ends}", sts::TOKEN))
}

fn explained(guest: &Guest, url: &str, ends: i64) -> Outcome<Ran> {
    guest.run_within(&format!("clockgate explain -- {}", call(url, ends)?), SLOW)
}

/// Of the saved text, which the clock explains.
fn verdict(guest: &Guest, options: &str) -> Outcome<Value> {
    Ok(serde_json::from_str(&guest.sh(&format!("clockgate explain --json {options} <{REFUSED}"))?)?)
}

fn is_an_hour(nanos: &Value) -> bool {
    let off = Duration::from_nanos(nanos.as_i64().unwrap_or_default().unsigned_abs());
    nanos.as_i64() > Some(0) && off.abs_diff(HOUR) < Duration::from_secs(5)
}
