//! An answer to a client's question: what is taken obeys RFC 5905, and only who has seen the question is heard.

use std::sync::OnceLock;
use std::time::Duration;

use clockgate::decision::Realtime;
use clockgate::reference::ntp::packet::{MAX_DISTANCE, Nonce, PACKET_LEN, Reply, origin, parse, request};
use clockgate::reference::ntp::sample::{Sent, reckon};
use clockgate::reference::ntp::symmetric::{self, SymmetricKey};

const PIVOT: Realtime = Realtime::from_secs(1_793_491_200);
const KEYS: &str = "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n2 SHA1 abcdefgh\n3 SHA256 abcdefgh\n";
/// Half of an era, and what a fraction adds.
const HALF_ERA_SECS: i64 = (1 << 31) + 1;

pub fn check(data: &[u8]) {
    let asked = origin(data);
    assert_eq!(asked.is_some(), data.len() >= PACKET_LEN);
    let Some(asked) = asked else {
        assert!(parse(data, &[Nonce(0)]).is_err_and(|error| !error.is_answer()));
        return;
    };
    assert_eq!(&request(asked)[40..], &data[24..32], "the question has in it what the answer repeats");
    let another = Nonce(asked.0 ^ 1);
    let foreign = parse(data, &[another]);
    assert!(foreign.is_err_and(|error| !error.is_answer()), "{foreign:?} drops a server that was not asked");
    assert_eq!(parse(data, &[another, asked]), parse(data, &[asked]));
    // What follows the header is not read here.
    assert_eq!(parse(&data[..PACKET_LEN], &[asked]), parse(data, &[asked]));
    keyed(data);
    let Ok(reply) = parse(data, &[asked]) else { return };
    taken(&reply, data);
    reckoned(&reply, data);
}

fn taken(reply: &Reply, data: &[u8]) {
    let word = |at: usize| u64::from_be_bytes(data[at..at + 8].try_into().unwrap());
    assert!(data[0] & 7 == 4 && data[0] >> 6 != 3 && (3..=4).contains(&(data[0] >> 3 & 7)));
    assert!((1..=15).contains(&reply.stratum) && reply.stratum == data[1]);
    assert_eq!((reply.reference.0, reply.receive.0, reply.transmit.0), (word(16), word(32), word(40)));
    assert!(reply.receive.0 != 0 && reply.transmit.0 != 0);
    assert!(reply.root_delay / 2 + reply.root_dispersion + reply.precision <= MAX_DISTANCE);
    assert_eq!(reply.reference_id, data[12..16]);
}

/// The offset lies in the middle of what the exchange allows, and the distance covers all of it.
fn reckoned(reply: &Reply, data: &[u8]) {
    let near = reply.receive.near(PIVOT);
    assert!((near.as_secs() - PIVOT.as_secs()).abs() <= HALF_ERA_SECS);
    let elapsed = Duration::from_nanos(u64::from(data[4]) << (data[5] & 31));
    let sent = Sent { local: PIVOT, elapsed, uncertainty: Duration::from_micros(1) };
    let sample = reckon(&sent, reply, PIVOT);
    let served = reply.transmit.since(reply.receive).unwrap();
    assert_eq!(sample.delay, elapsed.saturating_sub(served));
    assert!(sample.root_distance >= sample.delay / 2 + reply.root_delay / 2 + reply.root_dispersion + reply.precision);
    let (t1, t2) = (i128::from(PIVOT.as_nanos()), i128::from(near.as_nanos()));
    let least = t2 + i128::try_from(served.as_nanos()).unwrap() - t1 - i128::try_from(elapsed.as_nanos()).unwrap();
    let (offset, distance) = (i128::from(sample.offset.as_nanos()), i128::try_from(sample.root_distance.as_nanos()));
    let (least, most) = (least.min(t2 - t1), least.max(t2 - t1));
    let is_in_range = least > i128::from(i64::MIN) && most < i128::from(i64::MAX);
    let distance = distance.unwrap();
    assert!(!is_in_range || (offset - distance <= least && most <= offset + distance), "{least} {offset} {most}");
}

/// Nothing but what a key has signed is taken for that.
fn keyed(data: &[u8]) {
    static ALL: OnceLock<Vec<SymmetricKey>> = OnceLock::new();
    for key in ALL.get_or_init(|| symmetric::parse(KEYS).unwrap()) {
        let signed = key.sign(data);
        assert_eq!(key.verify(&signed), Ok(()));
        if key.verify(data).is_ok() {
            let is_signed = (PACKET_LEN..data.len()).any(|length| key.sign(&data[..length]) == data);
            assert!(is_signed, "taken without a code");
        }
        let at = usize::from(data[0]) % signed.len();
        let mut changed = signed;
        changed[at] ^= 1 << (data[1] & 7);
        assert!(key.verify(&changed).is_err(), "byte {at} was changed");
    }
}
