//! Prometheus beside the machine, by the true time: what it sees of the machine's clock, of its containers and of its time daemon.

use std::time::Duration;

use clockgate::decision::Offset;

use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::work::{self, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};
use crate::machine::Machine;
use crate::shipped::{self, asked};
use crate::support::prometheus::{Prometheus, hasty_rules};
use crate::{gate, night};

/// Far more than a scrape and an evaluation take, each once a second.
const SOON: Duration = Duration::from_secs(60);

/// Frozen containers, steps by another program, a daemon that disagrees, and a false time that the agent believes.
pub fn seen(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    night::chronyd(guest, world)?;
    let server = beside(world)?;
    start(guest, world, &world.truth.address().to_string())?;
    let from = when(&server, "the open gate", "clockgate_gate_proven == 1")?;

    label(guest, "box", "clockgate.tolerance", "60s")?;
    Work::in_a_scope(guest, "box")?;
    when(&server, "the container's tolerance", "clockgate_smallest_tolerance_seconds == 60")?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    fires(&server, "ClockgateFrozenTooLong")?;
    guest.sh("clockgate notify post-restore --wait; systemctl stop 'docker-*.scope'")?;

    for _ in 0..4 {
        let before = gate::read(guest)?;
        guest.sh("date -u -s '1 hour ago'")?;
        gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    }
    fires(&server, "ClockgateSetByOthers")?;
    when(&server, "its own steps", "sum(clockgate_steps_total{direction=\"forward\"}) >= 4")?;

    // Two servers with the true time and an agent that may not step: what it measures serves all who tolerate as much.
    night::over(guest)?;
    let honest = Liar::start((world.address(2), 123).into(), Offset::ZERO)?;
    let both = format!("{}, {}", world.truth.address(), world.address(2));
    start_with(guest, world, &both, "correction: none\n")?;
    gate::proven(guest)?;
    guest.sh("date -u -s '30 seconds ago'")?;
    when(&server, "the tolerance that is served", "clockgate_served_tolerance_seconds > 29")?;
    drop(honest);

    // The agent asks two servers with the same false time, chronyd the true one.
    let lie = |last| Liar::start((world.address(last), 123).into(), Offset::from_secs(100));
    let liars = [lie(2)?, lie(3)?];
    let false_ones = format!("{}, {}", world.address(2), world.address(3));
    night::over(guest)?;
    night::chronyd(guest, world)?;
    start(guest, world, &false_ones)?;
    fires(&server, "ClockgateDaemonDisagrees")?;

    // Alone with these servers it is sure of a time that Prometheus knows to be false.
    night::over(guest)?;
    start(guest, world, &false_ones)?;
    gate::proven(guest)?;
    fires(&server, "ClockgateSecondOpinion")?;
    let to = when(&server, "the false time", "clockgate_time_seconds - timestamp(clockgate_time_seconds) > 99")?;
    pictures(&server, from, to)?;
    drop(liars);
    Ok(machine)
}

/// The agent in its shipped unit, scraped from outside.
fn start(guest: &Guest, world: &World, servers: &str) -> Outcome {
    start_with(guest, world, servers, "")
}

fn start_with(guest: &Guest, world: &World, servers: &str, more: &str) -> Outcome {
    let listen = format!("{}:9990", world.guest_address());
    gate::start_with(guest, &format!("servers: [{servers}]\nmetrics: {{listen: '{listen}'}}\n{more}"))
}

/// Gives a container of [`Work::in_a_scope`] a label, where Docker keeps it.
fn label(guest: &Guest, name: &str, label: &str, value: &str) -> Outcome {
    let folder = format!("/var/lib/docker/containers/{}", work::container_id(name));
    guest.sh(&format!("mkdir -p {folder}"))?;
    guest.put(
        &format!("{folder}/config.v2.json"),
        &format!("{{\"Config\": {{\"Labels\": {{\"{label}\": \"{value}\"}}}}}}"),
    )
}

