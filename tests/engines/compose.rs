//! Docker's compose plugin: two services at the gate, and the file that we ship as an example.

use crate::support::gate_page::{proven, shut};
use crate::support::{Outcome, expect, texts, until};
use crate::waiting::Waiting;
use crate::world::{SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[("both_services_of_a_compose_file_are_held_and_let_go", "", two_services)];

fn two_services(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let file = world.path(&format!("{runtime}.json"));
    let service = |name: &str| serde_json::json!({ "image": "bb", "runtime": runtime, "network_mode": "none", "command": ["echo", name] });
    let services = serde_json::json!({ "services": { "web": service("web"), "db": service("db") } });
    std::fs::write(&file, services.to_string())?;
    let file = file.display().to_string();
    let compose =
        |args: &[&str]| world.docker(&[&["compose", "--file", &file, "--project-name", runtime], args].concat());
    wrapper.publish(&shut())?;
    let mut up = Waiting::spawn(&mut compose(&["up", "--detach"]))?;
    wrapper.wait_until_said(2, "held: the gate is shut: resume: measuring")?;
    for service in ["web", "db"] {
        assert!(wrapper.said().contains(&format!("({runtime}-{service}-1)")), "{}", wrapper.said());
    }
    up.is_held()?;
    wrapper.publish(&proven())?;
    let output = up.end()?;
    expect(output.status.success(), &output)?;
    let said =
        || compose(&["logs", "--no-log-prefix"]).output().map_or_else(|_| String::new(), |output| texts(&output).0);
    until("both have spoken", SOON, || said().contains("web\n") && said().contains("db\n"))?;
    done(&mut compose(&["down", "--timeout", "0"]))
}

/// As it stands in examples/, with the host's program and page where it looks for them. What is added is what this machine lacks: an
/// image from a registry, for which the host's own Python stands in, and a network. The gate is the host's.
pub fn example(world: &World, gate: &Wrapper, project: &str) -> Outcome {
    gate.publish(&shut())?;
    let image = std::fs::File::open(world.make_empty_image()?)?;
    done(world.docker(&["import", "--change", "ENV PATH=/usr/bin", "-", "python:3-slim"]).stdin(image))?;
    let added = serde_json::json!({ "network_mode": "none", "volumes": ["/usr:/usr:ro"] });
    let file = world.path("added.json");
    std::fs::write(&file, serde_json::json!({ "services": { "app": added, "watcher": added } }).to_string())?;
    let (example, file) = (concat!(env!("CARGO_MANIFEST_DIR"), "/examples/compose.yaml"), file.display().to_string());
    let compose = |args: &[&str]| {
        world.docker(&[&["compose", "--file", example, "--file", &file, "--project-name", project], args].concat())
    };

    done(&mut compose(&["up", "--detach"]))?;
    let logs = |service: &str| compose(&["logs", service]).output().map_or_else(|_| String::new(), |o| texts(&o).0);
    let top = || compose(&["top"]).output().map_or_else(|_| String::new(), |o| texts(&o).0);
    until("one waits", SOON, || logs("app").contains("waiting for the gate: resume: measuring"))?;
    until("the other one, too", SOON, || top().contains("python3 /gate.py"))?;
    gate.publish(&proven())?;
    until("both go on", SOON, || top().contains("python3 -m http.server") && !top().contains("gate.py"))?;
    let watcher = logs("watcher");
    if !watcher.contains("\"proven\": true") {
        return Err(watcher.into());
    }
    done(&mut compose(&["down", "--timeout", "0"]))
}
