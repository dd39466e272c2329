//! The page: one file, which loads and runs nothing, whatever containers and references are called.

use std::io::Write as _;
use std::process::{Command, Stdio};

use clockgate::history::FOLDER;
use clockgate::report::STYLE_HASH;
use serde_json::Value;

use crate::cases::report;
use crate::night;
use crate::support::host::HostFolder;
use crate::support::{Outcome, ensure};

/// Names that would do something if they were markup.
const HOSTILE: [&str; 3] = [
    "<script>document.title='taken'</script>",
    "\"><img src=x onerror=document.title='taken'>",
    "</title></svg></style><iframe src=//example>\u{202e}\u{0}",
];

/// The night with other names.
fn hostile_host() -> Outcome<HostFolder> {
    let host = HostFolder::new(&[])?;
    let mut lines = String::new();
    for line in night::lived().0 {
        let mut record: Value = serde_json::from_str(&line)?;
        if let Some(containers) = record["frozen_containers"].as_array_mut() {
            containers.iter_mut().zip(HOSTILE).for_each(|(container, name)| container["name"] = name.into());
        }
        for answer in record["answers"].as_array_mut().into_iter().flatten() {
            answer["source"] = format!("{} {}", HOSTILE[1], answer["source"]).into();
        }
        lines.push_str(&format!("{record}\n"));
    }
    host.put(&format!("{FOLDER}/events.jsonl"), &lines)?;
    Ok(host)
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
