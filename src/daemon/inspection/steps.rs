//! When a daemon steps the clock, and what else its configuration leaves out that a diagnosis wants.

use std::time::Duration;

use crate::daemon::facts::Daemon;

/// chrony.conf(5), `maxslewrate`.
const CHRONYS_SLEW_PPM: u32 = 83_333;
/// adjtime(2).
const ADJTIMES_SLEW_PPM: u32 = 500;

/// When a daemon steps instead of slewing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepLimit {
    /// Whenever the clock is off by more.
    Always {
        /// From here on.
        from: Duration,
    },
    /// In its first updates alone.
    AtFirst {
        /// From here on.
        from: Duration,
        /// How many updates.
        updates: u32,
        /// How fast it slews afterwards, parts per million.
        slew_ppm: u32,
    },
    /// Never while it runs.
    Never {
        /// How fast it slews, parts per million.
        slew_ppm: u32,
    },
}

/// What a configuration says of all this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub step_limit: Option<StepLimit>,
    pub lacks: Option<&'static str>,
    pub follows_itself: Option<&'static str>,
}

/// What this daemon's configuration says; where a directive stands twice, the last one counts.
pub fn directives(daemon: Daemon, text: &str) -> Directives {
    match daemon {
        Daemon::Chrony => chronys(text),
        Daemon::Openntpd => {
            Directives { step_limit: Some(StepLimit::Never { slew_ppm: ADJTIMES_SLEW_PPM }), ..Directives::default() }
        }
        Daemon::Timesyncd | Daemon::Ntpsec | Daemon::Ntp | Daemon::NtpdRs | Daemon::Busybox | Daemon::Connman => {
            Directives::default()
        }
    }
}

fn chronys(text: &str) -> Directives {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['!', ';', '#', '%']));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let with = |name: &str| {
        lines.iter().rev().find(|words| words.first().is_some_and(|first| first.eq_ignore_ascii_case(name)))
    };
    let step = with("makestep").map(|words| {
        let from = words.get(1).and_then(|word| word.parse().ok());
        let from = from.and_then(|secs| Duration::try_from_secs_f64(secs).ok()).unwrap_or_default();
        match words.get(2).and_then(|word| word.parse::<i64>().ok()) {
            Some(limit) if limit >= 0 => StepLimit::AtFirst {
                from,
                updates: u32::try_from(limit).unwrap_or(u32::MAX),
                slew_ppm: CHRONYS_SLEW_PPM,
            },
            // A negative limit is none.
            Some(_) | None => StepLimit::Always { from },
        }
    });
    // Without a file that could be read nothing is known to be missing.
    let is_read = !text.trim().is_empty();
    Directives {
        step_limit: step.or_else(|| is_read.then_some(StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM })),
        lacks: (is_read && with("rtcsync").is_none()).then_some("rtcsync"),
        follows_itself: with("local").map(|_| "local"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chronyds_limit_is_read_and_its_absence_too() {
        let limit = |text: &str| chronys(text).step_limit;
        let from = Duration::from_secs(1);
        let first = StepLimit::AtFirst { from, updates: 3, slew_ppm: CHRONYS_SLEW_PPM };
        assert_eq!(limit("pool x\nmakestep 1 3\nrtcsync\n"), Some(first));
        assert_eq!(limit("makestep 1.0 -1"), Some(StepLimit::Always { from }));
        assert_eq!(limit("# makestep 1 3\npool x\n"), Some(StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM }));
        assert_eq!(limit(""), None);
        assert_eq!(chronys("pool x\nlocal stratum 10").follows_itself, Some("local"));
        assert_eq!(chronys("rtcsync").lacks, None);
        assert_eq!(chronys("pool x").lacks, Some("rtcsync"));
    }
}
