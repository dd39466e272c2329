//! The packets: framing, and the scalars inside them. All numbers are big endian; offsets are counted from the start of the packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::decision::Offset;

use super::status::Status;

const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// A request has to be as long as its reply (chronyd will not be an amplifier) and not longer than the union of all requests
/// (528 bytes in 3.x). This length suits every command below in 3.5, 4.0, 4.3, 4.6 and 4.9.
pub const REQUEST_LEN: usize = 416;
const REQUEST_BODY: usize = 20;
const REPLY_HEADER: usize = 28;
/// Longer than any reply to what we ask (284 bytes, a source's name).
pub const REPLY_MAX: usize = 1024;

/// What clockgate asks of chronyd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// Take up polling again, every source.
    Online = 1,
    /// Poll quickly for a while, every source.
    Burst = 3,
    /// How many sources there are.
    SourceCount = 14,
    /// One source, by number.
    SourceData = 15,
    /// What chronyd believes of the clock.
    Tracking = 33,
    /// Step by what chronyd believes.
    Makestep = 43,
    /// How many sources are online, offline, in a burst.
    Activity = 44,
    /// The last packet of one source, by address.
    NtpData = 57,
    /// The name a source was configured with, by address; since 4.0.
    SourceName = 65,
    /// Forget every sample and any slew in progress; since 4.0.
    ResetSources = 66,
    /// How a source is authenticated, by address; since 4.0.
    AuthData = 67,
    /// How one source is selected, by number; since 4.0.
    SelectData = 69,
}

impl Command {
    /// What chronyc calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Burst => "burst",
            Self::SourceCount | Self::SourceData => "sources",
            Self::Tracking => "tracking",
            Self::Makestep => "makestep",
            Self::Activity => "activity",
            Self::NtpData => "ntpdata",
            Self::SourceName => "sourcename",
            Self::ResetSources => "reset sources",
            Self::AuthData => "authdata",
            Self::SelectData => "selectdata",
        }
    }

    /// The code of the reply that carries the answer; `ntpdata` has had two.
    const fn replies(self) -> &'static [u16] {
        match self {
            Self::Online | Self::Burst | Self::Makestep | Self::ResetSources => &[1],
            Self::SourceCount => &[2],
            Self::SourceData => &[3],
            Self::Tracking => &[5],
            Self::Activity => &[12],
            // 26 since 4.6: 20 bytes longer, the same up to there.
            Self::NtpData => &[16, 26],
            Self::SourceName => &[19],
            Self::AuthData => &[20],
            Self::SelectData => &[23],
        }
    }
}

/// A packet that is not what it claims to be: which field, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends before the field does.
    #[error("{len} bytes, too short for {field}")]
    Short {
        /// The field that is missing.
        field: &'static str,
        /// Bytes there are.
        len: usize,
    },
    /// A value that the field cannot have.
    #[error("{field} is {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

impl Malformed {
    pub(super) fn value(field: &'static str, value: impl ToString) -> Self {
        Self::Value { field, value: value.to_string() }
    }
}

/// A request, ready to be sent.
#[must_use]
pub fn encode(command: Command, sequence: u32, attempt: u16, body: &[u8]) -> [u8; REQUEST_LEN] {
    let mut packet = [0; REQUEST_LEN];
    packet[0] = VERSION;
    packet[1] = REQUEST;
    packet[4..6].copy_from_slice(&(command as u16).to_be_bytes());
    packet[6..8].copy_from_slice(&attempt.to_be_bytes());
    packet[8..12].copy_from_slice(&sequence.to_be_bytes());
    let len = body.len().min(REQUEST_LEN - REQUEST_BODY);
    packet[REQUEST_BODY..REQUEST_BODY + len].copy_from_slice(&body[..len]);
    packet
}

/// Reads the header of what may be the reply to a request; the status is chronyd's answer, good or bad.
///
/// # Errors
/// [`Malformed`] when it is something else: a late reply to an earlier request, or garbage.
pub fn decode(packet: &[u8], command: Command, sequence: u32) -> Result<(Status, ReplyFields<'_>), Malformed> {
    let fields = ReplyFields(packet);
    let expect = |field, got: u32, wanted: u32| if got == wanted { Ok(()) } else { Err(Malformed::value(field, got)) };
    expect("the protocol version", fields.byte(0, "the protocol version")?.into(), VERSION.into())?;
    expect("the packet type", fields.byte(1, "the packet type")?.into(), REPLY.into())?;
    expect("the command", fields.u16(4, "the command")?.into(), u32::from(command as u16))?;
    expect("the sequence number", fields.u32(16, "the sequence number")?, sequence)?;
    fields.bytes::<REPLY_HEADER>(0, "the header")?;
    let status = Status::from_code(fields.u16(8, "the status")?);
    let code = fields.u16(6, "the reply code")?;
    if status == Status::Success && !command.replies().contains(&code) {
        return Err(Malformed::value("the reply code", code));
    }
    Ok((status, fields))
}

