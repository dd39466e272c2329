//! `clockgate vm notify` for all guests of a hypervisor. The guests are sockets as Firecracker has them, behind which a thread answers
//! or says nothing; libvirt is a virsh that answers as the real one does.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use clockgate::sys::clock::boottime;

use crate::support::{clockgate, vsock_guest};

const GUESTS: usize = 500;
const SILENT: usize = 10;
const OPEN: &str =
    r#"{"version":1,"state":"Synchronized","gate":"open","epoch":2,"offset_ns":1,"bound_ns":2,"why":""}"#;
const SHUT: &str = r#"{"version":1,"state":"Disrupted","gate":"shut","epoch":2,"why":"restore: measuring"}"#;

/// A folder with the sockets of guests, each served by a thread until the process ends.
struct Hypervisor(tempfile::TempDir);

impl Hypervisor {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A guest whose agent answers so, or takes the connection and says nothing.
    fn guest(&self, name: &str, answer: Option<&'static str>) -> PathBuf {
        let path = self.0.path().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let serve = move || {
            let mut kept: Vec<UnixStream> = vec![];
            while let Ok((stream, _)) = listener.accept() {
                match answer {
                    // Who was told has gone away, mostly: that is the test's to judge.
                    Some(answer) => drop(vsock_guest::serve(stream, answer)),
                    None => kept.push(stream),
                }
            }
        };
        thread::Builder::new().stack_size(128 * 1024).spawn(serve).unwrap();
        path
    }

    fn list(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("guests");
        fs::write(&path, text).unwrap();
        path
    }
}

