//! Manifests by kubernetes-validate, and what its schemas have not by hand.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::{Outcome, ensure, expect, fail, laboratory, texts};
use super::{TAINT, files, folder, lines, read};

/// Those of the version whose schemas tests/setup keeps.
const KUBERNETES: &str = "1.37";
/// Kinds of other projects, whose fields [`others`] has.
const OTHERS: [&str; 4] = ["DeschedulerPolicy", "KubeletConfiguration", "NodePool", "NodeReadinessRule"];
/// Files that are no manifests: a patch, and a configuration of k3s.
const NO_MANIFESTS: [&str; 2] = ["cluster-autoscaler-patch.yaml", "k3s-taint.yaml"];

fn validate(file: &Path) -> Outcome<Output> {
    let mut command = Command::new("python3");
    command.args(["-m", "kubernetes_validate", "--strict", "-k", KUBERNETES]).arg(file);
    command.env("PYTHONPATH", laboratory::folder().join("manifests")).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command.output()?)
}

pub fn core() -> Outcome {
    let (mut passed, mut by_hand) = (0, 0);
    for name in files()?.iter().filter(|name| name.ends_with(".yaml") && !NO_MANIFESTS.contains(&name.as_str())) {
        let output = validate(&folder().join(name))?;
        expect(output.status.success(), &output)?;
        let said = texts(&output).0;
        for line in said.lines() {
            let is_other = OTHERS.iter().any(|kind| line.contains(&format!("schema for kind {kind} ")));
            if line.starts_with("INFO ") && line.ends_with(&format!("against version {KUBERNETES}")) {
                passed += 1;
            } else if line.starts_with("WARN ") && is_other {
                by_hand += 1;
            } else {
                return fail(format!("{name}: {line}"));
            }
        }
        let documents = lines(&read(name)?).matches("\nkind: ").count();
        ensure(said.lines().count() == documents, format!("{name} has {documents} documents, of which: {said}"))?;
    }
    ensure(passed >= 10 && by_hand >= 4, format!("{passed} passed, {by_hand} are for the hand"))
}

pub fn mutants() -> Outcome {
    let scratch = tempfile::tempdir()?;
    for (name, from, to) in [
        ("init-container.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
        ("installer.yaml", "      hostPID: true", "      hostPid: true"),
        ("installer.yaml", "type: DirectoryOrCreate", "kind: DirectoryOrCreate"),
        ("reporter.yaml", "verbs: [get]", "verbs: get"),
        ("node-problem-detector.yaml", "roleRef:", "roleReference:"),
    ] {
        let text = read(name)?;
        ensure(text.contains(from), format!("{name} has no `{from}`"))?;
        let file = scratch.path().join(name);
        fs::write(&file, text.replacen(from, to, 1))?;
        let output = validate(&file)?;
        ensure(!output.status.success(), format!("{name} passes with `{to}`"))?;
    }
    Ok(())
}

/// The fields that each project reads, as its own types have them: the node-readiness-controller's v1alpha1, the kubelet's v1beta1,
/// Karpenter's v1, the descheduler's v1alpha2, the flags of the autoscaler and k3s.
pub fn others() -> Outcome {
    let taint = |indent: usize, value: &str| {
        let space = " ".repeat(indent);
        format!("{space}- key: {TAINT}\n{space}  value: {value}\n{space}  effect: NoSchedule\n")
    };
    let rule = |condition: &str, status: &str| {
        format!(
            "apiVersion: readiness.node.x-k8s.io/v1alpha1\nkind: NodeReadinessRule\nmetadata:\n  name: clock-trusted\nspec:\n  \
             nodeSelector:\n    matchLabels:\n      kubernetes.io/os: linux\n  conditions:\n    - type: {condition}\n      \
             requiredStatus: \"{status}\"\n  taint:\n    key: {TAINT}\n    effect: NoSchedule\n  enforcementMode: continuous\n"
        )
    };
    let expected = [
        ("node-readiness-rule.yaml", rule("clockgate.org/ClockTrusted", "True")),
        ("node-readiness-rule-npd.yaml", rule("clockgate.org/ClockUntrusted", "False")),
        (
            "kubelet-taint.conf",
            format!(
                "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nregisterWithTaints:\n{}",
                taint(2, "pending")
            ),
        ),
        ("k3s-taint.yaml", format!("node-taint+:\n  - {TAINT}=pending:NoSchedule\n")),
        (
            "cluster-autoscaler-patch.yaml",
            format!(
                "- op: add\n  path: /spec/template/spec/containers/0/command/-\n  value: --startup-taint={TAINT}\n"
            ),
        ),
    ];
    for (name, text) in expected {
        let found = lines(&read(name)?);
        ensure(found == text, format!("{name} is\n{found}and not\n{text}"))?;
    }
    let karpenter = read("karpenter-nodepool.yaml")?;
    ensure(karpenter.contains(&format!("      startupTaints:\n{}", taint(8, "pending"))), &*karpenter)?;
    let descheduler = read("descheduler-policy.yaml")?;
    ensure(descheduler.contains(&format!("          excludedTaints:\n            - {TAINT}\n")), &*descheduler)
}

/// node-problem-detector reads its plugin where the ConfigMap is mounted, and the plugin the program and the page where the node has them.
pub fn detector() -> Outcome {
    let plugin: serde_json::Value = serde_json::from_str(&read("check-clock.json")?)?;
    let manifest = read("node-problem-detector.yaml")?;
    let rule = &plugin["rules"][0];
    ensure(rule["path"] == "/clockgate/check-clock", format!("{rule}"))?;
    ensure(plugin["conditions"][0]["type"] == rule["condition"], format!("{plugin}"))?;
    for wanted in [
        "--from-file=check-clock --from-file=check-clock.json",
        "--config.custom-plugin-monitor=/clockgate/check-clock.json",
        "{name: check, mountPath: /clockgate, readOnly: true}",
        "{name: program, mountPath: /usr/bin/clockgate, readOnly: true}",
        "{name: page, mountPath: /run/clockgate/public, readOnly: true}",
        "defaultMode: 0555",
    ] {
        ensure(manifest.contains(wanted), format!("node-problem-detector.yaml has no `{wanted}`"))?;
    }
    let script = read("check-clock")?;
    ensure(script.contains("/usr/bin/clockgate") && script.contains("/run/clockgate/public"), script)
}
