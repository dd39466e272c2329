//! The image of OCI, by the specification of its layout; podman loads and runs it in user-mode Linux.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::{Outcome, ensure, packages};
use super::{package, twins};

pub fn layout() -> Outcome {
    let at = twins()?.folder.path().join("image");
    std::fs::create_dir(&at)?;
    packages::run(Command::new("tar").arg("-x").arg("-C").arg(&at).arg("-f").arg(package(".oci.tar")?))?;
    ensure(read(&at.join("oci-layout"))?["imageLayoutVersion"] == "1.0.0", "no layout")?;
    let manifest = read(&blob(&at, &read(&at.join("index.json"))?["manifests"][0])?)?;
    let config = read(&blob(&at, &manifest["config"])?)?;
    ensure(config["config"]["Entrypoint"] == serde_json::json!(["/clockgate"]), config.to_string())?;
    ensure(manifest["layers"].as_array().is_some_and(|layers| layers.len() == 1), manifest.to_string())?;
    let layer = blob(&at, &manifest["layers"][0])?;
    // Nothing is compressed, so that the layer is its own difference.
    ensure(config["rootfs"]["diff_ids"][0] == manifest["layers"][0]["digest"], config.to_string())?;
    let listed = packages::said(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&layer))?;
    let words: Vec<&str> = listed.split_whitespace().collect();
    ensure(
        listed.lines().count() == 1 && words[..2] == ["-rwxr-xr-x", "0/0"] && words.last() == Some(&"clockgate"),
        listed.clone(),
    )?;
    let loaded = read(&at.join("manifest.json"))?;
    ensure(at.join(loaded[0]["Layers"][0].as_str().unwrap_or("none")) == layer, loaded.to_string())
}

/// The file of a descriptor; its size and digest are what the descriptor says.
fn blob(at: &Path, descriptor: &Value) -> Outcome<std::path::PathBuf> {
    let digest = descriptor["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:");
    let path = at.join("blobs/sha256").join(digest);
    let size = std::fs::metadata(&path)?.len();
    ensure(descriptor["size"] == size, format!("{descriptor}, and it has {size} bytes"))?;
    let sum = packages::said(Command::new("sha256sum").arg(&path))?;
    ensure(sum.starts_with(digest), format!("{descriptor}, and its digest is {sum}"))?;
    Ok(path)
}

fn read(path: &Path) -> Outcome<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}
