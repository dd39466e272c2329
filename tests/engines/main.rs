//! Real container engines on this machine, with the wrapper as their runtime or as their hook: how a start is held, what its
//! user sees, and what passes.
#![expect(clippy::disallowed_methods, reason = "a condition is looked at again and again, until its deadline")]

mod boot;
mod compose;
mod containerd;
mod direct;
mod docker;
mod dockerd;
mod frozen;
mod inside;
mod installed;
mod kubernetes;
mod layouts;
mod nri;
mod podman;
mod recipes;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
mod world;
mod wrapper;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use world::{View, World};
use wrapper::Wrapper;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // They wait more than they work.
    args.test_threads.get_or_insert(4);
    let lacks = world::lacks_engines();
    let trials = if args.list || lacks.is_some() { Ok((names(lacks.as_deref()), vec![])) } else { on_engines() };
    match trials {
        Ok((mut trials, worlds)) => {
            trials.extend(direct::TRIALS.iter().map(|(name, settings, test)| {
                Trial::test(*name, move || {
                    let folder = tempfile::tempdir()?;
                    test(folder.path(), &Wrapper::new(folder.path(), "clockgate-sh-runtime", settings)?)
                })
            }));
            let conclusion = libtest_mimic::run(&args, trials);
            drop(worlds);
            conclusion.exit_code()
        }
        Err(error) => {
            eprintln!("the engines cannot be started: {}", error.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// On a machine as this one is.
const HERE: &[&[world::Trial]] = &[
    docker::TRIALS,
    containerd::TRIALS,
    podman::TRIALS,
    frozen::TRIALS,
    kubernetes::TRIALS,
    boot::TRIALS,
    compose::TRIALS,
    inside::TRIALS,
    installed::TRIALS,
    layouts::TRIALS,
    nri::TRIALS,
];

/// Where there is cgroup2 alone.
const UNIFIED: &[&[world::Trial]] = &[frozen::UNIFIED, recipes::UNIFIED];

/// The trials as they are where they cannot run.
fn names(lacks: Option<&str>) -> Vec<Trial> {
    let all = HERE.iter().chain(UNIFIED).copied().flatten();
    all.map(|(name, ..)| support::needing(lacks.map(str::to_owned), name, || Ok(()))).collect()
}

fn on_engines() -> Result<(Vec<Trial>, Vec<Arc<World>>), Failed> {
    world::sweep();
    let (mut trials, here) = in_a_world(View::AsHere, HERE)?;
    let (more, unified) = in_a_world(View::Unified, UNIFIED)?;
    trials.extend(more);
    Ok((trials, vec![here, unified]))
}

/// Each trial with a runtime of its own, so that they do not wait at each other's gates.
fn in_a_world(view: View, groups: &[&'static [world::Trial]]) -> Result<(Vec<Trial>, Arc<World>), Failed> {
    let world = Arc::new(World::new(view)?);
    let (mut trials, mut runtimes) = (vec![], BTreeMap::new());
    for (number, (name, settings, test)) in groups.iter().copied().flatten().enumerate() {
        let runtime = format!("gated{number}");
        let wrapper = Wrapper::new(&world.path(&runtime), "clockgate-runc", settings)?;
        runtimes.insert(runtime.clone(), wrapper.program.clone());
        let world = world.clone();
        trials.push(Trial::test(*name, move || test(&world, &wrapper, &runtime)));
    }
    world.start_docker(&runtimes)?;
    world.start_podman(&runtimes)?;
    Ok((trials, world))
}
