//! Alertmanager itself, and who receives what it sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use serde_json::Value;

use crate::support::prometheus::{free_port, program};
use crate::support::{Ours, harmless};

/// Its templates are read below /usr/share alone, so it gets a mount of its own over that.
pub fn lacks() -> Option<String> {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "--bind", "/usr", "/usr"])
        .output();
    let works = tried.is_ok_and(|output| output.status.success());
    (!works).then(|| "mounts in a user namespace".to_owned())
}

/// Alertmanager with a webhook; ended with what is dropped.
#[derive(Debug)]
pub struct Alertmanager {
    pub port: u16,
    folder: tempfile::TempDir,
    received: Arc<Mutex<Vec<Notice>>>,
    _process: Ours,
}

/// An alert as a webhook receives it.
#[derive(Clone, Debug)]
pub struct Notice {
    pub is_firing: bool,
    pub alert: String,
    pub instance: String,
    pub annotations: Value,
}

impl Alertmanager {
    pub fn start() -> Self {
        let (hook, received) = webhook();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "route: {{receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{hook}/', send_resolved: true}}]}}]\n"
        );
        fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        let port = free_port().unwrap();
        let own = program("bookworm", "prometheus-alertmanager");
        let mut command = harmless("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg("mount --bind \"$1\" /usr/share && shift && exec \"$@\"").arg("sh");
        command.arg(fs::canonicalize(own.with_file_name("usr/share")).unwrap()).arg(own);
        command.arg(format!("--config.file={}", folder.path().join("alertmanager.yml").display()));
        command.arg(format!("--storage.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        // It would look for others of its kind on every address.
        command.arg("--cluster.listen-address=");
        let process = Ours::logged(&mut command, &folder.path().join("log")).unwrap();
        Self { port, folder, received, _process: process }
    }

    /// All that has arrived, in its order.
    pub fn received(&self) -> Vec<Notice> {
        self.received.lock().unwrap().clone()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Receives on a port of its own.
fn webhook() -> (u16, Arc<Mutex<Vec<Notice>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::new(Mutex::new(vec![]));
    let all = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notices = receive(stream).unwrap_or_default();
            all.lock().unwrap().extend(notices);
        }
    });
    (port, received)
}

/// One request, which is answered.
fn receive(stream: TcpStream) -> Option<Vec<Notice>> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let said: Value = serde_json::from_slice(&body).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let notice = |alert: &Value| Notice {
        is_firing: alert["status"] == "firing",
        alert: text(&alert["labels"]["alertname"]),
        instance: text(&alert["labels"]["instance"]),
        annotations: alert["annotations"].clone(),
    };
    Some(said["alerts"].as_array()?.iter().map(notice).collect())
}
