//! The list of verbs, and `clockgate help TOPIC` with man(1) and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::verbs;

/// With nothing in the PATH but this `man`, where there is one.
fn help(man: Option<&str>, arguments: &[&str]) -> Output {
    let path = tempfile::tempdir().unwrap();
    if let Some(text) = man {
        fs::write(path.path().join("man"), text).unwrap();
        fs::set_permissions(path.path().join("man"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_clockgate")).args(arguments).env("PATH", path.path()).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_list_of_verbs_is_short_and_the_same_however_it_is_asked_for() {
    let (list, _) = texts(&help(None, &["--help"]));
    assert!(list.lines().count() <= 24, "{list}");
    for verb in verbs::below(&[]).iter().filter(|verb| *verb != "oci") {
        assert_eq!(
            list.lines().filter(|line| line.split_whitespace().any(|word| word == verb)).count().min(1),
            1,
            "{verb}"
        );
    }
    for arguments in [&["-h"][..], &["help"]] {
        let output = help(None, arguments);
        assert!(
            output.status.success() && texts(&output) == (list.clone(), String::new()),
            "{arguments:?}: {output:?}"
        );
    }
    let output = help(None, &[]);
    assert!(output.status.code() == Some(2) && texts(&output) == (String::new(), list), "{output:?}");
    // Of a verb that has verbs below it, its own.
    let (_, below) = texts(&help(None, &["hooks"]));
    assert!(below.contains("Usage: clockgate hooks [OPTIONS] <COMMAND>"), "{below}");
}

#[test]
fn the_start_gate_of_pods_says_what_it_is_and_its_version() {
    let said = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_clockgate-nri")).args(arguments).output().unwrap();
        (output.status.code(), texts(&output))
    };
    let version = format!("clockgate-nri {}\n", env!("CARGO_PKG_VERSION"));
    for option in ["--version", "-V"] {
        assert_eq!(said(&[option]), (Some(0), (version.clone(), String::new())), "{option}");
    }
    for option in ["--help", "-h"] {
        let (code, (usage, _)) = said(&[option]);
        assert!(code == Some(0) && usage.starts_with("usage: clockgate-nri "), "{option}: {usage}");
    }
    for wrong in [&["--tea"][..], &["--version", "--socket"], &["--socket", "relative"]] {
        let (code, (printed, usage)) = said(wrong);
        assert!(code == Some(2) && printed.is_empty() && usage.contains("usage: clockgate-nri "), "{wrong:?}: {usage}");
    }
}

#[test]
fn a_topic_is_opened_by_man() {
    let man = "#!/bin/sh\necho \"man $*\"\n";
    for (topic, page) in [
        ("run", "1 clockgate-run"),
        ("status", "8 clockgate"),
        ("doctor", "1 clockgate-doctor"),
        ("explain", "1 clockgate-explain"),
        ("oci", "8 clockgate-oci"),
        ("configuration", "5 clockgate.yaml"),
        ("interfaces", "7 clockgate-interfaces"),
        ("errors", "7 clockgate-errors"),
        ("clockgate", "8 clockgate"),
    ] {
        let output = help(Some(man), &["help", topic]);
        assert!(output.status.success() && texts(&output).0 == format!("man {page}\n"), "{topic}: {output:?}");
        let (section, name) = page.split_once(' ').unwrap();
        assert!(fs::exists(format!("{}/docs/man/{name}.{section}", env!("CARGO_MANIFEST_DIR"))).unwrap(), "{page}");
    }
}

#[test]
fn where_man_cannot_show_it_the_help_of_the_verb_is_printed_and_where_the_page_is() {
    for (man, why) in
        [(None, "cannot execute man(1)"), (Some("#!/bin/sh\nexit 16\n"), "man(1) cannot show clockgate(8)")]
    {
        let output = help(man, &["help", "hooks", "install"]);
        let (help, said) = texts(&output);
        assert!(output.status.success() && help.contains("--dry-run"), "{output:?}");
        assert!(
            said.starts_with("clockgate: ") && said.contains(why) && said.contains("docs/man/clockgate.8"),
            "{said}"
        );
    }
    let output = help(None, &["help", "errors"]);
    let (help, said) = texts(&output);
    assert!(output.status.code() == Some(1) && help.is_empty(), "{output:?}");
    assert!(said.contains("clockgate-errors(7) is ") && said.contains("docs/man/clockgate-errors.7"), "{said}");
}

#[test]
fn a_topic_that_there_is_not_is_refused_with_those_that_there_are() {
    let output = help(None, &["help", "tea"]);
    let (_, said) = texts(&output);
    assert!(output.status.code() == Some(2) && said.contains("configuration") && said.contains("status"), "{said}");
}
