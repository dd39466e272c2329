//! What `clockgate hooks install containerd` makes of the layouts in `tests/install/`, as each containerd itself merges it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use libtest_mimic::Failed;
use toml_edit::{DocumentMut, Item};

use crate::support::{CLOCKGATE, Outcome, expect, laboratory, texts};
use crate::world::{Trial, World, done};
use crate::wrapper::Wrapper;

/// One trial, since each containerd takes a second.
pub const TRIALS: &[Trial] = &[("every_containerd_merges_an_installed_layout_to_our_wrapper", "", all)];

/// The versions that read a layout, by where the laboratory has them.
const BOTH: &[&str] = &["engines/usr/bin", "dockerds/trixie", "dockerds/forky"];
const FIRST: &[&str] = &["engines/usr/bin", "dockerds/trixie"];
const SECOND: &[&str] = &["dockerds/forky"];

const LAYOUTS: &[(&str, &[&str])] = &[
    ("40-containerd-without-a-file", BOTH),
    ("41-containerd-as-debian-has-it", BOTH),
    ("42-containerd-with-runtimes", BOTH),
    ("43-containerd-2-with-a-folder", SECOND),
    ("44-containerd-2-without-a-folder", SECOND),
    ("47-containerd-2-with-nvidias-drop-in", SECOND),
    ("48-containerd-1-with-an-import-that-has-the-section", BOTH),
    ("49-containerd-2-with-a-relative-folder", SECOND),
    ("50-containerd-2-with-a-file-read-last", SECOND),
    ("51-containerd-2-as-aks-has-it", SECOND),
    ("53-containerd-with-shims-of-version-1", BOTH),
    ("54-containerd-1-with-a-table-for-the-default", BOTH),
    // A byte order mark is none for containerd 2, which does not start with it.
    ("57-containerd-written-on-windows", FIRST),
];

fn all(world: &World, _: &Wrapper, _: &str) -> Outcome {
    for (case, versions) in LAYOUTS {
        let host = world.path("layouts").join(case);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/install").join(case).join("host");
        fs::create_dir_all(host.join("etc/containerd"))?;
        if from.exists() {
            done(std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(&host))?;
        }
        fs::create_dir_all(host.join("usr/lib/clockgate"))?;
        fs::create_dir_all(host.join("usr/bin"))?;
        for program in ["usr/lib/clockgate/clockgate-oci", "usr/bin/runc"] {
            fs::copy("/bin/true", host.join(program))?;
        }
        symlink("clockgate-oci", host.join("usr/lib/clockgate/clockgate-runc"))?;
        // What shows that the question is understood; `config dump` wants a file.
        if from.exists() {
            let before = default_binary(world, &host, versions[0])?;
            assert!(!before.contains("clockgate"), "{case}: {before}");
        }
        done(world.command(CLOCKGATE).args(["hooks", "install", "containerd", "--root"]).arg(&host))?;
        for version in *versions {
            let binary = default_binary(world, &host, version)?;
            let is_ours =
                Path::new(&binary).file_name().is_some_and(|name| name.to_string_lossy().starts_with("clockgate-"));
            assert!(is_ours, "{case}, {version}: {binary}");
        }
    }
    Ok(())
}

/// What a containerd of the laboratory runs for a pod that names no runtime, on a host whose /etc/containerd is this one's.
fn default_binary(world: &World, host: &Path, version: &str) -> Result<String, Failed> {
    let program = fs::canonicalize(laboratory::folder())?.join(version).join("containerd");
    let mut dump = world.command("unshare");
    dump.args([
        "--mount",
        "sh",
        "-c",
        "mkdir -p /etc/containerd && mount --bind \"$1\" /etc/containerd && shift && exec \"$@\"",
        "sh",
    ]);
    let output = dump.arg(host.join("etc/containerd")).arg(program).args(["config", "dump"]).output()?;
    expect(output.status.success(), &output)?;
    let document: DocumentMut = texts(&output).0.parse()?;
    let plugins = document.get("plugins").ok_or("no plugins")?;
    let plugin = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
        .iter()
        .find_map(|plugin| plugins.get(plugin)?.get("containerd"));
    let containerd = plugin.ok_or("no plugin for Kubernetes")?;
    let text = |item: Option<&Item>| item.and_then(Item::as_str).unwrap_or_default().to_owned();
    let table = containerd.get("default_runtime").filter(|table| !text(table.get("runtime_type")).is_empty());
    let name = text(containerd.get("default_runtime_name"));
    let runtime = table.or_else(|| containerd.get("runtimes")?.get(&name)).ok_or("no default runtime")?;
    Ok(text(runtime.get("options").and_then(|options| options.get("BinaryName"))))
}
