//! Scenarios that only a whole machine can show, since a hypervisor has to move it through time: QEMU in software.
//!
//! It boots once; every scenario begins at an image of the machine that has just booted.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};

mod bare;
#[allow(dead_code, reason = "the scenarios of both laboratories use a part of it each")]
#[path = "../uml/scenarios/gate.rs"]
mod gate;
#[path = "../uml/lab/mod.rs"]
mod lab;
mod machine;
#[allow(dead_code, reason = "the scenarios of both laboratories use a part of it each")]
#[path = "../uml/scenarios/night.rs"]
mod night;
mod qmp;
mod scenarios;
mod scraped;
mod selinux;
#[path = "../alerts/shipped.rs"]
mod shipped;
mod soak;
mod soak_judge;
#[path = "../support/mod.rs"]
mod support;
mod timeline;
mod tls;
mod witnesses;

use lab::world::World;
use lab::{Outcome, fail};
use machine::Machine;

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    let mut arguments = Arguments::from_args();
    // There is one machine, and it is slow.
    arguments.test_threads = Some(1);
    let missing = lab::missing().or_else(machine::missing);
    if missing.is_none()
        && !arguments.list
        && let Err(error) = lab::namespace::enter()
    {
        eprintln!("{}", error.message().unwrap_or("cannot enter namespaces"));
        return ExitCode::FAILURE;
    }
    let hall = Arc::new(Hall::default());
    let missing = missing.as_deref();
    let in_the_hall = |&(name, play): &(&'static str, Play)| {
        let hall = Arc::clone(&hall);
        trial(name, missing, move || hall.host(play))
    };
    let mut trials: Vec<Trial> = scenarios::ALL.iter().map(in_the_hall).collect();
    trials.push(trial("bare::a_microvm_with_nothing_else_is_held_and_released", missing, bare::held_and_released));
    if std::env::var_os("CLOCKGATE_NIGHT").is_some() {
        let lacks = missing.map(str::to_owned).or_else(|| lab::laboratory::missing(&["selinux"]));
        let name = "selinux::the_agent_works_where_debians_policy_is_enforced_and_its_denials_are_listed";
        trials.push(trial(name, lacks.as_deref(), selinux::enforced));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What is shown: it takes the machine and gives one back, the same or another.
type Play = fn(Machine, &World) -> Outcome<Machine>;

fn trial(name: &str, missing: Option<&str>, play: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    let Some(missing) = missing else {
        return Trial::test(name, play);
    };
    if std::env::var_os("CI").is_some() {
        let text = missing.to_owned();
        return Trial::test(name, move || fail(text));
    }
    println!("skipped: {name}: {missing}");
    Trial::test(name, || Ok(())).with_ignored_flag(true)
}

/// Where the machine stands between two scenarios. One that fails takes its machine with it, and the next boots another.
#[derive(Debug, Default)]
struct Hall(Mutex<Option<(Machine, World)>>);

impl Hall {
    fn host(&self, play: Play) -> Outcome {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (machine, world) = match place.take() {
            Some((machine, world)) => {
                machine.begin_again()?;
                (machine, world)
            }
            None => {
                let world = World::new()?;
                let machine = Machine::boot(&world)?;
                machine.guest.set_right()?;
                (machine, world)
            }
        };
        let played = play(machine, &world).map_err(|failed| {
            let console = std::fs::read(world.console()).unwrap_or_default();
            let console = String::from_utf8_lossy(&console).into_owned();
            let from = console.lines().count().saturating_sub(30);
            let end: Vec<&str> = console.lines().skip(from).collect();
            format!("{}\nthe machine's console ends:\n{}", failed.message().unwrap_or("failed"), end.join("\n"))
        });
        *place = Some((played?, world));
        Ok(())
    }
}
