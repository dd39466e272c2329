//! The page: one file, which loads and runs nothing, whatever containers and references are called.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{NamedContainer, Offset, Realtime};
use clockgate::history::FOLDER;
use clockgate::page::text::shown;
use clockgate::report::STYLE_HASH;
use serde_json::Value;

use crate::browser::Browser;
use crate::cases::{self, report};
use crate::night;
use crate::picture::LIGHT;
use crate::simulated::{SimulatedHost, SimulatedServer};
use crate::support::host::HostFolder;
use crate::support::{Outcome, ensure};

/// Names that would do something if they were markup, or hide what they are.
const HOSTILE: [&str; 13] = [
    "<script>window.taken=1</script>",
    "\"><img src=x onerror=window.taken=1>",
    "'onmouseover='window.taken=1' x='",
    "</title></svg></style></td></table><iframe src=//example>",
    "<svg onload=window.taken=1><a href=javascript:window.taken=1>web</a>",
    "]]><script>window.taken=1</script><![CDATA[",
    "--><script>window.taken=1</script><!--",
    "&lt;script&gt; & &amp; &#60; &copy",
    "web\nHeld: nothing\r\n</text>",
    "\u{202e}gpj.bew\u{2066}\u{200f}",
    "\u{0}\u{8}\u{1b}[2J\u{fffe}\u{ffff}\u{feff}",
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/hostname'>]>&e;",
    LONG,
];
/// In the place of one of four kilobytes, which no agent of ours writes.
const LONG: &str = "a-long-name";

fn long() -> String {
    "<b>&\"x".repeat(4096 / 6)
}

/// A host on which each of them is frozen, held and asked once.
fn hostile_host() -> Outcome<HostFolder> {
    let mut simulated = SimulatedHost::boot(Realtime::from_secs(night::EVENING), Offset::ZERO, &[]);
    for (number, name) in (1..).zip(HOSTILE) {
        let container = NamedContainer::new("docker", &format!("{number:064x}"), Some(name));
        (simulated.containers, simulated.starts) = (container.clone().into(), container.into());
        let server = SimulatedServer { name, wrong: Offset::ZERO, root_distance: Duration::from_millis(number) };
        simulated.servers = vec![server, SimulatedServer { name: "ntp.example", ..server }];
        if number == 1 {
            simulated.start();
        } else {
            simulated.set_back(Offset::from_secs(60 * number as i64));
        }
        simulated.pass(Duration::from_secs(3000));
    }
    let long = serde_json::to_string(&long())?;
    let lines = simulated.lines.concat().replace(LONG, long.trim_matches('"'));
    HostFolder::new(&[(&format!("{FOLDER}/events.jsonl"), &lines)])
}

/// The hash in the policy is that of the style.
pub fn allows_its_style() -> Outcome {
    let output = report(&hostile_host()?, "UTC", &["--html", "-"])?;
    let page = String::from_utf8(output.stdout)?;
    let styles: Vec<&str> = page.split("<style>").skip(1).filter_map(|rest| rest.split("</style>").next()).collect();
    ensure(styles.len() == 1, "there is one style")?;
    let mut command = Command::new("sh");
    command.args(["-c", "openssl dgst -sha256 -binary | base64"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().ok_or("a pipe")?.write_all(styles[0].as_bytes())?;
    let hash = String::from_utf8(child.wait_with_output()?.stdout)?;
    let hash = format!("sha256-{}", hash.trim());
    ensure(hash == STYLE_HASH, format!("the style is {hash}, and {STYLE_HASH} is allowed"))?;
    ensure(!page.contains(" style=") && !page.contains("<script") && !page.contains("<img"), "nothing else is there")
}

/// Nothing is loaded or run, no name is markup, and each is there to be read.
pub fn in_a_browser() -> Outcome {
    let mut browser = Browser::start()?;
    for (option, name) in [("--html", "report.html"), ("--svg", "report.svg")] {
        let harmless = looked_at(&mut browser, &cases::host(&night::folder().join("history"))?, (option, name))?;
        let hostile = looked_at(&mut browser, &hostile_host()?, (option, name))?;
        let more: Vec<_> = hostile.markup.difference(&harmless.markup).collect();
        ensure(more.is_empty(), format!("{name} has {more:?} by its names"))?;
        for name in HOSTILE {
            let whole = if name == LONG { long() } else { name.to_owned() };
            // XML has no way to write these two.
            let expected = shown(&whole).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
            ensure(hostile.text.contains(&expected), format!("{expected} is not in {option}"))?;
        }
    }
    Ok(())
}

/// What a browser made of it.
struct Looked {
    /// Each element with each attribute that it has somewhere.
    markup: BTreeSet<String>,
    text: String,
}

fn looked_at(browser: &mut Browser, host: &HostFolder, (option, name): (&str, &str)) -> Outcome<Looked> {
    let file = host.at(name);
    ensure(report(host, "UTC", &[option, file.to_str().ok_or("a path")?])?.status.success(), "it is written")?;
    let file = fs::canonicalize(file)?;
    browser.open(&file, LIGHT)?;
    // What an error handler or a picture does comes after the load.
    browser.screenshot()?;
    let markup = browser.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => [e.tagName, ...e.getAttributeNames().map(a => `${e.tagName} ${a}`)])",
    )?;
    let markup: BTreeSet<String> = serde_json::from_value(markup)?;
    let text = browser.evaluate("document.documentElement.textContent")?.as_str().unwrap_or_default().to_owned();
    ensure(browser.evaluate("typeof window.taken")? == "undefined", "a name was run")?;
    let wide = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + e.textContent.slice(0, 80))",
    )?;
    ensure(wide.as_array().is_none_or(Vec::is_empty), format!("{name} is wider than the screen: {wide}"))?;
    let url = format!("file://{}", file.display());
    let is_expected = |event: &Value| {
        let is_of_it =
            event["params"]["request"]["url"] == url.as_str() || event["params"]["response"]["url"] == url.as_str();
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" | "Network.responseReceived" => is_of_it,
            "Network.dataReceived" | "Network.loadingFinished" => true,
            method => ["Page.frame", "Page.dom", "Page.load", "Runtime.executionContext", "Network.policyUpdated"]
                .iter()
                .any(|known| method.starts_with(known)),
        }
    };
    let other = browser.events.iter().find(|event| !is_expected(event));
    ensure(other.is_none(), format!("{name}: {other:?}"))?;
    Ok(Looked { markup, text })
}
