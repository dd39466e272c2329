//! The wrapper alone: what it hands on, whom it finds, and what it does when its agent dies.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::support::gate_page::{proven, shut};
use crate::support::{CLOCKGATE, Outcome, expect, texts, until};
use crate::waiting::Waiting;
use crate::world::SOON;
use crate::wrapper::Wrapper;

/// A trial's name, the settings of its wrapper, and what is tried in a folder of its own.
pub type Trial = (&'static str, &'static str, fn(&Path, &Wrapper) -> Outcome);

/// All of them.
pub const TRIALS: &[Trial] = &[
    ("the_runtime_gets_what_the_wrapper_got", "", identical),
    ("everything_but_a_start_passes_a_shut_gate", "", passes),
    ("an_agent_that_dies_is_none_after_ten_seconds", "no-agent = open", dead_agent),
    ("a_runtime_that_is_missing_is_said_to_the_engine", "", missing),
    ("the_verb_of_clockgate_is_the_same_wrapper", "", verb),
    ("what_is_held_now_is_listed", "", listed),
    (
        "a_broken_file_of_settings_starts_containers_all_the_same",
        "max-wait = \u{0}soon\n= =\nexempt\n\n[x]\npage",
        broken,
    ),
];

/// A runtime that says how it was called.
fn runtime(folder: &Path) -> Result<std::path::PathBuf, Failed> {
    let file = folder.join("sh-runtime");
    std::fs::write(
        &file,
        "#!/bin/sh\nread -r input\nprintf '%s|' \"$0\" \"$@\" \"$MARK\" \"$PWD\" \"$input\"\nwhile read -r line; do case $line in Sig[IB]*) echo \"$line\";; esac; done </proc/$$/status\nexit 7\n",
    )?;
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755))?;
    Ok(file)
}

fn identical(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&proven())?;
    let runtime = runtime(folder)?;
    let args = ["--root", "/r", "--log=", "create", "--bundle", "/b b", "", "an id"];
    let run = |program: &Path| -> Result<String, Failed> {
        // An ignored signal is what a language's runtime likes to change.
        let script = "trap '' PIPE USR1; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program).args(args).env("MARK", "a\nb").current_dir("/");
        let output = command.stdin(std::fs::File::open("/proc/sys/kernel/ostype")?).output()?;
        expect(output.status.code() == Some(7), &output)?;
        Ok(texts(&output).0)
    };
    let (bare, wrapped) = (run(&runtime)?, run(&wrapper.program)?);
    if bare == wrapped { Ok(()) } else { Err(format!("bare:\n{bare}\nwrapped:\n{wrapped}").into()) }
}

fn passes(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&shut())?;
    runtime(folder)?;
    for args in [
        "--version",
        "features",
        "start x",
        "exec x sh",
        "kill x TERM",
        "delete --force x",
        "state x",
        "pause x",
        "ps x",
    ] {
        let output =
            Command::new(&wrapper.program).args(args.split(' ')).stdin(std::process::Stdio::null()).output()?;
        expect(output.status.code() == Some(7), &output)?;
    }
    assert_eq!(wrapper.said(), "");
    Ok(())
}

fn dead_agent(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&shut())?;
    runtime(folder)?;
    let mut command = Command::new(&wrapper.program);
    let mut create = Waiting::spawn(command.args(["create", "x"]).stdin(std::process::Stdio::null()))?;
    wrapper.wait_until_said(1, "held: ")?;
    create.is_held()?;
    wrapper.lose_agent()?;
    let output = create.end()?;
    expect(output.status.code() == Some(7), &output)?;
    wrapper.wait_until_said(1, "released: no agent; the clock was not checked")
}

fn missing(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&proven())?;
    let log = folder.join("log.json");
    let mut command = Command::new(&wrapper.program);
    let output = command.arg("--log").arg(&log).args(["--log-format", "json", "create", "x"]).output()?;
    let said = format!(
        "no container runtime: there is no runtime `sh-runtime`, neither beside {} nor in PATH",
        wrapper.program.display()
    );
    expect(output.status.code() == Some(127) && texts(&output).1 == format!("clockgate: {said}\n"), &output)?;
    let line: serde_json::Value = serde_json::from_slice(&std::fs::read(log)?)?;
    assert_eq!(line["msg"], format!("clockgate: {said}"));
    Ok(())
}

fn verb(folder: &Path, _: &Wrapper) -> Outcome {
    // By this name it stands for the first runtime in PATH.
    let file = folder.join("runc");
    std::fs::rename(runtime(folder)?, &file)?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(CLOCKGATE).args(["oci", "--root", "/r", "--help"]).env("PATH", path).output()?;
    let said = format!("{}|--root|/r|--help|", file.display());
    expect(output.status.code() == Some(7) && texts(&output).0.starts_with(&said), &output)
}

fn listed(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&shut())?;
    runtime(folder)?;
    std::fs::write(folder.join("config.json"), r#"{"process": {"args": ["/bin/web"]}}"#)?;
    let mut command = Command::new(&wrapper.program);
    command.args(["--root", "/x/runtime-runc/moby", "create", "--bundle"]).arg(folder).arg("listed-here");
    let create = Waiting::spawn(&mut command)?;
    let pid = create.0.as_ref().map(std::process::Child::id).unwrap_or_default();
    let line = format!("docker: container listed-here (web) (process {pid})\n");
    let said = |args: &[&str]| {
        let output = Command::new(CLOCKGATE).args(args).args(["--page".as_ref(), wrapper.public.as_os_str()]).output();
        output.map(|output| texts(&output).0).unwrap_or_default()
    };
    let list =
        || Command::new(CLOCKGATE).args(["hooks", "list"]).output().map(|output| texts(&output).0).unwrap_or_default();
    until("it is listed", SOON, || list().contains(&format!("held now: {line}")))?;
    let status = said(&["status"]);
    assert!(status.contains("Gate: shut\n") && status.contains(&format!("Held: {line}")), "{status}");
    let json: serde_json::Value = serde_json::from_str(&said(&["status", "--json"]))?;
    let ours = serde_json::json!({ "pid": pid, "engine": "docker", "id": "listed-here", "title": "web" });
    assert!(json["held"].as_array().is_some_and(|held| held.contains(&ours)), "{json}");
    drop(create);
    until("it is listed no more", Duration::from_secs(5), || !list().contains(&line))?;
    assert!(!said(&["status"]).contains(&line));
    Ok(())
}

fn broken(folder: &Path, wrapper: &Wrapper) -> Outcome {
    wrapper.publish(&proven())?;
    runtime(folder)?;
    let output = Command::new(&wrapper.program).args(["create", "x"]).stdin(std::process::Stdio::null()).output()?;
    expect(output.status.code() == Some(7), &output)
}
