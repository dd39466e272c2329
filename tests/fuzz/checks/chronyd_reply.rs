//! Replies of chronyd: the first byte is which command was asked, the rest is what came.

use std::fmt::Debug;
use std::time::Duration;

use clockgate::daemon::chrony::protocol::{
    Activity, AuthMode, Command, Malformed, NtpData, ReplyFields, SelectData, SourceData, Status, Tracking, decode,
    encode, source_count, source_name,
};

const COMMANDS: [Command; 12] = [
    Command::Online,
    Command::Burst,
    Command::SourceCount,
    Command::SourceData,
    Command::Tracking,
    Command::Makestep,
    Command::Activity,
    Command::NtpData,
    Command::SourceName,
    Command::ResetSources,
    Command::AuthData,
    Command::SelectData,
];
const LONGEST_POLL: Duration = Duration::from_secs(1 << 24);

pub fn check(data: &[u8]) {
    let Some((&which, packet)) = data.split_first() else { return };
    let command = COMMANDS[usize::from(which) % COMMANDS.len()];
    let Some(sequence) = packet.get(16..20).map(|four| u32::from_be_bytes(four.try_into().unwrap())) else {
        assert!(decode(packet, command, 0).is_err());
        return;
    };
    assert!(decode(packet, command, sequence ^ 1).is_err(), "a reply to another request");
    assert!(decode(&encode(command, sequence, 0, packet), command, sequence).is_err(), "a request is no reply");
    let Ok((status, fields)) = decode(packet, command, sequence) else { return };
    for other in COMMANDS {
        assert!(other == command || decode(packet, other, sequence).is_err(), "a reply to {} as well", other.name());
    }
    assert!(!status.to_string().is_empty());
    if status == Status::Success {
        report(command, packet, &fields);
    }
}

fn report(command: Command, packet: &[u8], fields: &ReplyFields<'_>) {
    match command {
        Command::Online | Command::Burst | Command::Makestep | Command::ResetSources => {}
        Command::SourceCount => stable(command, packet, source_count(fields), source_count, |count| {
            assert!(*count <= 1024, "{count} sources are asked about");
        }),
        Command::SourceData => stable(command, packet, SourceData::parse(fields), SourceData::parse, |source| {
            assert!(source.poll <= LONGEST_POLL && source.poll >= Duration::from_millis(7));
            assert_ne!(source.since_sample_secs, Some(u32::MAX));
        }),
        Command::Tracking => stable(command, packet, Tracking::parse(fields), Tracking::parse, |tracking| {
            assert!(tracking.root_distance() >= tracking.root_dispersion);
            assert!(tracking.synchronised().is_none() || (1..16).contains(&tracking.stratum));
        }),
        Command::Activity => stable(command, packet, Activity::parse(fields), Activity::parse, |_| {}),
        Command::NtpData => stable(command, packet, NtpData::parse(fields), NtpData::parse, |_| {}),
        Command::SourceName => stable(command, packet, source_name(fields), source_name, |name| {
            assert!(name.len() <= 256 && !name.contains('\0'));
        }),
        Command::AuthData => stable(command, packet, AuthMode::parse(fields), AuthMode::parse, |_| {}),
        Command::SelectData => stable(command, packet, SelectData::parse(fields), SelectData::parse, |_| {}),
    }
}

/// What was read is within its limits, and the same with more bytes behind it; cut short it is the same or refused.
fn stable<T: Debug + PartialEq>(
    command: Command,
    packet: &[u8],
    read: Result<T, Malformed>,
    parse: fn(&ReplyFields<'_>) -> Result<T, Malformed>,
    limits: impl Fn(&T),
) {
    let sequence = u32::from_be_bytes(packet[16..20].try_into().unwrap());
    let again = |packet: &[u8]| decode(packet, command, sequence).and_then(|(_, fields)| parse(&fields));
    let Ok(read) = read else { return };
    limits(&read);
    assert_eq!(again(&[packet, &[0xff; 8]].concat()).as_ref(), Ok(&read));
    for length in [packet.len() / 2, packet.len().saturating_sub(4)] {
        let cut = again(&packet[..length]);
        assert!(cut.is_err() || cut.as_ref() == Ok(&read), "cut to {length} bytes");
    }
}
