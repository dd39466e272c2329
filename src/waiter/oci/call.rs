//! One call of an OCI runtime: which sub-command it is, and what the gate has to know of it.
//!
//! The flags are those of runc, crun and youki; whether the next word belongs to an unknown one cannot be known.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::container::Caller;

/// Global flags that have a value.
const VALUED: [&[u8]; 9] = [
    b"root",
    b"log",
    b"log-format",
    b"log-level",
    b"criu",
    b"rootless",
    b"cgroup-manager",
    // youki's short ones.
    b"r",
    b"l",
];
/// Global flags that have none.
const BARE: [&[u8]; 3] = [b"debug", b"systemd-cgroup", b"s"];
/// A call for one of these starts no container.
const QUESTIONS: [&[u8]; 7] = [b"help", b"h", b"?", b"usage", b"version", b"v", b"V"];
/// The sub-commands of runtimes; behind an unknown flag nothing else is taken for a sub-command.
const SUB_COMMANDS: [&[u8]; 20] = [
    b"create",
    b"run",
    b"restore",
    b"start",
    b"exec",
    b"kill",
    b"delete",
    b"state",
    b"pause",
    b"resume",
    b"list",
    b"ps",
    b"events",
    b"checkpoint",
    b"update",
    b"spec",
    b"features",
    b"mounts",
    b"init",
    b"info",
];
/// What brings a process of the container to life: `restore` does so from a checkpoint, without a `create` before it.
const STARTS: [&[u8]; 3] = [b"create", b"run", b"restore"];

/// What a call says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// `create`, `run` or `restore`; none for everything else, which is no concern of the gate.
    pub start: Option<String>,
    /// The runtime's folder of states, by which engines are recognised.
    pub root: Option<PathBuf>,
    /// The file that the engine reads when the runtime fails.
    pub log: Option<PathBuf>,
    /// Whether lines in that file are JSON.
    pub log_is_json: bool,
    /// The folder with the container's `config.json`; the working directory where none is named.
    pub bundle: Option<PathBuf>,
    /// The container.
    pub id: String,
}

impl Call {
    /// Reads the arguments of a runtime, without its own name.
    #[must_use]
    pub fn parse(args: &[OsString]) -> Self {
        let mut call = Self::default();
        let mut rest = args.iter();
        let mut unsure = false;
        while let Some(word) = rest.next() {
            let Some((name, value)) = flag(word) else {
                if word == "--" {
                    unsure = false;
                    continue;
                }
                if unsure && !SUB_COMMANDS.contains(&word.as_bytes()) {
                    continue;
                }
                if STARTS.contains(&word.as_bytes()) {
                    call.read_start(word, rest.as_slice());
                }
                return call;
            };
            if QUESTIONS.contains(&name) {
                return call;
            }
            if VALUED.contains(&name) {
                let value = value.or_else(|| rest.next().map(|next| next.as_os_str()));
                call.take(name, value.unwrap_or_default());
            } else if !BARE.contains(&name) && value.is_none() {
                unsure = true;
            }
        }
        call
    }

    fn take(&mut self, name: &[u8], value: &OsStr) {
        match name {
            b"root" | b"r" => self.root = Some(value.into()),
            b"log" | b"l" => self.log = Some(value.into()),
            b"log-format" => self.log_is_json = value == "json",
            _ => {}
        }
    }

    fn read_start(&mut self, sub_command: &OsStr, args: &[OsString]) {
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            match flag(word) {
                Some((b"help" | b"h" | b"?" | b"usage", None)) => return,
                Some((b"bundle" | b"b", Some(value))) => self.bundle = Some(value.into()),
                Some((b"bundle" | b"b", None)) => self.bundle = rest.next().map(PathBuf::from),
                // Values of the other flags come by here too; the container's name is the last word of all.
                Some(_) => {}
                None if word == "--" => {}
                None => self.id = word.to_string_lossy().into_owned(),
            }
        }
        self.start = Some(sub_command.to_string_lossy().into_owned());
    }

    /// Which engine called, by the folders that it names.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::of(self.root.as_deref(), self.bundle.as_deref())
    }
}

