//! What is opened, and what is refused.

use std::fs;
use std::path::Path;

use clockgate_page::sys::mapping::LEN;
use clockgate_page::{Agent, DIRECTORY, Error, FILE, Gate, Page, VERSION, at};

use super::writer::{Proof, Writer, standing};
use super::{Done, expect};
use clockgate_page::time::{Differences, Offset};

pub fn older() -> Done {
    let hour = Offset::from_secs(3600);
    let differences = Differences { real_minus_boot: standing().real_minus_boot - hour, ..standing() };
    let (mut writer, page) = Writer::with(&Proof { differences, ..Proof::now() })?;
    expect(page.read().gate == Gate::Shut, "the clock was set since")?;
    // Before the next measurement: that is not there, and changes are not counted.
    expect(page.read().next.is_some() && page.read().changes == Some(0), page.read())?;
    writer.locked(|page| page.store_u32(at::SIZE, u32::try_from(at::LEAP_END).unwrap()));
    expect((page.read().next, page.read().changes) == (None, None), page.read())?;
    // Before the leap second: the differences are there.
    writer.locked(|page| page.store_u32(at::SIZE, u32::try_from(at::DIFFERENCES_END).unwrap()));
    expect(page.read().gate == Gate::Shut && page.read().differences == Some(differences), page.read())?;
    // Before the differences: a proof is judged by its time alone, and its agent never says that it lives.
    writer.locked(|page| page.store_u32(at::SIZE, u32::try_from(at::ALIVE_UNTIL).unwrap()));
    let view = page.read();
    expect((view.gate, view.agent, view.differences) == (Gate::Proven, Agent::Alive, None), &view)
}

pub fn newer() -> Done {
    let (mut writer, page) = Writer::with(&Proof::now())?;
    writer.locked(|page| {
        page.store_u32(at::SIZE, u32::try_from(at::END).unwrap() + 16);
        page.store_u64(at::END, u64::MAX);
    });
    expect(page.read().gate == Gate::Proven, page.read())?;
    writer.locked(|page| page.store_u32(at::VERSION, VERSION + 1));
    match Page::open(writer.folder.path()) {
        Err(Error::Foreign { found, .. }) => expect(found.contains(&(VERSION + 1).to_string()), found),
        other => expect(false, other),
    }
}

pub fn not_a_page() -> Done {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(FILE);
    let open = || Page::open(folder.path());
    expect(matches!(open(), Err(Error::Absent(_))), "none")?;
    fs::write(&path, "")?;
    expect(matches!(open(), Err(Error::Absent(_))), "an agent has made the file")?;
    fs::write(&path, [0; LEN])?;
    expect(matches!(open(), Err(Error::Absent(_))), "an agent has not written its first words")?;
    fs::write(&path, [1; LEN])?;
    expect(matches!(open(), Err(Error::Foreign { .. })), "not a page")?;
    fs::remove_file(&path)?;
    fs::create_dir(&path)?;
    expect(matches!(open(), Err(Error::Foreign { .. })), "a folder")?;
    fs::remove_dir(&path)?;
    let writer = Writer::new()?;
    fs::write(&path, &fs::read(writer.path())?[..LEN - 1])?;
    expect(open().is_err_and(|error| error.to_string().contains("shorter") && !error.is_absence()), "short")?;
    writer.store(at::BOOT_ID, &[7; 16]);
    fs::write(&path, fs::read(writer.path())?)?;
    expect(open().is_err_and(|error| matches!(error, Error::OtherKernel(_)) && error.is_absence()), "other boot")
}

pub fn default() -> Done {
    expect(Path::new(DIRECTORY).join(FILE) == Path::new("/run/clockgate/public/gate"), DIRECTORY)?;
    // The host may have one or not: both calls say the same.
    let texts = [Page::open_default(), Page::open(Path::new(DIRECTORY))];
    let [one, other] = texts.map(|page| page.map_err(|error| error.to_string()).map(|_| ()));
    expect(one == other, (one, other))
}

/// The documentation's has lines that are not shown, which write the page.
pub fn readme() -> Done {
    let example = |text: &str| text.split("```").nth(1).unwrap_or_default().trim_start_matches("rust").to_owned();
    let documented = include_str!("../../src/lib.rs").lines().filter_map(|line| line.strip_prefix("//!"));
    let lines: Vec<_> = documented.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let shown: Vec<_> = lines.into_iter().filter(|line| *line != "#" && !line.starts_with("# ")).collect();
    let (ours, theirs) = (example(include_str!("../../README.md")), example(&shown.join("\n")));
    expect(!ours.is_empty() && ours == theirs, (ours, theirs))
}
