//! Lists and excerpts that pages have from other files: the settings of `oci.conf`, the errors of the bus, the unit's capabilities,
//! the configuration and the first process of a microVM.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clockgate::config::keys::KEYS;
use clockgate::config::load_file;
use clockgate::page::{WHY_LEN, at, state_name};
use clockgate::waiter::oci::OciSettings;

use super::{all_pages, read, root};

/// What stands between two texts.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(found, _)| found)
}

/// The settings that the program takes, by the arms in which it does.
fn settings() -> BTreeSet<String> {
    let source = read("src/waiter/oci/settings.rs");
    let arms = between(&source, "match name {", "unknown setting").lines().map(str::trim);
    let named = arms.filter(|line| line.starts_with('"') && line.contains("=>") && !line.contains("OciNoAgent::"));
    named.filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect()
}

/// The settings of clockgate-oci(8), each with its text.
fn described(manual: &str) -> Vec<(&str, String)> {
    let section = between(manual, "\n.Sh FILES\n", "\n.Sh ");
    let entries = section.split(".It Ic ").skip(1).filter_map(|entry| entry.split_once('\n'));
    entries.map(|(name, text)| (name, text.split_whitespace().collect::<Vec<_>>().join(" "))).collect()
}

/// Blocks and words of a page that are meant as configuration.
fn configurations(page: &str) -> Vec<String> {
    let is_ours = |text: &str| {
        text.split_once(':').is_some_and(|(key, rest)| {
            let key = key.trim();
            rest.starts_with([' ', '\n'])
                && KEYS.iter().any(|known| known.name.split('.').next() == Some(key))
                && !rest.trim().is_empty()
        })
    };
    let blocks = page.split("\n\n").filter(|block| block.lines().all(|line| line.starts_with("    ")));
    let blocks = blocks.map(|block| block.lines().map(|line| format!("{}\n", &line[4..])).collect::<String>());
    let words = page.split('`').skip(1).step_by(2).map(str::to_owned);
    blocks.chain(words).filter(|text| is_ours(text)).collect()
}

/// What is wrong with a text as a file of the configuration.
fn fault(text: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, text).unwrap();
    load_file(&file).err().map(|error| format!("{text}: {error}"))
}

#[test]
fn the_manual_has_the_settings_of_oci_conf_with_their_defaults() {
    let manual = read("docs/man/clockgate-oci.8");
    let described = described(&manual);
    let named: BTreeSet<String> = described.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named, settings());
    let folder = tempfile::tempdir().unwrap();
    let taken = |line: &str| {
        let file = folder.path().join("oci.conf");
        fs::write(&file, line).unwrap();
        let mut settings = OciSettings::default();
        (settings.take_file(&file), settings)
    };
    let with_default: Vec<(&str, &str)> =
        described.iter().map(|(name, text)| (*name, between(text, "Default: ", ".").trim())).collect();
    for (name, default) in with_default.iter().filter(|(_, default)| !default.is_empty()) {
        // Said aloud, a default changes nothing.
        assert_eq!(taken(&format!("{name} = {default}\n")), (vec![], OciSettings::default()), "{name}");
    }
    assert_eq!(with_default.iter().filter(|(_, default)| !default.is_empty()).count(), 6, "{with_default:?}");
    assert_ne!(taken("max-wait = 61s\n").1, OciSettings::default());
}

#[test]
fn the_manual_names_the_errors_of_the_bus_and_no_others() {
    let source = read("src/publish/bus/error.rs");
    let has: BTreeSet<&str> = source.lines().filter_map(|line| line.trim().strip_suffix("(String),")).collect();
    let manual = read("docs/man/clockgate-interfaces.7");
    let said = between(&manual, "\nErrors are\n", "each with a sentence");
    let said: BTreeSet<&str> = said
        .split_whitespace()
        .filter(|word| word.len() > 3)
        .map(|word| word.trim_start_matches("org.clockgate.Error."))
        .collect();
    assert!(has.len() > 4, "{has:?}");
    assert_eq!(said, has);
}

#[test]
fn the_table_of_the_page_has_each_field_where_the_program_has_it() {
    let fields = [
        ("magic", at::MAGIC, 8),
        ("version", at::VERSION, 4),
        ("size", at::SIZE, 4),
        ("boot_id", at::BOOT_ID, 16),
        ("gate", at::GATE, 4),
        ("sequence", at::SEQUENCE, 4),
        ("epoch", at::EPOCH, 8),
        ("state", at::STATE, 4),
        ("cause", at::CAUSE, 4),
        ("offset", at::OFFSET, 8),
        ("bound", at::BOUND, 8),
        ("as_of", at::AS_OF, 8),
        ("threshold", at::THRESHOLD, 8),
        ("valid_until", at::VALID_UNTIL, 8),
        ("since", at::SINCE, 8),
        ("deadline", at::DEADLINE, 8),
        ("max_drift", at::MAX_DRIFT, 4),
        ("changes", at::CHANGES, 4),
        ("why", at::WHY, WHY_LEN),
        ("alive_until", at::ALIVE_UNTIL, 8),
        ("real_minus_boot", at::REAL_MINUS_BOOT, 8),
        ("boot_minus_mono", at::BOOT_MINUS_MONO, 8),
        ("mono_minus_raw", at::MONO_MINUS_RAW, 8),
        ("leap_at", at::LEAP_AT, 8),
        ("leap", at::LEAP, 8),
        ("next", at::NEXT, 8),
        ("measured_offset", at::MEASURED_OFFSET, 8),
        ("measured_bound", at::MEASURED_BOUND, 8),
        ("measured_as_of", at::MEASURED_AS_OF, 8),
        ("measured_until", at::MEASURED_UNTIL, 8),
        ("measured_epoch", at::MEASURED_EPOCH, 8),
        ("measured_real_minus_boot", at::MEASURED_REAL_MINUS_BOOT, 8),
        ("measured_boot_minus_mono", at::MEASURED_BOOT_MINUS_MONO, 8),
        ("measured_mono_minus_raw", at::MEASURED_MONO_MINUS_RAW, 8),
        ("measured_max_drift", at::MEASURED_MAX_DRIFT, 4),
        ("proven_by", at::PROVEN_BY, 4),
    ];
    let has: Vec<String> = fields.iter().map(|(name, at, size)| format!("{at} {size} {name}")).collect();
    let page = read("docs/interfaces.md");
    let rows = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = rows.filter(|cells| cells.len() == 7 && cells[1].parse::<usize>().is_ok());
    assert_eq!(rows.map(|cells| format!("{} {} {}", cells[1], cells[2], cells[4])).collect::<Vec<_>>(), has);
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let older = format!(
        "wrote {}, one before the leap second {}, one before the next measurement {}",
        at::ALIVE_UNTIL,
        at::DIFFERENCES_END,
        at::LEAP_END
    );
    let newer = format!("before the tolerances wrote {}; the present one writes {}", at::NEXT_END, at::END);
    assert!(page.contains(&older) && page.contains(&newer), "{older}; {newer}");
    let states: Vec<String> = (0..8).map(|code| format!("{code} {}", state_name(code))).collect();
    assert!(page.contains(&states.join(", ")), "{states:?}");
}

