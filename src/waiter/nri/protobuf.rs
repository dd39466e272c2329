//! The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as far as a few fields take it.

/// What keeps bytes from being a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMessage {
    /// They end within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A number has more than 64 bits.
    #[error("the message has a number of more than 64 bits")]
    TooWide,
    /// A field of a kind that no version of the format has.
    #[error("the message has a field of the unknown wire type {0}")]
    UnknownType(u64),
    /// More fields than any message has that a runtime makes of what an API server takes.
    #[error("the message has more than {FIELDS_MAX} fields")]
    TooManyFields,
    /// The runtime's list of pods and containers, with all that is said of them.
    #[error("the list of pods and containers is longer than {0} bytes")]
    ListTooLong(usize),
}

/// An API server takes annotations of 256 KiB for a pod (`TotalAnnotationSizeLimitB` of Kubernetes), which are 87,000 if each is as
/// short as can be. An empty message takes two bytes, and a field of it many more in memory.
pub const FIELDS_MAX: usize = 1 << 18;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// An integer or a truth.
    Number(u64),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    /// A number of fixed width, which no field that we read has.
    Fixed,
}

impl<'a> FieldValue<'a> {
    /// The number; zero where it is none.
    pub const fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) | Self::Fixed => 0,
        }
    }

    /// The bytes; empty where it has none.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) | Self::Fixed => &[],
        }
    }

    /// The text, and what is no UTF-8 in it replaced.
    pub fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The fields of a message in their order: number and value.
///
/// # Errors
/// [`MalformedMessage`].
pub fn fields(mut rest: &[u8]) -> Result<Vec<(u64, FieldValue<'_>)>, MalformedMessage> {
    let mut found = vec![];
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => FieldValue::Number(varint(&mut rest)?),
            1 => take(&mut rest, 8).map(|_| FieldValue::Fixed)?,
            2 => {
                let length = varint(&mut rest)?;
                FieldValue::Bytes(take(&mut rest, usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => take(&mut rest, 4).map(|_| FieldValue::Fixed)?,
            other => return Err(MalformedMessage::UnknownType(other)),
        };
        if found.len() == FIELDS_MAX {
            return Err(MalformedMessage::TooManyFields);
        }
        found.push((key >> 3, value));
    }
    Ok(found)
}

fn varint(rest: &mut &[u8]) -> Result<u64, MalformedMessage> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?.first().copied().unwrap_or_default();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(MalformedMessage::TooWide)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], MalformedMessage> {
    let (taken, after) = rest.split_at_checked(length).ok_or(MalformedMessage::Truncated)?;
    *rest = after;
    Ok(taken)
}

/// A message that is written field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageBytes(Vec<u8>);

impl MessageBytes {
    /// With a text, or with a message as its bytes.
    #[must_use]
    pub fn with(mut self, number: u64, bytes: &[u8]) -> Self {
        self.put(number << 3 | 2);
        self.put(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// With an integer or a truth.
    #[must_use]
    pub fn with_number(mut self, number: u64, value: u64) -> Self {
        self.put(number << 3);
        self.put(value);
        self
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn put(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = vec![b'x'; 300];
        let bytes = MessageBytes::default().with(1, &text).with_number(500, u64::MAX).with(3, b"").bytes();
        let read = fields(&bytes).unwrap();
        let expected =
            [(1, FieldValue::Bytes(&text)), (500, FieldValue::Number(u64::MAX)), (3, FieldValue::Bytes(b""))];
        assert_eq!(read, expected);
    }

    #[test]
    fn fields_of_fixed_width_are_passed_over() {
        let bytes = [&[0x09][..], &[0; 8], &[0x15], &[0; 4], &[0x08, 0x07]].concat();
        assert_eq!(
            fields(&bytes).unwrap(),
            [(1, FieldValue::Fixed), (2, FieldValue::Fixed), (1, FieldValue::Number(7))]
        );
    }

    #[test]
    fn a_message_of_very_many_fields_is_refused() {
        let message = |count: usize| [0x12, 0].repeat(count);
        assert_eq!(fields(&message(FIELDS_MAX)).unwrap().len(), FIELDS_MAX);
        assert_eq!(fields(&message(FIELDS_MAX + 1)), Err(MalformedMessage::TooManyFields));
    }

    #[test]
    fn every_length_and_random_bytes_are_a_message_or_an_error() {
        let whole = MessageBytes::default().with(1, b"abc").with_number(2, 300).bytes();
        let cut = |length: usize| fields(&whole[..length]).is_ok();
        assert_eq!((0..=whole.len()).filter(|length| cut(*length)).collect::<Vec<_>>(), [0, 5, whole.len()]);
        assert_eq!(fields(&[0x80; 11]), Err(MalformedMessage::TooWide));
        assert_eq!(fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]), Err(MalformedMessage::Truncated));
        assert_eq!(fields(&[0x0b]), Err(MalformedMessage::UnknownType(3)));
        for seed in 0..=255_u8 {
            let bytes: Vec<u8> = (0..64_u8).map(|n| n.wrapping_mul(31).wrapping_add(seed).rotate_left(3)).collect();
            let _ = fields(&bytes);
        }
    }
}
