//! What doctor prints of this very machine, in a network of its own with a true server, and in a container on it. The files in `lists`
//! have each check with the results that it may have there; a `fail` needs a reason behind it that says why it is true.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::network::{SERVER, apart, shell};
use super::support::check_list::is_listed;
use super::support::liar::{Liar, Manner};
use super::support::{CLOCKGATE, copy_program, lacks_program, lacks_root, needing};

type Outcome = Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let lacks = || lacks_root().or_else(|| lacks_program("ip")).or_else(|| lacks_program("unshare"));
    vec![
        needing(lacks(), "what_this_machine_prints_with_a_true_server_is_listed", || {
            apart(|| listed("machine", machine))
        }),
        needing(lacks(), "what_a_container_on_it_prints_is_listed", || apart(|| listed("container", container))),
    ]
}

/// With a true server.
fn listed(name: &str, run: fn() -> Result<Value, Failed>) -> Outcome {
    shell(&format!("ip addr add {SERVER}/32 dev lo"))?;
    let _server = Liar::that(SocketAddr::new(SERVER.parse()?, 123), Manner::default())?;
    is_listed(name, &run()?)
}

fn machine() -> Result<Value, Failed> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--"]);
    let output = command.args([CLOCKGATE, "doctor", "--json", "--server", SERVER]).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An empty root with the program in it, processes of its own, no capability, and the file by which an engine marks a container.
fn container() -> Result<Value, Failed> {
    let root = tempfile::tempdir()?;
    for folder in ["proc", "run", "etc"] {
        fs::create_dir(root.path().join(folder))?;
    }
    fs::write(root.path().join("run/.containerenv"), "")?;
    copy_program(Path::new(CLOCKGATE), &root.path().join("clockgate"))?;
    // chroot(2) needs a capability, so it comes before setpriv would; `unshare` changes the user as well.
    let script = "mount -t proc proc \"$1/proc\" && exec unshare --root=\"$1\" --setuid 65534 --setgid 65534 /clockgate doctor --json --server \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script, "sh"]);
    let output = command.arg(root.path()).arg(SERVER).output()?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}").into())
}
