//! A Debian in memory where no systemd runs, as in an image that is being built: the guest's root, in which a script is process 1. What it
//! changes goes with it, and so does all that it has started.

use std::path::Path;
use std::process::Command;

use super::support::{Outcome, harmless, laboratory};

/// The script's command, with these folders of the host's in that root. What `over` has, a part of the laboratory, lies over the root.
/// In /target is the same root once more.
pub fn run(over: Option<&str>, folders: &[(&Path, &str)], script: &str) -> Outcome<Command> {
    let lay = "set -e
        work=$1 lower=$2 script=$3
        shift 3
        mount -t tmpfs tmpfs \"$work\"
        for name in root target; do
            mkdir \"$work/$name\" \"$work/$name.upper\" \"$work/$name.work\"
            mount -t overlay -o \"lowerdir=$lower,upperdir=$work/$name.upper,workdir=$work/$name.work\" overlay \"$work/$name\"
        done
        mkdir \"$work/root/target\"
        mount --move \"$work/target\" \"$work/root/target\"
        mount -t proc proc \"$work/root/proc\"
        mount --bind /dev/null \"$work/root/dev/null\"
        while [ $# -gt 0 ]; do
            mount --bind \"$1\" \"$work/root$2\"
            shift 2
        done
        exec chroot \"$work/root\" sh -c \"$script\"";
    let lower: Vec<String> = over
        .into_iter()
        .chain(["guest"])
        .map(|part| {
            let root = laboratory::folder().join(part).canonicalize();
            root.map(|root| root.display().to_string())
        })
        .collect::<Result<_, _>>()?;
    let mut run: Command = harmless("unshare");
    // The folder of the mounts is one that is there on every machine, and nobody else sees them.
    run.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", lay, "sh", "/mnt"]);
    run.arg(lower.join(":")).arg(script);
    for (folder, to) in folders {
        run.arg(folder).arg(to);
    }
    run.env_remove("CLOCKGATE_SERVERS").env("LC_ALL", "C.UTF-8").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Ok(run)
}
