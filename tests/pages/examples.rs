//! Every example of every manual page is run, as far as that can be done without harm; one that cannot be run is a failure.

use std::fs;

use super::root;
use super::stage::Stage;

/// What an example is.
enum Example {
    /// Lines for a shell.
    Commands(String),
    /// A drop-in of a unit, of which the commands are run.
    Unit(String),
    /// A file of the configuration.
    Configuration(String),
}

/// The literal blocks of the section EXAMPLES of a manual page in mdoc(7).
fn blocks(manual: &str) -> Vec<String> {
    let section = manual.split("\n.Sh EXAMPLES\n").nth(1).and_then(|rest| rest.split("\n.Sh ").next());
    let block = |text: &str| {
        let lines = text.split_once('\n').unwrap_or_default().1;
        lines.split("\n.Ed").next().unwrap_or_default().replace("\\e", "\\").replace("\\&", "")
    };
    section.unwrap_or_default().split(".Bd -literal").skip(1).map(block).collect()
}

fn example(page: &str, block: String) -> Example {
    match (page.ends_with(".5"), block.starts_with('[')) {
        (true, _) => Example::Configuration(block),
        (false, true) => Example::Unit(block),
        (false, false) => Example::Commands(block),
    }
}

/// What went wrong with one example.
fn fault(stage: &Stage, example: &Example) -> Option<String> {
    let script = match example {
        Example::Commands(lines) => lines.clone(),
        Example::Unit(text) => {
            let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ExecStartPre=")).collect();
            if commands.is_empty() {
                return Some(format!("a unit without a command:\n{text}"));
            }
            commands.join("\n")
        }
        Example::Configuration(text) => {
            stage.file("example.yaml", text);
            format!("clockgate config check {}", stage.at("example.yaml").display())
        }
    };
    let output = stage.run(&script);
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // A pipe ends as its last command does, and a shell goes on behind a program that is not there.
    let was_run = output.status.success() && !complained.contains("not found") && !complained.contains("no test knows");
    (!was_run).then(|| format!("{script}\nended with {}:\n{said}{complained}", output.status))
}

#[test]
fn every_manual_page_has_examples_and_each_of_them_works() {
    let stage = Stage::new();
    let mut faults = vec![];
    let mut seen = 0;
    for entry in fs::read_dir(root().join("docs/man")).unwrap() {
        let path = entry.unwrap().path();
        let page = path.file_name().unwrap().to_string_lossy().into_owned();
        let examples = blocks(&fs::read_to_string(&path).unwrap());
        if examples.is_empty() {
            faults.push(format!("{page} has no EXAMPLES"));
        }
        seen += examples.len();
        let of_page = examples.into_iter().filter_map(|block| fault(&stage, &example(&page, block)));
        faults.extend(of_page.map(|fault| format!("{page}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(seen > 12, "{seen} examples");
}

#[test]
fn an_example_that_cannot_be_run_or_does_not_work_is_found() {
    let stage = Stage::new();
    for (page, text) in [
        ("a.8", "clockgate agent"),
        ("a.8", "clockgate sync"),
        ("a.8", "clockgate status --jason"),
        ("a.8", "clockgate notify post-restore --time yesterday --bound 1s"),
        ("a.8", "frobnicate | clockgate explain"),
        ("a.8", "docker run IMAGE"),
        ("a.1", "[Service]\nExecStartPre=/usr/bin/clockgate wait --max-weight 3s"),
        ("a.1", "[Service]\nTimeoutStartSec=infinity"),
        ("a.5", "threshhold: 50ms"),
    ] {
        let manual = format!(".Dt A\n.Sh EXAMPLES\nText:\n.Bd -literal -offset indent\n{text}\n.Ed\n.Sh SEE ALSO\n");
        let [block] = &blocks(&manual)[..] else { panic!("one block in {manual}") };
        assert_eq!(block, text);
        assert!(fault(&stage, &example(page, block.clone())).is_some(), "{text}");
    }
}
