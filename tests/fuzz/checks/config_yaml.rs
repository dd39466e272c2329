//! The configuration: what is taken is the same when it is printed and read again, and each fault has its place.

use std::path::Path;
use std::time::Duration;

use clockgate::config::{Config, Loaded, keys, load_text, print};

const FILE: &str = "/etc/clockgate/config.yaml";

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    match load_text(Path::new(FILE), text) {
        Ok(loaded) => taken(&loaded, text),
        Err(error) => {
            assert!(!error.faults.is_empty());
            let lines = lines(text) + 1;
            for fault in &error.faults {
                assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault}");
                assert!(!fault.what.is_empty() && fault.file == Path::new(FILE));
            }
        }
    }
}

/// YAML 1.2.2, section 5.4: a carriage return alone ends a line too.
fn lines(text: &str) -> u64 {
    text.replace("\r\n", "\n").split(['\n', '\r']).count() as u64
}

fn taken(loaded: &Loaded, text: &str) {
    let config = &loaded.config;
    assert!((1..=16).contains(&config.policy.min_references) && config.servers.len() <= 32);
    let hour = Duration::from_secs(3600);
    assert!((Duration::from_millis(1)..=hour).contains(&config.policy.threshold));
    assert!((1..=10_000).contains(&config.policy.max_drift_ppm));
    assert!(config.page.is_absolute() && config.bus.socket.as_os_str().len() <= 107);
    for (name, origin) in &loaded.origins {
        assert!(keys::KEYS.iter().any(|key| key.name == *name));
        assert!(origin.line <= lines(text), "{name} is in line {}", origin.line);
    }
    // What is not named is at its default.
    let unnamed = keys::KEYS.iter().filter(|key| !loaded.origins.contains_key(key.name));
    unnamed.for_each(|key| assert_eq!(key.print(config), key.print(&Config::default()), "{}", key.name));
    let shown = print::show(loaded);
    let again = load_text(Path::new(FILE), &shown);
    let again = again.unwrap_or_else(|error| panic!("what is shown is refused: {:?}\n{shown}", error.faults));
    assert_eq!(&again.config, config, "{shown}");
    assert!(print::json(loaded)["keys"].is_object());
}