#[test]
fn the_agent_runs_no_other_programs_than_the_threat_model_names() {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                below(&path, found);
            } else if fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap().contains("Command::new(")
            {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    // What a person runs from a terminal runs what it likes.
    // The inspection of daemons is for the diagnosis alone.
    let of_a_person = ["cli/", "daemon/inspection/", "doctor/", "installer/", "past/", "waiter/"]
        .map(|folder| format!("src/{folder}"));
    let mut found = vec![];
    below(&root().join("src"), &mut found);
    found.retain(|path| of_a_person.iter().all(|folder| !path.starts_with(folder)));
    found.sort();
    assert_eq!(found, ["src/daemon/openntpd.rs", "src/workload/thaw_guard.rs"], "a program that the page has to name");
    assert!(read("docs/threat-model.md").contains("runs itself as the guard"), "docs/threat-model.md");
}

#[test]
fn the_threat_model_names_the_programs_with_an_unsafe_attribute_and_no_others() {
    let mut roots = vec![("clockgate".to_owned(), root().join("src/main.rs"))];
    let folder = |path: &str| fs::read_dir(root().join(path)).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    roots.extend(folder("src/bin").map(|path| (name(&path), path)));
    roots.extend(folder("crates").map(|path| (name(&path), path.join("src/main.rs"))));
    let texts = roots.iter().filter_map(|(name, path)| Some((name.as_str(), fs::read_to_string(path).ok()?)));
    let have: BTreeSet<&str> = texts.filter(|(_, text)| text.contains("#[unsafe(")).map(|(name, _)| name).collect();
    let page = read("docs/threat-model.md");
    let sentence = between(&page, "each block with its reason. ", " have one `unsafe`");
    let named: BTreeSet<&str> = sentence.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, have);
}

#[test]
fn the_threat_model_names_the_capabilities_of_the_unit_and_no_others() {
    let unit = read("packaging/usr/lib/systemd/system/clockgate.service");
    let bounding = between(&unit, "\nCapabilityBoundingSet=", "\n");
    let has: BTreeSet<&str> = bounding.split_whitespace().collect();
    let page = read("docs/threat-model.md");
    let agent = between(&page, "\n## Agent\n", "\n\n");
    let said: BTreeSet<&str> = agent.split('`').filter(|word| word.starts_with("CAP_")).collect();
    assert!(has.len() > 1, "{has:?}");
    assert_eq!(said, has);
}

#[test]
fn every_field_of_the_journal_that_the_manual_names_is_written() {
    let source = read("src/transition/facts.rs");
    let manual = read("docs/man/clockgate.8");
    let section = between(&manual, "\n.Ss Journal\n", "\n.Ss ");
    let words = section.split_whitespace().filter_map(|word| word.strip_prefix("CLOCKGATE_"));
    let named: Vec<String> = words.map(str::to_lowercase).collect();
    assert!(named.len() > 20, "{named:?}");
    let invented: Vec<&String> = named.iter().filter(|name| !source.contains(&format!("\"{name}\""))).collect();
    assert_eq!(invented, Vec::<&String>::new());
}

#[test]
fn every_configuration_that_a_page_shows_is_one() {
    let pages = all_pages().into_iter().filter(|page| page != "CHANGELOG.md");
    let shown: Vec<String> = pages.flat_map(|page| configurations(&read(&page))).collect();
    assert!(shown.len() > 5, "{shown:?}");
    assert_eq!(shown.iter().filter_map(|text| fault(text)).collect::<Vec<_>>(), Vec::<String>::new());
    let mutant = "`freeze: {engine: []}`, `threshold: 5`, `a: b`\n\n    at-deadline:\n      unreachable: shut\n\nText";
    let found = configurations(mutant);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found.iter().filter_map(|text| fault(text)).count(), 3);
}

#[test]
fn the_first_process_that_a_page_shows_is_that_of_the_example() {
    let page = read("docs/virtual-machines.md");
    let shown: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.is_empty()).collect();
    let example = read("examples/microvm-init");
    let mut lines = example.lines();
    assert!(shown.len() > 4 && shown.iter().all(|line| lines.any(|other| other == *line)), "{shown:?}");
}
