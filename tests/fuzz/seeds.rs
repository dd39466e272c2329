//! Where inputs come from: captures and cases of the tests, and what the program itself writes.

use std::fs;
use std::path::Path;

use clockgate::config::print;
use clockgate::daemon::chrony::protocol::{Command, encode};
use clockgate::disruption::vm::vsock::protocol::{greeting, question, refusal};
use clockgate::reference::ntp::packet::{Nonce, request};

/// A longer file is a log, of which no more is needed.
const LONGEST: usize = 16 * 1024;

type Inputs = Vec<(String, Vec<u8>)>;

/// The inputs of a target, by name.
pub fn of(target: &str) -> Inputs {
    match target {
        "ntp_packet" => ntp_packets(),
        "ntp_key_file" => texts(&[
            "# ntp.keys\n1 MD5 secret\n",
            "10 AES128 HEX:000102030405060708090A0B0C0D0E0F\n11 SHA1 a-word-of-it\n",
            "1 SHA256 ASCII:a-word-of-it # beside\n! a comment\n2 SHA1 HEX:0011223344556677\n",
            "3 SHA1 0011223344556677889900112233445566778899 192.0.2.1\n",
        ]),
        "nts_records" => nts_answers(),
        "nts_fields" => nts_fields(),
        "chronyd_reply" => chronyd_replies(),
        "ntpd_control" => ntpd_answers(),
        "gate_page" => pages(),
        "config_yaml" => {
            let mut inputs = texts(&[&print::sample()]);
            inputs.extend(files(&["tests/config", "tests/cases", "tests/upgrades/kept", "examples"], &[".yaml"], ""));
            inputs
        }
        "explain_patterns" => files(&["src/explain/patterns", "src/daemon"], &[".yaml"], ""),
        "explain_text" => {
            let mut inputs = files(&["tests/explain"], &["/message", ".log", ".txt", ".pem"], "");
            for list in ["samples.txt", "independent.txt", "mentions.txt"] {
                inputs.extend(lines(&format!("tests/explain/{list}")));
            }
            inputs
        }
        "ledger" => {
            let mut inputs = files(&["tests/upgrades/kept"], &["/ledger"], "");
            inputs.extend(texts(&["", "docker/a\nmachine.slice/with a blank.scope\n"]));
            inputs
        }
        "history" => {
            let mut inputs = files(&["tests/report", "tests/explain", "tests/upgrades"], &[".jsonl", "/history"], "");
            inputs.extend(lines("tests/upgrades/kept/events.jsonl"));
            inputs
        }
        "oci_call" => texts(&[
            "--root\0/run/docker/runtime-runc/moby\0--log\0/run/log.json\0--log-format\0json\0create\0--bundle\0/run/b\0--pid-file\0/p\0ab",
            "--systemd-cgroup\0--root=/run/crun\0restore\0--bundle=/b\0ab\0\0exempt = image:*/chrony*\nmax-wait = 10s\n",
            "delete\0--force\0ab\0\0no-agent = open\nno-agent-wait = 5s\npage = /run/p\nmax-wait.docker = infinity\n",
            "--unknown\0x\0create\0--\0ab",
            "--version",
        ]),
        "oci_bundle" => files(&["tests/container"], &["/config.json", "/config.v2.json", "/hostconfig.json"], ""),
        "vsock_lines" => texts(&[
            &greeting(),
            "notify post-restore wait=30000 time=yes",
            "notify pre-snapshot wait=0 time=no later=1",
            "time 7f3a9c 1793491200123456789 50000",
            &question(0x7f3a_9c00_0000_0001),
            &refusal("there is no such notice"),
            "answer {\"version\":1,\"gate\":\"open\",\"epoch\":7}",
        ]),
        "engine_json" => files(&["tests/install", "tests/upgrades/kept", "tests/container"], &["daemon.json"], ""),
        "engine_toml" => files(&["tests/install"], &[".toml", ".conf"], "0123"),
        _ => vec![],
    }
}

fn texts(texts: &[&str]) -> Inputs {
    texts.iter().enumerate().map(|(at, text)| (format!("text {at}"), text.as_bytes().to_vec())).collect()
}

/// The files below these folders whose paths end so; with one of `first` in front of each, where a target wants a byte there.
fn files(folders: &[&str], ends: &[&str], first: &str) -> Inputs {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = vec![];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            let name = path.to_string_lossy().into_owned();
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() && ends.iter().any(|end| name.ends_with(end)) {
                let mut bytes = fs::read(&path).unwrap();
                bytes.truncate(LONGEST);
                let firsts = first.bytes().map(|byte| [&[byte], &bytes[..]].concat());
                found.extend(firsts.map(|input| (name.clone(), input)));
                found.extend(Some((name, bytes)).filter(|_| first.is_empty()));
            }
        }
    }
    found
}

fn lines(file: &str) -> Inputs {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    (1..).zip(text.lines()).map(|(number, line)| (format!("{file}:{number}"), line.as_bytes().to_vec())).collect()
}

