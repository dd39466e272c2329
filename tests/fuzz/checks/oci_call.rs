//! Arguments of a runtime, a zero byte between two of them, and behind an empty one the text of `oci.conf`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clockgate::container::Caller;
use clockgate::waiter::oci::{Call, OciSettings};

pub fn check(data: &[u8]) {
    let (args, settings) = match data.windows(2).position(|pair| pair == [0, 0]) {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[][..]),
    };
    let args: Vec<OsString> = args.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    let call = Call::parse(&args);
    match call.start.as_deref() {
        Some("create" | "run" | "restore") => {
            let start = call.start.as_deref().unwrap();
            assert!(args.iter().any(|word| word == start));
            assert!(call.id.is_empty() || args.iter().any(|word| word.to_string_lossy() == call.id));
        }
        Some(other) => panic!("{other} starts nothing"),
        None => {}
    }
    let _ = call.caller();
    written(&args);
    configured(&String::from_utf8_lossy(settings));
}

/// An engine's call with these words as values is understood.
fn written(args: &[OsString]) {
    let value = |at: usize| args.get(at).cloned().unwrap_or_default();
    let id = value(2).to_string_lossy().into_owned();
    if id.is_empty() || id.starts_with('-') {
        return;
    }
    let mut call: Vec<OsString> = vec!["--root".into(), value(0), "--log".into(), value(1)];
    call.extend(["--log-format", "json", "create", "--bundle"].map(OsString::from));
    call.extend([value(3), "--pid-file".into(), "/run/pid".into(), id.clone().into()]);
    let parsed = Call::parse(&call);
    let expected = Call {
        start: Some("create".to_owned()),
        root: Some(PathBuf::from(value(0))),
        log: Some(PathBuf::from(value(1))),
        log_is_json: true,
        bundle: Some(PathBuf::from(value(3))),
        id,
    };
    assert_eq!(parsed, expected);
}

/// Each line is taken or named, and what is taken is usable.
fn configured(text: &str) {
    let mut settings = OciSettings::default();
    let skipped = settings.take_text(Path::new("oci.conf"), text);
    assert!(skipped.len() <= text.lines().count());
    assert!(settings.page.is_absolute() && settings.syslog.is_absolute());
    assert!(settings.runtime.as_ref().is_none_or(|runtime| runtime.is_absolute()));
    let patience = settings.patience(Caller::Docker);
    assert_eq!(patience, settings.docker);
    let mut again = OciSettings::default();
    again.take_text(Path::new("oci.conf"), text);
    assert_eq!(again, settings);
}
