//! The build itself, twice from nothing, for the night: it takes two builds by the release profile.

use std::process::Command;

use serde_json::Value;

use super::support::{Outcome, ensure, packages};

pub fn whole() -> Outcome {
    let folder = tempfile::tempdir()?;
    let build = |name: &str| {
        let source = folder.path().join(name);
        packages::copy_source(&source)?;
        packages::make(&source, &[], &["deb", "kubernetes"])
    };
    let [one, other] = [build("one")?, build("another-of-a-longer-name")?];
    let name = format!("clockgate_{}-1_amd64.deb", env!("CARGO_PKG_VERSION"));
    ensure(std::fs::read(one.join(&name))? == std::fs::read(other.join(&name))?, format!("{name} differs"))?;
    let unpacked = folder.path().join("unpacked");
    packages::run(Command::new("dpkg-deb").arg("-x").arg(one.join(&name)).arg(&unpacked))?;
    let publisher = format!("clockgate-kubernetes_{}-1_amd64.deb", env!("CARGO_PKG_VERSION"));
    packages::run(Command::new("dpkg-deb").arg("-x").arg(one.join(publisher)).arg(&unpacked))?;
    let size = std::fs::metadata(unpacked.join("usr/bin/clockgate-kubernetes"))?.len();
    ensure(size < packages::PUBLISHER_LIMIT, format!("the publisher has {size} bytes"))?;
    for (program, of_it) in [
        ("bin/clockgate", "rustls"),
        ("lib/clockgate/clockgate-oci", "serde_json"),
        ("bin/clockgate-run", "libc"),
        ("bin/clockgate-kubernetes", "hyper"),
    ] {
        let crates = crates_of(&unpacked.join("usr").join(program))?;
        ensure(
            crates.iter().any(|name| name == of_it),
            format!("{program} does not say that it has {of_it}: {crates:?}"),
        )?;
    }
    Ok(())
}

/// What a program says of itself, in the section that cargo-auditable writes and `cargo audit bin` reads: JSON by zlib.
fn crates_of(program: &std::path::Path) -> Outcome<Vec<String>> {
    let script = "import json, subprocess, sys, tempfile, zlib
with tempfile.NamedTemporaryFile() as section:
    subprocess.run(['objcopy', '--dump-section', '.dep-v0=' + section.name, sys.argv[1], '/dev/null'], check=True)
    print(zlib.decompress(open(section.name, 'rb').read()).decode())";
    let said: Value =
        serde_json::from_str(&packages::said(Command::new("python3").args(["-c", script]).arg(program))?)?;
    let names = said["packages"].as_array().ok_or("no packages")?.iter();
    Ok(names.filter_map(|package| package["name"].as_str()).map(str::to_owned).collect())
}
