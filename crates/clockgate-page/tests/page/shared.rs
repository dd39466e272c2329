//! One writes and others read: the sequence lock, the futex, and pages that are replaced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::sys::mapping::LEN;
use clockgate_page::{Agent, Gate, Page, VERSION, at};

use super::writer::{Proof, Writer, replace};
use super::{Done, expect};

/// Longer than any machine takes to run a thread that is ready.
const LONG: Duration = Duration::from_secs(60);

pub fn torn() -> Done {
    let (mut writer, page) = Writer::with(&Proof::now())?;
    writer.locked(|page| [at::EPOCH, at::SINCE, at::DEADLINE].iter().for_each(|field| page.store_u64(*field, 0)));
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0;
            while !ends.load(Ordering::Relaxed) {
                count += 1;
                writer.locked(|page| {
                    page.store_u64(at::EPOCH, count);
                    // Long enough for another processor to see it.
                    (0..100).for_each(|_| std::hint::spin_loop());
                    page.store_u64(at::SINCE, count);
                    page.store_u64(at::DEADLINE, count);
                });
                // An agent writes now and then: there are moments between two writes.
                (0..1000).for_each(|_| std::hint::spin_loop());
            }
        });
        // A read that finds no moment between two writes reports that, and is shut.
        let (mut whole, mut last) = (0, 0);
        let began = boottime();
        while (whole < 2000 || last < 100) && boottime().since(began) < LONG {
            let view = page.read();
            if view.why.contains("died while it wrote") {
                expect(view.gate == Gate::Shut, &view)?;
                continue;
            }
            let same = view.epoch == view.since.as_nanos() && view.epoch == view.deadline.as_nanos();
            if !same || view.epoch < last {
                ends.store(true, Ordering::Relaxed);
                return expect(false, &view);
            }
            (whole, last) = (whole + 1, view.epoch);
        }
        ends.store(true, Ordering::Relaxed);
        expect(whole >= 2000 && last >= 100, (whole, last))
    })
}

pub fn killed_writer() -> Done {
    let (mut writer, page) = Writer::with(&Proof::now())?;
    let sequence = writer.mapping.reader().load_u32(at::SEQUENCE);
    writer.mapping.store_u32(at::SEQUENCE, sequence + 1);
    let view = page.read();
    expect(view.gate == Gate::Shut && view.why.contains("died while it wrote"), &view)?;
    writer.write(&Proof::now());
    expect(page.read().gate == Gate::Proven, page.read())
}

pub fn woken() -> Done {
    let (mut writer, page) = Writer::with(&Proof::shut())?;
    let seen = page.read();
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let began = boottime();
            page.wait(&seen, LONG);
            boottime().since(began)
        });
        // Who is woken was asleep.
        let began = boottime();
        while writer.wake()? == 0 {
            expect(boottime().since(began) < LONG, "no reader sleeps on the word")?;
            clockgate_page::sys::nap(Duration::from_millis(1));
        }
        let slept = sleeper.join().unwrap();
        expect(slept < LONG, slept)
    })?;
    thread::scope(|scope| {
        let waiter = scope.spawn(|| page.wait_for_change(&seen, LONG));
        writer.write(&Proof::now());
        writer.wake()?;
        let view = waiter.join().unwrap();
        expect(view.gate == Gate::Proven, &view)
    })?;
    // The word has changed before the call: there is nothing to sleep for.
    let began = boottime();
    page.wait(&seen, LONG);
    expect(boottime().since(began) < LONG, "slept on a word that had changed")
}

pub fn unwoken() -> Done {
    let soon = boottime() + Duration::from_millis(1500);
    let (_writer, page) = Writer::with(&Proof { valid_until: soon, ..Proof::now() })?;
    let seen = page.read();
    expect(seen.gate == Gate::Proven, &seen)?;
    let view = page.wait_for_change(&seen, LONG);
    expect(view.gate == Gate::Shut && view.now >= soon && view.now.since(soon) < LONG / 2, &view)?;
    let began = boottime();
    let same = page.wait_for_change(&view, Duration::from_millis(50));
    let waited = boottime().since(began);
    expect(same.gate == Gate::Shut && (Duration::from_millis(50)..LONG).contains(&waited), (same, waited))
}

pub fn replaced() -> Done {
    let (writer, page) = Writer::with(&Proof::now())?;
    let bytes = std::fs::read(writer.path())?;
    let file = std::fs::File::options().write(true).open(writer.path())?;
    file.set_len(100)?;
    let view = page.read();
    expect((view.gate, view.agent) == (Gate::Shut, Agent::PageGone), &view)?;
    // There is no word to sleep on, and this is no reason not to sleep.
    let began = boottime();
    page.wait(&view, Duration::from_millis(50));
    expect(boottime().since(began) >= Duration::from_millis(50), "a missing page was not slept at")?;
    // Whole again, in the same file.
    std::fs::write(writer.path(), &bytes)?;
    expect(page.read().gate == Gate::Proven, page.read())?;
    replace(&writer.path(), &bytes)?;
    let view = page.wait_for_change(&page.read(), Duration::ZERO);
    expect((view.gate, view.agent) == (Gate::Shut, Agent::PageGone), &view)?;
    expect(Page::open(writer.folder.path())?.read().gate == Gate::Proven, "the one in its place")
}

pub fn taken_over() -> Done {
    let gone = |page: &Page, word: &str| {
        let view = page.read();
        expect((view.gate, view.agent) == (Gate::Shut, Agent::PageGone) && view.why.contains(word), &view)
    };
    let (mut writer, page) = Writer::with(&Proof::now())?;
    writer.locked(|page| page.store_u32(at::VERSION, VERSION + 1));
    gone(&page, "another version")?;
    writer.locked(|page| page.store_u32(at::VERSION, VERSION));
    expect(page.read().gate == Gate::Proven, page.read())?;
    writer.store(at::BOOT_ID, &[7; 16]);
    gone(&page, "another kernel")?;
    let (writer, page) = Writer::with(&Proof::now())?;
    writer.store(0, &[0; LEN]);
    gone(&page, "another version")
}
