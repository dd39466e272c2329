//! Headless Chromium, unpacked by `tests/setup`: driven through its pipe, without a network, with a home of its own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::{Ours, Outcome, ensure, fail, laboratory};

/// Far more than a page takes.
const SOON: Duration = Duration::from_secs(60);
/// How many pixels make one unit of the picture.
pub const SCALE: u32 = 3;

/// What keeps the browser from running.
pub fn lacks() -> Option<String> {
    laboratory::missing(&["browser/chromium"]).or_else(lacks_user_namespaces)
}

/// The browser has a network of its own, and a full disk is mounted where nobody else sees it.
pub fn lacks_user_namespaces() -> Option<String> {
    let mut tried = Command::new("unshare");
    tried.args(["--user", "--map-root-user", "--net", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
    let works = tried.output().is_ok_and(|output| output.status.success());
    (!works).then(|| "mounts and networks in a user namespace".to_owned())
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub media: &'static str,
    pub scheme: &'static str,
    pub width: u32,
    pub height: u32,
}

/// A browser with one page.
pub struct Browser {
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    number: u64,
    /// What it reported beside answers.
    pub events: Vec<Value>,
    _process: Ours,
    _folder: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        for pipe in [&to, &from] {
            mkfifo(pipe, Mode::S_IRWXU)?;
        }
        // Opened for both, so that neither side waits for the other one.
        let open = |path: &Path| File::options().read(true).write(true).open(path);
        let (to_browser, from_browser) = (open(&to)?, open(&from)?);
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", r#"exec "$@" 3<to 4>from"#, "sh"]);
        command.arg(laboratory::folder().join("browser/chromium"));
        command.args(["--no-sandbox", "--headless", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command.current_dir(folder.path()).env("HOME", folder.path()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env("XDG_CACHE_HOME", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Ours::spawn(&mut command)?;
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let messages = BufReader::new(from_browser).split(0).map_while(Result::ok);
            for message in messages.filter_map(|message| serde_json::from_slice(&message).ok()) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            to: to_browser,
            from: received,
            session: None,
            number: 0,
            events: vec![],
            _process: process,
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Log.enable", "Network.enable", "Runtime.enable"] {
            browser.call(domain, json!({}))?;
        }
        Ok(browser)
    }

    /// Opens a file and waits until it is loaded.
    pub fn open(&mut self, file: &Path, look: Look) -> Outcome {
        let Look { media, scheme, width, height } = look;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": SCALE, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }))?;
        self.events.clear();
        let url = format!("file://{}", fs::canonicalize(file)?.display());
        self.call("Page.navigate", json!({ "url": url }))?;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.from.recv_timeout(SOON)?;
            self.events.push(event);
        }
        Ok(())
    }

    /// What an expression is in the page, as JSON.
    pub fn evaluate(&mut self, expression: &str) -> Outcome<Value> {
        let found = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }))?;
        ensure(found["exceptionDetails"].is_null(), format!("{expression}: {found}"))?;
        Ok(found["result"]["value"].clone())
    }

    /// What is on the screen.
    pub fn screenshot(&mut self) -> Outcome<Picture> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        Picture::of(&decoded(shot["data"].as_str().unwrap_or_default()))
    }

    fn call(&mut self, method: &str, parameters: Value) -> Outcome<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        write!(self.to, "{message}\0")?;
        loop {
            let received = self.from.recv_timeout(SOON).map_err(|error| format!("{method}: {error}"))?;
            if received["id"] != self.number {
                self.events.push(received);
            } else if received["error"].is_null() {
                return Ok(received["result"].clone());
            } else {
                return fail(format!("{method}: {}", received["error"]));
            }
        }
    }
}

/// Red, green and blue.
pub type Colour = [u8; 3];

/// A screenshot.
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    fn of(png: &[u8]) -> Outcome<Self> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().ok_or("a picture too large")?];
        let frame = reader.next_frame(&mut bytes)?;
        let samples = frame.color_type.samples();
        let pixels = bytes.chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Ok(Self { width: frame.width as usize, height: frame.height as usize, pixels })
    }

    /// The pixel at a place of the picture.
    pub fn at(&self, x: f64, y: f64) -> Colour {
        let place = |at: f64, size: usize| ((at * f64::from(SCALE)) as usize).min(size - 1);
        self.pixels[place(y, self.height) * self.width + place(x, self.width)]
    }

    /// The pixels of a part, with their places.
    pub fn part(&self, (x, y): (f64, f64), (width, height): (f64, f64)) -> impl Iterator<Item = (f64, f64, Colour)> {
        let step = 1.0 / f64::from(SCALE);
        let count = move |size: f64| (size / step) as usize;
        (0..count(height)).flat_map(move |row| {
            (0..count(width)).map(move |column| {
                let (x, y) = (x + (column as f64 + 0.5) * step, y + (row as f64 + 0.5) * step);
                (x, y, self.at(x, y))
            })
        })
    }

    /// All of it.
    pub fn whole(&self) -> impl Iterator<Item = (f64, f64, Colour)> {
        let scale = f64::from(SCALE);
        self.part((0.0, 0.0), (self.width as f64 / scale, self.height as f64 / scale))
    }
}

/// Base64 (RFC 4648), as the browser sends it.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (vec![], 0_u32, 0);
    for six in text.bytes().filter_map(value) {
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
