//! Faults of the configuration as folders: `tests/config/NN-name/` holds a `config.yaml`, or a tree with `etc`, `run` and
//! `usr/lib`, and `expected.txt`: every fault, with the folder's name taken out. A case needs no Rust; `CLOCKGATE_BLESS=1` writes what
//! came out, to be read before it is committed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clockgate::config::{self, Config, Loaded};
use libtest_mimic::{Arguments, Trial};
use support::expected::is_as_written;
use support::{Outcome, folders};

fn main() {
    let mut trials: Vec<Trial> = folders::of("config")
        .into_iter()
        .map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            Trial::test(name, move || faults_are_as_expected(&folder))
        })
        .collect();
    trials.push(Trial::test("check_exits_78_with_the_faults_and_0_without", check_exits_as_documented));
    trials.push(Trial::test("check_opens_the_file_of_ca_file_and_names_the_key_that_names_it", check_opens_ca_file));
    trials.push(Trial::test("the_sample_passes_check_and_shows_as_the_defaults", sample_passes_check));
    trials.push(Trial::test("show_names_the_origin_of_each_key", show_names_origins));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn faults_are_as_expected(folder: &Path) -> Outcome {
    let file = folder.join("config.yaml");
    let outcome = if file.exists() { config::load_file(&file) } else { config::load(folder) };
    let text = match outcome {
        Ok(Loaded { files, warnings, .. }) => {
            let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            warnings.replace(&format!("{}/", folder.display()), "") + &format!("no errors in {} file(s)\n", files.len())
        }
        Err(error) => {
            let mut text: String = error.faults.iter().map(|fault| format!("{fault}\n")).collect();
            text = text.replace(&format!("{}/", folder.display()), "");
            text
        }
    };
    is_as_written(&folder.join("expected.txt"), &text)
}

fn clockgate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clockgate")).arg("config").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check_exits_as_documented() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (good, bad) = (folder.path().join("good.yaml"), folder.path().join("bad.yaml"));
    fs::write(&good, "threshold: 50ms\n")?;
    fs::write(&bad, "threshold: 50ms\ndeadline: 5\n")?;
    let (good, bad) = (good.to_string_lossy(), bad.to_string_lossy());

    let fine = clockgate(&["check", &good]);
    assert_eq!((fine.status.code(), text(&fine.stdout)), (Some(0), format!("no errors in {good}\n")));
    let wrong = clockgate(&["check", &good, &bad]);
    assert_eq!((wrong.status.code(), text(&wrong.stdout)), (Some(78), String::new()));
    assert!(text(&wrong.stderr).contains(&format!("\n  {bad}:2: deadline: ")), "{}", text(&wrong.stderr));

    let json = clockgate(&["check", "--json", &bad]);
    assert_eq!(json.status.code(), Some(78));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    assert_eq!((&json["version"], &json["errors"][0]["line"]), (&2.into(), &2.into()));
    assert_eq!((&json["errors"][0]["key"], &json["errors"][0]["file"]), (&"deadline".into(), &bad.into()));

    fs::write(folder.path().join("old.yaml"), "at-deadline: {nobody-to-ask: hold}\n")?;
    let old = folder.path().join("old.yaml").to_string_lossy().into_owned();
    let warned = clockgate(&["check", &old]);
    let warning = format!("{old}:1: at-deadline.nobody-to-ask: is called at-deadline.unreachable now: rename it");
    assert_eq!(
        (warned.status.code(), text(&warned.stdout)),
        (Some(0), format!("warning: {warning}\nno errors in {old}\n"))
    );
    let json: serde_json::Value = serde_json::from_slice(&clockgate(&["check", "--json", &old]).stdout)?;
    assert_eq!(&json["warnings"][0]["key"], "at-deadline.nobody-to-ask");

    let none = clockgate(&["check", "--root", &folder.path().to_string_lossy()]);
    assert_eq!((none.status.code(), text(&none.stderr)), (Some(0), String::new()));
    Ok(())
}

/// A certificate that rcgen made, in PEM.
fn certificate() -> String {
    rcgen::generate_simple_self_signed(vec!["an-authority.example".to_owned()]).unwrap().cert.pem()
}

