//! Datagrams of mode 6: each has two bytes of length before it. What they are put together to is no longer than the limit.

use clockgate::daemon::ntp_control::{ControlRequest, ControlResponse, Operation};

/// RFC 9327: offsets have 16 bits, and so has what ntpd sends.
const MOST: usize = 64 * 1024;
const QUESTION: ControlRequest =
    ControlRequest { operation: Operation::ReadVariables, association: 7, sequence: 0x0102 };

pub fn check(data: &[u8]) {
    let mut answer = ControlResponse::default();
    let mut rest = data;
    while let Some((&[high, low], after)) = rest.split_first_chunk::<2>() {
        let (datagram, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([high, low]) & 0x3ff)));
        rest = after;
        let before = answer.size();
        if answer.take(datagram, QUESTION).is_err() {
            assert_eq!(answer.size(), before, "kept, and refused");
        }
        assert!(answer.size() <= MOST, "{} bytes are kept", answer.size());
    }
    if answer.is_whole() {
        let size = answer.size();
        assert_eq!(answer.whole().len(), size);
    }
    parted(data);
}

/// The data itself, sent in pieces, forwards and backwards, and each of them twice.
fn parted(data: &[u8]) {
    let length = 4 + usize::from(data.first().copied().unwrap_or(0));
    let pieces: Vec<Vec<u8>> =
        data.chunks(length).take(40).enumerate().map(|(i, piece)| sent(i * length, piece)).collect();
    let data = &data[..data.len().min(40 * length)];
    let Some(last) = pieces.len().checked_sub(1) else { return };
    let marked = |i: usize| {
        let mut piece = pieces[i].clone();
        piece[1] = if i == last { 0x82 } else { 0xa2 };
        piece
    };
    let orders: [Vec<usize>; 2] = [(0..=last).collect(), (0..=last).rev().collect()];
    for order in orders {
        let mut answer = ControlResponse::default();
        for (number, i) in order.iter().enumerate() {
            assert!(!answer.is_whole(), "whole after {number} of {} pieces", last + 1);
            for _ in 0..2 {
                assert_eq!(answer.take(&marked(*i), QUESTION), Ok(()));
            }
        }
        assert!(answer.is_whole());
        assert_eq!(answer.whole(), data);
    }
}

fn sent(offset: usize, piece: &[u8]) -> Vec<u8> {
    let two = |number: usize| u16::try_from(number).unwrap().to_be_bytes();
    let ([o1, o2], [c1, c2]) = (two(offset), two(piece.len()));
    let mut bytes = vec![0xd6, 0xa2, 1, 2, 0, 0, 0, 7, o1, o2, c1, c2];
    bytes.extend_from_slice(piece);
    bytes
}
