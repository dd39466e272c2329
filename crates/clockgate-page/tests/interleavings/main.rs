//! The page's sequence lock and its sleepers, in every interleaving of one writer and one reader that the C11 memory model permits: the
//! writer's and the reader's own code (`protocol.rs`) on words that loom schedules. A writer is stopped, or killed and begun anew, at
//! every store. Each fault that is put in has to be found: a store that orders nothing, one that comes late, a wake before its store.
//!
//! `CLOCKGATE_PREEMPTIONS` says how often a thread may be stopped in one run; without it twice, at night (`tests/night page`) five times.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken law is a panic")]

mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};

use clockgate_page::protocol::{Published, Words, WritableWords, Writer, look};
use clockgate_page::{Gate, at};
use libtest_mimic::{Arguments, Failed, Trial};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::words::{FIELDS, Fault, Memory, WriterWords};

fn main() -> std::process::ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let trials = vec![
        trial("a_look_is_of_one_publication_and_no_older_than_the_last", || {
            [opens, shuts, takes_over].into_iter().try_for_each(|scene| run(Fault::None, scene).map(drop))
        }),
        trial("who_sleeps_on_the_word_is_woken", || run(Fault::None, sleeper).map(drop)),
        trial("who_sleeps_on_the_count_has_seen_what_it_counts", || run(Fault::None, follower).map(drop)),
        trial("a_writer_killed_before_any_store_leaves_nothing_that_opens", || {
            (0..=SHUT.len()).try_for_each(|store| run(Fault::KilledBefore(store), killed).map(drop))
        }),
        trial("a_relaxed_store_is_found", || found_where_it_matters(Fault::Relaxed)),
        trial("a_store_that_comes_late_is_found", || found_where_it_matters(Fault::Late)),
        trial("a_wake_before_its_store_is_found", || {
            let found = run(Fault::WakesEarly, sleeper).err();
            found.map(drop).ok_or_else(|| "a sleeper that is woken too early was not found".into())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn() -> Result<(), Failed>) -> Trial {
    Trial::test(name, test)
}

/// Their number; what was broken in one of them.
fn run(fault: Fault, scene: fn(Fault)) -> Result<usize, Failed> {
    let mut model = loom::model::Builder::new();
    let bound = std::env::var("CLOCKGATE_PREEMPTIONS").ok().and_then(|number| number.parse().ok());
    model.preemption_bound = Some(bound.unwrap_or(2));
    let tried = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = tried.clone();
    let all = AssertUnwindSafe(|| {
        model.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            scene(fault);
        });
    });
    catch_unwind(all).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(text.unwrap_or_default())
    })?;
    Ok(tried.load(std::sync::atomic::Ordering::Relaxed))
}

/// What the writer stores inside the lock: the number of the publication in both fields. Even ones are proofs.
fn fields(number: u32) -> impl FnOnce(&WriterWords) {
    move |page| FIELDS.iter().for_each(|field| page.store_u32(*field, number))
}

fn publish(writer: &mut Writer, page: &WriterWords, number: u32) {
    let gate = if number.is_multiple_of(2) { Gate::Proven } else { Gate::Shut };
    let _ = writer.publish(page, Published { word: gate as u32, wakes: false }, fields(number));
}

/// A look at gate and fields, and the laws of it: all is of one publication, and an open gate has its proof beside it.
fn looked(page: &Arc<Memory>) -> Option<(u32, u32)> {
    let (gate, one, other) =
        look(&**page, 2, || (page.load_u32(at::GATE), page.load_u32(FIELDS[0]), page.load_u32(FIELDS[1])))?;
    assert_eq!(one, other, "the fields of two publications");
    assert!(
        gate == Gate::Shut as u32 || one.is_multiple_of(2) && one > 0,
        "open with the fields of a gate that is shut"
    );
    Some((gate, one))
}

/// A page that an agent has taken over, and published if `number` is not the first.
fn page_at(number: u32) -> (Arc<Memory>, Writer) {
    let (memory, mut writer) = (Memory::new(), Writer::default());
    let page = WriterWords::new(&memory, Fault::None);
    writer.take_over(&page, fields(1));
    (2..=number).for_each(|number| publish(&mut writer, &page, number));
    (memory, writer)
}

/// While an agent does `what` to the page, a reader looks at it: what the agent has said to be published is what is seen, or newer.
fn looked_at(page: (Arc<Memory>, Writer), number: u32, fault: Fault, what: fn(&mut Writer, &WriterWords, u32)) {
    let ((memory, mut writer), published) = (page, Arc::new(AtomicU32::new(0)));
    let (page, said) = (WriterWords::new(&memory, fault), published.clone());
    let agent = thread::spawn(move || {
        what(&mut writer, &page, number);
        said.store(number, Ordering::Release);
    });
    let at_least = published.load(Ordering::Acquire);
    if let Some((_, seen)) = looked(&memory) {
        assert!(seen >= at_least, "older than what was published");
    }
    agent.join().unwrap();
    let gate = if number.is_multiple_of(2) { Gate::Proven } else { Gate::Shut };
    assert_eq!(looked(&memory), Some((gate as u32, number)), "what is left");
}