fn check_opens_ca_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (config, ca) = (folder.path().join("etc/clockgate/config.yaml"), folder.path().join("etc/ca.pem"));
    fs::create_dir_all(folder.path().join("etc/clockgate"))?;
    // Of another root, as a golden image is: the path is that of its own system.
    fs::write(&config, "threshold: 50ms\nca-file: /etc/ca.pem\n")?;
    let root = folder.path().to_string_lossy().into_owned();
    let check = || clockgate(&["check", "--root", &root]);
    let key = format!("{}:2: ca-file: cannot read certificate authorities from {}: ", config.display(), ca.display());
    let whole = certificate();
    let cut = whole.replace("-----END CERTIFICATE-----", "");
    let damaged = whole.lines().map(|line| if line.starts_with('-') { line } else { "!!!!" }).collect::<Vec<_>>();
    for (text, words) in [
        (None, "No such file"),
        (Some(String::new()), "there is no certificate in it"),
        (
            Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
            "there is no certificate in it",
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
            "is no certificate of an authority",
        ),
        (Some(cut.clone()), "missing section end marker"),
        (Some(damaged.join("\n")), "base64"),
    ] {
        text.iter().try_for_each(|text| fs::write(&ca, text))?;
        let checked = check();
        let said = self::text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(78), "{text:?}: {said}");
        assert!(said.contains(&key) && said.contains(words), "{said}");
    }
    let json: serde_json::Value = serde_json::from_slice(&clockgate(&["check", "--json", "--root", &root]).stdout)?;
    let fault = &json["errors"][0];
    assert_eq!((&fault["key"], &fault["line"]), (&"ca-file".into(), &2.into()), "{json}");
    // What can be used is, and the rest is said.
    fs::write(&ca, format!("{whole}{cut}"))?;
    let half = check();
    assert_eq!(half.status.code(), Some(0), "{half:?}");
    assert!(text(&half.stdout).contains("1 of its 2 certificates cannot be read"), "{half:?}");
    fs::write(&ca, &whole)?;
    let fine = check();
    let right = format!("no errors in {}\n", config.display());
    assert_eq!((fine.status.code(), text(&fine.stdout)), (Some(0), right));
    // A directory, and a file alone, whose root is this one.
    fs::write(&config, format!("ca-file: {root}\n"))?;
    let alone = clockgate(&["check", &config.to_string_lossy()]);
    assert!(alone.status.code() == Some(78) && text(&alone.stderr).contains("Is a directory"), "{alone:?}");
    Ok(())
}

fn sample_passes_check() -> Outcome {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("etc/clockgate"))?;
    let file = folder.path().join("etc/clockgate/config.yaml");
    fs::write(&file, clockgate(&["sample"]).stdout)?;
    assert_eq!(clockgate(&["check", &file.to_string_lossy()]).status.code(), Some(0));
    assert_eq!(config::load(folder.path())?.config, Config::default());
    // Below another root what is published and served lies in there.
    let below = Config::load(folder.path())?;
    assert_eq!(below.page, folder.path().join("run/clockgate/public"));
    assert_eq!(below.bus.socket, folder.path().join("run/clockgate/bus"));
    assert_eq!(below.policy.freeze, Some(below.freeze.max));
    // The sample names a port; where nobody does, the host's chronyd is not asked, and where the file is wrong, nothing else is said.
    fs::write(&file, "deadline: 40s\n")?;
    assert_eq!((Config::load(folder.path())?.chrony.udp, Config::load(folder.path())?.bus.system), (None, false));
    let unread = Config::unread(folder.path());
    assert_eq!((unread.chrony.udp, unread.bus.system, &unread.page), (None, false, &below.page));
    assert_eq!(unread.workload_settings().ledger, folder.path().join("run/clockgate/ledger"));
    Ok(())
}

fn show_names_origins() -> Outcome {
    let folder = tempfile::tempdir()?;
    let etc = folder.path().join("etc/clockgate");
    fs::create_dir_all(etc.join("config.d"))?;
    fs::write(etc.join("config.yaml"), "# mine\nthreshold: 50ms\ndeadline: 40s\n")?;
    fs::write(etc.join("config.d/10-site.yaml"), "max-step:\n  backward: 2s\nthreshold: 60ms\n")?;
    let root = folder.path().to_string_lossy().into_owned();

    let shown = text(&clockgate(&["show", "--root", &root]).stdout);
    let line = |key: &str| shown.lines().find(|l| l.trim_start().starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("threshold:").ends_with("config.d/10-site.yaml:3"), "{shown}");
    assert!(line("deadline:").ends_with("config.yaml:3"), "{shown}");
    assert!(line("backward:").ends_with("config.d/10-site.yaml:2"), "{shown}");
    assert!(line("correction:").ends_with("# default"), "{shown}");

    let json: serde_json::Value = serde_json::from_slice(&clockgate(&["show", "--json", "--root", &root]).stdout)?;
    assert_eq!(json["keys"]["threshold"]["value"], "60ms");
    assert_eq!(json["keys"]["threshold"]["origin"]["line"], 3);
    assert_eq!(json["keys"]["correction"]["origin"], serde_json::Value::Null);
    Ok(())
}
