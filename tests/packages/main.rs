//! The packages, as `make` makes them of programs that are built already: what is in them, that the same source gives the same bytes, and
//! what the linters of Debian and Fedora say. Installed, upgraded and purged they are in user-mode Linux: `tests/uml`.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod aarch64;
mod contents;
mod debian;
mod dpkg;
mod image;
mod inits;
mod licences;
mod linters;
mod release;
mod sbom;
mod tarball;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Trial};
use support::{Outcome, ensure, laboratory, lacks_root, needing, packages, small};
use tempfile::TempDir;

type Test = fn() -> Outcome;

fn main() -> ExitCode {
    let tests: [(&str, Test); 9] = [
        ("two_folders_of_different_name_give_the_same_bytes", same_bytes),
        ("the_deb_has_what_make_install_lays_out_and_its_own_documents", contents::deb),
        ("the_publishers_deb_has_its_program_unit_manual_and_role", contents::publisher),
        ("the_deb_is_no_time_daemon_and_recommends_one", contents::relations),
        ("the_scripts_of_the_deb_are_posix_and_shellcheck_has_nothing_to_say", linters::shellcheck),
        ("the_tarball_installs_and_takes_away_again", tarball::undone),
        ("the_image_has_one_file_and_every_digest_is_right", image::layout),
        ("every_crate_of_the_programs_is_in_the_licences", licences::all_crates),
        ("the_list_of_cyclonedx_has_every_crate_with_its_checksum_and_licence", sbom::cyclonedx),
    ];
    let linted: [(&str, Test); 3] = [
        ("lintian_has_nothing_to_say_that_is_not_answered", linters::lintian),
        ("rpmlint_has_nothing_to_say_that_is_not_answered", linters::rpmlint),
        ("the_rpm_has_what_the_deb_has", contents::rpm),
    ];
    let mut trials: Vec<Trial> = tests.map(|(name, test)| needing(packages::missing(), name, test)).into();
    let lacks = packages::missing().or_else(lacks_root).or_else(|| laboratory::missing(&["guest", "linters"]));
    trials.extend(linted.map(|(name, test)| needing(lacks.clone(), name, test)));
    let inits: [(&str, Test); 3] = [
        ("openrc_starts_reloads_respawns_and_stops_the_agent", inits::openrc),
        ("runit_starts_reloads_respawns_and_stops_the_agent", inits::runit),
        ("apparmors_parser_compiles_the_profile_of_the_agent_without_a_warning", linters::apparmor),
    ];
    let lacks = lacks_root().or_else(|| laboratory::missing(&["guest", "inits"]));
    trials.extend(inits.map(|(name, test)| needing(lacks.clone(), name, test)));
    let lacks = packages::missing().or_else(lacks_root).or_else(|| laboratory::missing(&["guest"]));
    trials.extend(dpkg::TRIALS.iter().map(|(name, script)| needing(lacks.clone(), name, || dpkg::shown_by(script))));
    if std::env::var_os("CLOCKGATE_NIGHT").is_some() {
        trials.push(Trial::test("the_whole_build_is_reproducible_and_names_its_crates", release::whole));
        trials.extend(aarch64::TESTS.map(|(name, test)| needing(aarch64::missing(), name, test)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Packages of one and the same programs, made in two folders of different name.
struct Twins {
    /// What both lie in; it goes when the program ends.
    folder: TempDir,
    /// The folders of the packages.
    dists: [PathBuf; 2],
}

/// Made once, and kept for all tests.
fn twins() -> Outcome<&'static Twins> {
    static MADE: OnceLock<Result<Twins, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| pack().map_err(|failed| failed.message().unwrap_or("failed").to_owned()));
    made.as_ref().map_err(|error| error.as_str().into())
}

fn pack() -> Outcome<Twins> {
    let folder = tempfile::tempdir()?;
    // To pack is the same whatever the programs are, and this one is small: it is all of them.
    let binary = packages::strip(&small::build(&[])?, &folder.path().join("programs"))?;
    for name in ["clockgate", "clockgate-oci", "clockgate-nri", "clockgate-kubernetes"] {
        std::fs::copy(binary.with_file_name("clockgate-run"), binary.with_file_name(name))?;
    }
    let make = |name: &str| {
        let source = folder.path().join(name);
        packages::copy_source(&source)?;
        packages::make(&source, &[("BINARY", &binary.to_string_lossy())], &["packages"])
    };
    let dists = [make("one")?, make("another-of-a-longer-name")?];
    Ok(Twins { folder, dists })
}

/// The package whose name ends so; not the publisher's.
fn package(end: &str) -> Outcome<PathBuf> {
    package_among(|name| name.ends_with(end) && !name.starts_with(PUBLISHER))
}

/// The publisher's own package.
fn package_of_the_publisher() -> Outcome<PathBuf> {
    package_among(|name| name.starts_with(PUBLISHER))
}

const PUBLISHER: &str = "clockgate-kubernetes_";

fn package_among(wanted: impl Fn(&str) -> bool) -> Outcome<PathBuf> {
    let found = std::fs::read_dir(&twins()?.dists[0])?.flatten();
    let found = found.filter(|entry| wanted(&entry.file_name().to_string_lossy())).map(|entry| entry.path());
    let found: Vec<PathBuf> = found.collect();
    ensure(found.len() == 1, format!("such packages: {found:?}"))?;
    Ok(found[0].clone())
}

fn same_bytes() -> Outcome {
    let dists = twins()?.dists.each_ref();
    let names = dists.map(|dist| {
        let mut names: Vec<_> = std::fs::read_dir(dist).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    });
    ensure(names[0] == names[1] && names[0].len() == 7, format!("{names:?}"))?;
    for name in &names[0] {
        let [one, other] = dists.map(|dist| std::fs::read(dist.join(name)).unwrap());
        ensure(one == other, format!("{} differs", name.to_string_lossy()))?;
    }
    // The list is of all that lies there, and true.
    let sums = std::fs::read_to_string(dists[0].join("SHA256SUMS"))?;
    ensure(sums.lines().count() == 6, sums)?;
    packages::run(std::process::Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(dists[0]))
}
