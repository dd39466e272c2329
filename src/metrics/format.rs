//! The two forms: OpenMetrics 1.0 (its specification, "Text Format"), and Prometheus' text format 0.0.4 (prometheus.io,
//! "Exposition formats"), which promtool and node_exporter's textfile collector take.

use std::fmt::Write as _;

use super::{FAMILIES, Family, MetricSample, MetricSources, MetricType, MetricValue, classes};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl MetricsFormat {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OpenMetrics, Self::Prometheus];

    /// Its name on the command line and on the bus.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenMetrics => "openmetrics",
            Self::Prometheus => "prometheus",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What a scraper asks for by its `Accept` (RFC 9110 section 12.5.1): OpenMetrics where it ranks no lower than plain text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (open, plain) = (quality(accept, "application/openmetrics-text"), quality(accept, "text/plain"));
        if open > 0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Everything that is known, in this form.
    #[must_use]
    pub fn write(self, sources: MetricSources<'_>) -> String {
        let mut text = String::new();
        for family in &FAMILIES {
            let samples = (family.samples)(sources);
            if !samples.is_empty() {
                self.head(family, &mut text);
                samples.iter().for_each(|sample| lines(family, sample, &mut text));
            }
        }
        if self == Self::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn head(self, family: &Family, text: &mut String) {
        let Family { name, kind, help, .. } = family;
        // A String takes whatever is written.
        let _ = match (self, kind) {
            (Self::Prometheus, MetricType::Info) => writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge"),
            (Self::Prometheus, MetricType::Gauge | MetricType::Counter | MetricType::Histogram) => {
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name())
            }
            // There the name of a family is that of its lines without what its type adds to them.
            (Self::OpenMetrics, _) => {
                let stem = name.trim_end_matches("_total").trim_end_matches("_info");
                let unit = if stem.ends_with("_seconds") { format!("# UNIT {stem} seconds\n") } else { String::new() };
                writeln!(text, "# TYPE {stem} {}\n{unit}# HELP {stem} {help}", kind.name())
            }
        };
    }
}

/// The rank that an `Accept` gives to a type, 0 to 1000; 0 where it is not named.
fn quality(accept: &str, wanted: &str) -> u16 {
    let ranks = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let rank = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1000, thousandths);
        is_named.then_some(rank)
    });
    ranks.max().unwrap_or_default()
}

/// `0.75` as 750; what is none is 0.
fn thousandths(rank: &str) -> u16 {
    let (whole, rest) = rank.trim().split_once('.').unwrap_or((rank.trim(), ""));
    let digits = format!("{whole}{rest:0<3}");
    if whole.len() == 1 && rest.len() <= 3 { digits.parse().map_or(0, |rank: u16| rank.min(1000)) } else { 0 }
}

/// The lines of a sample, the same in both forms.
fn lines(family: &Family, sample: &MetricSample, text: &mut String) {
    let labels: Vec<(&str, &str)> =
        family.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
    let mut line = |suffix: &str, labels: &[(&str, &str)], value: &str| {
        let _ = writeln!(text, "{}{suffix}{} {value}", family.name, braced(labels));
    };
    match &sample.value {
        MetricValue::Count(_) | MetricValue::Nanos(_) => line("", &labels, &sample.value.to_string()),
        MetricValue::Times(times) => {
            for (end, count) in classes(times) {
                line("_bucket", &[&labels[..], &[("le", &end)]].concat(), &count.to_string());
            }
            line("_count", &labels, &times.count.to_string());
            line("_sum", &labels, &sample.value.to_string());
        }
    }
}

fn braced(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_given_to_those_who_rank_it_no_lower() {
        let old = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let new = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for accept in
            [old, new, "Application/OpenMetrics-Text", "text/plain;q=0.5, application/openmetrics-text; q=0.50"]
        {
            assert_eq!(MetricsFormat::accepted(accept), MetricsFormat::OpenMetrics, "{accept}");
        }
        let plain = "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.8";
        for accept in
            ["", "*/*", "text/html", plain, "application/openmetrics-text;q=0", "application/openmetrics-text;q=x"]
        {
            assert_eq!(MetricsFormat::accepted(accept), MetricsFormat::Prometheus, "{accept}");
        }
    }

    #[test]
    fn a_label_cannot_end_early() {
        assert_eq!(braced(&[("a", "b\\\"\n"), ("c", "")]), r#"{a="b\\\"\n",c=""}"#);
        assert_eq!(braced(&[]), "");
    }

    #[test]
    fn names_are_in_base_units_with_the_ending_of_their_type() {
        for Family { name, kind, labels, .. } in &FAMILIES {
            assert!(name.starts_with("clockgate_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricType::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), *kind == MetricType::Info, "{name}");
            assert!(["_ms", "_ns", "_us", "_minutes"].iter().all(|unit| !name.ends_with(unit)), "{name}");
            // Every label has few values: configured names, or names that the program defines.
            assert!(labels.iter().all(|label| {
                ["version", "state", "cause", "direction", "reference", "authenticated", "by"].contains(label)
            }));
        }
    }
}