fn notify(arguments: &[&str]) -> Output {
    clockgate().args(["vm", "notify"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn five_hundred_guests_are_told_and_the_silent_ones_are_named() {
    // Both ends of half of them are in this process.
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let hypervisor = Hypervisor::new();
    let is_silent = |n: usize| n % (GUESTS / SILENT) == 7;
    let guests: Vec<PathBuf> =
        (0..GUESTS).map(|n| hypervisor.guest(&format!("{n}.sock"), (!is_silent(n)).then_some(OPEN))).collect();
    let list: String = guests.iter().map(|path| format!("{}   # a guest\n", path.display())).collect();
    let list = hypervisor.list(&format!("# all\n\n{list}"));
    let textfile = hypervisor.0.path().join("vm.prom");

    let began = boottime();
    let output =
        notify(&["post-restore", "--wait", "--timeout", "3s", "--guests", str(&list), "--textfile", str(&textfile)]);
    // Ten times what it may take: this machine has other work.
    let took = boottime().since(began);
    assert!(took < Duration::from_secs(40), "{took:?}");

    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said = text(&output.stdout);
    let named: Vec<&str> = said.lines().filter_map(|line| line.strip_suffix(": no answer in time")).collect();
    let silent: Vec<String> =
        (0..GUESTS).filter(|n| is_silent(*n)).map(|n| format!("the guest behind {}", guests[n].display())).collect();
    assert_eq!(named, silent, "{said}");
    assert_eq!(said.lines().last(), Some("500 guests: 490 open, 10 silent"));
    assert!(text(&output.stderr).contains("10 of 500 guests did not take it in time"), "{output:?}");
    let metrics = fs::read_to_string(textfile).unwrap();
    for line in ["clockgate_vm_guests{answer=\"open\"} 490", "clockgate_vm_guests{answer=\"silent\"} 10"] {
        assert!(metrics.lines().any(|other| other == line), "{metrics}");
    }
}

#[test]
fn each_guest_has_its_own_answer_in_json() {
    let hypervisor = Hypervisor::new();
    let (open, shut) = (hypervisor.guest("open", Some(OPEN)), hypervisor.guest("shut", Some(SHUT)));
    let gone = hypervisor.0.path().join("gone");
    let uds = [&open, &shut, &gone, &open].map(|path| ["--uds", str(path)]).concat();
    let output = notify(&[&["resume", "--json", "--timeout", "2s"], &uds[..]].concat());
    // Without --wait a shut gate is an answer like another.
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let each = said["guests"].as_array().unwrap();
    assert_eq!(each.len(), 3, "each once: {said}");
    assert_eq!((&each[0]["agent"]["gate"], &each[1]["agent"]["gate"]), (&"open".into(), &"shut".into()));
    assert!(each[2]["why"].as_str().unwrap().contains("cannot reach the guest through"), "{said}");
    assert_eq!(said["done"], false);

    let waits = notify(&["resume", "--wait", "--timeout", "2s", "--uds", str(&open), "--uds", str(&shut)]);
    assert_eq!(waits.status.code(), Some(75), "{waits:?}");
    assert!(text(&waits.stdout).contains("shut: gate shut, Disrupted in epoch 2: restore: measuring"), "{waits:?}");
    let both = notify(&["resume", "--timeout", "2s", "--uds", str(&open), "--uds", str(&shut)]);
    assert_eq!(both.status.code(), Some(0), "{both:?}");
    assert_eq!(text(&both.stdout), "2 guests: 1 open, 1 shut\n");
}

/// What is no guest's answer, from one guest among others.
#[test]
fn a_guest_that_answers_rubbish_is_named_and_the_others_are_notified() {
    let hypervisor = Hypervisor::new();
    let open = hypervisor.guest("open", Some(OPEN));
    for (name, answer, why) in [
        ("rubbish", "} not JSON", "the guest does not use the protocol of clockgate's agent"),
        ("number", "7", "did not take it in time"),
        ("half", "{\"gate\":\"open\"\n\u{1b}[2J", "the guest does not use the protocol"),
    ] {
        let guest = hypervisor.guest(name, Some(answer));
        let output = notify(&["resume", "--wait", "--timeout", "2s", "--uds", str(&open), "--uds", str(&guest)]);
        assert_eq!(output.status.code(), Some(75), "{name}: {output:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains(why) && said.contains(str(&guest)) && !said.contains('\u{1b}'), "{name}: {said}");
    }
    let silent = ["a", "b"].map(|name| hypervisor.guest(name, None));
    let all = notify(&["resume", "--wait", "--timeout", "300ms", "--uds", str(&silent[0]), "--uds", str(&silent[1])]);
    assert_eq!(all.status.code(), Some(75), "{all:?}");
    assert!(text(&all.stdout).ends_with("2 guests: 2 silent\n"), "{all:?}");
}

#[test]
fn what_names_no_guest_is_refused() {
    for cid in ["0", "-1", "4294967295", "4294967296", "7,0", "seven", ""] {
        let output = notify(&["resume", &format!("--cid={cid}")]);
        assert_eq!(output.status.code(), Some(2), "{cid}: {output:?}");
    }
    let hypervisor = Hypervisor::new();
    let guest = hypervisor.guest("vm#1.sock", Some(OPEN));
    for (text_of_list, why) in [
        ("0\n", "guests:1: `0` is neither"),
        ("4294967295\n", "guests:1: `4294967295` is neither"),
        ("# a\n\n7 8\n", "guests:3: `7 8` is neither"),
        ("v.sock", "guests:1: `v.sock` is neither"),
    ] {
        let output = notify(&["resume", "--guests", str(&hypervisor.list(text_of_list))]);
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains(why), "{output:?}");
    }
    let long = hypervisor.list(&"# a comment\n".repeat(2 << 20));
    let output = notify(&["resume", "--guests", str(&long)]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("is longer than"), "{output:?}");
    // A `#` in a path is a part of it.
    let list = hypervisor.list(&format!("# all\r\n\t{0} # one\r\n{0}\r\n", guest.display()));
    let output = notify(&["resume", "--timeout", "2s", "--guests", str(&list)]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1 guest: 1 open\n".to_owned()), "{output:?}");
}

#[test]
fn a_list_with_a_fault_notifies_nobody_and_names_the_line() {
    let hypervisor = Hypervisor::new();
    let guest = hypervisor.guest("a", Some(OPEN));
    let list = hypervisor.list(&format!("{}\n  seven\n", guest.display()));
    let output = notify(&["resume", "--guests", str(&list)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("guests:2: `seven` is neither a CID nor the absolute path of a socket"), "{said}");
    let nobody = notify(&["resume", "--guests", "/dev/null"]);
    assert_eq!((nobody.status.code(), text(&nobody.stdout)), (Some(0), "0 guests: none\n".to_owned()));
    assert_eq!(notify(&["resume"]).status.code(), Some(2));
}

/// No guest of libvirt's is asked here, since that takes the kernel's vsock: none of them has one.
#[test]
fn the_guests_of_libvirt_are_those_that_virsh_names() {
    let fakes = super::Fakes::new();
    fakes.write(
        "virsh",
        "#!/bin/sh\ncase \"$*\" in\n'--readonly list --name') printf 'web\\ndb\\n\\n' ;;\n\
         '--readonly dumpxml --domain web' | '--readonly dumpxml --domain db') echo '<domain/>' ;;\n*) exit 3 ;;\nesac\n",
    );
    let path = format!("{}:{}", fakes.folder.path().display(), std::env::var("PATH").unwrap());
    let notify =
        |path: &str| clockgate().args(["vm", "notify", "resume", "--virsh"]).env("PATH", path).output().unwrap();
    let output = notify(&path);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "0 guests: none\n".to_owned()), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("web of libvirt has no vsock") && said.contains("db of libvirt has no vsock"), "{said}");

    fakes.write("virsh", "#!/bin/sh\necho 'error: failed to connect to the hypervisor' >&2\nexit 1\n");
    let refused = notify(&path);
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(
        said.contains("libvirt does not answer `virsh --readonly list --name`: error: failed to connect"),
        "{said}"
    );
    // One that has ended since it was listed is no guest any more; one that runs has to be read.
    let list = fakes.folder.path().join("list");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*list*) cat {0} ;;\n*db) echo '<domain/>' ;;\n*) REMOVED echo 'error: no domain' >&2; exit 1 ;;\nesac\n",
        list.display()
    );
    for (removed, code) in [(format!("echo db >{};", list.display()), 0), (String::new(), 69)] {
        fs::write(&list, "web\ndb\n").unwrap();
        fakes.write("virsh", &script.replace("REMOVED", &removed));
        let output = notify(&path);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    fakes.write("virsh", "#!/bin/sh\nexec sleep 1000\n");
    let stuck = clockgate()
        .args(["vm", "notify", "resume", "--virsh", "--timeout", "300ms"])
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(stuck.status.code() == Some(69) && text(&stuck.stderr).contains("timed out"), "{stuck:?}");
    // What takes a privilege away from the program is all that there is.
    let bare = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/usr/bin/setpriv", bare.path().join("setpriv")).unwrap();
    let absent = notify(str(bare.path()));
    assert!(absent.status.code() == Some(69) && text(&absent.stderr).contains("cannot ask libvirt"), "{absent:?}");
}
