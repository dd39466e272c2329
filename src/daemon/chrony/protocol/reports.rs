//! What chronyd answers, as types; each reads the fields of its reply (chrony's candm.h, RPY_*; checked against 4.3).

use std::time::Duration;

use crate::decision::{Leap, Offset};

use super::wire::{Malformed, ReplyFields, SourceAddress};

/// What chronyd believes of the system clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Its own stratum; 0 when it is not synchronised.
    pub stratum: u16,
    /// The leap warning; none when it is not synchronised.
    pub leap: Option<Leap>,
    /// What it means to correct and has not yet: reference minus local.
    pub offset: Offset,
    /// Round trip to the primary source.
    pub root_delay: Duration,
    /// Dispersion up to the primary source, as of now.
    pub root_dispersion: Duration,
}

impl Tracking {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            stratum: reply.u16(52, "stratum")?,
            leap: match reply.u16(54, "leap status")? {
                0 => Some(Leap::None),
                1 => Some(Leap::Insert),
                2 => Some(Leap::Delete),
                3 => None,
                other => return Err(Malformed::value("leap status", other)),
            },
            offset: reply.offset_slow(68, "current correction")?,
            root_delay: reply.duration(92, "root delay")?,
            root_dispersion: reply.duration(96, "root dispersion")?,
        })
    }

    /// Its leap warning if it is synchronised: after a reset nothing that it knew before can make this true.
    #[must_use]
    pub fn synchronised(&self) -> Option<Leap> {
        self.leap.filter(|_| (1..16).contains(&self.stratum))
    }

    /// Half the width of the interval that it believes the true time in.
    #[must_use]
    pub fn root_distance(&self) -> Duration {
        (self.root_delay / 2).saturating_add(self.root_dispersion)
    }
}

/// What a source is to chronyd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceMode {
    /// A server that is asked.
    Client,
    /// A symmetric association.
    Peer,
    /// Hardware of this host.
    RefClock,
}

/// One line of `chronyc sources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceData {
    /// Its address.
    pub address: SourceAddress,
    /// How often it is asked.
    pub poll: Duration,
    /// Its stratum, 0 before its first answer.
    pub stratum: u16,
    /// Whether it is the one that chronyd follows.
    pub selected: bool,
    /// What it is.
    pub mode: SourceMode,
    /// One bit for each of the last eight polls; the lowest is the last one.
    pub reach: u16,
    /// Age of the last sample, whole seconds; none before the first one (chronyd says 2^32 − 1 then).
    pub since_sample_secs: Option<u32>,
    /// The last sample: reference minus local.
    pub offset: Offset,
    /// How far that may be from the truth: half its root delay and its root dispersion.
    pub root_distance: Duration,
}

impl SourceData {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        let since = reply.u32(60, "time since the last sample")?;
        Ok(Self {
            address: reply.address(28, "source address")?,
            poll: poll(reply.u16(48, "poll interval")?),
            stratum: reply.u16(50, "stratum")?,
            // RPY_SD_ST_SELECTED; the others say why not.
            selected: reply.u16(52, "source state")? == 0,
            mode: match reply.u16(54, "source mode")? {
                0 => SourceMode::Client,
                1 => SourceMode::Peer,
                2 => SourceMode::RefClock,
                other => return Err(Malformed::value("source mode", other)),
            },
            reach: reply.u16(58, "reachability")?,
            since_sample_secs: (since != u32::MAX).then_some(since),
            offset: reply.offset_fast(68, "latest measurement")?,
            root_distance: reply.duration(72, "error of the latest measurement")?,
        })
    }
}

/// From an exponent of two, signed, in seconds; chronyd's own limits are −7 and 24 (chrony.conf(5)).
fn poll(exponent: u16) -> Duration {
    match exponent.cast_signed().clamp(-7, 24) {
        long @ 0.. => Duration::from_secs(1 << long),
        short => Duration::from_secs(1) / (1 << -short),
    }
}

/// Of `chronyc ntpdata`: a source's address and the number of its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtpData {
    /// Where it is.
    pub remote: SourceAddress,
    /// Its UDP port; no other report of the protocol has it.
    pub port: u16,
    /// The last packet's offset: reference minus local.
    pub offset: Offset,
    /// Good packets since chronyd began.
    pub valid: u32,
}

