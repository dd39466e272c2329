//! A place in which an example of a manual page can do no harm: a host that is a folder, a gate page that is open, programs that
//! stand for engines, and a user who has no right to anything else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clockgate::decision::Offset;
use nix::unistd::geteuid;

use crate::support::gate_page::{proven, publish};
use crate::support::liar::Liar;
use crate::web::Web;

const NOBODY: u32 = 65_534;

/// The program, with each verb kept to the stage. A verb that is not here is not run.
const CLOCKGATE: &str = r#"#!/bin/sh
verb=$1
shift
# The web servers of examples are the one of this stage.
for word; do
    shift
    case "$word" in https://*) word=$WEB ;; esac
    set -- "$@" "$word"
done
case "$verb" in
run | wait | status) exec "$REAL" "$verb" --page "$STAGE/public" "$@" ;;
measure) exec "$REAL" measure --server "$SERVER" "$@" ;;
sync)
    case " $* " in *" --dry-run "*) ;; *) echo "sync sets the clock" >&2; exit 99 ;; esac
    case " $* " in *" --http "*) exec "$REAL" sync --root "$STAGE/host" "$@" ;; esac
    exec "$REAL" sync --server "$SERVER" --root "$STAGE/host" "$@" ;;
doctor)
    # A folder is an image in which nothing is enabled, and that is a failure; it asks no server.
    for word in "$@"; do shift; [ "$word" = IMAGE ] && word=$STAGE/host; set -- "$@" "$word"; done
    case " $* " in *" --root "*) ;; *) set -- --root "$STAGE/host" "$@" ;; esac
    "$REAL" doctor --offline "$@"
    code=$?
    [ "$code" -le 1 ] || { echo "doctor ended with $code" >&2; exit "$code"; }
    ;;
explain) exec "$REAL" explain --offline --root "$STAGE/host" "$@" ;;
thaw | history) exec "$REAL" "$verb" --root "$STAGE/host" "$@" ;;
report) cd "$STAGE" && exec "$REAL" report --root "$STAGE/host" "$@" ;;
config | hooks) what=$1; shift; exec "$REAL" "$verb" "$what" --root "$STAGE/host" "$@" ;;
notify)
    # There is no agent here, and the program finds that out only when it has understood its arguments.
    "$REAL" notify --bus "$STAGE/no-agent" "$@"
    code=$?
    [ "$code" = 69 ] || { echo "notify ended with $code" >&2; exit 1; }
    ;;
*) echo "no test knows how to run clockgate $verb" >&2; exit 99 ;;
esac
"#;

/// Docker and podman: a container whose entrypoint is ours runs in place, and any other has to be exempt.
const ENGINE: &str = r#"#!/bin/sh
case "$*" in
run\ *--entrypoint\ /clockgate\ IMAGE\ *) while [ "$1" != IMAGE ]; do shift; done; shift; exec clockgate "$@" ;;
run\ *clockgate.exempt=true*) ;;
*) echo "no test knows how to run $0 $*" >&2; exit 99 ;;
esac
"#;

/// A node of Kubernetes: systemd starts the publisher, and kubectl shows the node.
const NODE: &str = r#"#!/bin/sh
case "${0##*/} $*" in
"systemctl enable --now clockgate-kubernetes" | "kubectl describe node") ;;
*) echo "no test knows how to run $0 $*" >&2; exit 99 ;;
esac
"#;

const REFUSED: &str = "#!/bin/sh
echo 'Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)'\n";

/// Where examples run.
pub struct Stage {
    folder: tempfile::TempDir,
    /// An NTP server that is right.
    server: Liar,
    web: Web,
}

impl Stage {
    pub fn new() -> Self {
        let stage =
            Self { folder: tempfile::tempdir().unwrap(), server: Liar::here(Offset::ZERO).unwrap(), web: Web::start() };
        fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_clockgate"));
        fs::copy(program, stage.at("real")).unwrap();
        for (name, text) in [
            ("clockgate", CLOCKGATE),
            ("docker", ENGINE),
            ("podman", ENGINE),
            ("systemctl", NODE),
            ("kubectl", NODE),
            ("aws", REFUSED),
            ("COMMAND", "#!/bin/sh\n"),
        ] {
            stage.program(&format!("bin/{name}"), text);
        }
        for name in ["sh", "date", "od", "head"] {
            std::os::unix::fs::symlink(Path::new("/bin").join(name), stage.at("bin").join(name)).unwrap();
        }
        stage.host();
        publish(stage.folder.path(), &proven()).unwrap();
        stage
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn program(&self, path: &str, text: &str) {
        self.file(path, text);
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// A host with Docker, as far as its files are looked at.
    fn host(&self) {
        for path in ["clockgate", "clockgate-nri", "clockgate-oci", "clockgate-runc", "dockerd", "runc"] {
            let is_wrapper = ["clockgate-oci", "clockgate-runc"].contains(&path);
            let folder = if is_wrapper { "usr/lib/clockgate" } else { "usr/bin" };
            self.program(&format!("host/{folder}/{path}"), "#!/bin/sh\n");
        }
        let boot = "proc/sys/kernel/random/boot_id";
        self.file(&format!("host/{boot}"), &fs::read_to_string(Path::new("/").join(boot)).unwrap());
        self.file("host/etc/docker/daemon.json", "{}\n");
        for folder in ["etc/clockgate", "run/clockgate", "var/lib/clockgate", "sys/fs/cgroup"] {
            fs::create_dir_all(self.at("host").join(folder)).unwrap();
        }
        if geteuid().is_root() {
            give(&self.at("host"));
        }
    }

    /// Runs the lines of an example as a user without rights, with nothing in the PATH but what is on the stage.
    pub fn run(&self, script: &str) -> Output {
        let script = script
            .replace("/run/clockgate/public/", &format!("{}/public/", self.folder.path().display()))
            .replace("/usr/bin/clockgate wait", "clockgate wait");
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            let no_one = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
            command.args(no_one).args(["--clear-groups", "--no-new-privs", "--bounding-set=-all", "/bin/sh", "-euc"]);
            command
        } else {
            let mut command = Command::new("/bin/sh");
            command.arg("-euc");
            command
        };
        command.env_clear().env("PATH", self.at("bin")).env("STAGE", self.folder.path()).env("REAL", self.at("real"));
        command.env("WEB", self.web.url()).env("SERVER", self.server.address().to_string()).current_dir("/");
        // `setpriv` itself is no part of the stage.
        if geteuid().is_root() {
            let path = std::env::var("PATH").unwrap_or_default();
            let found = path.split(':').map(|folder| Path::new(folder).join("setpriv")).find(|path| path.exists());
            let mut absolute = Command::new(found.unwrap());
            absolute.args(command.get_args()).env_clear().current_dir("/");
            for (name, value) in command.get_envs() {
                absolute.env(name, value.unwrap());
            }
            command = absolute;
        }
        command.arg(script).output().unwrap()
    }
}

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}
