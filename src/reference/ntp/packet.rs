//! NTP on the wire: one question built, one answer read (RFC 5905 section 7.3). No I/O and no clock.

use std::fmt;
use std::time::Duration;

pub use super::kiss::Kiss;
use super::timestamp::Timestamp;
use crate::decision::Leap;

/// A packet without extensions; what follows in a longer one is not ours to read.
pub const PACKET_LEN: usize = 48;
/// The most that a server may say its clock is away from the truth: chrony's default `maxdistance` (chrony.conf(5)).
pub const MAX_DISTANCE: Duration = Duration::from_secs(3);

const VERSION: u8 = 4;
/// RFC 1305; its packet is the same, and some servers still answer with it.
const OLDEST_VERSION: u8 = 3;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const LEAP_UNSYNCHRONISED: u8 = 3;
const MAX_STRATUM: u8 = 15;

/// The random number in the place of our transmit timestamp. The server sends it back, so that only who has seen the question
/// can answer it; our own clock, which is in doubt, is not disclosed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub u64);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({:016x})", self.0)
    }
}

/// What a server said, after every check that one packet allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which of our questions it answers.
    pub nonce: Nonce,
    /// Its leap second warning.
    pub leap: Leap,
    /// How many servers it is away from a clock of its own, 1 to 15.
    pub stratum: u8,
    /// How fine its clock ticks, rounded up.
    pub precision: Duration,
    /// Its own round trip to the root of time.
    pub root_delay: Duration,
    /// What it allows for the errors on the way to the root.
    pub root_dispersion: Duration,
    /// Whom it listens to.
    pub reference_id: [u8; 4],
    /// When it last set its clock.
    pub reference: Timestamp,
    /// When our question came (T2).
    pub receive: Timestamp,
    /// When its answer left (T3).
    pub transmit: Timestamp,
}

/// Why a packet is no answer, or an invalid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Too short for NTP.
    #[error("a packet of {0} bytes, which is too short for NTP")]
    Short(usize),
    /// Not from a server.
    #[error("a packet of mode {0}, which is not a server's answer")]
    Mode(u8),
    /// A version that we did not ask in.
    #[error("an answer in version {0} of NTP")]
    Version(u8),
    /// Not an answer to any question that we asked: forged, replayed or too old.
    #[error("an answer to a question that was not asked")]
    Origin,
    /// A kiss of death.
    #[error("the server answered with the kiss code {0} instead of the time")]
    Kiss(Kiss),
    /// Its own clock is not set.
    #[error("the server's own clock is not synchronised (leap indicator 3)")]
    Unsynchronised,
    /// A stratum that is none.
    #[error("the server's stratum is {0}: it is not synchronised")]
    Stratum(u8),
    /// A timestamp is missing.
    #[error("the server's answer has no {0} timestamp")]
    NoTimestamp(&'static str),
    /// Sent before the question came.
    #[error("the server's answer left before the question came")]
    Backward,
    /// Too far from the root of time to be worth anything.
    #[error("the server says that its clock can be {} ms wrong, {} ms are allowed", .0.as_millis(), MAX_DISTANCE.as_millis())]
    Distance(Duration),
    /// Not authenticated, where the server is asked for nothing else.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
}

/// Why a packet is not the authenticated answer that was asked for. It says nothing then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtectionError {
    /// Its extension fields are none.
    #[error("an answer whose extension fields are garbled")]
    Garbled,
    /// A packet without any authentication.
    #[error("an answer that is not authenticated")]
    Missing,
    /// Another unique identifier than ours: replayed, or another's.
    #[error("an authenticated answer to another question")]
    ForeignQuestion,
    /// Made or changed without the key.
    #[error("an answer whose authentication is false: forged or changed on the way")]
    Forged,
    /// The kiss code NTSN.
    #[error("that the server cannot read its own cookie (NTSN), so keys are exchanged anew")]
    Nak,
    /// A crypto-NAK.
    #[error("that the server does not know our key, or has another one of that number")]
    UnknownKey,
}

impl PacketError {
    /// Whether the packet carries an answer to our question, so that nothing better is to be waited for.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        match self {
            Self::Short(_) | Self::Mode(_) | Self::Version(_) | Self::Origin | Self::Protection(_) => false,
            Self::Kiss(_)
            | Self::Unsynchronised
            | Self::Stratum(_)
            | Self::NoTimestamp(_)
            | Self::Backward
            | Self::Distance(_) => true,
        }
    }
}