/// The fields of a reply, by their place in the packet.
#[derive(Clone, Copy, Debug)]
pub struct ReplyFields<'a>(&'a [u8]);

impl ReplyFields<'_> {
    fn bytes<const N: usize>(&self, at: usize, field: &'static str) -> Result<[u8; N], Malformed> {
        let short = Malformed::Short { field, len: self.0.len() };
        self.0.get(at..at + N).and_then(|b| b.try_into().ok()).ok_or(short)
    }

    pub(super) fn byte(&self, at: usize, field: &'static str) -> Result<u8, Malformed> {
        self.bytes::<1>(at, field).map(|[b]| b)
    }

    pub(super) fn u16(&self, at: usize, field: &'static str) -> Result<u16, Malformed> {
        self.bytes(at, field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&self, at: usize, field: &'static str) -> Result<u32, Malformed> {
        self.bytes(at, field).map(u32::from_be_bytes)
    }

    /// A string that ends with its first zero byte.
    pub(super) fn text<const N: usize>(&self, at: usize, field: &'static str) -> Result<String, Malformed> {
        let bytes = self.bytes::<N>(at, field)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(N);
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| Malformed::value(field, "not text"))
    }

    pub(super) fn address(&self, at: usize, field: &'static str) -> Result<SourceAddress, Malformed> {
        self.bytes(at, field).and_then(|bytes| SourceAddress::decode(&bytes, field))
    }

    /// Seconds that cannot be negative.
    pub(super) fn duration(&self, at: usize, field: &'static str) -> Result<Duration, Malformed> {
        let secs = float(self.u32(at, field)?);
        Duration::try_from_secs_f64(secs).map_err(|_| Malformed::value(field, secs))
    }

    /// An offset that chronyd counts as we do: positive when the system clock is slow (`current_correction`, `ntpdata`'s).
    pub(super) fn offset_slow(&self, at: usize, field: &'static str) -> Result<Offset, Malformed> {
        Ok(Offset::from_nanos(nanos(float(self.u32(at, field)?))))
    }

    /// An offset that chronyd counts the other way: positive when the system clock is fast (`sources`').
    pub(super) fn offset_fast(&self, at: usize, field: &'static str) -> Result<Offset, Malformed> {
        Ok(-self.offset_slow(at, field)?)
    }
}

/// chrony's own floating point: a signed exponent of 7 bits, a signed coefficient of 25.
fn float(bits: u32) -> f64 {
    let signed = bits.cast_signed();
    let exponent = signed >> 25;
    let coefficient = (signed << 7) >> 7;
    f64::from(coefficient) * 2_f64.powi(exponent - 25)
}

/// The largest float is 2^62 seconds; an `as` cast stops at the ends of the type.
fn nanos(secs: f64) -> i64 {
    (secs * 1e9).round() as i64
}

/// A source's address, as chronyd names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceAddress {
    /// None: every source where a command takes one.
    Unspecified,
    /// An address; a reference clock's is its four letters.
    Ip(IpAddr),
    /// A source whose name is not resolved yet, by chronyd's number for it; since 4.0.
    Unresolved(u32),
}

impl SourceAddress {
    pub(super) const LEN: usize = 20;

