//! The recipes of docs/recipes.md: each is tried by a test that takes it from the page, or says that it was not.

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::recipes::{self, Recipe, recipe};
use support::{Outcome, ensure, fail};

/// A recipe's title, and the file and the name of the test that takes it from the page.
type Tried<'a> = (&'a str, &'a str, &'a str);

const JOBS: &str = "recipes::units_timers_and_jobs_of_the_page_wait_at_a_shut_gate";
const HYPERVISORS: &str = "recipes::what_a_hypervisor_calls_has_the_clock_proven";
const ENGINES: &str = "the_compose_file_of_the_examples_and_the_recipes_do_what_they_say";

const TRIED: &[Tried<'_>] = &[
    ("A systemd host", "tests/recipes/main.rs", "the_first_recipe_is_what_the_readme_says"),
    ("A cloud instance", "tests/uml/scenarios/recipes.rs", "recipes::cloud_init_proves_the_clock_and_starts_the_agent"),
    (
        "A cloud instance by packages",
        "tests/uml/scenarios/recipes.rs",
        "recipes::cloud_init_installs_the_package_which_gates_without_another_step",
    ),
    ("docker run", "tests/engines/recipes.rs", ENGINES),
    ("Compose", "tests/engines/recipes.rs", ENGINES),
    ("podman run", "tests/engines/recipes.rs", ENGINES),
    ("Quadlet", "tests/uml/scenarios/recipes.rs", "recipes::a_container_of_quadlet_starts_when_the_gate_opens"),
    ("An image of your own", "tests/engines/recipes.rs", ENGINES),
    ("A unit", "tests/uml/scenarios/recipes.rs", JOBS),
    ("A user's unit", "tests/uml/scenarios/recipes.rs", JOBS),
    ("A timer", "tests/uml/scenarios/recipes.rs", JOBS),
    ("A cron job", "tests/uml/scenarios/recipes.rs", JOBS),
    ("GitHub Actions runner", "tests/uml/scenarios/recipes.rs", JOBS),
    ("GitLab runner", "tests/uml/scenarios/recipes.rs", JOBS),
    ("libvirt", "tests/uml/scenarios/recipes.rs", HYPERVISORS),
    ("Proxmox VE", "tests/uml/scenarios/recipes.rs", HYPERVISORS),
    ("Firecracker", "tests/hooks/main.rs", "firecrackers_scripts_speak_its_api"),
    ("A bare microVM", "tests/recipes/main.rs", "the_microvm_is_that_of_the_example"),
];

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("each_recipe_is_tried_by_a_test_or_says_that_it_was_not", each),
        Trial::test("a_recipe_without_a_test_is_found", mutants),
        Trial::test("the_first_recipe_is_what_the_readme_says", host),
        Trial::test("the_microvm_is_that_of_the_example", microvm),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn read(path: &str) -> Outcome<String> {
    Ok(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?)
}

/// What is wrong with the recipes, by the table.
fn faults(recipes: &[Recipe], table: &[Tried<'_>]) -> Vec<String> {
    let mut faults = vec![];
    for recipe in recipes {
        let entry = table.iter().find(|(title, ..)| *title == recipe.title);
        match (entry, recipe.is_untried) {
            (None, false) => faults.push(format!("{}: no test tries it, and it does not say so", recipe.title)),
            (Some(_), true) => faults.push(format!("{}: it says that it was not tried", recipe.title)),
            (None, true) => {}
            (Some((title, file, test)), false) => {
                let source = read(file).unwrap_or_default();
                if !source.contains(&format!("\"{title}\"")) || !source.contains(test) {
                    faults.push(format!("{title}: {test} of {file} does not take it from the page"));
                }
            }
        }
    }
    let gone = table.iter().filter(|(title, ..)| recipes.iter().all(|recipe| recipe.title != *title));
    faults.extend(gone.map(|(title, ..)| format!("{title}: the page has no such recipe")));
    faults
}

fn each() -> Outcome {
    let recipes = recipes::all()?;
    let faults = faults(&recipes, TRIED);
    ensure(recipes.len() > 20, format!("{recipes:?}"))?;
    if faults.is_empty() { Ok(()) } else { fail(faults.join("\n")) }
}

fn mutants() -> Outcome {
    let page =
        "# A\n\n## B\n\n### a\n\n```sh\nx\n```\n\n### b\n\n```sh\nx\n```\n\nNot tried.\n\n### c\n\nWithout a block.\n";
    let recipes = recipes::of(page);
    ensure(recipes.len() == 2, format!("{recipes:?}"))?;
    let with = |table: &[Tried]| faults(&recipes, table).len();
    let here = "tests/recipes/main.rs";
    ensure(with(&[]) == 1, "a recipe that no test tries")?;
    ensure(with(&[("a", here, "mutants")]) == 0, "a recipe that is tried")?;
    ensure(with(&[("a", here, &["no", "where"].concat())]) == 1, "a test that is not there")?;
    ensure(with(&[("a", "README.md", "README")]) == 1, "a test that does not name the recipe")?;
    ensure(with(&[("a", here, "mutants"), ("b", here, "mutants")]) == 1, "a tried recipe that says otherwise")?;
    ensure(with(&[("a", here, "mutants"), ("d", here, "mutants")]) == 1, "a recipe that is gone")
}

/// The guest of `installed` types the README's lines.
fn host() -> Outcome {
    let readme = read("README.md")?;
    let first_screen = readme.split("## Installation").next().unwrap_or_default();
    let commands = recipe("A systemd host")?.commands();
    let missing: Vec<&str> = commands.lines().filter(|line| !first_screen.contains(line)).collect();
    ensure(missing.is_empty() && commands.lines().count() == 3, format!("not in the README: {missing:?} of {commands}"))
}

/// A whole machine of `tests/vm` runs the example.
fn microvm() -> Outcome {
    let example = read("examples/microvm-init")?;
    let commands = recipe("A bare microVM")?.commands();
    let mut lines = example.lines();
    let missing: Vec<&str> = commands.lines().filter(|line| lines.all(|other| other != *line)).collect();
    ensure(missing.is_empty() && commands.lines().count() > 3, format!("not in examples/microvm-init: {missing:?}"))
}