/// The question, which says nothing of us but the version (draft-ietf-ntp-data-minimization).
#[must_use]
pub fn request(nonce: Nonce) -> [u8; PACKET_LEN] {
    let mut packet = [0; PACKET_LEN];
    packet[0] = VERSION << 3 | MODE_CLIENT;
    packet[40..].copy_from_slice(&nonce.0.to_be_bytes());
    packet
}

/// Reads an answer to one of the questions asked.
///
/// The origin is checked before the contents, so that a sender that has not seen the question cannot make us drop a server.
///
/// # Errors
/// [`PacketError`], which says what was wrong.
pub fn parse(packet: &[u8], asked: &[Nonce]) -> Result<Reply, PacketError> {
    let Some((packet, _extensions)) = packet.split_first_chunk::<PACKET_LEN>() else {
        return Err(PacketError::Short(packet.len()));
    };
    let (leap, version, mode) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7);
    if mode != MODE_SERVER {
        return Err(PacketError::Mode(mode));
    }
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(PacketError::Version(version));
    }
    let nonce = Nonce(u64_at(packet, 24));
    if !asked.contains(&nonce) {
        return Err(PacketError::Origin);
    }
    let reference_id = [packet[12], packet[13], packet[14], packet[15]];
    if packet[1] == 0
        && let Some(kiss) = Kiss::from_code(reference_id, power_of_two(packet[2].cast_signed()))
    {
        return Err(PacketError::Kiss(kiss));
    }
    let reply = Reply {
        nonce,
        leap: leap_of(leap)?,
        stratum: packet[1],
        precision: power_of_two(packet[3].cast_signed()),
        root_delay: short(packet, 4),
        root_dispersion: short(packet, 8),
        reference_id,
        reference: Timestamp(u64_at(packet, 16)),
        receive: Timestamp(u64_at(packet, 32)),
        transmit: Timestamp(u64_at(packet, 40)),
    };
    check(&reply).map(|()| reply)
}

/// Which question a packet says it answers; none where it is too short for one.
#[must_use]
pub fn origin(packet: &[u8]) -> Option<Nonce> {
    packet.first_chunk::<PACKET_LEN>().map(|packet| Nonce(u64_at(packet, 24)))
}

fn leap_of(indicator: u8) -> Result<Leap, PacketError> {
    match indicator {
        0 => Ok(Leap::None),
        1 => Ok(Leap::Insert),
        2 => Ok(Leap::Delete),
        _ => {
            debug_assert_eq!(indicator, LEAP_UNSYNCHRONISED);
            Err(PacketError::Unsynchronised)
        }
    }
}

fn check(reply: &Reply) -> Result<(), PacketError> {
    if !(1..=MAX_STRATUM).contains(&reply.stratum) {
        return Err(PacketError::Stratum(reply.stratum));
    }
    if reply.receive.0 == 0 {
        return Err(PacketError::NoTimestamp("receive"));
    }
    if reply.transmit.0 == 0 {
        return Err(PacketError::NoTimestamp("transmit"));
    }
    if reply.transmit.since(reply.receive).is_none() {
        return Err(PacketError::Backward);
    }
    let distance = (reply.root_delay / 2).saturating_add(reply.root_dispersion).saturating_add(reply.precision);
    if distance > MAX_DISTANCE { Err(PacketError::Distance(distance)) } else { Ok(()) }
}

/// `2^exponent` seconds, rounded up to nanoseconds; what is larger than any allowed distance is only that.
fn power_of_two(exponent: i8) -> Duration {
    match u32::from(exponent.unsigned_abs()) {
        above if exponent > 0 => Duration::from_secs(1 << above.min(32)),
        below => Duration::from_nanos(1_000_000_000_u64.div_ceil(1 << below.min(32))),
    }
}

