//! What a container runtime sends to `clockgate-nri`: as a conversation of frames, and as one message in frames of several sizes.

use std::io::Cursor;

use clockgate::container::exemption::{built_in, find};
use clockgate::waiter::nri::pod::{LIST_MAX, PodList, exempt, metadata};
use clockgate::waiter::nri::protobuf::{FIELDS_MAX, FieldValue, MessageBytes, fields};
use clockgate::waiter::nri::wire::{Incoming, MuxStream};

/// What a byte takes in memory at the most: two of them are an empty container.
const OF_A_BYTE: usize = 256;

pub fn check(data: &[u8]) {
    conversation(data);
    message(data);
    in_frames(data);
    again_and_again(data);
}

/// A list in very many messages, and a message that is a container very often, take no more memory than they may.
fn again_and_again(data: &[u8]) {
    let mut list = PodList::default();
    let container = MessageBytes::default().with(2, data).bytes();
    let containers = container.repeat((1 << 14) / container.len());
    for message in [data, &container, &containers] {
        let before = list.size();
        let _ = list.add(message);
        assert!(list.size() - before <= OF_A_BYTE * message.len(), "{} bytes of {}", list.size(), message.len());
        assert!(list.size() <= LIST_MAX);
    }
}

/// Of so many bytes no more messages come than have a header in them, and nothing is longer than they are.
fn conversation(data: &[u8]) {
    let mut stream = MuxStream::new(Cursor::new(data.to_vec()));
    for _ in 0..=data.len() / 10 {
        match stream.receive() {
            // What is no UTF-8 is replaced by three bytes.
            Ok(Incoming::Request { method, payload, .. }) => {
                assert!(payload.len() <= data.len() && method.len() <= 3 * data.len());
                message(&payload);
            }
            Ok(Incoming::Answer(outcome)) => assert!(outcome.err().is_none_or(|why| why.len() <= 3 * data.len())),
            Err(error) => return assert!(!error.to_string().is_empty()),
        }
    }
    panic!("more messages than {} bytes have", data.len());
}

/// The fields are the same when they are written again, and each reader of a request refuses what the others refuse.
fn message(data: &[u8]) {
    let read = metadata(data);
    let rules = built_in();
    let exempt = exempt(data, &rules);
    let mut list = PodList::default();
    assert_eq!((read.is_ok(), list.add(data).is_ok()), (exempt.is_ok(), exempt.is_ok()));
    if let (Ok(metadata), Ok(exempt)) = (&read, &exempt) {
        assert!(find(metadata, &rules).is_none() || !exempt.is_empty(), "exempt, and not among those that are");
    }
    let Ok(found) = fields(data) else { return assert!(read.is_err(), "malformed, and read") };
    assert!(found.len() <= FIELDS_MAX);
    let mut again = MessageBytes::default();
    for (number, value) in &found {
        again = match value {
            FieldValue::Number(value) => again.with_number(*number, *value),
            FieldValue::Bytes(bytes) => again.with(*number, bytes),
            FieldValue::Fixed => again,
        };
    }
    let again = again.bytes();
    assert!(again.len() <= data.len(), "written longer than it came");
    let kept = found.into_iter().filter(|(_, value)| *value != FieldValue::Fixed).collect::<Vec<_>>();
    assert_eq!(fields(&again), Ok(kept));
}

/// The data as the payload of a request, which is the same in frames of whatever size.
fn in_frames(data: &[u8]) {
    let request = MessageBytes::default().with(2, b"CreateContainer").with(3, data).bytes();
    let word = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    let sent = [&word(request.len())[..], &word(7), &[1, 0], &request].concat();
    let expected = Incoming::Request { stream: 7, method: "CreateContainer".to_owned(), payload: data.to_vec() };
    for size in [7, 10, 4096] {
        let frames = sent.chunks(size).flat_map(|part| [&word(1)[..], &word(part.len()), part].concat()).collect();
        let mut stream = MuxStream::new(Cursor::<Vec<u8>>::new(frames));
        assert_eq!(stream.receive().ok().as_ref(), Some(&expected), "in frames of {size} bytes");
    }
}
