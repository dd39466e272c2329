//! What monitoring asks for: one table of metrics, and two forms in which it is written. Pure data; nothing is counted here.

mod format;
mod sources;
mod table;

use std::fmt;

pub use format::MetricsFormat;
pub use sources::MetricSources;
pub use table::{FAMILIES, Family, MetricType};

use crate::transition::{SHUT_MS, ShutTimes};

/// One line of a family: the values of its labels, and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSample {
    /// In the order of the family's labels.
    pub labels: Vec<String>,
    /// The number.
    pub value: MetricValue,
}

/// A number, exact: floating point is for those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricValue {
    /// A count, or 0 and 1 for no and yes.
    Count(u64),
    /// A length of time, nanoseconds; printed as seconds.
    Nanos(i128),
    /// A histogram.
    Times(ShutTimes),
}

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Nanos(nanos) => {
                let (sign, size) = (if *nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
                write!(f, "{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
            }
            Self::Times(times) => Self::Nanos(times.sum.as_nanos().cast_signed()).fmt(f),
        }
    }
}

/// The upper ends of a histogram as OpenMetrics wants them written, with their counts.
fn classes(times: &ShutTimes) -> impl Iterator<Item = (String, u64)> {
    let ends = SHUT_MS.into_iter().map(|ms| match (ms / 1000, ms % 1000) {
        (secs, 0) => format!("{secs}.0"),
        (secs, ms) => format!("{secs}.{}", format!("{ms:03}").trim_end_matches('0')),
    });
    ends.zip(times.up_to).chain([("+Inf".to_owned(), times.count)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn seconds_are_exact_to_the_nanosecond_on_both_sides_of_zero() {
        let print = |nanos| MetricValue::Nanos(nanos).to_string();
        assert_eq!(print(1_500_000_000), "1.500000000");
        assert_eq!(print(-1), "-0.000000001");
        assert_eq!(print(i128::from(u64::MAX)), "18446744073.709551615");
        let mut times = ShutTimes::default();
        times.sum = Duration::from_millis(70);
        assert_eq!(MetricValue::Times(times).to_string(), "0.070000000");
    }

    #[test]
    fn the_ends_of_the_classes_rise_and_are_floats() {
        let ends: Vec<String> = classes(&ShutTimes::default()).map(|(end, _)| end).collect();
        assert_eq!(ends[..6], ["0.01", "0.05", "0.1", "0.25", "0.5", "1.0"]);
        assert_eq!(ends.last().map(String::as_str), Some("+Inf"));
        let numbers: Vec<f64> = ends.iter().map(|end| end.replace("+Inf", "inf").parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
