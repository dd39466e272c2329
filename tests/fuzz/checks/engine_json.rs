//! `daemon.json`: what is edited means the same but for the runtime, each byte of it stays, and it is restored to the byte.

use std::cell::RefCell;

use clockgate::installer::Target;
use clockgate::installer::json::set_runtime;
use serde_json::{Value, json};

use super::host::HostInMemory;

const NAME: &str = "clockgate-runc";

thread_local! {
    static HOST: RefCell<HostInMemory> = RefCell::new(HostInMemory::new());
}

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let runtime = json!({ "path": "/usr/lib/clockgate/clockgate-runc" });
    if let Ok(edited) = set_runtime(text, NAME, &runtime) {
        let mut meant = parsed(text);
        let mut is = parsed(&edited);
        assert_eq!(is["default-runtime"], NAME);
        assert_eq!(is["runtimes"][NAME], runtime);
        for value in [&mut meant, &mut is] {
            let object = value.as_object_mut().unwrap();
            object.remove("default-runtime");
            if let Some(runtimes) = object.get_mut("runtimes").and_then(Value::as_object_mut) {
                runtimes.remove(NAME);
            }
            object.retain(|name, value| name != "runtimes" || value.as_object().is_some_and(|all| !all.is_empty()));
        }
        assert_eq!(is, meant);
        assert_eq!(set_runtime(&edited, NAME, &runtime).as_deref(), Ok(edited.as_str()), "set twice");
        HOST.with_borrow(|host| host.restores(Target::Docker, "etc/docker/daemon.json", data));
    }
}

fn parsed(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() { json!({}) } else { serde_json::from_str(text).unwrap() }
}
