//! Where inputs come from: captures and cases of the tests, and what the program itself writes.

use std::fs;
use std::path::Path;

use clockgate::config::print;
use clockgate::daemon::chrony::protocol::{Command, encode};
use clockgate::disruption::vm::vsock::protocol::{greeting, question, refusal};
use clockgate::reference::ntp::packet::{Nonce, request};
use clockgate::waiter::nri::protobuf::MessageBytes;

use super::bus_seeds;

/// A longer file is a log, of which no more is needed.
const LONGEST: usize = 16 * 1024;

pub type Inputs = Vec<(String, Vec<u8>)>;

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
        "nri_messages" => runtime_messages(),
        "vmclock_page" => vmclock_pages(),
        // As ntpsec 1.2.2 answered; shortened.
        "ntpd_variables" => texts(&[
            "leap=0, stratum=3, precision=-24, rootdelay=12.000, rootdisp=4.500, refid=192.0.2.1,\r\nreftime=0xec5e3c00.80000000, \
             offset=-1.250000, processor=\"x86_64\", system=\"Linux/6.1, x\"\0~~srcadr=192.0.2.1, srcport=123, \
             srchost=\"ntp.example\"\0  srcadr=192.0.2.9, srcport=1123, srchost=\"\"",
            "leap=3, stratum=16, rootdelay=0.000, rootdisp=0.180, refid=INIT, reftime=0x00000000.00000000, offset=0.000000",
            "leap=01, stratum=1, rootdelay=0, rootdispersion=1, offset=0\0aasrcadr=0.0.0.0, srcport=0, srchost=\"0.pool.example\"\0\
             \u{14}\u{14}srcadr=2001:db8::5\0aasrcadr=127.127.28.0, srchost=\"SHM(0)\"\0~~srcadr=fe80::1%2",
        ]),
        "http_reply" => texts(&[
            "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 15 Jan 2027 12:00:00 GMT\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nDATE: Friday, 15-Jan-27 12:00:00 GMT\r\nX-Cache: MISS from edge\r\n\r\n",
            "HTTP/1.0 302 Found\r\nLocation: //login.hotel.example/?u=a\r\nDate: Fri Jan 15 12:00:00 2027\r\n\r\n",
            "HTTP/1.1 200 OK\r\nAge: 17\r\nVia: 1.1 squid\r\nCache-Status: edge; hit; ttl=3\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 511 Network Authentication Required\r\n\r\n",
        ]),
        "journal_entry" => texts(&[
            r#"{"__REALTIME_TIMESTAMP":"1790000000000001","__MONOTONIC_TIMESTAMP":"5000000","_BOOT_ID":"5c7a1f","_COMM":"chronyd","MESSAGE":"System clock was stepped by 3600.000100 seconds"}"#,
            r#"{"_COMM":"python3","SYSLOG_IDENTIFIER":"systemd-timesyncd","MESSAGE":"System clock wrong by 9.1 seconds","__MONOTONIC_TIMESTAMP":"77","_BOOT_ID":"b","__REALTIME_TIMESTAMP":"1"}"#,
            r#"{"_BOOT_ID":"b","MESSAGE_ID":"8811e6df2a8e40f58a94cea26f8ebf14","__REALTIME_TIMESTAMP":"9","__MONOTONIC_TIMESTAMP":"9","MESSAGE":[83,255]}"#,
        ]),
        "server_lines" => server_lines(),
        "ntpd_rs_report" => ntpd_rs_answers(),
        // As 6.2p3 prints it.
        "openntpd_report" => texts(&[
            "1/1 peers valid, clock unsynced\n\npeer\n   wt tl st  next  poll          offset       delay      jitter\n10.77.0.1 \n    1  9  2    7s   33s         0.134ms     0.172ms     0.087ms\n",
            "2/4 peers valid, 1/1 sensors valid, clock synced, stratum 3\n\npeer\n192.0.2.2 from pool 0.debian.pool.ntp.org\n *  1 10  2   45s  980s        -9.901ms    67.000ms    29.000ms\nnot resolved lan.example\n    1  2  -   12s   15s             ---- peer not valid ----\n\nsensor\nnmea0  GPS\n * 10  1  0    1s   15s        -0.673ms     0.600ms\n",
            "0/1 peers valid, clock unsynced, clock offset is 3600000.000ms\n\npeer\n2001:db8::1 ntp.example\n    1  2  -   12s\n",
        ]),
        "bus_replies" => bus_seeds::replies(),
        "bus_messages" => bus_seeds::messages(),
        "cgroup_events" => texts(&[
            "populated 1\nfrozen 0\n",
            "populated 0\nfrozen 1\n",
            "frozen 1\npopulated 1",
            "populated 10\n\nfrozen 1\nfrozen 0\nother 1\n",
        ]),
        "kernel_texts" => texts(&[
            "29 1 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n31 1 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n40 1 0:30 / /mnt/a\\040b rw - ext4 /dev/vda1 rw\n",
            "12:freezer:/docker/3f2a\n0::/system.slice/docker-3f2a.scope (deleted)\n",
            "0::/../../user.slice/user@1000.service\n",
            "0.000000 1793491200 0.000000\n1793491200\nLOCAL\n",
            "my) S 1 2 3 4 (vm",
        ]),
        "user_credentials" => texts(&[
            r#"{"ProviderType":"sso","Credentials":{"AccessKeyId":"A","SecretAccessKey":"B","SessionToken":"C","Expiration":"2026-10-31T12:00:00UTC"}}"#,
            r#"{"startUrl":"https://a.example","region":"eu-west-1","accessToken":"A","expiresAt":"2026-10-31T12:00:00Z"}"#,
            r#"{"clientId":"A","clientSecret":"B","expiresAt":"2027-01-01T00:00:00+14:00"}"#,
        ]),
        "portal_reply" => texts(&[
            "HTTP/1.1 302 Found\r\nLocation: https://login.hotel.example/?u=a\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 511 Network Authentication Required\r\n\r\n<html>",
            "HTTP/1.0 502 Bad Gateway\r\nVia: 1.1 squid\r\nlocation: \t/\x7f\r\n\r\n",
        ]),
        "kubeconfig" => kubeconfigs(),
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

