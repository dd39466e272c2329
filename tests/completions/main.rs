//! The completions of bash, zsh and fish: that they are what the command line says, and what the real shells make of them where
//! `make install` puts them.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clockgate::cli::Cli;
use libtest_mimic::{Arguments, Trial};
use support::expected::is_as_written;
use support::terminal::Terminal;
use support::{Outcome, expect, fail, laboratory, needing, until};

/// A shell that reads its functions for the first time takes half a minute on a busy machine.
const SOON: Duration = Duration::from_secs(300);
const PROMPT: &str = "ready> ";

fn main() -> ExitCode {
    let shell = |name: &str, test: fn() -> Outcome| needing(laboratory::missing(&["shells"]), name, test);
    let trials = vec![
        Trial::test("the_files_are_what_the_command_line_says", as_generated),
        shell("bash_completes_what_is_typed", || completes("bash")),
        shell("zsh_completes_what_is_typed", || completes("zsh")),
        shell("fish_completes_what_is_typed", || completes("fish")),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `CLOCKGATE_BLESS=1` writes them anew.
fn as_generated() -> Outcome {
    for (shell, file) in [(Shell::Bash, "clockgate"), (Shell::Zsh, "_clockgate"), (Shell::Fish, "clockgate.fish")] {
        let (mut command, mut generated) = (Cli::command(), vec![]);
        clap_complete::generate(shell, &mut command, "clockgate", &mut generated);
        // A blank at the end of a line is no part of it.
        let mut lines =
            String::from_utf8(generated)?.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
        if shell == Shell::Fish {
            fish_arguments(&command, &mut vec![], &mut lines);
        }
        is_as_written(&root().join("packaging/completions").join(file), &lines)?;
    }
    Ok(())
}

/// What the generator leaves out for fish: the values of the arguments that have no name, such as the topics of `help`.
fn fish_arguments<'a>(command: &'a clap::Command, verbs: &mut Vec<&'a str>, lines: &mut String) {
    for argument in command.get_positionals() {
        let values = argument.get_possible_values();
        let values: Vec<&str> =
            values.iter().filter(|value| !value.is_hide_set()).map(|value| value.get_name()).collect();
        let Some((first, below)) = verbs.split_first().filter(|_| !values.is_empty()) else { continue };
        let below: String = below.iter().map(|verb| format!("; and __fish_seen_subcommand_from {verb}")).collect();
        lines.push_str(&format!(
            "complete -c clockgate -n \"__fish_clockgate_using_subcommand {first}{below}\" -f -a \"{}\"\n",
            values.join(" ")
        ));
    }
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        verbs.push(verb.get_name());
        fish_arguments(verb, verbs, lines);
        verbs.pop();
    }
}

/// What is typed, and what the command is given.
const TYPED: &[(&str, &str)] = &[
    ("clockgate stat\t", "status"),
    ("clockgate hooks inst\t", "hooks install"),
    ("clockgate run --on-time\tfa\t-- true", "run --on-timeout fail -- true"),
    ("clockgate wait --for sigv\t", "wait --for sigv4"),
    ("clockgate help interf\t", "help interfaces"),
    ("clockgate hooks install containe\t", "hooks install containerd"),
];

/// By a shell on a terminal, with a program that writes down what it was given.
fn completes(shell: &str) -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |path: &str| folder.path().join(path);
    let data = install(folder.path())?;
    fs::create_dir_all(at("bin"))?;
    let calls = at("calls");
    let program = format!("#!/bin/sh\necho \"$*\" >>{}\n", calls.display());
    fs::write(at("bin/clockgate"), program)?;
    fs::set_permissions(at("bin/clockgate"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut terminal = Terminal::start(|command| {
        begin(shell, command, folder.path(), &data);
        command.env("PATH", format!("{}:/usr/bin:/bin", at("bin").display())).env("HOME", folder.path());
        command.env("XDG_DATA_DIRS", &data).env("LC_ALL", "C.UTF-8");
    })?;
    until("a prompt", SOON, || terminal.all().contains(PROMPT)).map_err(|_| terminal.all())?;
    for (number, (typed, wanted)) in TYPED.iter().enumerate() {
        terminal.types(format!("{typed}\n").as_bytes())?;
        let called = || fs::read_to_string(&calls).unwrap_or_default();
        until("the command", SOON, || called().lines().count() > number).map_err(|_| terminal.all())?;
        // zsh writes a value behind `=`.
        let given = called().lines().last().unwrap_or_default().trim_end().replace('=', " ");
        if given != *wanted {
            return fail(format!("{typed:?} became {given:?}, not {wanted:?}"));
        }
    }
    Ok(())
}

/// What `make install` lays out for completion; the folder of data.
fn install(folder: &Path) -> Outcome<PathBuf> {
    let root = folder.join("root");
    for name in ["program", "program-oci", "program-nri"] {
        fs::write(folder.join(name), "")?;
    }
    let mut install = Command::new(self::root().join("packaging/install"));
    install.arg("install").env("DESTDIR", &root).env("PREFIX", "/usr").env("BINARY", folder.join("program"));
    let output = install.output()?;
    expect(output.status.success(), &output)?;
    Ok(root.join("usr/share"))
}

/// The shell as a user has it, with its own files where they were unpacked.
fn begin(shell: &str, command: &mut Command, home: &Path, data: &Path) {
    let shells = laboratory::folder().join("shells/usr");
    let write = |name: &str, text: String| {
        let path = home.join(name);
        let _ = fs::create_dir_all(path.parent().unwrap_or(home));
        let _ = fs::write(&path, text);
        path
    };
    match shell {
        "zsh" => {
            write(
                ".zshrc",
                format!(
                    "module_path=({0}/lib/*-linux-gnu/zsh/*(/))\nbase={0}/share/zsh/functions/Completion\n\
                     fpath=({1}/zsh/vendor-completions $base $base/{{Base,Unix/Type,Zsh/Type}})\n\
                     autoload -Uz compinit\ncompinit -u -d $HOME/dump\nPS1='{PROMPT}'\n",
                    shells.display(),
                    data.display()
                ),
            );
            command.arg(shells.join("bin/zsh")).args(["-d", "-i"]).env("ZDOTDIR", home);
        }
        "fish" => {
            write(".config/fish/config.fish", format!("function fish_prompt\n echo -n '{PROMPT}'\nend\n"));
            let library = "LD_LIBRARY_PATH=$(echo \"$1\"/lib/*-linux-gnu) exec \"$1\"/bin/fish -i";
            command.args(["sh", "-c", library, "sh"]).arg(&shells);
        }
        _ => {
            let framework = shells.join("share/bash-completion/bash_completion");
            let rc = write("rc", format!(". {}\nPS1='{PROMPT}'\n", framework.display()));
            command.args(["bash", "--noprofile", "--rcfile"]).arg(rc).arg("-i");
        }
    }
}
