//! The page as a file with anything in it. The first byte says what of it is as an agent has it: a page that is foreign from its first
//! byte on would be all that is ever searched.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clockgate::page::sys::clock::boottime;
use clockgate::page::{Agent, ENDED, Gate, MAGIC, Page, VERSION, View, at, boot_id};
use clockgate::publish::gate_page::GatePage;
use tempfile::TempDir;

const LEN: usize = clockgate::page::sys::mapping::LEN;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir_in("/dev/shm").unwrap());
}

pub fn check(data: &[u8]) {
    let Some((&kept, fields)) = data.split_first() else { return };
    let mut bytes = fields.to_vec();
    if kept & 1 != 0 {
        bytes.resize(LEN, 0);
    }
    let mut put = |is_kept: bool, at: usize, field: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + field.len()).filter(|_| is_kept) {
            place.copy_from_slice(field);
        }
    };
    let soon = boottime() + Duration::from_secs(100);
    put(kept & 2 != 0, at::MAGIC, &MAGIC.to_ne_bytes());
    put(kept & 2 != 0, at::VERSION, &VERSION.to_ne_bytes());
    put(kept & 4 != 0, at::BOOT_ID, &boot_id().unwrap_or_default());
    put(kept & 8 != 0, at::ALIVE_UNTIL, &soon.as_nanos().to_ne_bytes());
    put(kept & 16 != 0, at::VALID_UNTIL, &soon.as_nanos().to_ne_bytes());
    put(kept & 16 != 0, at::AS_OF, &boottime().as_nanos().to_ne_bytes());
    put(kept & 32 != 0, at::SIZE, &u32::try_from(at::END).unwrap().to_ne_bytes());
    put(kept & 64 != 0, at::SEQUENCE, &0_u32.to_ne_bytes());
    FOLDER.with_borrow(|folder| {
        // The lock is beside the folder.
        let folder = folder.path().join("public");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("gate"), &bytes).unwrap();
        if let Ok(page) = Page::open(&folder) {
            assert!(bytes.len() >= LEN && bytes[..8] == MAGIC.to_ne_bytes(), "a foreign page was opened");
            seen(&page.read(), &bytes);
        }
        if kept & 128 != 0 {
            bytes.resize(LEN, 0);
            continued(&folder, &bytes);
        }
    });
}

/// What is open is so by what the page has, and every text can be printed.
fn seen(view: &View, bytes: &[u8]) {
    let word = u32::from_ne_bytes(bytes[at::GATE..at::GATE + 4].try_into().unwrap());
    let odd = bytes[at::SEQUENCE] & 1 != 0;
    match view.gate {
        Gate::Proven => {
            assert!(word == 1 && !odd && view.now < view.valid_until);
            // An agent that wrote no differences ends its proof where the bound meets the threshold.
            let is_within = view.bound_now.is_some_and(|bound| bound <= view.threshold);
            assert!(view.differences.is_none() || (view.bound.is_some() && is_within));
            let least = view.bound.map(|bound| bound.saturating_sub(view.offset.unwrap_or_default().abs()));
            assert!(view.bound_now >= least);
        }
        Gate::Unproven => assert!(word == 2 && !odd && !view.agent.is_gone()),
        Gate::Shut => assert!(view.valid_for().is_zero()),
    }
    assert!(view.state != ENDED || matches!(view.agent, Agent::Ended { .. }) || view.agent == Agent::Alive);
    assert!(view.why.chars().all(|c| !c.is_control()), "{:?}", view.why);
    for tolerance in [Duration::ZERO, view.threshold, Duration::from_secs(10), Duration::MAX] {
        assert!(view.within(tolerance).is_none_or(|bound| bound <= tolerance));
    }
    let measured = view.measured_now.is_none() || (view.agent == Agent::Alive && view.measured.is_some());
    assert!(measured, "served by an agent that is gone");
    let _ = (view.state_name(), view.cause_name(), view.absence(), view.served_tolerance());
}

/// An agent that finds it shuts it, and goes on counting where it is of this boot.
fn continued(folder: &Path, bytes: &[u8]) {
    let (page, epoch) = GatePage::open(folder).unwrap();
    let seen = Page::open(folder).unwrap().read();
    assert_eq!((seen.gate, seen.epoch), (Gate::Shut, epoch.get()));
    assert_eq!(seen.agent, Agent::Starting);
    let is_ours = bytes[..8] == MAGIC.to_ne_bytes()
        && bytes[at::VERSION..at::VERSION + 4] == VERSION.to_ne_bytes()
        && bytes[at::BOOT_ID..at::BOOT_ID + 16] == boot_id().unwrap_or_default();
    let written = || u64::from_ne_bytes(bytes[at::EPOCH..at::EPOCH + 8].try_into().unwrap());
    assert_eq!(epoch.get(), if is_ours { written() } else { 0 });
    drop(page);
}
