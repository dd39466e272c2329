//! NTP is blocked and the web is not: a `Date` holds the gate of a wrong clock, and sets the clock coarsely when root says so.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};
use crate::site::{Authority, Life, Manner, Site};

pub const SCENARIOS: &[Listed] = &[
    ("web::where_ntp_is_blocked_a_date_holds_the_gate_and_a_coarse_step_by_it_ends_unproven", held_and_stepped),
    ("web::an_agent_that_has_proven_nothing_opens_nothing_on_a_date_that_agrees", agreeing),
];

const AUTHORITY: &str = "/etc/lab-authority.pem";

/// A server by TLS that knows the true time and whose certificate began a minute ago by it.
fn site(guest: &Guest, world: &World) -> Outcome<(Site, String)> {
    let authority = Authority::new();
    let address = world.address(1);
    let name: &'static str = Box::leak(address.to_string().into_boxed_str());
    let fresh = Life { name, begins: -60, ends: 86_400 };
    let site = Site::at(SocketAddr::from((address, 0)), Manner::default(), Some(authority.signs(fresh)));
    guest.put(AUTHORITY, &std::fs::read_to_string(authority.file())?)?;
    let url = format!("https://{address}:{}", site.port);
    Ok((site, url))
}

/// Nobody answers NTP at the world's ninth address.
fn start(guest: &Guest, world: &World, url: &str) -> Outcome {
    let silent = world.address(9);
    let config = format!(
        "servers: ['{silent}']\nhttp-references: ['{url}']\nca-file: {AUTHORITY}\ndeadline: 5s\nmeasure-timeout: 1s\n"
    );
    gate::start_with(guest, &config)
}

fn held_and_stepped(guest: &Guest, world: &World) -> Outcome {
    let (_site, url) = site(guest, world)?;
    guest.sh("date -u -s '1 hour ago'")?;
    start(guest, world, &url)?;
    let held = gate::when(guest, "the gate is held by the Date", |now| {
        now.gate == "shut" && now.why.contains("held shut") && now.why.contains("behind by the Date of")
    })?;
    let stepped = guest.sh(&format!("clockgate sync --http {url} --ca-file {AUTHORITY}"))?;
    let off = guest.offset()?;
    let at_once = gate::read(guest)?;
    let again = guest.sh(&format!("clockgate sync --http {url} --ca-file {AUTHORITY}"))?;
    let after = gate::when(guest, "the gate is open without a proof", |now| now.gate == "unproven")?;
    let measured =
        guest.sh(&format!("clockgate measure --server {} --http {url} --ca-file {AUTHORITY}", world.address(9)))?;
    night::over(guest)?;
    let is_by_the_agent =
        stepped.contains("stepped by +3") && stepped.contains("by the agent, coarsely and not proven");
    ensure(is_by_the_agent, stepped)?;
    ensure(!at_once.is_proven(), format!("proven by a Date: {at_once:?}"))?;
    ensure(again.contains("as right as a Date can tell"), again)?;
    ensure(off.abs() < Duration::from_millis(1100), format!("off by {off}: {held:?}, {after:?}"))?;
    ensure(measured.contains("your clock may be right"), measured)
}

fn agreeing(guest: &Guest, world: &World) -> Outcome {
    let (site, url) = site(guest, world)?;
    start(guest, world, &url)?;
    gate::when(guest, "the gate is open without a proof", |now| now.gate == "unproven")?;
    let before = site.asked();
    let again = gate::when(guest, "it was asked again", |now| now.is_proven() || site.asked() > before)?;
    night::over(guest)?;
    ensure(again.gate == "unproven", format!("{again:?}"))
}