fn opens(fault: Fault) {
    looked_at(page_at(1), 2, fault, publish);
}

fn shuts(fault: Fault) {
    looked_at(page_at(2), 3, fault, publish);
}

/// Of a page that is open.
fn takes_over(fault: Fault) {
    looked_at(page_at(2), 3, fault, |writer, page, number| writer.take_over(page, fields(number)));
}

/// The writer is killed, and the next one takes over and opens: a look meanwhile is whole, or is none.
fn killed(fault: Fault) {
    looked_at(page_at(2), 5, fault, |writer, page, number| {
        publish(writer, page, 3);
        // The lock on the file is the kernel's, which gives it away after the death.
        Writer::default().take_over(&page.of_the_next_agent(), fields(number));
    });
}

/// The gate opens while a waiter goes to sleep at it.
fn sleeper(fault: Fault) {
    let (memory, mut writer) = page_at(1);
    let page = WriterWords::new(&memory, fault);
    let agent = thread::spawn(move || publish(&mut writer, &page, 2));
    let is_asleep = memory.load_u32(at::GATE) == Gate::Shut as u32 && memory.falls_asleep(at::GATE, Gate::Shut as u32);
    agent.join().unwrap();
    assert!(!is_asleep || memory.all_are_awake(), "asleep at an open gate");
    assert_eq!(memory.load_u32(at::GATE), Gate::Proven as u32, "it goes to sleep again");
}

/// A follower sleeps on the count: when it has moved, a look finds the fields and the gate that it counts.
fn follower(fault: Fault) {
    let (memory, mut writer) = page_at(1);
    let page = WriterWords::new(&memory, fault);
    let before = memory.load_u32(at::CHANGES);
    let agent = thread::spawn(move || publish(&mut writer, &page, 2));
    let mut is_asleep = false;
    while memory.load_u32(at::CHANGES) == before && !is_asleep {
        is_asleep = memory.falls_asleep(at::CHANGES, before);
    }
    if !is_asleep {
        assert_eq!(looked(&memory), Some((Gate::Proven as u32, 2)), "the count moved before what it counts");
    }
    agent.join().unwrap();
    assert!(!is_asleep || memory.all_are_awake(), "asleep beside news");
    assert_ne!(memory.load_u32(at::CHANGES), before, "it goes to sleep again");
}

/// A store, and what comes of it if it orders nothing, or comes after the next one.
struct Store {
    what: &'static str,
    relaxed: Outcome,
    late: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A reader is misled.
    Found,
    /// No reader can notice.
    Harmless,
}
use Outcome::{Found, Harmless};

const fn store(what: &'static str, relaxed: Outcome, late: Outcome) -> Store {
    Store { what, relaxed, late }
}

/// The stores of a gate that opens, in order.
const OPEN: [Store; 6] = [
    store("the lock is closed", Harmless, Found),
    store("a field", Found, Harmless),
    store("the other field", Found, Found),
    store("the lock is open", Found, Harmless),
    store("the gate", Found, Found),
    store("the count", Found, Found),
];

/// Those of one that shuts.
const SHUT: [Store; 7] = [
    store("the gate", Harmless, Harmless),
    store("the lock is closed", Harmless, Found),
    store("a field", Found, Harmless),
    store("the other field", Found, Found),
    store("the lock is open", Found, Harmless),
    store("the gate again", Harmless, Harmless),
    store("the count", Harmless, Harmless),
];

/// A writer's stores and the readers that look on.
struct Play {
    name: &'static str,
    stores: &'static [Store],
    scenes: &'static [fn(Fault)],
}

const PLAYS: [Play; 2] = [
    Play { name: "open", stores: &OPEN, scenes: &[opens, follower] },
    Play { name: "shut", stores: &SHUT, scenes: &[shuts] },
];

/// Each fault is found where it misleads a reader, and nowhere else: a store that needs no order is named as such.
fn found_where_it_matters(fault: fn(usize) -> Fault) -> Result<(), Failed> {
    let is_late = matches!(fault(0), Fault::Late(_));
    let mut wrong = String::new();
    for Play { name, stores, scenes } in PLAYS {
        for (number, store) in stores.iter().enumerate() {
            let found = scenes.iter().find_map(|scene| run(fault(number), *scene).err());
            let text = found.as_ref().and_then(Failed::message).unwrap_or("no reader notices");
            let text = text.lines().next().unwrap_or_default();
            println!("{name}: {:?}: {}: {text}", fault(number), store.what);
            let expected = if is_late { store.late } else { store.relaxed };
            if found.is_some() != (expected == Found) {
                wrong.push_str(&format!("{name}: {}: {text}, and not {expected:?}\n", store.what));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}