    /// Sixteen bytes of address, the family (0 none, 1 IPv4, 2 IPv6, 3 unresolved), two bytes of nothing.
    pub(super) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let family: u16 = match self {
            Self::Unspecified => 0,
            Self::Ip(IpAddr::V4(ip)) => {
                bytes[..4].copy_from_slice(&ip.octets());
                1
            }
            Self::Ip(IpAddr::V6(ip)) => {
                bytes[..16].copy_from_slice(&ip.octets());
                2
            }
            Self::Unresolved(id) => {
                bytes[..4].copy_from_slice(&id.to_be_bytes());
                3
            }
        };
        bytes[16..18].copy_from_slice(&family.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; Self::LEN], field: &'static str) -> Result<Self, Malformed> {
        let fields = ReplyFields(bytes);
        match fields.u16(16, field)? {
            0 => Ok(Self::Unspecified),
            1 => Ok(Self::Ip(IpAddr::V4(Ipv4Addr::from(fields.bytes::<4>(0, field)?)))),
            2 => Ok(Self::Ip(IpAddr::V6(Ipv6Addr::from(fields.bytes::<16>(0, field)?)))),
            3 => Ok(Self::Unresolved(fields.u32(0, field)?)),
            other => Err(Malformed::value(field, format!("of family {other}"))),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet as it was captured.
    pub fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    /// What a captured reply says.
    pub fn parsed<T>(
        hex: &str,
        command: Command,
        parse: fn(&ReplyFields<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let packet = bytes(hex);
        let sequence = u32::from_be_bytes([packet[16], packet[17], packet[18], packet[19]]);
        decode(&packet, command, sequence).and_then(|(_, fields)| parse(&fields))
    }

    /// The coefficient's largest size that fits 25 bits with a sign.
    const COEFFICIENT_MAX: f64 = 16_777_215.0;

    /// The way back, as chronyd does it, for the round trip alone: no command that we send carries a float.
    fn to_float(value: f64) -> u32 {
        if value == 0.0 {
            return 0;
        }
        let mut exponent = value.abs().log2().floor() as i32 + 2;
        let mut coefficient = (value * 2_f64.powi(25 - exponent)).round();
        if coefficient.abs() > COEFFICIENT_MAX {
            exponent += 1;
            coefficient = (value * 2_f64.powi(25 - exponent)).round();
        }
        ((exponent as u32) << 25) | (coefficient as i32 as u32 & 0x01ff_ffff)
    }

    #[test]
    fn floats_are_read_as_chronyd_4_3_writes_them() {
        let known = [
            (0x0080_0000, 0.25),
            (0x0180_0000, -0.25),
            (0x0280_0000, 0.5),
            (0x0480_0000, 1.0),
            (0x06c0_0000, 3.0),
            (0x0740_0000, -3.0),
            (0, 0.0),
        ];
        for (bits, value) in known {
            assert_eq!(float(bits), value, "{bits:08x}");
            assert_eq!(to_float(value), bits, "{value}");
        }
    }

    #[test]
    fn a_slow_clock_is_a_positive_offset_whichever_way_chronyd_counts() -> Result<(), Malformed> {
        let half = to_float(0.5).to_be_bytes();
        assert_eq!(ReplyFields(&half).offset_slow(0, "current correction")?, Offset::from_nanos(500_000_000));
        assert_eq!(ReplyFields(&half).offset_fast(0, "latest measurement")?, Offset::from_nanos(-500_000_000));
        Ok(())
    }

    #[test]
    fn a_request_is_as_long_as_any_chronyd_takes_and_says_what_it_is() {
        let packet = encode(Command::Burst, 0x0102_0304, 2, &[9; 8]);
        assert_eq!(packet[..12], [6, 1, 0, 0, 0, 3, 0, 2, 1, 2, 3, 4]);
        assert_eq!((&packet[12..20], &packet[20..28], packet[28]), (&[0; 8][..], &[9; 8][..], 0));
    }

    fn ip() -> impl Strategy<Value = SourceAddress> {
        prop_oneof![
            Just(SourceAddress::Unspecified),
            any::<[u8; 4]>().prop_map(|b| SourceAddress::Ip(b.into())),
            any::<[u8; 16]>().prop_map(|b| SourceAddress::Ip(b.into())),
            any::<u32>().prop_map(SourceAddress::Unresolved),
        ]
    }

    proptest! {
        #[test]
        fn a_float_goes_there_and_back_with_seven_digits(value in -1e9_f64..1e9) {
            let back = float(to_float(value));
            prop_assert!((back - value).abs() <= value.abs() * 1e-7, "{value} became {back}");
        }

        #[test]
        fn every_pattern_of_bits_is_a_finite_number(bits: u32) {
            prop_assert!(float(bits).is_finite());
            nanos(float(bits));
        }

        #[test]
        fn an_address_goes_there_and_back(address in ip()) {
            prop_assert_eq!(SourceAddress::decode(&address.encode(), "address"), Ok(address));
        }

        #[test]
        fn garbage_is_refused_and_nothing_panics(packet in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(decode(&packet, Command::Tracking, 77).is_err() || packet.len() >= REPLY_HEADER);
        }

        #[test]
        fn a_reply_to_another_request_is_refused(sequence: u32, other: u32) {
            prop_assume!(sequence != other);
            let mut packet = [0; REPLY_HEADER];
            packet[..10].copy_from_slice(&[6, 2, 0, 0, 0, 66, 0, 1, 0, 0]);
            packet[16..20].copy_from_slice(&sequence.to_be_bytes());
            prop_assert!(decode(&packet, Command::ResetSources, sequence).is_ok());
            prop_assert!(decode(&packet, Command::ResetSources, other).is_err());
            prop_assert!(decode(&packet, Command::Makestep, sequence).is_err());
        }
    }
}
