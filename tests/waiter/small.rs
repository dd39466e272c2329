//! What `clockgate-run` has not, and how it says so.

use super::program::Program;
use super::support::{Outcome, expect, texts};
use super::{page, proven, shut};

/// Whatever asks servers, or retries.
pub fn refused() -> Outcome {
    let (folder, page) = page(&proven())?;
    for line in [
        &["--server", "127.0.0.1:9", "--", "true"][..],
        &["--server=127.0.0.1:9"],
        &["--no-agent", "measure", "--", "true"],
        &["--retry-clock", "--", "true"],
    ] {
        let output = Program::Small.waiter("run", folder.path(), line).output()?;
        expect(output.status.code() == Some(2) && texts(&output).1.contains("`clockgate run`"), &output)?;
    }
    // Servers of the environment are passed on, and asked by nobody while there is an agent.
    let servers = |line: &[&str]| {
        Program::Small.waiter("run", folder.path(), line).env("CLOCKGATE_SERVERS", "127.0.0.1:9").output()
    };
    let open = servers(&["--", "sh", "-c", "echo $CLOCKGATE_SERVERS"])?;
    expect(open.stdout == b"127.0.0.1:9\n" && open.stderr.is_empty(), &open)?;
    drop(page);
    std::fs::remove_file(folder.path().join("public/gate"))?;
    let alone = servers(&["--", "true"])?;
    let said = texts(&alone).1;
    expect(
        alone.status.code() == Some(69) && said.contains("`clockgate run`") && said.contains("no gate page"),
        &alone,
    )?;
    let otherwise = servers(&["--no-agent", "open", "--", "echo", "through"])?;
    expect(otherwise.stdout == b"through\n", &otherwise)
}

/// The same words, from both programs.
pub fn without_a_page() -> Outcome {
    let folder = tempfile::tempdir()?;
    for line in [
        &["--no-agent", "open", "--", "echo", "through"][..],
        &["--no-agent", "fail", "--", "echo", "through"],
        &["--max-wait", "10ms", "--require-proof", "--", "echo", "through"],
        &["--threshold", "1h", "--json", "--no-agent", "open", "--", "echo", "through"],
    ] {
        let [whole, small] =
            [Program::Clockgate, Program::Small].map(|program| program.waiter("run", folder.path(), line).output());
        let (whole, small) = (whole?, small?);
        expect(
            (&whole.stdout, whole.status) == (&small.stdout, small.status) && texts(&whole).1 == texts(&small).1,
            &small,
        )?;
    }
    // By the kernel's own word, whatever that is here.
    let kernel =
        Program::Small.waiter("run", folder.path(), ["--threshold", "1h", "--", "echo", "through"]).output()?;
    expect(
        kernel.stdout == b"through\n" && texts(&kernel).1.contains("the kernel says that its clock is at most"),
        &kernel,
    )
}

/// What is wrong on either command line ends with 2.
pub fn command_line() -> Outcome {
    let (folder, _page) = page(&shut())?;
    for line in [
        &["echo", "x"][..],
        &["--max-wait", "5", "--", "true"],
        &["--max-wait", "1s", "--max-wait", "2s", "--", "true"],
        &["--on-timeout", "maybe", "--", "true"],
        &["--page", "public", "--", "true"],
        &["--json=yes", "--", "true"],
        &["--max-wait", "--", "true"],
        &["--frobnicate", "--", "true"],
        &["-x", "--", "true"],
        &["--"],
    ] {
        for program in [Program::Clockgate, Program::Small] {
            let output = program.waiter("run", folder.path(), line).output()?;
            expect(output.status.code() == Some(2) && output.stdout.is_empty() && !output.stderr.is_empty(), &output)?;
        }
    }
    // Each says what is wrong, and what to do.
    for (line, said) in [
        (&["--"][..], "there is no command after `--`: name one, or leave `--` out to wait only"),
        (&["echo"], "unexpected argument `echo`: the command comes after `--`, as in `clockgate-run -- echo`"),
        (&["--max-wait", "1s", "--max-wait", "2s"], "--max-wait is given twice: leave one of them out"),
        (
            &["--max-wait"],
            "--max-wait needs a value: `clockgate-run --help` lists the options, each with what it takes",
        ),
        (&["--json=yes"], "--json takes no value, and `yes` was given: write --json alone"),
        (&["--frobnicate"], "unknown option --frobnicate: `clockgate-run --help` lists the options"),
        (&["-x"], "unknown option -x: `clockgate-run --help` lists the options"),
        (&["--for", "tea"], "invalid value `tea` for --for: expected one of "),
    ] {
        let output = Program::Small.waiter("run", folder.path(), line).output()?;
        expect(texts(&output).1.starts_with(&format!("clockgate: {said}")), &output)?;
    }
    let help = Program::Small.waiter("run", folder.path(), ["--help"]).output()?;
    let whole = Program::Clockgate.waiter("run", folder.path(), ["--help"]).output()?;
    let options = |text: &str| -> Vec<String> {
        let words = text.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
        words.filter_map(|word| word.split([' ', '=']).next()).map(str::to_owned).collect()
    };
    let (help, whole) = (texts(&help).0, texts(&whole).0);
    let mut wanted = options(&whole);
    wanted.retain(|option| !matches!(option.as_str(), "server" | "retry-clock"));
    if options(&help) == wanted { Ok(()) } else { Err(format!("{:?}, not {wanted:?}", options(&help)).into()) }
}
