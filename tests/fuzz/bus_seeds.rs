//! What comes over the bus: messages as zbus writes them, and the fields of timesyncd's and ConnMan's answers.

use std::collections::HashMap;

use serde::Serialize;
use zbus::message::Message;
use zbus::{DynamicType, Variant};

use super::seeds::Inputs;

/// Signals and replies of logind, systemd, timesyncd and ConnMan, and the same with values of other types.
pub fn messages() -> Inputs {
    let names = |new: &str| ("org.freedesktop.login1", "", new.to_owned());
    let ntp = (0_u32, 4_u32, 4_u32, 2_u32, -23_i32, 500_u64, 900_u64, vec![192_u8, 0, 2, 1]);
    let properties = HashMap::from([("Timeservers", Variant::from(vec!["a.example", "192.0.2.1"]))]);
    let all = [
        signal("PrepareForSleep", &true),
        signal("PrepareForSleep", &false),
        signal("PrepareForSleep", &"true"),
        signal("PrepareForSleep", &()),
        signal("NameOwnerChanged", &names(":1.7")),
        signal("NameOwnerChanged", &names("")),
        reply(&Variant::from("active")),
        reply(&Variant::from(true)),
        reply(&Variant::from(5_000_000_u64)),
        reply(&Variant::from((2_i32, vec![192_u8, 0, 2, 1]))),
        reply(&Variant::from(ntp)),
        reply(&Variant::from(vec!["0.pool.example", "ntp.example"])),
        reply(&properties),
        reply(&true),
    ];
    let whole = all.concat();
    let cut = all[0][..all[0].len() - 1].to_vec();
    let each = all.into_iter().enumerate().map(|(at, bytes)| (format!("message {at}"), bytes));
    each.chain([("all of them".to_owned(), whole), ("one that is cut".to_owned(), cut)]).collect()
}

fn signal(member: &'static str, body: &(impl Serialize + DynamicType)) -> Vec<u8> {
    let (interface, sender) = match member {
        "NameOwnerChanged" => ("org.freedesktop.DBus", "org.freedesktop.DBus"),
        _ => ("org.freedesktop.login1.Manager", ":1.5"),
    };
    let signal = Message::signal("/org/freedesktop/login1", interface, member).sender(sender);
    signal.build(body).unwrap().data().to_vec()
}

fn reply(body: &(impl Serialize + DynamicType)) -> Vec<u8> {
    let question = Message::method_call("/", "Get").build(&()).unwrap();
    Message::method_return(&question.header()).sender(":1.5").build(body).unwrap().data().to_vec()
}

/// The fields of a message, and lists of servers behind them.
pub fn replies() -> Inputs {
    let message = |bytes: [u8; 5], words: [u64; 6], text: &str| {
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        [&bytes[..], &words, text.as_bytes()].concat()
    };
    let noon = 1_800_014_400_000_000;
    let lists = "Timeservers=a.example 192.0.2.1\nTimeservers=b.example\nTimeservers.Configuration=a.example b.example";
    vec![
        ("behind".into(), message([0, 4, 2, 0xe9, 0], [500, 900, noon, noon + 9000, noon + 9001, noon + 4001], lists)),
        (
            "stepped".into(),
            message([1, 4, 1, 0xec, 0], [0, 0, noon, noon + 9_000_000, noon + 9_000_001, noon + 4001], ""),
        ),
        ("no answer yet".into(), message([0; 5], [0; 6], "Timeservers=\n=x")),
        ("a spike".into(), message([2, 4, 15, 4, 1], [u64::MAX; 6], lists)),
    ]
}
