//! What the command line accepts for values that other rooms define, and what its help says of each.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::installer::Target;
use crate::waiter::{NoAgent, OnTimeout};

impl ValueEnum for OnTimeout {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Open, Self::Fail]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Open => ("open", "Continue, and print a warning"),
            Self::Fail => ("fail", "Refuse"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for NoAgent {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Measure, Self::Kernel, Self::Fail, Self::Open]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Measure => ("measure", "Ask NTP servers until they prove the clock"),
            Self::Kernel => (
                "kernel",
                "Continue once the maximum error of the kernel is within the threshold, even if the clock is stale",
            ),
            Self::Fail => ("fail", "Refuse"),
            Self::Open => ("open", "Continue"),
        };
        Some(PossibleValue::new(name).help(help))
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
