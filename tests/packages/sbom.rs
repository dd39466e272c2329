//! The list of what is in the programs, for those who look for crates with known faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::support::{Outcome, ensure};
use super::{licences, package};

pub fn cyclonedx() -> Outcome {
    let list: Value = serde_json::from_str(&std::fs::read_to_string(package(".cdx.json")?)?)?;
    ensure(list["bomFormat"] == "CycloneDX" && list["specVersion"] == "1.5", "it is no list of CycloneDX 1.5")?;
    // Of SOURCE_DATE_EPOCH.
    ensure(list["metadata"]["timestamp"] == "2026-10-01T00:00:00Z", list["metadata"].to_string())?;
    let about = &list["metadata"]["component"];
    ensure(about["version"] == env!("CARGO_PKG_VERSION") && about["name"] == "clockgate", about.to_string())?;
    let none = vec![];
    let components = list["components"].as_array().unwrap_or(&none);
    let named = components.iter().chain([about]).map(|component| {
        format!("{} {}", component["name"].as_str().unwrap_or("?"), component["version"].as_str().unwrap_or("?"))
    });
    let (named, linked) = (named.collect::<BTreeSet<_>>(), licences::linked()?);
    let (absent, more): (Vec<_>, Vec<_>) = (linked.difference(&named).collect(), named.difference(&linked).collect());
    // Those of the other machine that there are packages for.
    ensure(absent.is_empty() && more.len() <= 2, format!("absent: {absent:?}; besides: {more:?}"))?;
    let sums = checksums()?;
    for component in components {
        let field = |name: &str| component[name].as_str().unwrap_or_default().to_owned();
        let (name, version) = (field("name"), field("version"));
        let sum = component["hashes"][0]["content"].as_str();
        ensure(sum == sums.get(&(name.clone(), version.clone())).map(String::as_str), format!("{name}: {sum:?}"))?;
        ensure(field("purl") == format!("pkg:cargo/{name}@{version}"), field("purl"))?;
        let licence = component["licenses"][0]["expression"].as_str().unwrap_or_default();
        ensure(!licence.is_empty() && !licence.contains('/'), format!("{name}: {licence:?}"))?;
    }
    let references: BTreeSet<&str> =
        components.iter().chain([about]).filter_map(|one| one["bom-ref"].as_str()).collect();
    let dependencies = list["dependencies"].as_array().unwrap_or(&none);
    ensure(dependencies.len() == references.len(), "not each of them says what it links")?;
    for dependency in dependencies {
        let links = dependency["dependsOn"].as_array().unwrap_or(&none).iter().chain([&dependency["ref"]]);
        for reference in links.filter_map(Value::as_str) {
            ensure(references.contains(reference), format!("{reference} is not listed"))?;
        }
    }
    Ok(())
}

/// What the lock file says of each crate that came from a registry, by name and version.
fn checksums() -> Outcome<BTreeMap<(String, String), String>> {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))?;
    let field = |entry: &str, name: &str| {
        let start = format!("{name} = \"");
        entry.lines().find_map(|line| Some(line.strip_prefix(&start)?.trim_end_matches('"').to_owned()))
    };
    let entries = lock.split("[[package]]");
    let known = |entry| Some(((field(entry, "name")?, field(entry, "version")?), field(entry, "checksum")?));
    Ok(entries.filter_map(known).collect())
}
