//! What a test needs of the machine: where it is not there the test is skipped aloud, and in CI it fails.

use libtest_mimic::Trial;

use super::outcome::{Outcome, fail};

/// A trial that needs something a user's machine may lack: there it is skipped aloud and counted, in CI it fails.
pub fn needing(lacks: Option<String>, name: &str, test: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    match lacks {
        None => Trial::test(name, test),
        Some(lacks) if std::env::var_os("CI").is_some() => {
            Trial::test(name, move || fail(format!("nothing is skipped in CI, and this needs {lacks}")))
        }
        Some(lacks) => {
            eprintln!("skipped: {name}: needs {lacks}");
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    }
}

/// What keeps a test that needs root from running.
pub fn lacks_root() -> Option<String> {
    (!nix::unistd::geteuid().is_root()).then(|| "root".to_owned())
}

/// What keeps a test that needs `program` from running.
pub fn lacks_program(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    (!found).then(|| format!("the program {program}"))
}
