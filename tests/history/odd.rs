//! Histories that are no files of ours, and questions that have no answer: both verbs say what is wrong, and wait for nothing.

use std::process::Command;

use crate::support::CLOCKGATE;
use crate::{host, line, put};

/// What is done to the host by a shell, what is asked, how that ends, and words of what is said.
struct Odd {
    host: &'static str,
    ask: &'static str,
    exit: i32,
    says: &'static str,
}

const fn odd(host: &'static str, ask: &'static str, exit: i32, says: &'static str) -> Odd {
    Odd { host, ask, exit, says }
}

/// Of both verbs.
const BOTH: [Odd; 20] = [
    odd("rm $file; mkfifo $file", "", 70, "a file of it is not a regular file"),
    odd("rm $file; ln -s /dev/zero $file", "", 70, "a file of it is not a regular file"),
    odd("rm $file; mkdir $file", "", 70, "a file of it is not a regular file"),
    odd(
        "rm -r $folder; touch $folder",
        "",
        70,
        "cannot read the history in ./var/lib/clockgate/history: Not a directory",
    ),
    odd("rm -r $folder; ln -s history $folder", "", 70, "Too many levels of symbolic links"),
    odd("mv $folder moved; ln -s $PWD/moved $folder", "", 0, "2023-11-14T22:13:21.000Z"),
    odd("ln -s $PWD/nowhere $folder/events.1.jsonl", "", 0, "2023-11-14T22:13:21.000Z"),
    odd("gzip -n $file; mv $file.gz $file", "", 0, "nothing is recorded"),
    odd("sed -i s/1,/2,/ $file", "", 0, "1 line skipped: torn, or written by a later version"),
    odd("", "--root nosuch", 2, "cannot read nosuch: No such file or directory"),
    odd(
        "",
        "--since 2100-01-01T00:00:00Z",
        0,
        "the history is from 2023-11-14T22:13:21.000Z to 2023-11-14T22:13:21.000Z",
    ),
    odd("", "--since 2023-11-14T23:13:21+01:00", 0, "2023-11-14T22:13:21.000Z"),
    odd("", "--since 2026-11-24", 2, "expected a duration before now such as 12h, or a time such as 2026-"),
    odd("", "--since yesterday", 2, "expected a duration before now such as 12h, or a time such as 2026-"),
    odd("", "--since=-1h", 2, "expected a duration before now such as 12h, or a time such as 2026-"),
    odd(
        "",
        "--until 2023-11-14T22:13:20Z",
        0,
        "nothing of that is recorded: the history is from 2023-11-14T22:13:21.000Z",
    ),
    odd("", "--until 2023-11-14T22:13:21Z", 0, "2023-11-14T22:13:21.000Z"),
    odd("", "--since 1h --until 2h", 2, "--until is before --since"),
    odd("", "--until tomorrow", 2, "expected a duration before now such as 12h, or a time such as 2026-"),
    odd("", "--since 1w", 2, "expected a duration before now such as 12h, or a time such as 2026-"),
];

const HISTORY: [Odd; 2] = [
    odd("", "--epoch 99", 0, "nothing of that is recorded: the history is from 2023-11-14T22:13:21.000Z"),
    odd("", "--epoch 99999999999999999999", 2, "number too large"),
];

const REPORT: [Odd; 8] = [
    odd("", "--html one --svg one", 2, "--html and --svg are two files, and have one name"),
    odd("", "--html one --svg ./one", 2, "--html and --svg are two files, and have one name"),
    odd("", "--html $PWD/one --svg var/../one", 2, "--html and --svg are two files, and have one name"),
    odd("mkdir a b", "--html a/one --svg b/one", 0, "2023-11-14T22:13:21.000Z"),
    odd("", "--svg - --since 2100-01-01T00:00:00Z", 0, "nothing of that is recorded"),
    odd("", "--html - --since 2100-01-01T00:00:00Z", 0, "nothing of that is recorded"),
    odd("", "--html /proc/one", 2, "cannot write /proc/one: No such file or directory"),
    odd("", "--html nosuch/one", 2, "cannot write nosuch/one: No such file or directory"),
];

pub fn answered() {
    for (verb, all) in [("history", &BOTH[..]), ("report", &BOTH), ("history", &HISTORY), ("report", &REPORT)] {
        all.iter().for_each(|odd| is_answered(verb, odd));
    }
}

fn is_answered(verb: &str, odd: &Odd) {
    let host = host("");
    put(&host, &line(1, 1, ""));
    let root = if odd.ask.contains("--root") { "" } else { "--root ." };
    let Odd { host: script, ask, exit, says } = odd;
    let script = format!(
        "folder=var/lib/clockgate/history; file=$folder/events.jsonl; {script}\nexec timeout 60 \"$0\" {verb} {root} {ask}"
    );
    let output = Command::new("sh").args(["-c", &script, CLOCKGATE]).current_dir(host.path()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.code() == Some(*exit) && said.contains(says), "{script}: {}: {said}", output.status);
    assert!(!said.contains("it is for root and the group"), "only where that is why: {script}: {said}");
}
