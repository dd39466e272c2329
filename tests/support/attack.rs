//! What an attacker on the road to a server, or beside it, sends in the server's name.

use std::net::UdpSocket;

use super::road::Meeting;

/// As many packets as the attacker beside the path sends.
pub const SPRAY: usize = 100_000;
/// As many kisses of death.
pub const KISSES: usize = 5_000;
/// The receive timestamp's first byte but two, which moves the time by 18 hours.
const TIME: [usize; 2] = [33, 41];
/// Where a packet has the number of the question that it answers, and where a question has its own (RFC 5905 section 7.3).
const ORIGIN: std::ops::Range<usize> = 24..32;
const NUMBER: std::ops::Range<usize> = 40..48;

/// A packet that says another time.
pub fn lie(answer: &[u8]) -> Vec<u8> {
    let mut lie = answer.to_vec();
    TIME.iter().for_each(|at| lie[*at] ^= 1);
    lie
}

/// An old answer under the number of this question.
pub fn renumbered(old: &[u8], question: &[u8]) -> Vec<u8> {
    let mut packet = old.to_vec();
    packet[ORIGIN].copy_from_slice(&question[NUMBER]);
    packet
}

/// A kiss of death to a question.
pub fn kiss(code: &[u8; 4], question: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 48];
    packet[..4].copy_from_slice(&[0o344, 0, 17, 0xEC]);
    packet[12..16].copy_from_slice(code);
    packet[ORIGIN].copy_from_slice(&question[NUMBER]);
    packet[32..40].copy_from_slice(&[0xEE; 8]);
    packet[NUMBER].copy_from_slice(&[0xEE; 8]);
    packet
}

/// A flood of kisses, to this question or, of who does not see it, to another one.
pub fn kisses(meeting: &Meeting<'_>, is_seen: bool) {
    let question = if is_seen { meeting.question } else { &[7; 48] };
    for n in 0..KISSES {
        meeting.send(&kiss(if n % 2 == 0 { b"RATE" } else { b"DENY" }, question));
    }
}

/// Knows even the port that is asked from, which an attacker beside the path has to guess: from the server's own address under
/// numbers that were not asked, then from another port of it, then from another address. How many were sent.
pub fn spray(meeting: &Meeting<'_>, elsewhere: &[UdpSocket; 2]) -> usize {
    let mut packet = lie(meeting.answer);
    let mut sent = 0;
    for n in 0..SPRAY {
        packet[ORIGIN].copy_from_slice(&(n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        if n * 3 < SPRAY {
            sent += usize::from(meeting.send(&packet));
        } else {
            // The right number helps nobody who sends from elsewhere.
            packet[ORIGIN].copy_from_slice(&meeting.answer[ORIGIN]);
            let from = &elsewhere[usize::from(n * 3 >= SPRAY * 2)];
            sent += usize::from(from.send_to(&packet, meeting.client).is_ok());
        }
    }
    sent
}
