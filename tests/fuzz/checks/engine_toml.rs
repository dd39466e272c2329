//! TOML of engines: what is put in is there and all else means what it meant, in the bytes that it had; an install is restored to the byte.
//! The first byte says where it is put.

use std::cell::RefCell;
use std::collections::BTreeMap;

use clockgate::installer::Target;
use clockgate::installer::toml::put;
use toml_edit::{Document, Item, TableLike, Value};

use super::host::HostInMemory;

const CRI: &str = "io.containerd.grpc.v1.cri";
const PLACES: [&[&str]; 4] = [
    &["a"],
    &["a", "b"],
    &["a", "b", "c"],
    &["plugins", CRI, "containerd", "runtimes", "runc", "options", "BinaryName"],
];
const FILES: [(Target, &str); 4] = [
    (Target::Containerd, "etc/containerd/config.toml"),
    (Target::Podman, "etc/containers/containers.conf"),
    (Target::Crio, "etc/crio/crio.conf"),
    (Target::PodmanHook, "etc/containers/containers.conf"),
];

thread_local! {
    static HOST: RefCell<HostInMemory> = RefCell::new(HostInMemory::new());
}

pub fn check(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let Some(text) = super::text(data) else { return };
    let keys = PLACES[usize::from(which) % PLACES.len()];
    if let Ok(edited) = put(text, keys, "/w") {
        let mut before = meaning(text).expect("only TOML is edited");
        let mut after = meaning(&edited).unwrap_or_else(|| panic!("no longer TOML: {edited}"));
        assert_eq!(after.remove(&path(keys)).as_deref(), Some("\"/w\""), "{edited}");
        before.retain(|place, _| !place.starts_with(&path(keys)));
        assert_eq!(after, before, "{edited}");
        kept(text, &edited);
        assert_eq!(put(&edited, keys, "/w").as_deref(), Ok(edited.as_str()), "put twice");
    }
    let (target, file) = FILES[usize::from(which) / PLACES.len() % FILES.len()];
    HOST.with_borrow(|host| host.restores(target, file, data));
}

/// One piece is put in, or takes the place of another: all before and behind it stays.
fn kept(text: &str, edited: &str) {
    let (text, edited) = (text.as_bytes(), edited.as_bytes());
    let begin = text.iter().zip(edited).take_while(|(a, b)| a == b).count();
    let ends = text[begin..].iter().rev().zip(edited[begin..].iter().rev());
    let gone = &text[begin..text.len() - ends.take_while(|(a, b)| a == b).count()];
    // A value of more lines than one is in quotes or brackets.
    assert!(!gone.contains(&b'\n') || gone.iter().any(|byte| b"\"'[{".contains(byte)), "{}", gone.escape_ascii());
}

fn path(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// Every value by its path.
fn meaning(text: &str) -> Option<BTreeMap<Vec<String>, String>> {
    let document = Document::parse(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()?;
    let mut found = BTreeMap::new();
    table(document.as_table(), &[], &mut found);
    Some(found)
}

fn table(table: &dyn TableLike, above: &[String], found: &mut BTreeMap<Vec<String>, String>) {
    for (key, item) in table.iter() {
        let here = [above, &[key.to_owned()]].concat();
        match item {
            Item::None => {}
            Item::Value(one) => value(one, &here, found),
            Item::Table(inner) => self::table(inner, &here, found),
            Item::ArrayOfTables(tables) => {
                for (number, inner) in tables.iter().enumerate() {
                    self::table(inner, &[&here[..], &[format!("[{number}]")]].concat(), found);
                }
            }
        }
    }
}

fn value(value: &Value, here: &[String], found: &mut BTreeMap<Vec<String>, String>) {
    match value {
        Value::InlineTable(inner) => table(inner, here, found),
        Value::Array(all) => {
            for (number, one) in all.iter().enumerate() {
                self::value(one, &[here, &[format!("[{number}]")]].concat(), found);
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            found.insert(here.to_vec(), value.clone().decorated("", "").to_string());
        }
    }
}
