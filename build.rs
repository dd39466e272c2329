//! How the programs are linked; what is built does not depend on it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") && env::var("HOST") == env::var("TARGET") {
        if libc_version().is_some_and(|version| version >= (2, 36)) {
            // A static program relocates itself. Most of its eleven thousand relocations take 24 bytes each, or one bit in this form,
            // which the C library that is linked in has to know.
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
        // An index of the unwinding tables, for a program that reads its own. A panic of the released one aborts, and debuggers read
        // the tables without it.
        if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
            println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        }
    }
}

/// That of this machine, which is the one that is linked: `glibc 2.36`.
fn libc_version() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
