//! Whose certificates are believed: the option, the key, the environment, the system's place and, in a root that has none, Mozilla's.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::site::{Authority, Manner, Site};
use super::support::{CLOCKGATE, clockgate, lacks_program, lacks_root};
use super::{NOBODY, fresh};

const FILE: &str = "SSL_CERT_FILE";
const FOLDER: &str = "SSL_CERT_DIR";

/// A server of an authority of its own, asked with what the environment names.
struct Asked {
    authority: Authority,
    site: Site,
}

impl Asked {
    fn new() -> Self {
        let authority = Authority::new();
        let site = Site::start(Manner::default(), Some(authority.signs(fresh(0))));
        Self { authority, site }
    }

    fn with(&self, named: &[(&str, &Path)]) -> (Option<i32>, String) {
        let mut command = clockgate();
        command.args(["measure", "--http", &format!("https://localhost:{}", self.site.port)]).args(NOBODY);
        command.env_remove("CLOCKGATE_SERVERS").env_remove(FILE).env_remove(FOLDER).envs(named.iter().copied());
        said(&command.output().unwrap())
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_environment_names_a_file_or_folders_and_nothing_takes_the_place_of_what_it_names() {
    let asked = Asked::new();
    let file = asked.authority.file();
    let folders = tempfile::tempdir().unwrap();
    let (linked, empty) = (folders.path().join("linked"), folders.path().join("empty"));
    fs::create_dir_all(&linked).unwrap();
    fs::create_dir_all(&empty).unwrap();
    // As `openssl rehash` leaves it: a link by the hash of the name, and one whose file is gone.
    std::os::unix::fs::symlink(&file, linked.join("0123abcd.0")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", linked.join("4567cdef.0")).unwrap();
    let several = folders.path().join("list");
    let several = Path::new(&format!("{}:{}", several.display(), linked.display())).to_owned();
    for named in
        [&[(FILE, &*file)][..], &[(FOLDER, &*linked)], &[(FOLDER, &*several)], &[(FILE, &*file), (FOLDER, &*empty)]]
    {
        let (code, text) = asked.with(named);
        assert_eq!(code, Some(0), "{named:?}: {text}");
        assert!(text.contains("certificate verified at the time received"), "{text}");
    }
    let missing = folders.path().join("missing");
    for (named, words) in [
        (&[(FILE, &*missing)][..], "from SSL_CERT_FILE=/"),
        (&[(FILE, Path::new(""))], "from SSL_CERT_FILE=: "),
        (&[(FOLDER, &*empty)], "there is no certificate in it"),
        (&[(FOLDER, &*missing)], "from SSL_CERT_DIR=/"),
        (&[(FILE, &*missing), (FOLDER, &*empty)], "No such file"),
    ] {
        let (code, text) = asked.with(named);
        assert_eq!(code, Some(78), "{named:?}: {text}");
        assert!(text.contains("cannot read certificate authorities") && text.contains(words), "{named:?}: {text}");
    }
    // Another authority's alone: the system's are not beside it.
    let (code, text) = asked.with(&[(FILE, &*Authority::new().file())]);
    assert!(code == Some(75) && text.contains("no authority that is trusted here"), "{text}");
}

#[test]
fn the_option_is_before_the_configuration_and_that_before_the_environment() {
    let asked = Asked::new();
    let (ours, others) = (asked.authority.file(), Authority::new());
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc/clockgate")).unwrap();
    let configured = |authority: &Path| {
        fs::copy(authority, root.path().join("etc/ca.pem")).unwrap();
        fs::write(root.path().join("etc/clockgate/config.yaml"), "ca-file: /etc/ca.pem\n").unwrap();
    };
    let ask = |more: &[&str], environment: &Path| {
        let mut command = clockgate();
        command.args(["sync", "--dry-run", "--http", &format!("https://localhost:{}", asked.site.port)]);
        command.arg("--root").arg(root.path()).args(more).env(FILE, environment).env_remove(FOLDER);
        said(&command.output().unwrap())
    };
    configured(&ours);
    assert_eq!(ask(&[], &others.file()).0, Some(0));
    configured(&others.file());
    assert_eq!(ask(&[], &ours).0, Some(75));
    assert_eq!(ask(&["--ca-file", ours.to_str().unwrap()], &others.file()).0, Some(0));
    // Named and not there: neither of the others takes its place.
    assert_eq!(ask(&["--ca-file", "/nonexistent"], &ours).0, Some(78));
}

/// The program alone in a root that has what `place` names, and a server outside: by the host's network.
fn in_a_root_of_its_own(asked: &Asked, put: impl Fn(&Path)) -> (Option<i32>, String) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    super::support::copy_program(CLOCKGATE.as_ref(), &root.path().join("clockgate")).unwrap();
    put(root.path());
    let mut command = Command::new("unshare");
    command.arg(format!("--root={}", root.path().display())).args(["/clockgate", "measure", "--http"]);
    command.arg(format!("https://localhost:{}", asked.site.port)).args(NOBODY).env_remove(FILE).env_remove(FOLDER);
    said(&command.output().unwrap())
}

#[test]
fn the_systems_bundle_counts_where_there_is_one_and_mozillas_authorities_where_there_is_none() {
    if let Some(lack) = lacks_root().or_else(|| lacks_program("unshare")) {
        clockgate::sys::output::say(&format!("skipped: {lack}\n"));
        return;
    }
    let asked = Asked::new();
    // Where Debian and Fedora have it, and a folder.
    for place in ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/certs/abc.pem"] {
        let (code, text) = in_a_root_of_its_own(&asked, |root| {
            let place = root.join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(asked.authority.file(), place).unwrap();
        });
        assert_eq!(code, Some(0), "{place}: {text}");
    }
    // Mozilla's do not know this server, and that is another sentence than that there are none.
    let (code, text) = in_a_root_of_its_own(&asked, |_| ());
    assert!(code == Some(75) && text.contains("no authority that is trusted here has signed it"), "{text}");
    // One that is there and cannot be read is not replaced by another list.
    let (code, text) = in_a_root_of_its_own(&asked, |root| {
        fs::create_dir_all(root.join("etc/ssl/certs")).unwrap();
        fs::write(root.join("etc/ssl/certs/ca-certificates.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    });
    assert!(code == Some(78) && text.contains("from the system's bundle: "), "{text}");
}