/// A server in the world, which has the true time.
fn beside(world: &World) -> Outcome<Prometheus> {
    let rules = world.run().join("rules.yaml");
    hasty_rules(&shipped::text(shipped::RULES)?, &rules)?;
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
         - {{job_name: clockgate, static_configs: [{{targets: ['{}:9990']}}]}}\n",
        rules.display(),
        world.guest_address()
    );
    Prometheus::start("forky", &config)
}

/// Waits until a query has a result, and says when that was by the server's clock.
fn when(server: &Prometheus, what: &str, query: &str) -> Outcome<f64> {
    let found = until(what, SOON, || Ok(server.query(query).first().map(|one| one.points[0].0)));
    found.map_err(|failed| format!("{}: {query}\n{}", failed.message().unwrap_or_default(), server.log()).into())
}

fn fires(server: &Prometheus, alert: &str) -> Outcome {
    ensure(shipped::SEEN_IN_A_GUEST.contains(&alert), alert)?;
    when(server, alert, &format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}")).map(drop)
}

/// Every query of the dashboard has a result, but for those of node_exporter, which the machine has not.
fn pictures(server: &Prometheus, from: f64, to: f64) -> Outcome {
    for panel in shipped::panels()? {
        for query in panel.queries.iter().filter(|query| !query.contains("node_time_seconds")) {
            let found = server.range(&asked(query), from, to)?;
            ensure(!found.is_empty(), format!("{}: {query} has no result", panel.title))?;
            let reaches = |value: f64| found.iter().flat_map(|one| one.values()).any(|one| one >= value);
            let is_right = match panel.title.as_str() {
                "Gate" => reaches(2.0),
                "Frozen and held" if query.contains("frozen") => reaches(1.0),
                "Set by another program" => reaches(0.0),
                "Size of steps" => reaches(1000.0),
                "Time daemon" => found.iter().any(|one| one.values().any(|agrees| agrees == 0.0)),
                "By the clock of Prometheus" => found.iter().any(|one| one.values().any(|ahead| ahead < -99.0)),
                "Disruptions" => {
                    ["foreign-step", "restore"].iter().all(|cause| found.iter().any(|one| one.label("cause") == *cause))
                }
                _ => true,
            };
            ensure(is_right, format!("{}: {query}: {found:?}", panel.title))?;
        }
    }
    Ok(())
}

/// The shipped unit keeps the agent from nothing that metrics need: an address, a socket, and the folder of Debian's collector.
pub fn sandboxed(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let textfile = "/var/lib/prometheus/node-exporter/clockgate.prom";
    guest.sh("mkdir -p /var/lib/prometheus/node-exporter")?;
    let connect = [
        ("127.0.0.1:9990", "IO::Socket::INET->new(PeerAddr => '127.0.0.1:9990')"),
        ("/run/clockgate/metrics", "IO::Socket::UNIX->new(Peer => '/run/clockgate/metrics')"),
    ];
    for (listen, socket) in connect {
        let server = world.truth.address();
        gate::start_with(
            guest,
            &format!("servers: [{server}]\nmetrics: {{listen: '{listen}', textfile: {textfile}}}\n"),
        )?;
        gate::proven(guest)?;
        guest.put_program(
            "/run/scrape",
            &format!(
                "#!/usr/bin/perl\nuse IO::Socket::INET; use IO::Socket::UNIX; my $s = {socket} or die $!;\n\
                 print $s \"GET /metrics HTTP/1.0\\r\\n\\r\\n\"; print while <$s>;\n"
            ),
        )?;
        // As a user without rights.
        let scraped = guest.sh("setpriv --reuid 65534 --clear-groups /run/scrape")?;
        ensure(scraped.contains("\nclockgate_gate_proven 1\n"), format!("{listen}: {scraped}"))?;
        let written = || guest.sh(&format!("stat -c %a {textfile} && cat {textfile}"));
        until("the textfile", SOON, || {
            let text = written()?;
            Ok((text.starts_with("644\n") && text.contains("\nclockgate_gate_proven 1\n")).then_some(()))
        })?;
        guest.sh("systemctl stop clockgate")?;
        let left = written()?;
        ensure(left.contains("\nclockgate_gate_proven 0\n"), format!("the file of an agent that has ended: {left}"))?;
    }
    Ok(machine)
}