/// The name of a flag and the text behind its `=`; none for a word that is not a flag.
fn flag(word: &OsStr) -> Option<(&[u8], Option<&OsStr>)> {
    let bytes = word.as_bytes();
    // One dash or two are the same to Go's flags.
    let name = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")).filter(|name| !name.is_empty())?;
    let equals = name.iter().position(|byte| *byte == b'=');
    Some(match equals {
        Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]))),
        None => (name, None),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Call {
        Call::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_calls_of_the_engines_are_understood() {
        // As dockerd 20.10, podman 4.3, containerd 1.6 and 1.7 were seen to call.
        let docker = parse(
            "--root /var/run/docker/runtime-runc/moby --log /run/t/moby/ab/log.json --log-format json create \
             --bundle /run/containerd/io.containerd.runtime.v2.task/moby/ab --pid-file /run/t/moby/ab/init.pid ab",
        );
        assert_eq!(
            (docker.start.as_deref(), docker.id.as_str(), docker.caller()),
            (Some("create"), "ab", Caller::Docker)
        );
        assert_eq!(docker.log.as_deref(), Some(Path::new("/run/t/moby/ab/log.json")));
        assert!(docker.log_is_json);
        let podman = parse(
            "--log-format=json --log /run/c/s/overlay-containers/cd/userdata/oci-log create \
             --bundle /var/lib/c/s/overlay-containers/cd/userdata --pid-file /run/c/pidfile cd",
        );
        assert_eq!((podman.id.as_str(), podman.caller(), podman.log_is_json), ("cd", Caller::Podman, true));
        let kubernetes = parse(
            "--root /run/containerd/runc/k8s.io --log /l --log-format json --systemd-cgroup create \
             --bundle /run/containerd/io.containerd.runtime.v2.task/k8s.io/ef --pid-file /p ef",
        );
        assert_eq!((kubernetes.id.as_str(), kubernetes.caller()), ("ef", Caller::Kubernetes));
        let nerdctl =
            parse("--root /run/containerd/runc/default create --bundle /run/io.containerd.runtime.v2.task/default/a a");
        assert_eq!(nerdctl.caller(), Caller::Containerd);
        assert_eq!(parse("run -b /tmp/bundle x").caller(), Caller::Other);
    }

    #[test]
    fn only_what_starts_a_container_is_held() {
        for held in ["create x", "run x", "restore --image-path /i x", "--debug run x", "--root=/r -- create -- x"] {
            assert!(parse(held).start.is_some(), "{held}");
        }
        for passes in [
            "start x",
            "exec x sh",
            "kill x KILL",
            "delete --force x",
            "state x",
            "pause x",
            "resume x",
            "list",
            "ps x",
            "features",
            "spec",
            "--version",
            "-v",
            "--help create",
            "create --help",
            "",
            "--root /r",
            "--root create",
            "--log create delete x",
            "init",
            "checkpoint x",
            "update x",
            "--root /r --log create kill create",
        ] {
            assert_eq!(parse(passes).start, None, "{passes}");
        }
    }

    #[test]
    fn behind_an_unknown_flag_only_a_known_word_is_a_sub_command() {
        assert!(parse("--platform kvm create x").start.is_some());
        assert!(parse("--platform=kvm --debug create x").start.is_some());
        assert!(parse("-platform kvm -debug-log /l -- create x").start.is_some());
        assert_eq!(parse("--platform kvm kill create").start, None);
        assert_eq!(parse("--mystery kill create").start, None);
    }

    #[test]
    fn the_bundle_is_found_however_it_is_written() {
        for line in ["create --bundle /b x", "create -b /b x", "create --bundle=/b x", "run -d -b=/b --pid-file /p x"] {
            let call = parse(line);
            assert_eq!((call.bundle.as_deref(), call.id.as_str()), (Some(Path::new("/b")), "x"), "{line}");
        }
        assert_eq!(parse("create x").bundle, None);
    }
}
