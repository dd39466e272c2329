//! How a test or a part of it ends.

use std::process::Output;

use libtest_mimic::Failed;

/// Well, or with a text that says what went wrong.
pub type Outcome<T = ()> = Result<T, Failed>;

/// Fails with a text.
pub fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failed::from(text.into()))
}

/// Fails with `text` unless `fact` holds.
pub fn ensure(fact: bool, text: impl Into<String>) -> Outcome {
    if fact { Ok(()) } else { fail(text) }
}

/// Standard output and standard error as text.
pub fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Fails with both texts unless `condition`.
pub fn expect(condition: bool, output: &Output) -> Outcome {
    let (stdout, stderr) = texts(output);
    ensure(condition, format!("{:?}\nstdout: {stdout}\nstderr: {stderr}", output.status))
}
