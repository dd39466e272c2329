//! The rules of the tree, and that each of them finds what breaks it: every rule has violations, each a file that is put into the tree
//! and has to be found there.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod built;
mod names;
mod purity;
mod rooms;
#[path = "../support/mod.rs"]
mod support;
mod tree;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::tree::{Source, Tree, paths, rooms as rooms_of};

/// What holds for the whole tree: the rule says what breaks it.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<String>,
    /// Files that break it: path and text.
    violations: &'static [(&'static str, &'static str)],
}

const RULES: [Rule; 12] = [
    Rule {
        name: "every_room_points_only_where_data_flows_from",
        check: rooms::arrows,
        violations: &[
            ("decision/x.rs", "use crate::agent::run;"),
            ("decision/x.rs", "use crate::{\n    agent::{\n        run,\n    },\n};"),
            ("waiter/x.rs", "fn f() { crate::publish::f() }"),
            ("bin/x.rs", "use clockgate::agent;"),
            ("elsewhere/x.rs", ""),
        ],
    },
    Rule {
        name: "no_room_points_to_itself_by_way_of_others",
        check: rooms::circles_of_rooms,
        violations: &[("sys/x.rs", "use crate::agent::run;"), ("decision/x.rs", "use crate::cli::{self};")],
    },
    Rule {
        name: "no_file_imports_itself_by_way_of_others",
        check: rooms::circles_of_files,
        violations: &[
            ("decision/policy.rs", "use super::guard::StepRefusal;\npub struct Policy;"),
            ("decision/policy.rs", "use super::StepRefusal;\npub struct Policy;"),
            ("container/metadata.rs", "use super::{exemption};\npub struct Metadata;"),
        ],
    },
    Rule {
        name: "no_two_types_have_the_same_name",
        check: names::equal,
        violations: &[
            ("sys/x.rs", "pub struct Machine {"),
            ("sys/x.rs", "enum Machine {"),
            ("sys/x.rs", "pub(super) trait Machine {"),
            ("sys/x.rs", "pub(crate) type Machine = u8;"),
            ("cli/x.rs", "struct Twice;\nmod y {}\nstruct Twice;"),
        ],
    },
    Rule {
        name: "a_time_daemons_name_stands_in_its_room_alone",
        check: names::daemons,
        violations: &[("agent/x.rs", "fn f() { ask(\"Chronyd\") }"), ("cli/x.rs", "let timesyncd = 1;")],
    },
    Rule {
        name: "engines_are_known_in_one_room_alone",
        check: names::engines,
        violations: &[
            ("workload/x.rs", "fn f() { ask(\"/run/docker.sock\") }"),
            ("config/value.rs", "// what was spoken of is gone"),
        ],
    },
    Rule {
        name: "the_files_of_other_peoples_processes_are_read_by_one_door",
        check: names::files_of_others,
        violations: &[("daemon/x.rs", "let comm = fs::read(proc.join(\"comm\"));")],
    },
    Rule {
        name: "the_decision_does_no_io_the_waiter_has_no_runtime_and_clap_is_in_cli",
        check: purity::words,
        violations: &[
            ("decision/x.rs", "use std::fs;"),
            ("decision/x.rs", "async fn f() {}"),
            ("transition/x.rs", "use tracing::info;"),
            ("explain/x.rs", "use std::io::Read as _;"),
            ("report/x.rs", "use std::fs;"),
            ("waiter/x.rs", "use tokio::time;"),
            ("run/x.rs", "use tokio::time;"),
            ("container/x.rs", "use zbus::Connection;"),
            ("installer/x.rs", "#[derive(clap::ValueEnum)]"),
        ],
    },
    Rule {
        name: "unsafe_stands_in_sys_alone",
        check: purity::unsafe_code,
        violations: &[
            ("agent/x.rs", "unsafe { f() }"),
            ("page/view.rs", "unsafe fn f() {}"),
            ("run/x.rs", "unsafe fn f() {}"),
            ("kubernetes/x.rs", "unsafe { f() }"),
        ],
    },
    Rule {
        name: "what_the_decision_takes_from_the_pages_crate_does_no_io",
        check: purity::page,
        violations: &[
            ("page/judge.rs", "use std::fs;"),
            ("page/layout.rs", "use crate::sys;"),
            ("decision/x.rs", "use clockgate_page::Page;"),
        ],
    },
    Rule {
        name: "what_the_publisher_decides_it_decides_without_io",
        check: purity::publisher,
        violations: &[
            ("kubernetes/plan.rs", "use clockgate_page::sys::clock::boottime;"),
            ("kubernetes/condition.rs", "use std::fs;"),
        ],
    },
    Rule {
        name: "no_file_is_too_long_to_read_in_one_sitting",
        check: names::length,
        violations: &[("sys/x.rs", LONG)],
    },
];

