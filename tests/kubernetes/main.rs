//! The files of examples/kubernetes: core kinds by the schemas of a current Kubernetes, drop-ins by systemd, scripts and commands at a
//! real gate page. Kinds that are no core kinds are compared with what their projects read, field by field, by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

mod commands;
mod manifests;
#[path = "../support/mod.rs"]
mod support;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::{Outcome, ensure, laboratory, lacks_program, needing};

/// What the rule, the kubelet, the autoscalers and the descheduler have to call alike.
const TAINT: &str = "readiness.k8s.io/clock-untrusted";

fn main() -> ExitCode {
    let schemas = || lacks_program("python3").or_else(|| laboratory::missing(&["manifests"]));
    let systemd = || lacks_program("systemd-analyze");
    let trials = vec![
        needing(schemas(), "core_kinds_pass_the_schemas_of_a_current_kubernetes", manifests::core),
        needing(schemas(), "a_field_that_no_schema_has_is_found", manifests::mutants),
        Trial::test("other_kinds_have_the_fields_that_their_projects_read", manifests::others),
        Trial::test("every_file_has_the_same_taint_and_each_condition_its_source", names),
        Trial::test("the_detector_mounts_what_its_plugin_reads", manifests::detector),
        needing(systemd(), "the_drop_in_is_one_of_each_unit_that_it_names", units::verified),
        needing(systemd(), "a_drop_in_with_a_fault_is_found", units::mutants),
        Trial::test("the_plugin_says_what_the_gate_is", commands::plugin),
        Trial::test("the_plugin_without_a_page_or_a_program_says_that_it_does_not_know", commands::unknown),
        Trial::test("the_init_container_waits_for_a_proof", commands::init_container),
        Trial::test("the_drop_ins_command_waits_for_the_gate", commands::drop_in),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kubernetes")
}

fn read(name: &str) -> Outcome<String> {
    let path = folder().join(name);
    Ok(fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The names of the files, those of its folders left out.
fn files() -> Outcome<Vec<String>> {
    let entries = fs::read_dir(folder())?.collect::<Result<Vec<_>, _>>()?;
    let files = entries.into_iter().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// A file without its comments.
fn lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect()
}

fn names() -> Outcome {
    let mut tainted = vec![];
    for name in files()? {
        let text = lines(&read(&name)?);
        let keys: Vec<&str> = text.split("readiness.k8s.io/").skip(1).collect();
        let ours = TAINT.split_once('/').unwrap_or_default().1;
        let others: Vec<&&str> = keys.iter().filter(|rest| !rest.starts_with(ours)).collect();
        ensure(others.is_empty(), format!("{name} has another taint: {others:?}"))?;
        if !keys.is_empty() {
            tainted.push(name);
        }
    }
    let expected = [
        "cluster-autoscaler-patch.yaml",
        "descheduler-policy.yaml",
        "k3s-taint.yaml",
        "karpenter-nodepool.yaml",
        "kubelet-taint.conf",
        "node-readiness-rule-npd.yaml",
        "node-readiness-rule.yaml",
    ];
    ensure(expected.iter().all(|name| tainted.iter().any(|file| file == name)), format!("{tainted:?}"))?;
    // A rule whose condition nobody writes taints every node for good.
    for (rule, source, condition) in [
        ("node-readiness-rule.yaml", "reporter.yaml", "clockgate.org/ClockTrusted"),
        ("node-readiness-rule-npd.yaml", "check-clock.json", "clockgate.org/ClockUntrusted"),
    ] {
        ensure(read(rule)?.contains(&format!("- type: {condition}\n")), rule)?;
        ensure(lines(&read(source)?).contains(condition), source)?;
    }
    Ok(())
}
