//! systemd's journald, that of the guest's root folder, in namespaces of its own: its sockets are in the `/run` of a host that is a folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clockgate::sys::journal::SOCKET;

use crate::lab::folder;
use crate::support::{Ours, Outcome, until};

/// GUEST PLACE RUN. The files that it writes are in its own memory.
const START: &str = r#"
mount -t tmpfs none "$2"
mkdir "$2/root" "$2/upper" "$2/work"
mount -t overlay none "$2/root" -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work"
cd "$2/root"
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount --bind "$3" run
mkdir -p run/systemd/journal run/log/journal
mount -t tmpfs none dev
touch dev/null
mount --bind /dev/null dev/null
exec chroot . /lib/systemd/systemd-journald"#;

/// Starts it on a host at `root`; it ends with what is returned.
pub fn start(root: &Path, place: &Path) -> Outcome<Ours> {
    let mut journald = Command::new("unshare");
    journald.args([
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "sh",
        "-euc",
        START,
        "sh",
    ]);
    journald.arg(std::fs::canonicalize(folder().join("guest"))?).arg(place).arg(root.join("run"));
    let journald = Ours::logged(&mut journald, &root.join("journald.log"))?;
    until("journald receives entries", Duration::from_secs(30), || root.join(SOCKET).exists()).map_err(|failed| {
        format!("{failed:?}: {}", std::fs::read_to_string(root.join("journald.log")).unwrap_or_default())
    })?;
    Ok(journald)
}
