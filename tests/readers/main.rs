//! The page in other languages: the C header judges as the crate does, and each example of docs/interfaces.md is compiled and run at a live
//! page.
#![allow(clippy::unwrap_used, reason = "tests")]

mod header;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clockgate::decision::{Differences, Offset, Snapshot};
use clockgate::page::{FILE, at};
use libtest_mimic::{Arguments, Trial};
use support::gate_page::{proven, public, publish, shut};
use support::{Ours, Outcome, expect, fail, laboratory, lacks_program, needing, texts, until};

/// A language of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    C,
    Python,
    Go,
    Shell,
}

impl Language {
    /// As the ending of the example, which is the word for it in Markdown too.
    const fn ending(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Python => "py",
            Self::Go => "go",
            Self::Shell => "sh",
        }
    }

    fn file(self) -> PathBuf {
        root().join("examples/page/wait").with_extension(self.ending())
    }

    fn lacks(self) -> Option<String> {
        match self {
            Self::C => lacks_program("cc"),
            Self::Python => lacks_program("python3"),
            Self::Go => lacks_program("cc").or_else(|| go().is_none().then(|| "the program go".to_owned())),
            Self::Shell => lacks_program("od"),
        }
    }

    /// What runs the example, built in `folder` where it is compiled.
    fn command(self, folder: &Path) -> Outcome<Command> {
        let built = folder.join("wait");
        Ok(match self {
            Self::C => {
                header::compile(&["-std=c99"], &self.file(), &built)?;
                Command::new(built)
            }
            Self::Go => {
                let go = go().ok_or("no go")?;
                let mut build = Command::new(&go);
                build.args(["build", "-o"]).arg(&built).arg(self.file()).current_dir(folder);
                build.env("GOCACHE", folder.join("cache")).env("GO111MODULE", "off");
                build.env("CGO_CFLAGS", format!("-O2 -Wall -Werror -I{}", header::folder().display()));
                // An unpacked one does not know where it is.
                if let Some(root) = go.parent().and_then(Path::parent).filter(|root| root.join("pkg").is_dir()) {
                    build.env("GOROOT", root);
                }
                let output = build.output()?;
                expect(output.status.success(), &output)?;
                Command::new(built)
            }
            Self::Python => {
                let mut command = Command::new("python3");
                command.arg(self.file()).env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Self::Shell => {
                let mut command = Command::new("sh");
                command.arg(self.file());
                command
            }
        })
    }
}

const ALL: [Language; 4] = [Language::C, Language::Python, Language::Go, Language::Shell];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The machine's own Go, or the one that tests/setup unpacked.
fn go() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|f| f.join("go"))
        .find(|p| p.is_file());
    let unpacked = || {
        let versions = fs::read_dir(laboratory::folder().join("go/usr/lib")).ok()?;
        versions.flatten().map(|entry| entry.path().join("bin/go")).find(|go| go.is_file())
    };
    on_path.or_else(unpacked)
}

fn main() -> ExitCode {
    let mut trials = vec![
        Trial::test("the_interfaces_show_the_very_files_that_are_tested", shown),
        needing(lacks_program("cc"), "the_header_is_clean_c_and_judges_as_the_crate_does", || {
            header::agrees("cc", &["-std=c99"])
        }),
        needing(lacks_program("cc"), "the_header_is_clean_in_c17", || header::agrees("cc", &["-std=c17"])),
        needing(lacks_program("c++"), "the_header_is_clean_c++_and_judges_as_the_crate_does", || {
            header::agrees("c++", &["-x", "c++", "-std=c++11"])
        }),
        needing(lacks_program("cc"), "the_header_waits_as_the_crate_does", header::waits),
    ];
    for language in ALL {
        trials.push(needing(
            language.lacks(),
            &format!("the_example_in_{language:?}_waits_at_a_live_page"),
            move || example(language),
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn shown() -> Outcome {
    let page = fs::read_to_string(root().join("docs/interfaces.md"))?;
    for language in ALL {
        let (file, ending) = (fs::read_to_string(language.file())?, language.ending());
        if !page.contains(&format!("```{ending}\n{file}```\n")) {
            return fail(format!("docs/interfaces.md does not show examples/page/wait.{ending} as it is"));
        }
    }
    Ok(())
}

fn example(language: Language) -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |seconds: &str| -> Outcome<Command> {
        let mut command = language.command(folder.path())?;
        command.arg(public(folder.path())).arg(seconds);
        Ok(command)
    };
    let ends = |command: &mut Command, code: i32, said: &str| -> Outcome {
        let output = command.output()?;
        let (stdout, stderr) = texts(&output);
        expect(output.status.code() == Some(code) && format!("{stdout}{stderr}").contains(said), &output)
    };
    let mut at_once = at("0")?;
    ends(&mut at_once, 69, "")?;
    let mut page = publish(folder.path(), &shut())?;
    ends(&mut at_once, 75, "resume: measuring")?;
    // It waits, and sees the gate open.
    let mut waiting = Ours::spawn(at("60")?.stdout(Stdio::null()))?;
    until("it waits", Duration::from_secs(20), || is_asleep(waiting.0.id()))?;
    page.publish(&proven())?;
    let status = waiting.0.wait()?;
    if !status.success() {
        return fail(format!("{language:?} ended with {status}"));
    }
    ends(&mut at_once, 0, if language == Language::Shell { "open on a proof for 3" } else { "wrong by at most 2." })?;
    let expired = Snapshot { valid_until: clockgate::sys::clock::boottime(), ..proven() };
    page.publish(&expired)?;
    ends(&mut at_once, 75, "still shut")?;
    let moved = Differences {
        real_minus_boot: proven().differences.real_minus_boot - Offset::from_secs(3600),
        ..proven().differences
    };
    page.publish(&Snapshot { differences: moved, ..proven() })?;
    // As its comment says, the shell's does not see that.
    ends(&mut at_once, if language == Language::Shell { 0 } else { 75 }, "")?;
    page.end("it was stopped")?;
    ends(&mut at_once, 75, "still shut")?;
    // What is open by the words of another version is not: they may mean anything.
    page.publish(&proven())?;
    set_version(folder.path(), 2)?;
    ends(&mut at_once, 69, "version")
}

fn set_version(folder: &Path, version: u32) -> Outcome {
    let file = fs::OpenOptions::new().write(true).open(public(folder).join(FILE))?;
    Ok(file.write_all_at(&version.to_ne_bytes(), u64::try_from(at::VERSION)?)?)
}

/// Whether the process, or a child of it, sleeps: at the page's word, or for a while.
fn is_asleep(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}
