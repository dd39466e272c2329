//! `chronyc selectdata`: which sources may be selected, by configuration and in effect (chrony's candm.h, RPY_SelectData;
//! checked against 4.3). Only the difference shows what `authselectmode` is.

use super::wire::{Malformed, ReplyFields, SourceAddress};

/// How a source is selected, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectData {
    /// Its address; unspecified for a reference clock.
    pub address: SourceAddress,
    /// Whether chronyd authenticates it, by key or NTS.
    pub is_authenticated: bool,
    /// The options of its line in the configuration.
    pub configured: SelectOptions,
    /// Those, with what `authselectmode` adds.
    pub effective: SelectOptions,
}

/// Options of selection (chrony.conf(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectOptions {
    /// Never selected.
    pub noselect: bool,
    /// Outvotes every source that is not trusted.
    pub trust: bool,
    /// Nothing is selected unless one of those that are required is.
    pub require: bool,
}

impl SelectOptions {
    /// RPY_SD_OPTION_*; `prefer` (2) and what later versions add do not matter here.
    const fn from_bits(bits: u16) -> Self {
        Self { noselect: bits & 1 != 0, trust: bits & 4 != 0, require: bits & 8 != 0 }
    }
}

impl SelectData {
    /// Reads a reply.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(reply: &ReplyFields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            address: reply.address(32, "source address")?,
            is_authenticated: reply.byte(53, "authentication")? != 0,
            configured: SelectOptions::from_bits(reply.u16(56, "configured options")?),
            effective: SelectOptions::from_bits(reply.u16(58, "effective options")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Command, tests};
    use super::*;

    // Captured from chronyd 4.3 -x with two sources, `key 1` and none, in the default mode, `mix`.
    const KEYED: &str = "060200000045001700000000000000005e1ec70000000000000000007f0000017f0000010000000000000000000000000001\
        00004d0103000000000c00000000048000000000000000000000";
    const PLAIN: &str = "060200000045001700000000000000005e1ec70100000000000000007f0000027f0000020000000000000000000000000001\
        00004d0003000000000000000000048000000000000000000000";

    fn parsed(hex: &str) -> Result<SelectData, Malformed> {
        tests::parsed(hex, Command::SelectData, SelectData::parse)
    }

    #[test]
    fn in_the_mode_mix_a_key_makes_a_source_trusted_and_required() {
        let trusted = SelectOptions { trust: true, require: true, noselect: false };
        let (address, configured) = (SourceAddress::Ip([127, 0, 0, 1].into()), SelectOptions::default());
        let keyed = SelectData { address, is_authenticated: true, configured, effective: trusted };
        assert_eq!(parsed(KEYED), Ok(keyed));
        let address = SourceAddress::Ip([127, 0, 0, 2].into());
        assert_eq!(
            parsed(PLAIN),
            Ok(SelectData { address, is_authenticated: false, configured, effective: configured })
        );
    }

    #[test]
    fn a_report_cut_short_names_the_missing_field() {
        let cut = parsed(&KEYED[..2 * 57]).map_err(|e| e.to_string());
        assert_eq!(cut, Err("57 bytes, too short for configured options".to_owned()));
    }
}