impl NtpData {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            remote: reply.address(28, "remote address")?,
            port: reply.u16(68, "remote port")?,
            offset: reply.offset_slow(100, "offset")?,
            valid: reply.u32(132, "number of valid packets")?,
        })
    }
}

/// How a source proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all.
    None,
    /// A shared key.
    SymmetricKey,
    /// Network Time Security.
    Nts {
        /// How many questions it can still ask; none before it has made its keys, over TLS.
        cookies: u16,
    },
}

impl AuthMode {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        match reply.u16(28, "authentication mode")? {
            0 => Ok(Self::None),
            1 => Ok(Self::SymmetricKey),
            2 => Ok(Self::Nts { cookies: reply.u16(44, "cookies")? }),
            other => Err(Malformed::value("authentication mode", other)),
        }
    }
}

/// `chronyc activity`: how many sources are in which state. One in a burst is counted as that, not as online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Polled.
    pub online: u32,
    /// Not polled.
    pub offline: u32,
    /// Polled quickly, online afterwards.
    pub burst_online: u32,
    /// Polled quickly, offline afterwards.
    pub burst_offline: u32,
    /// Their names are not resolved yet.
    pub unresolved: u32,
}

impl Activity {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            online: reply.u32(28, "online sources")?,
            offline: reply.u32(32, "offline sources")?,
            burst_online: reply.u32(36, "bursts that return to online")?,
            burst_offline: reply.u32(40, "bursts that return to offline")?,
            unresolved: reply.u32(44, "unresolved sources")?,
        })
    }
}

/// More sources than any chronyd has: a number beyond is garbage, not a loop to run.
const SOURCES_MAX: u32 = 1024;

/// How many sources there are.
///
/// # Errors
/// [`Malformed`].
pub fn source_count(reply: &ReplyFields<'_>) -> Result<u32, Malformed> {
    let count = reply.u32(28, "number of sources")?;
    if count > SOURCES_MAX { Err(Malformed::value("number of sources", count)) } else { Ok(count) }
}

