//! `config.json` of a bundle: what is not JSON says nothing, and what is taken are its own strings.

use std::cell::RefCell;
use std::fs;

use clockgate::container::exemption;
use clockgate::container::{Caller, Metadata};
use serde_json::Value;
use tempfile::TempDir;

thread_local! {
    static BUNDLE: RefCell<TempDir> = RefCell::new(tempfile::tempdir_in("/dev/shm").unwrap());
}

pub fn check(data: &[u8]) {
    let metadata = BUNDLE.with_borrow(|bundle| {
        fs::write(bundle.path().join("config.json"), data).unwrap();
        Metadata::of_bundle(bundle.path())
    });
    let Ok(config) = serde_json::from_slice::<Value>(data) else {
        assert_eq!(metadata, Metadata::default());
        return;
    };
    assert!(metadata.command.as_ref().is_none_or(|command| !command.contains('/')));
    let cgroup = metadata.cgroup.as_ref().map(|path| path.to_string_lossy().into_owned());
    assert_eq!(cgroup.as_deref(), config["linux"]["cgroupsPath"].as_str());
    for (key, value) in config["annotations"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            assert_eq!(metadata.labels.get(key).map(String::as_str), Some(value), "{key}");
        }
    }
    let rules = exemption::built_in();
    let found = exemption::find(&metadata, &rules).is_some();
    assert_eq!(exemption::find(&metadata, &rules).is_some(), found);
    let _ = (metadata.title(), Caller::named_in(&metadata));
    let again = metadata.clone().with(metadata.labels.clone());
    assert_eq!(again, metadata, "the same annotations twice say more than once");
}