/// 401 lines.
const LONG: &str = {
    const LINES: &[u8; 401] = &[b'\n'; 401];
    match str::from_utf8(LINES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

fn main() -> std::process::ExitCode {
    let tree = Tree::read();
    let mut trials = vec![
        Trial::test("paths_are_found_however_they_are_imported", imports),
        Trial::test("the_wrapper_is_linked_without_a_runtime_a_bus_and_a_command_line", built::wrapper),
        Trial::test("the_gate_of_pods_is_linked_without_a_runtime_a_bus_and_a_command_line", built::gate_of_pods),
        Trial::test("the_small_waiter_is_linked_without_a_runtime_and_a_parser_of_configuration", built::small_waiter),
        Trial::test("the_small_waiter_is_at_most_200_kib_larger_than_a_program_that_does_nothing", built::size),
        Trial::test("the_publisher_is_smaller_than_3_mb_as_it_is_released", built::size_of_the_publisher),
        Trial::test("no_program_loads_a_library", built::loads_nothing),
        Trial::test("every_file_that_the_laboratory_is_made_of_is_in_a_stamp", built::laboratory),
        Trial::test("no_crate_that_the_publisher_alone_needs_is_in_the_agent", purity::crates_of_the_publisher),
        Trial::test("the_threat_model_names_the_folders_with_unsafe_code_and_no_others", {
            let tree = tree.clone();
            move || purity::folders_of_unsafe_code(&tree)
        }),
        Trial::test("the_pages_crate_needs_libc_alone", || same(&purity::dependencies_of_the_page(), &["libc"])),
    ];
    for Rule { name, check, violations } in RULES {
        let tree = tree.clone();
        trials.push(Trial::test(name, move || holds(&tree, check, violations)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn holds(tree: &Tree, check: fn(&Tree) -> Vec<String>, violations: &[(&str, &str)]) -> Result<(), Failed> {
    let wrong = check(tree);
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    for (path, text) in violations {
        if check(&tree.with(path, text)).is_empty() {
            return Err(format!("the rule does not find this in {path}:\n{text}").into());
        }
    }
    Ok(())
}

fn same(found: &[String], expected: &[&str]) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("expected {expected:?}, found {found:?}").into()) }
}

fn imports() -> Result<(), Failed> {
    let source = |text: &str| Source { path: "agent/x.rs".to_owned(), text: text.to_owned() };
    for text in [
        "use crate::{page, sys::{a, b}};",
        "pub(super) use crate::{\n    sys::{\n        x,\n    },\n    page,\n};",
        "fn f() { crate::page::x(crate::sys::y) }",
    ] {
        same(&rooms_of(&source(text)).into_iter().collect::<Vec<_>>(), &["page", "sys"])?;
    }
    same(&rooms_of(&source("// crate::agent\n//! use crate::sys;")).into_iter().collect::<Vec<_>>(), &[])?;
    same(&paths(&source("use super::{a::B as C, d};")), &["super::a::B", "super::d", "super"])
}