/// The name that a source was configured with.
///
/// # Errors
/// [`Malformed`].
pub fn source_name(reply: &ReplyFields<'_>) -> Result<String, Malformed> {
    reply.text::<256>(28, "source name")
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::{bytes, parsed};
    use super::super::wire::{Command, decode};
    use super::*;
    use proptest::prelude::*;

    // Captured from chronyd 4.3 -x, whose one server lay on 127.0.0.1:11123 with `key 1` and `offset 30`, in a burst.
    const TRACKING: &str = "06020000002100050000000000000000ed21acf400000000000000007f0000017f000001000000000000000000000000\
        0001000000030000000000006b05eb6b19878e590cefffffd1227e94d8a0e830f36875beed4d272ff8998992e0dc963bdcca4583048196c8";
    const SOURCE_DATA: &str = "06020000000f000300000000000000005d123edf00000000000000007f00000100000000000000000000000000010000\
        0000000200000000000000ff00000001d8917df5d89f5609def85d05";
    const NTP_DATA: &str = "06020000003900100000000000000000f50561f900000000000000007f000001000000000000000000000000000100007f\
        000001000000000000000000000000000100002b730003040200e600000000000000007f7f0101000000006b05eb322dff6abed96e820be0f6\
        0567d295e7a3e6f9414100fdef5183ff4b4b0000001d0000001d0000001d0000001cffffffffffffffffffffffff";
    const AUTH_DATA: &str =
        "06020000004300140000000000000000286e33630000000000000000000100030000000101000000ffffffff0000000000000000";
    const ACTIVITY: &str =
        "06020000002c000c000000000000000097b4a7df00000000000000000000000000000000000000010000000000000000";
    const RESET: &str = "060200000042000100000000000000005d123ee00000000000000000";

    #[test]
    fn tracking_of_a_clock_thirty_seconds_slow_has_a_positive_offset() -> Result<(), Malformed> {
        let tracking = parsed(TRACKING, Command::Tracking, Tracking::parse)?;
        assert_eq!((tracking.stratum, tracking.leap, tracking.synchronised()), (3, Some(Leap::None), Some(Leap::None)));
        assert_eq!(tracking.offset, Offset::from_nanos(29_999_998_093));
        assert_eq!((tracking.root_delay.as_nanos(), tracking.root_dispersion.as_nanos()), (6_574, 1_507));
        assert_eq!(tracking.root_distance().as_nanos(), 4_794);
        Ok(())
    }

    #[test]
    fn what_was_reset_is_not_synchronised_by_leap_or_by_stratum() -> Result<(), Malformed> {
        let known = parsed(TRACKING, Command::Tracking, Tracking::parse)?;
        assert_eq!(Tracking { leap: None, ..known.clone() }.synchronised(), None);
        assert_eq!(Tracking { stratum: 0, ..known }.synchronised(), None);
        Ok(())
    }

    #[test]
    fn a_source_report_has_its_address_mode_and_reach() -> Result<(), Malformed> {
        let source = parsed(SOURCE_DATA, Command::SourceData, SourceData::parse)?;
        assert_eq!(source.address, SourceAddress::Ip([127, 0, 0, 1].into()));
        assert_eq!((source.mode, source.reach, source.stratum), (SourceMode::Client, 0xff, 2));
        assert!(source.selected);
        assert_eq!(source.since_sample_secs, Some(1));
        Ok(())
    }

    #[test]
    fn ntpdata_has_the_port_in_its_old_length_and_in_that_of_4_6() -> Result<(), Malformed> {
        let old = parsed(NTP_DATA, Command::NtpData, NtpData::parse)?;
        assert_eq!((old.remote, old.port, old.valid), (SourceAddress::Ip([127, 0, 0, 1].into()), 11_123, 29));
        // 4.6 appends twenty bytes and calls the reply 26 (made from the capture: there was no 4.6 to capture from).
        let mut longer = NTP_DATA.replacen("00390010", "0039001a", 1);
        longer.push_str(&"00".repeat(20));
        assert_eq!(parsed(&longer, Command::NtpData, NtpData::parse)?, old);
        Ok(())
    }

    #[test]
    fn a_key_is_an_authentication_and_an_unknown_mode_is_not_taken_for_none() -> Result<(), Malformed> {
        assert_eq!(parsed(AUTH_DATA, Command::AuthData, AuthMode::parse)?, AuthMode::SymmetricKey);
        let later = AUTH_DATA.replacen("00010003000000010100", "00070003000000010100", 1);
        let refused = parsed(&later, Command::AuthData, AuthMode::parse).map_err(|e| e.to_string());
        assert_eq!(refused, Err("authentication mode is 7".to_owned()));
        Ok(())
    }

    #[test]
    fn a_source_in_a_burst_is_counted_as_that_alone() -> Result<(), Malformed> {
        let activity = parsed(ACTIVITY, Command::Activity, Activity::parse)?;
        assert_eq!(activity, Activity { burst_online: 1, ..Activity::default() });
        Ok(())
    }

    #[test]
    fn an_order_is_answered_without_content() {
        assert_eq!(parsed(RESET, Command::ResetSources, |_| Ok(())), Ok(()));
    }

    proptest! {
        #[test]
        fn a_report_cut_short_names_the_missing_field(len in 28_usize..104) {
            let packet = bytes(TRACKING);
            let cut = decode(&packet[..len], Command::Tracking, 0xed21_acf4).and_then(|(_, f)| Tracking::parse(&f));
            prop_assert!(len >= 100 || matches!(cut, Err(Malformed::Short { .. })), "{cut:?}");
        }

        #[test]
        fn no_content_makes_a_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut packet = bytes(RESET);
            packet.extend(&body);
            let (_, fields) = decode(&packet, Command::ResetSources, 0x5d12_3ee0).expect("the header is good");
            drop((Tracking::parse(&fields), SourceData::parse(&fields), NtpData::parse(&fields)));
            drop((AuthMode::parse(&fields), Activity::parse(&fields), fields.text::<256>(28, "name")));
        }
    }
}