/// Packets that the unit tests of a room have in hexadecimal, over several lines too.
fn captured(folder: &str, at_least: usize) -> Inputs {
    let mut found = vec![];
    for (name, text) in files(&[folder], &[".rs"], "") {
        let text = String::from_utf8_lossy(&text).replace("\\\n", "");
        for (number, literal) in text.split('"').enumerate() {
            let digits: Vec<u8> =
                literal.chars().filter(|c| !c.is_whitespace()).map_while(|c| c.to_digit(16)).map(|d| d as u8).collect();
            let is_hex = literal.chars().all(|c| c.is_whitespace() || c.is_ascii_hexdigit());
            if is_hex && digits.len() >= 2 * at_least {
                let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
                found.push((format!("{name} {number}"), bytes));
            }
        }
    }
    found
}

fn ntp_packets() -> Inputs {
    let mut answer = request(Nonce(0x0123_4567_89ab_cdef));
    answer[0] = 0x24;
    answer[1] = 2;
    answer[3] = 0xe9;
    answer[6..8].copy_from_slice(&[1, 2]);
    answer[10..12].copy_from_slice(&[3, 4]);
    answer[12..16].copy_from_slice(&[192, 0, 2, 1]);
    answer.copy_within(40..48, 24);
    for at in [16, 32, 40] {
        answer[at..at + 5].copy_from_slice(&[0xec, 0x5e, 0x3c, 0x10, 0x80]);
    }
    answer[47] = 9;
    let mut kiss = answer;
    kiss[1] = 0;
    kiss[12..16].copy_from_slice(b"RATE");
    let mut unset = answer;
    unset[0] = 0xe4;
    let mut inputs: Inputs =
        [answer, kiss, unset].iter().enumerate().map(|(at, packet)| (format!("made {at}"), packet.to_vec())).collect();
    inputs.extend(captured("src/reference/ntp", 48));
    inputs
}

fn nts_answers() -> Inputs {
    let mut inputs = vec![];
    for (name, server) in [("plain", None), ("by name", Some("ntp.example")), ("by address", Some("2001:db8::1"))] {
        let mut bytes = vec![0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15];
        for cookie in 0..8 {
            bytes.extend([0, 5, 0, 100]);
            bytes.extend([cookie; 100]);
        }
        if let Some(server) = server {
            bytes.extend([0x80, 6, 0, server.len() as u8]);
            bytes.extend(server.as_bytes());
            bytes.extend([0x80, 7, 0, 2, 0x10, 0xe1]);
        }
        bytes.extend([0x80, 0, 0, 0]);
        inputs.push((name.to_owned(), bytes));
    }
    inputs.push(("refused".to_owned(), vec![0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0]));
    inputs
}

/// Fields that a server encrypts, behind those that it does not.
fn nts_fields() -> Inputs {
    let field = |kind: [u8; 2], length: u8| [&kind[..], &[0, length], &vec![7; usize::from(length) - 4]].concat();
    let cookies = field([2, 4], 104).repeat(3);
    let plain = field([3, 4], 20);
    vec![
        ("cookies".to_owned(), [&[0][..], &cookies].concat()),
        ("behind a plain one".to_owned(), [&[5][..], &plain, &cookies].concat()),
        ("unknown ones".to_owned(), [&[0][..], &field([9, 9], 16), &cookies].concat()),
        ("garbled".to_owned(), [&[0][..], &cookies, &[2, 4, 0, 7]].concat()),
    ]
}

/// Each with the number of its command in front.
fn chronyd_replies() -> Inputs {
    let order = [1_u16, 3, 14, 15, 33, 43, 44, 57, 65, 66, 67, 69];
    let mut inputs = captured("src/daemon/chrony/protocol", 28);
    for (_, bytes) in &mut inputs {
        let command = u16::from_be_bytes([bytes[4], bytes[5]]);
        bytes.insert(0, order.iter().position(|number| *number == command).unwrap_or(0) as u8);
    }
    // Of these two there is no capture: made from the request.
    for (which, command, code) in [(2, Command::SourceCount, 2), (8, Command::SourceName, 19)] {
        let mut reply = encode(command, 0, 0, &[]);
        reply[1] = 2;
        reply[7] = code;
        reply[28..39].copy_from_slice(b"ntp.example");
        inputs.push((command.name().to_owned(), [&[which][..], &reply].concat()));
    }
    inputs
}

/// Each with its length in front.
fn ntpd_answers() -> Inputs {
    let fragment = |second: u8, offset: u8, data: &[u8]| {
        let mut bytes = vec![0, 12 + data.len() as u8, 0xd6, second, 1, 2, 0, 0, 0, 7, 0, offset, 0, data.len() as u8];
        bytes.extend_from_slice(data);
        bytes
    };
    let (begin, end) = (fragment(0xa2, 0, b"leap=0, "), fragment(0x82, 8, b"stratum=2"));
    vec![
        ("in order".to_owned(), [begin.clone(), end.clone()].concat()),
        ("backwards".to_owned(), [end, begin].concat()),
        ("refused".to_owned(), fragment(0xc2, 0, b"")),
    ]
}

fn pages() -> Inputs {
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades/kept/page.hex")).unwrap();
    let digits: Vec<u8> = kept.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).take(4096).collect();
    [0x00_u8, 0x7f, 0xff, 0x0f].iter().map(|kept| (format!("kept {kept:x}"), [&[*kept][..], &bytes].concat())).collect()
}
