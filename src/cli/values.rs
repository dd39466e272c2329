//! What the command line accepts for values that other rooms define, and what its help says of each.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::installer::Target;
use crate::waiter::{NoAgent, OnTimeout};

/// A choice of the waiter's, which is of another crate.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T>(pub T);

impl ValueEnum for Choice<OnTimeout> {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(OnTimeout::Open), Self(OnTimeout::Fail)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            OnTimeout::Open => "Continue, and print a warning",
            OnTimeout::Fail => "Refuse",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

impl ValueEnum for Choice<NoAgent> {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(NoAgent::Measure), Self(NoAgent::Kernel), Self(NoAgent::Fail), Self(NoAgent::Open)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            NoAgent::Measure => "Ask NTP servers until they prove the clock",
            NoAgent::Kernel => {
                "Continue once the maximum error of the kernel is within the threshold, even if the clock is stale"
            }
            NoAgent::Fail => "Refuse",
            NoAgent::Open => "Continue",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.summary()))
    }
}