/// What containerd sends of a pod's container, alone and in the frames of a conversation.
fn runtime_messages() -> Inputs {
    let text = |fields: &[(u64, &[u8])]| {
        let message = MessageBytes::default();
        fields.iter().fold(message, |message, (number, bytes)| message.with(*number, bytes)).bytes()
    };
    let label = text(&[(1, b"io.kubernetes.pod.name"), (2, b"shop-0")]);
    let exempt = text(&[(1, b"clockgate.exempt"), (2, b"true")]);
    let pod = text(&[(1, b"p1"), (2, b"shop-0"), (4, b"default"), (5, &label), (6, &exempt)]);
    let linux = text(&[(5, b"/kubepods/pod1/c1")]);
    let container =
        text(&[(1, b"c1"), (2, b"p1"), (3, b"web"), (5, &label), (7, b"/usr/bin/web"), (7, b"-x"), (11, &linux)]);
    let create = text(&[(1, &pod), (2, &container)]);
    let request = text(&[(1, b"nri.pkg.api.v1alpha1.Plugin"), (2, b"CreateContainer"), (3, &create)]);
    let refused = MessageBytes::default().with_number(1, 3).with(2, b"invalid index").bytes();
    let framed = |connection: u8, stream: u8, kind: u8, data: &[u8]| {
        let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let message = [&length(data.len())[..], &[0, 0, 0, stream], &[kind, 0], data].concat();
        [&[0, 0, 0, connection][..], &length(message.len()), &message].concat()
    };
    let answer = framed(2, 1, 2, &text(&[(1, &refused)]));
    vec![
        ("a request to create".to_owned(), create),
        ("a conversation".to_owned(), [answer.clone(), framed(1, 7, 1, &request)].concat()),
        ("a connection that is not open".to_owned(), [framed(9, 1, 1, b"noise"), answer].concat()),
        ("the fields of fixed width".to_owned(), [&[0x09][..], &[0; 8], &[0x15], &[0; 4], &[0x08, 0x07]].concat()),
    ]
}

