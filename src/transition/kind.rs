//! The kinds of events: the name in the history, the `MESSAGE_ID` in the journal, and how urgent each is. Names and ids are stable for ever.

/// How urgent it is that a person reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A person is needed at once.
    Error,
    /// A person is needed.
    Warning,
    /// What a person wants to find in a log.
    Info,
    /// What `--verbose` adds.
    Debug,
}

impl Urgency {
    /// The journal's number for it (syslog(3)).
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The gate was shut, or an epoch began with it shut.
    GateShut,
    /// Another state with the gate shut.
    GateStaysShut,
    /// The gate was opened on a proof.
    GateOpen,
    /// Another state with the gate open on a proof.
    GateStaysOpen,
    /// The gate was opened without a proof.
    GateOpenUnproven,
    /// The proof was renewed; once an hour.
    Renewed,
    /// Something else of what is published changed.
    Updated,
    /// The agent ended.
    Ended,
    /// The clock was stepped.
    Stepped,
    /// A step was not made.
    NotStepped,
    /// The clock is wrong and is not stepped.
    StepRefused,
    /// The deadline passed without a proof; repeated once a minute.
    NoProof,
    /// Another program sets the clock again and again.
    SetByOthers,
    /// Containers were thawed before the clock was proven.
    FrozenTooLong,
    /// Dead reckoning was ordered and is not possible.
    CannotReckon,
    /// A reference gave no reading.
    NoReading,
    /// An answer contradicts those that are believed, or packets answer no question.
    AnswerRefused,
    /// The time daemon could not be reset.
    DaemonNotReset,
    /// The time daemon could not be notified of a step.
    DaemonNotNotified,
    /// The time daemon agrees with the proven clock.
    DaemonAgrees,
    /// The time daemon does not agree with the proven clock.
    DaemonDisagrees,
    /// The time daemon could not be asked whether it agrees.
    DaemonSilent,
    /// Containers were frozen.
    Frozen,
    /// Some containers could not be frozen.
    FrozenInPart,
    /// What was frozen runs again.
    Thawed,
    /// What was frozen could not be thawed.
    NotThawed,
    /// The containers that carry the network were thawed early.
    CarriersThawed,
    /// The containers that carry the network could not be thawed.
    CarriersNotThawed,
    /// Containers that asked for it were thawed by their own tolerance.
    TolerantThawed,
    /// Containers could not be thawed by their own tolerance.
    TolerantNotThawed,
    /// No reference answers, and an HTTP server sent a `Date`.
    HttpDate,
    /// A restore may have been missed.
    RestoreMissed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 32] = [
        Self::GateShut,
        Self::GateStaysShut,
        Self::GateOpen,
        Self::GateStaysOpen,
        Self::GateOpenUnproven,
        Self::Renewed,
        Self::Updated,
        Self::Ended,
        Self::Stepped,
        Self::NotStepped,
        Self::StepRefused,
        Self::NoProof,
        Self::SetByOthers,
        Self::FrozenTooLong,
        Self::CannotReckon,
        Self::NoReading,
        Self::AnswerRefused,
        Self::DaemonNotReset,
        Self::DaemonNotNotified,
        Self::DaemonAgrees,
        Self::DaemonDisagrees,
        Self::DaemonSilent,
        Self::Frozen,
        Self::FrozenInPart,
        Self::Thawed,
        Self::NotThawed,
        Self::CarriersThawed,
        Self::CarriersNotThawed,
        Self::TolerantThawed,
        Self::TolerantNotThawed,
        Self::HttpDate,
        Self::RestoreMissed,
    ];

    /// Its name in the history.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GateShut => "gate-shut",
            Self::GateStaysShut => "gate-stays-shut",
            Self::GateOpen => "gate-open",
            Self::GateStaysOpen => "gate-stays-open",
            Self::GateOpenUnproven => "gate-open-unproven",
            Self::Renewed => "renewed",
            Self::Updated => "updated",
            Self::Ended => "ended",
            Self::Stepped => "stepped",
            Self::NotStepped => "not-stepped",
            Self::StepRefused => "step-refused",
            Self::NoProof => "no-proof",
            Self::SetByOthers => "set-by-others",
            Self::FrozenTooLong => "frozen-too-long",
            Self::CannotReckon => "cannot-reckon",
            Self::NoReading => "no-reading",
            Self::AnswerRefused => "answer-refused",
            Self::DaemonNotReset => "daemon-not-reset",
            Self::DaemonNotNotified => "daemon-not-notified",
            Self::DaemonAgrees => "daemon-agrees",
            Self::DaemonDisagrees => "daemon-disagrees",
            Self::DaemonSilent => "daemon-silent",
            Self::Frozen => "frozen",
            Self::FrozenInPart => "frozen-in-part",
            Self::Thawed => "thawed",
            Self::NotThawed => "not-thawed",
            Self::CarriersThawed => "carriers-thawed",
            Self::CarriersNotThawed => "carriers-not-thawed",
            Self::TolerantThawed => "tolerant-thawed",
            Self::TolerantNotThawed => "tolerant-not-thawed",
            Self::HttpDate => "http-date",
            Self::RestoreMissed => "restore-missed",
        }
    }

    /// Its `MESSAGE_ID`, by which the catalog explains it (made by `journalctl --new-id128`).
    #[must_use]
    pub const fn message_id(self) -> &'static str {
        match self {
            Self::GateShut => "5ceb0f99f4e94293bccc87d23b15ec59",
            Self::GateStaysShut => "2e16354af4c74a0d8659ba6c706f5de7",
            Self::GateOpen => "c01c94e96faa4e10addc2fe89b7d8a6e",
            Self::GateStaysOpen => "68ab54f2b9244c3fb4e3d61de14c4701",
            Self::GateOpenUnproven => "8ed1e92eda5a40b0806fd9fd3b7099b2",
            Self::Renewed => "a3d987b8b3aa47c7acd5f420f0e87999",
            Self::Updated => "69a55c2a91934ddb91770313005a737c",
            Self::Ended => "e4d7ae0c7b984a3284d665da8e53c92f",
            Self::Stepped => "baf7853c777f47258237132ad6715fde",
            Self::NotStepped => "74a9d08e9db546d3ac620e768cb1ffa6",
            Self::StepRefused => "caebf7e582474d3b9acf99e590b3a62b",
            Self::NoProof => "923ebe93d2f7449b9057dec3a4bc4a6e",
            Self::SetByOthers => "c4ce5e2bf4a34cf6ae180a4ddbf3eba8",
            Self::FrozenTooLong => "88c72533c99b4fd8beb848ccc24a958c",
            Self::CannotReckon => "34c3daeb8d784fd5893bd763118ed0d8",
            Self::NoReading => "88b5d196e84d494aa8c74822878d1260",
            Self::AnswerRefused => "2925d4509bb741f38fcfd51b7765669a",
            Self::DaemonNotReset => "9630238a0c194187be05e4c97b2053b2",
            Self::DaemonNotNotified => "90f532db118b4ae1ae07367b24904dd8",
            Self::DaemonAgrees => "831bb9e2e2cb4cd7b0928e0f9dafdd2e",
            Self::DaemonDisagrees => "fa8c36738c4f4af3b41324ce39c8bff4",
            Self::DaemonSilent => "7d246315255c44ffb7cbabb16a600416",
            Self::Frozen => "33da581f344246c48b461cca68f8b6de",
            Self::FrozenInPart => "7b40d56b0931425db586a0f384d55653",
            Self::Thawed => "9d45867c43ba4936a11c89ebc79761da",
            Self::NotThawed => "95f093c7988242139b65725a71817805",
            Self::CarriersThawed => "0a734e82494a43a0a15c80a63cb2fffd",
            Self::CarriersNotThawed => "6ab09917f677443aad013d5ec387e27d",
            Self::TolerantThawed => "d6784657192d46ddb9889a7a3c5f5035",
            Self::TolerantNotThawed => "24f6da75226b4bc4909409d014808076",
            Self::HttpDate => "60f076736a434241a34cf93a3df61891",
            Self::RestoreMissed => "157f24c99300451ab0ffcb26ff0e776b",
        }
    }

    /// Whether it belongs into the history; what each round of questions repeats would crowd out the rest.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        !matches!(self, Self::Updated | Self::NoReading | Self::AnswerRefused | Self::HttpDate | Self::RestoreMissed)
    }

    /// How urgent it is.
    #[must_use]
    pub const fn urgency(self) -> Urgency {
        match self {
            Self::NotThawed => Urgency::Error,
            Self::NotStepped
            | Self::StepRefused
            | Self::NoProof
            | Self::SetByOthers
            | Self::FrozenTooLong
            | Self::CannotReckon
            | Self::DaemonNotReset
            | Self::DaemonNotNotified
            | Self::DaemonDisagrees
            | Self::DaemonSilent
            | Self::FrozenInPart
            | Self::CarriersThawed
            | Self::CarriersNotThawed
            | Self::TolerantNotThawed => Urgency::Warning,
            Self::GateShut
            | Self::GateStaysShut
            | Self::GateOpen
            | Self::GateStaysOpen
            | Self::GateOpenUnproven
            | Self::Ended
            | Self::Stepped
            | Self::NoReading
            | Self::AnswerRefused
            | Self::DaemonAgrees
            | Self::Frozen
            | Self::TolerantThawed => Urgency::Info,
            Self::Renewed | Self::Updated | Self::Thawed | Self::HttpDate | Self::RestoreMissed => Urgency::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_name_and_an_id_of_its_own() {
        let names: BTreeSet<&str> = EventKind::ALL.map(EventKind::name).into();
        let ids: BTreeSet<&str> = EventKind::ALL.map(EventKind::message_id).into();
        assert_eq!((names.len(), ids.len()), (EventKind::ALL.len(), EventKind::ALL.len()));
        let is_id = |id: &&str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(ids.iter().all(is_id));
    }
}
