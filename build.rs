//! How the programs are linked; what is built does not depend on it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

/// What lld and gold have and the linker of binutils has not.
const FOLD: &str = "-Wl,--icf=all";

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
            // Functions of the same instructions are kept once. Nothing here compares the addresses of two functions.
            if linker_takes(FOLD) {
                println!("cargo::rustc-link-arg-bins={FOLD}");
            }
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

/// Whether this machine's compiler links an empty program with this argument.
fn linker_takes(argument: &str) -> bool {
    let (Some(rustc), Some(folder)) = (env::var_os("RUSTC"), env::var_os("OUT_DIR")) else { return false };
    let source = PathBuf::from(&folder).join("empty.rs");
    fs::write(&source, "fn main() {}").is_ok()
        && Command::new(rustc)
            .arg(&source)
            .args(["--crate-type", "bin", "-C"])
            .arg(format!("link-arg={argument}"))
            .arg("-o")
            .arg(PathBuf::from(&folder).join("empty"))
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