/// In the layout of the specification, with the time and without; the last one is being written.
fn vmclock_pages() -> Inputs {
    let page = |sequence: u8, flags: [u8; 2]| {
        let mut bytes = vec![0; 112];
        bytes[..12].copy_from_slice(b"VCLK\0\x10\0\0\x01\0\x01\0");
        (bytes[12], bytes[16]) = (sequence, 7);
        bytes[24..26].copy_from_slice(&flags);
        bytes[34] = 2;
        (bytes[72], bytes[104]) = (9, 3);
        bytes
    };
    let pages = [("time", page(2, [0x51, 0x03])), ("marker", page(2, [0, 0])), ("half written", page(3, [0x51, 0]))];
    pages.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

fn server_lines() -> Inputs {
    texts(&[
        "# chrony.conf\npool 2.debian.pool.ntp.org iburst maxsources 2\nserver ntp.example nts port 1123\nrefclock PHC /dev/ptp0\nbindcmdaddress /run/chrony/chronyd.sock\n",
        "server -4 192.0.2.1 key 7\npeer 2001:db8::1\nserver 127.127.1.0\nserver 127.127.28.0 prefer\n",
        "servers pool.ntp.org weight 5\nserver \"a.example\"\nsensor *\n! comment\n",
        "[Time]\nNTP=a.example b.example\nNTP=\nNTP=c.example\nFallbackNTP=0.debian.pool.ntp.org 2001:db8::5\n",
        "[General]\nFallbackTimeservers=0.pool.example, ntp.example\n",
        "[[source]]\nmode = \"nts\"\naddress = \"ntp.example:4460\"\n[[source]]\nmode = \"pool\"\naddress = \"pool.ntp.org\"\n[[source]]\nmode = \"sock\"\npath = \"/run/s\"\n",
        "ntpd -N -p pool.ntp.org -p keyno:1:192.0.2.1 -p /run/ntpd.pid",
    ])
}

/// As ntpd-rs 1.6 writes it, with the length that comes before it and without.
fn ntpd_rs_answers() -> Inputs {
    let source = |name: &str, cookies: &str| {
        format!(
            r#"{{"offset":0.012,"uncertainty":0.0004,"delay":0.02,"remote_delay":0.003,"remote_uncertainty":0.001,"last_update":{{"timestamp":17031226531276472320}},"unanswered_polls":0,"poll_interval":6,"nts_cookies":{cookies},"name":"{name}","address":"192.0.2.1:123","id":7}}"#
        )
    };
    let report = |leap: &str, sources: &[String]| {
        format!(
            r#"{{"program":{{"version":"1.6.2"}},"system":{{"stratum":2,"leap_indicator":"{leap}","root_delay":0.02}},"sources":[{}],"servers":[]}}"#,
            sources.join(",")
        )
    };
    let plain = report("NoWarning", &[source("ntp.example:123", "null"), source("/run/chrony.sock", "null")]);
    let keyed = report("Leap61", &[source("ntp.example:4460", "8"), source("other.example:4460", "3")]);
    let mut inputs = texts(&[&plain, &keyed, &report("Unknown", &[])]);
    inputs.push(("with its length".to_owned(), [&(plain.len() as u64).to_be_bytes()[..], plain.as_bytes()].concat()));
    inputs
}

/// As kubeadm writes it; with a token; and what an API server and a kubelet's certificate say.
fn kubeconfigs() -> Inputs {
    let file = |cluster: &str, user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    {cluster}\n    server: https://10.0.0.1:6443\n  name: kubernetes\n\
             contexts:\n- context:\n    cluster: kubernetes\n    user: system:node:web-1\n  name: a@b\ncurrent-context: a@b\n\
             users:\n- name: system:node:web-1\n  user:\n    {user}\n"
        )
    };
    let certificate = "client-certificate: /var/lib/kubelet/pki/current.pem\n    client-key: pki/current.pem";
    let mut inputs = texts(&[
        &file("certificate-authority-data: Q0E=", certificate),
        &file("certificate-authority: ca.crt\n    tls-server-name: api.example", "token: abc"),
        &file("insecure-skip-tls-verify: true", "exec: {command: aws}"),
        r#"{"kind":"Status","status":"Failure","message":"nodes \"web-1\" is forbidden\u001b[2J","code":403}"#,
    ]);
    inputs.push(("a name".to_owned(), b"\x06\x03U\x04\x03\x13\x11system:node:web-1".to_vec()));
    inputs
}
