//! The table: one entry a family, with what it is made of. docs/metrics.md is the same in words; a test holds the two together.

use super::sources::{MetricSources, nanos, optional, plain, signed, yes};
use super::{MetricSample, MetricValue};
use crate::decision::Cause;
use crate::page::{Gate, state_name};

/// What a scraper may do with the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Goes up and down.
    Gauge,
    /// Only goes up, and begins at zero with the agent.
    Counter,
    /// Counts in classes.
    Histogram,
    /// A text, in a label; the number is 1.
    Info,
}

/// A metric with all its lines.
#[derive(Debug)]
pub struct Family {
    /// As a query has it.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricType,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
    pub(super) samples: fn(MetricSources<'_>) -> Vec<MetricSample>,
}

impl Family {
    /// Its row in docs/metrics.md.
    #[must_use]
    pub fn row(&self) -> String {
        let labels = self.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |", self.name, self.kind.name(), self.help)
    }
}

impl MetricType {
    /// Its name in OpenMetrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// Every metric, in the order in which they are written.
pub static FAMILIES: [Family; 26] = [
    Family {
        name: "clockgate_build_info",
        kind: MetricType::Info,
        labels: &["version"],
        help: "The version of clockgate.",
        samples: |_| {
            vec![MetricSample { labels: vec![env!("CARGO_PKG_VERSION").to_owned()], value: MetricValue::Count(1) }]
        },
    },
    Family {
        name: "clockgate_gate_state",
        kind: MetricType::Gauge,
        labels: &["state"],
        help: "1 for what the gate is: open (on a proof), unproven (open by policy) or shut; 0 for the others.",
        samples: |now| {
            let gates = [Gate::Proven, Gate::Unproven, Gate::Shut].map(|gate| gate.to_string());
            MetricSources::one_of(gates.iter().map(String::as_str), &now.view.gate.to_string())
        },
    },
    Family {
        name: "clockgate_gate_proven",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Whether the gate is open on a proof.",
        samples: |now| plain(yes(now.view.gate == Gate::Proven)),
    },
    Family {
        name: "clockgate_state",
        kind: MetricType::Gauge,
        labels: &["state"],
        help: "1 for the state that the agent is in, 0 for the others.",
        samples: |now| {
            let named = |code| (state_name(code) != state_name(u32::MAX)).then(|| state_name(code));
            MetricSources::one_of((0..).map_while(named), now.view.state_name())
        },
    },
    Family {
        name: "clockgate_clock_offset_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Reference minus local at the last measurement since the last disruption; positive: the clock was behind.",
        samples: |now| optional(now.view.offset.map(signed)),
    },
    Family {
        name: "clockgate_clock_error_bound_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "The most that the clock is wrong now.",
        samples: |now| optional(now.view.bound_now.map(|bound| nanos(bound.as_nanos()))),
    },
    Family {
        name: "clockgate_gate_threshold_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "The bound under which the gate opens.",
        samples: |now| plain(nanos(now.view.threshold.as_nanos())),
    },
    Family {
        name: "clockgate_served_tolerance_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "The tolerance from which waiters go on at a gate that is not open on a proof.",
        samples: |now| optional(now.view.served_tolerance().map(|tolerance| nanos(tolerance.as_nanos()))),
    },
    Family {
        name: "clockgate_smallest_tolerance_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "The smallest tolerance that a running container has by its label.",
        samples: |now| optional(now.smallest_tolerance.map(|tolerance| nanos(tolerance.as_nanos()))),
    },
    Family {
        name: "clockgate_time_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "The time of day by the host's clock, right or wrong, in seconds since 1970; by `metrics.listen` alone.",
        samples: |now| optional(now.clock.map(|clock| MetricValue::Nanos(clock.as_nanos().into()))),
    },
    Family {
        name: "clockgate_proof_age_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Time since the question behind the last proof, sleep included.",
        samples: |now| now.proof_age(),
    },
    Family {
        name: "clockgate_proof_valid_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "How long the proof is valid if no program moves the clock; 0 without a proof.",
        samples: |now| plain(nanos(now.view.valid_for().as_nanos())),
    },
    Family {
        name: "clockgate_proof_authenticated",
        kind: MetricType::Gauge,
        labels: &[],
        help: "1 if the clock is proven by authenticated references, 0 if by plain ones; absent without a proof.",
        samples: |now| optional(now.view.is_authenticated().map(yes)),
    },
    Family {
        name: "clockgate_disruptions_total",
        kind: MetricType::Counter,
        labels: &["cause"],
        help: "Disruptions by their cause (clockgate(8) lists the causes); further signs of the same one are not counted.",
        samples: |now| {
            let counts = now.tally.into_iter().flat_map(|tally| &tally.disruptions);
            let line = |(code, count): (&u32, &u64)| MetricSample {
                labels: vec![Cause::name_of(*code).to_owned()],
                value: MetricValue::Count(*count),
            };
            counts.map(line).collect()
        },
    },
    Family {
        name: "clockgate_steps_total",
        kind: MetricType::Counter,
        labels: &["direction"],
        help: "Steps that clockgate made, forward and backward.",
        samples: |now| {
            let steps = now.tally.map(|tally| tally.steps).into_iter();
            let both = steps.flat_map(|steps| [("forward", steps.forward), ("backward", steps.backward)]);
            let line = |(direction, count): (&str, u64)| MetricSample {
                labels: vec![direction.to_owned()],
                value: MetricValue::Count(count),
            };
            both.map(line).collect()
        },
    },
    Family {
        name: "clockgate_step_seconds_total",
        kind: MetricType::Counter,
        labels: &[],
        help: "How far these steps moved the clock in all, without regard to the direction.",
        samples: |now| now.of_tally(|tally, _| Some(nanos(tally.steps.size.as_nanos()))),
    },
    Family {
        name: "clockgate_gate_shut_duration_seconds",
        kind: MetricType::Histogram,
        labels: &[],
        help: "How long the gate was shut, each time that it opened.",
        samples: |now| now.of_tally(|tally, _| Some(MetricValue::Times(tally.shut))),
    },
    Family {
        name: "clockgate_containers_frozen",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Containers that are frozen.",
        samples: |now| now.of_tally(|tally, _| Some(MetricValue::Count(tally.frozen))),
    },
    Family {
        name: "clockgate_starts_held",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Containers whose start is held at the gate.",
        samples: |now| optional(now.held.map(MetricValue::Count)),
    },
    Family {
        name: "clockgate_starts_refused_total",
        kind: MetricType::Counter,
        labels: &["by"],
        help: "Starts of containers that were refused since the boot, by the wrapping runtime (oci), the OCI hook (hook) and clockgate-nri (nri).",
        samples: |now| {
            let line = |(by, count): &(&str, u64)| MetricSample {
                labels: vec![(*by).to_owned()],
                value: MetricValue::Count(*count),
            };
            now.refused.into_iter().flatten().map(line).collect()
        },
    },
    Family {
        name: "clockgate_reference_up",
        kind: MetricType::Gauge,
        labels: &["reference", "authenticated"],
        help: "Whether the reference answered when it was asked last. All addresses of a name are one reference.",
        samples: |now| {
            now.of_references(|name, known| {
                let labels = vec![name.to_owned(), known.authenticated.to_string()];
                Some(MetricSample { labels, value: yes(known.answer.is_some()) })
            })
        },
    },
    Family {
        name: "clockgate_reference_offset_seconds",
        kind: MetricType::Gauge,
        labels: &["reference"],
        help: "Reference minus local, of its best answer.",
        samples: |now| {
            now.of_references(|name, known| {
                let value = signed(known.answer.as_ref()?.offset);
                Some(MetricSample { labels: vec![name.to_owned()], value })
            })
        },
    },
    Family {
        name: "clockgate_reference_distance_seconds",
        kind: MetricType::Gauge,
        labels: &["reference"],
        help: "The root distance of that answer: the most that it can be wrong by.",
        samples: |now| {
            now.of_references(|name, known| {
                let value = nanos(known.answer.as_ref()?.root_distance.as_nanos());
                Some(MetricSample { labels: vec![name.to_owned()], value })
            })
        },
    },
    Family {
        name: "clockgate_daemon_agrees",
        kind: MetricType::Gauge,
        labels: &[],
        help: "Whether the time daemon agreed with the proven clock when it was asked last.",
        samples: |now| now.of_tally(|tally, _| tally.daemon_agrees.map(yes)),
    },
    Family {
        name: "clockgate_second_masters",
        kind: MetricType::Gauge,
        labels: &[],
        help: "1 if another program set the clock again and again within the last hour, else 0.",
        samples: |now| now.of_tally(|tally, now| Some(yes(tally.is_set_by_others(now)))),
    },
    Family {
        name: "clockgate_written_boottime_seconds",
        kind: MetricType::Gauge,
        labels: &[],
        help: "CLOCK_BOOTTIME when this was written, by which the file of a dead agent is known.",
        samples: |now| plain(nanos(now.view.now.as_nanos().into())),
    },
];
