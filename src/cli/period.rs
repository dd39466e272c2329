//! The part of the past that a verb is asked about.

use std::time::Duration;

use super::{CliError, time_value};
use crate::decision::{Offset, Realtime};
use crate::duration;
use crate::exit::Exit;
use crate::sys::clock::realtime;

// No documentation comment: clap would print it in place of what the verb that has these options does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Period {
    /// Leave out what happened before then: a time, or a duration before now such as `12h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Realtime>,

    /// Leave out what happened after then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Realtime>,
}

impl Period {
    /// Both ends, in their order.
    ///
    /// # Errors
    /// Where it would end before it begins.
    pub fn ends(self) -> Result<(Option<Realtime>, Option<Realtime>), CliError> {
        let Self { since, until } = self;
        if since.zip(until).is_some_and(|(since, until)| until < since) {
            return Err(CliError::new(Exit::Usage, "--until is before --since"));
        }
        Ok((since, until))
    }
}

const EXPECTED: &str =
    "expected a duration before now such as 12h, or a time such as 2026-11-24T12:00:00Z or 2026-11-24T13:00:00+01:00";

/// A time, or how long ago.
fn moment(text: &str) -> Result<Realtime, String> {
    let ago = |ago: Duration| realtime() + Offset::from_nanos(-i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX));
    duration::parse(text).map(ago).or_else(|_| time_value::parse(text)).map_err(|_| EXPECTED.to_owned())
}
