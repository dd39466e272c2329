//! What is said, and where each reader finds it: the engine in the file of `--log`, the host's log through /dev/log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::call::Call;
use crate::decision::Realtime;
use crate::sys::clock::realtime;
use crate::sys::output::Priority;

/// Writes one line to the host's log. Where there is none the line is lost: that is no reason to lose a container.
pub fn log(socket: &Path, priority: Priority, text: &str) {
    /// LOG_DAEMON of syslog(3)
    const DAEMON: u8 = 3 << 3;
    let Ok(unbound) = UnixDatagram::unbound() else { return };
    // A log that does not keep up is not waited for.
    let _ = unbound.set_nonblocking(true);
    let line = format!("<{}>clockgate-oci[{}]: {text}", DAEMON | priority as u8, std::process::id());
    let _ = unbound.send_to(line.as_bytes(), socket);
}

/// Writes why a container is refused to where its engine looks for it, as runc and crun do.
pub fn answer_engine(call: &Call, text: &str) {
    let Some(file) = &call.log else { return };
    let time = rfc3339(realtime());
    let line = if call.log_is_json {
        // containerd and podman read the last line, and show its `msg`.
        format!("{}\n", serde_json::json!({ "level": "error", "msg": text, "time": time }))
    } else {
        format!("time=\"{time}\" level=error msg={text:?}\n")
    };
    let _ = OpenOptions::new().append(true).create(true).open(file).and_then(|mut f| f.write_all(line.as_bytes()));
}

/// A moment as RFC 3339 has it, in UTC and whole seconds. containerd takes a line for nothing whose time it cannot read.
fn rfc3339(time: Realtime) -> String {
    let second = time.as_secs().rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_556_045, "2026-11-24T21:34:05Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Realtime::from_secs(seconds)), text);
        }
    }

    #[test]
    fn the_engine_gets_its_answer_in_the_form_it_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.json");
        let call = Call { log: Some(log.clone()), log_is_json: true, ..Call::default() };
        answer_engine(&call, "a \"quoted\"\nword");
        let line: serde_json::Value = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &"a \"quoted\"\nword".into()));
        std::fs::remove_file(&log).unwrap();
        answer_engine(&Call { log_is_json: false, ..call }, "a \"quoted\" word");
        assert!(std::fs::read_to_string(&log).unwrap().ends_with("level=error msg=\"a \\\"quoted\\\" word\"\n"));
    }

    #[test]
    fn a_line_goes_to_the_socket_and_a_missing_socket_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        log(&path, Priority::Info, "lost");
        let socket = UnixDatagram::bind(&path).unwrap();
        log(&path, Priority::Warning, "docker: container ab: held");
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(line.starts_with("<28>clockgate-oci[") && line.ends_with("]: docker: container ab: held"), "{line}");
    }
}