/// Seconds with sixteen binary digits after the point, rounded up to nanoseconds; a little less than zero is zero.
///
/// RFC 5905 has the format unsigned, and chronyd reads it so (util.c, UTI_Ntp32ToDouble). But RFC 1305 section 3.2.1 lets the
/// root delay be negative, ntpd reads it signed (ntp_proto.c, process_packet, FPTOD) and servers are seen that send 0xffffff1b:
/// their own round trip came out below zero, which is no distance. All ones are not taken for that: chronyd writes them for
/// every larger one (UTI_DoubleToNtp32). A second below zero and more is no rounding, and stays as large as it reads.
fn short(packet: &[u8; PACKET_LEN], at: usize) -> Duration {
    match u64_at(packet, at) >> 32 {
        0xffff_0000..=0xffff_fffe => Duration::ZERO,
        value => Duration::from_nanos((value * 1_000_000_000).div_ceil(1 << 16)),
    }
}

fn u64_at(packet: &[u8; PACKET_LEN], at: usize) -> u64 {
    packet.iter().skip(at).take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ntp::fake::FakeAnswer;
    use proptest::prelude::*;

    const NONCE: Nonce = Nonce(0x1122_3344_5566_7788);

    fn parsed(answer: &FakeAnswer) -> Result<Reply, PacketError> {
        parse(&answer.bytes(), &[NONCE])
    }

    fn good() -> FakeAnswer {
        FakeAnswer::to(&request(NONCE))
    }

    #[test]
    fn the_question_says_the_version_the_mode_and_the_nonce_and_nothing_else() {
        let packet = request(NONCE);
        assert_eq!(packet[0], 0x23);
        assert_eq!(packet[1..40], [0; 39]);
        assert_eq!(packet[40..], [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    }

    #[test]
    fn a_good_answer_is_read_field_by_field() -> Result<(), PacketError> {
        let reply = parsed(&FakeAnswer {
            leap: 1,
            stratum: 2,
            precision: -10,
            root_delay: 0x0000_8000,
            root_dispersion: 0x0001_0000,
            receive: 7 << 32,
            transmit: 8 << 32,
            ..good()
        })?;
        assert_eq!((reply.leap, reply.stratum, reply.reference_id), (Leap::Insert, 2, *b"GPS\0"));
        assert_eq!(reply.precision, Duration::from_nanos(976_563));
        assert_eq!(reply.root_delay, Duration::from_millis(500));
        assert_eq!(reply.root_dispersion, Duration::from_secs(1));
        assert_eq!((reply.receive, reply.transmit), (Timestamp(7 << 32), Timestamp(8 << 32)));
        Ok(())
    }

    #[test]
    fn each_fault_is_named() {
        let kiss = |code: &[u8; 4]| FakeAnswer { leap: 3, stratum: 0, reference_id: *code, ..good() };
        for (answer, error) in [
            (FakeAnswer { mode: 3, ..good() }, PacketError::Mode(3)),
            (FakeAnswer { mode: 5, ..good() }, PacketError::Mode(5)),
            (FakeAnswer { version: 2, ..good() }, PacketError::Version(2)),
            (FakeAnswer { version: 5, ..good() }, PacketError::Version(5)),
            (FakeAnswer { origin: NONCE.0 + 1, ..good() }, PacketError::Origin),
            (FakeAnswer { origin: 0, ..good() }, PacketError::Origin),
            (FakeAnswer { leap: 3, ..good() }, PacketError::Unsynchronised),
            (FakeAnswer { leap: 3, stratum: 0, reference_id: [0; 4], ..good() }, PacketError::Unsynchronised),
            (FakeAnswer { stratum: 0, reference_id: [0; 4], ..good() }, PacketError::Stratum(0)),
            (FakeAnswer { stratum: 16, ..good() }, PacketError::Stratum(16)),
            (FakeAnswer { stratum: 255, ..good() }, PacketError::Stratum(255)),
            (FakeAnswer { receive: 0, ..good() }, PacketError::NoTimestamp("receive")),
            (FakeAnswer { transmit: 0, ..good() }, PacketError::NoTimestamp("transmit")),
            (FakeAnswer { receive: 9 << 32, transmit: 8 << 32, ..good() }, PacketError::Backward),
            (kiss(b"RATE"), PacketError::Kiss(Kiss::Rate { poll: Duration::from_secs(64) })),
            (kiss(b"DENY"), PacketError::Kiss(Kiss::Deny)),
            (kiss(b"RSTR"), PacketError::Kiss(Kiss::Restricted)),
            (kiss(b"INIT"), PacketError::Kiss(Kiss::Other(*b"INIT"))),
        ] {
            assert_eq!(parsed(&answer), Err(error), "{error}");
        }
        assert_eq!(parse(&good().bytes()[..47], &[NONCE]), Err(PacketError::Short(47)));
    }

    #[test]
    fn a_kiss_of_death_from_a_sender_that_has_not_seen_the_question_is_ignored() {
        let forged = FakeAnswer { stratum: 0, reference_id: *b"DENY", origin: 1, ..good() };
        assert_eq!(parsed(&forged), Err(PacketError::Origin));
    }

    #[test]
    fn more_than_three_seconds_from_the_root_of_time_is_no_answer() {
        let three = FakeAnswer { precision: -32, root_delay: 0x0004_0000, root_dispersion: 0x0000_ffff, ..good() };
        assert!(parsed(&three).is_ok());
        for worse in [
            FakeAnswer { root_dispersion: 0x0001_0000, ..three },
            FakeAnswer { root_delay: u32::MAX, root_dispersion: u32::MAX, ..good() },
            FakeAnswer { precision: 2, ..good() },
            FakeAnswer { precision: 127, ..good() },
        ] {
            assert!(matches!(parsed(&worse), Err(PacketError::Distance(_))), "{worse:?}");
        }
        assert!(parsed(&FakeAnswer { precision: -128, ..good() }).is_ok());
    }

    #[test]
    fn a_root_delay_or_dispersion_a_little_below_zero_is_zero_and_the_largest_is_not() {
        for little in [0xffff_ff1b, 0xffff_fffe, 0xffff_0000] {
            let reply = parsed(&FakeAnswer { root_delay: little, root_dispersion: little, ..good() }).unwrap();
            assert_eq!((reply.root_delay, reply.root_dispersion), (Duration::ZERO, Duration::ZERO));
        }
        for large in [u32::MAX, 0xfffe_ffff, 0x8000_0000] {
            assert!(matches!(parsed(&FakeAnswer { root_delay: large, ..good() }), Err(PacketError::Distance(_))));
            assert!(matches!(parsed(&FakeAnswer { root_dispersion: large, ..good() }), Err(PacketError::Distance(_))));
        }
    }

    #[test]
    fn any_of_the_questions_still_open_can_be_answered() {
        let second = Nonce(5);
        let reply = parse(&FakeAnswer::to(&request(second)).bytes(), &[NONCE, second]);
        assert_eq!(reply.map(|r| r.nonce), Ok(second));
        assert_eq!(parse(&good().bytes(), &[second]), Err(PacketError::Origin));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(parse(&bytes, &[NONCE]).is_err());
        }

        #[test]
        fn garbage_with_the_right_origin_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 48..120)) {
            bytes[24..32].copy_from_slice(&NONCE.0.to_be_bytes());
            match parse(&bytes, &[NONCE]) {
                Ok(reply) => {
                    prop_assert!((1..=15).contains(&reply.stratum));
                    prop_assert!(reply.transmit.since(reply.receive).is_some());
                    prop_assert!(reply.root_delay / 2 + reply.root_dispersion + reply.precision <= MAX_DISTANCE);
                }
                Err(error) => prop_assert_ne!(error, PacketError::Origin),
            }
        }

        #[test]
        fn one_bit_of_the_origin_turned_makes_it_no_answer(bit in 0..64_u32, nonce: u64) {
            let forged = FakeAnswer { origin: nonce ^ 1 << bit, ..FakeAnswer::to(&request(Nonce(nonce))) };
            prop_assert_eq!(parse(&forged.bytes(), &[Nonce(nonce)]), Err(PacketError::Origin));
        }

        #[test]
        fn what_the_server_wrote_is_what_we_read(nonce: u64, stratum in 1..=15_u8, delay in 0..0x10000_u32, receive in 1..=u64::MAX / 2) {
            let answer = FakeAnswer { stratum, root_delay: delay, receive, transmit: receive + 1, ..FakeAnswer::to(&request(Nonce(nonce))) };
            let reply = parse(&answer.bytes(), &[Nonce(nonce)]);
            prop_assert!(reply.is_ok_and(|r| r.stratum == stratum
                && r.nonce == Nonce(nonce)
                && (r.receive, r.transmit) == (Timestamp(receive), Timestamp(receive + 1))
                && r.root_delay.as_nanos() == (u128::from(delay) * 1_000_000_000).div_ceil(65536)));
        }
    }
}
