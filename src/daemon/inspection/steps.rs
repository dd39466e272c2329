//! When a daemon steps the clock, and what else its configuration leaves out that a diagnosis wants.

use std::time::Duration;

use jiff::SignedDuration;
use toml_edit::{DocumentMut, Item};

use crate::daemon::facts::Daemon;

/// chrony.conf(5), `maxslewrate`.
const CHRONYS_SLEW_PPM: u32 = 83_333;
/// adjtime(2).
const ADJTIMES_SLEW_PPM: u32 = 500;
/// CLOCK_PANIC of ntp.org's and NTPsec's ntp_loopfilter.c; the default of `single-step-panic-threshold` in ntp.toml(5).
const PANIC: Duration = Duration::from_secs(1000);
/// timesyncd.conf(5), `PollIntervalMaxSec`.
const TIMESYNCDS_SLOWEST_POLL: Duration = Duration::from_secs(2048);
/// NTP_MAX_ADJUST in timesyncd-manager.c; STEP_THRESHOLD in busybox' ntpd.c.
const TIMESYNCDS_STEP: Duration = Duration::from_millis(400);
const BUSYBOXS_STEP: Duration = Duration::from_secs(1);
/// chrony.conf(5), `maxdistance`.
const CHRONYS_MOST_DISTANCE: Duration = Duration::from_secs(3);

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
    /// It ends itself where the clock is off by more.
    pub exits_beyond: Option<Duration>,
    /// It follows no source that is farther away.
    pub most_distance: Option<Duration>,
    /// It asks so seldom once its clock is steady, and only its next answer shows it a step.
    pub slowest_poll: Option<Duration>,
}

/// The directives in this daemon's configuration; where one is repeated, the last one counts.
pub fn directives(daemon: Daemon, text: &str) -> Directives {
    match daemon {
        Daemon::Chrony => chronys(text),
        Daemon::Openntpd => {
            Directives { step_limit: Some(StepLimit::Never { slew_ppm: ADJTIMES_SLEW_PPM }), ..Directives::default() }
        }
        Daemon::Ntpsec | Daemon::Ntp => Directives { exits_beyond: ntpds_panic(text), ..Directives::default() },
        Daemon::NtpdRs => Directives { exits_beyond: ntpd_rss_panic(text), ..Directives::default() },
        Daemon::Timesyncd => {
            Directives { slowest_poll: Some(timesyncds_slowest_poll(text)), ..steps_from(TIMESYNCDS_STEP) }
        }
        Daemon::Busybox => steps_from(BUSYBOXS_STEP),
        Daemon::Connman => steps_from(Duration::ZERO),
    }
}

/// One that steps whenever the clock is off by more.
fn steps_from(from: Duration) -> Directives {
    Directives { step_limit: Some(StepLimit::Always { from }), ..Directives::default() }
}

/// `tinker panic SECONDS`; zero is no limit.
fn ntpds_panic(text: &str) -> Option<Duration> {
    let words: Vec<&str> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter(|line| line.trim_start().starts_with("tinker"))
        .flat_map(str::split_whitespace)
        .collect();
    let named = words.windows(2).filter(|pair| pair[0] == "panic").filter_map(|pair| secs(pair[1])).next_back();
    Some(named.unwrap_or(PANIC)).filter(|limit| !limit.is_zero())
}

/// A number of seconds, `"inf"`, or a table with one for each direction, of which the nearer counts.
fn ntpd_rss_panic(text: &str) -> Option<Duration> {
    let document = text.parse::<DocumentMut>().unwrap_or_default();
    let number = |item: &Item| {
        let whole = item.as_integer().and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs);
        whole.or_else(|| item.as_float().and_then(|secs| Duration::try_from_secs_f64(secs).ok()))
    };
    let Some(item) = document.get("synchronization").and_then(|table| table.get("single-step-panic-threshold")) else {
        return Some(PANIC);
    };
    let ways = ["forward", "backward"].into_iter().filter_map(|way| item.get(way).and_then(number));
    number(item).or_else(|| ways.min())
}

/// systemd.time(7): a number of seconds, or numbers with their units; of several lines the last one counts.
fn timesyncds_slowest_poll(text: &str) -> Duration {
    let values =
        text.lines().filter_map(|line| line.trim().strip_prefix("PollIntervalMaxSec")?.trim().strip_prefix('='));
    let span = |value: &str| secs(value).or_else(|| value.parse::<SignedDuration>().ok()?.try_into().ok());
    values.map(str::trim).filter_map(span).next_back().unwrap_or(TIMESYNCDS_SLOWEST_POLL)
}

fn secs(word: &str) -> Option<Duration> {
    word.parse().ok().and_then(|secs| Duration::try_from_secs_f64(secs).ok())
}

fn chronys(text: &str) -> Directives {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['!', ';', '#', '%']));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let with = |name: &str| {
        lines.iter().rev().find(|words| words.first().is_some_and(|first| first.eq_ignore_ascii_case(name)))
    };
    let step = with("makestep").map(|words| {
        let from = words.get(1).and_then(|word| secs(word)).unwrap_or_default();
        match words.get(2).and_then(|word| word.parse::<i64>().ok()) {
            // chrony's reference.c, is_step_limit_reached: none is left.
            Some(0) => StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM },
            Some(limit) if limit > 0 => StepLimit::AtFirst {
                from,
                updates: u32::try_from(limit).unwrap_or(u32::MAX),
                slew_ppm: CHRONYS_SLEW_PPM,
            },
            // A negative limit is none.
            Some(_) | None => StepLimit::Always { from },
        }
    });
    // `maxchange OFFSET START IGNORE`: chrony's reference.c, is_offset_ok, never looks with a negative START, and with a negative IGNORE
    // ignores every change that is too large and never ends.
    let exits_beyond = with("maxchange").and_then(|words| {
        let number = |at: usize| words.get(at)?.parse::<i64>().ok();
        let (start, ignored) = (number(2)?, number(3)?);
        secs(words.get(1)?).filter(|_| start >= 0 && ignored >= 0)
    });
    let most_distance = with("maxdistance").and_then(|words| secs(words.get(1)?)).unwrap_or(CHRONYS_MOST_DISTANCE);
    // Without a file that could be read nothing is known to be missing.
    let is_read = !text.trim().is_empty();
    Directives {
        step_limit: step.or_else(|| is_read.then_some(StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM })),
        lacks: (is_read && with("rtcsync").is_none()).then_some("rtcsync"),
        follows_itself: with("local").map(|_| "local"),
        exits_beyond,
        most_distance: Some(most_distance),
        slowest_poll: None,
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
        assert_eq!(limit("makestep 1 0"), Some(StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM }));
        assert_eq!(limit("# makestep 1 3\npool x\n"), Some(StepLimit::Never { slew_ppm: CHRONYS_SLEW_PPM }));
        assert_eq!(limit(""), None);
        assert_eq!(chronys("pool x\nlocal stratum 10").follows_itself, Some("local"));
        assert_eq!(chronys("rtcsync").lacks, None);
        assert_eq!(chronys("maxdistance 16").most_distance, Some(Duration::from_secs(16)));
        assert_eq!(chronys("pool x").lacks, Some("rtcsync"));
    }

    #[test]
    fn the_offset_over_which_a_daemon_ends_itself_is_read_in_each_ones_own_words() {
        let of = |daemon, text: &str| directives(daemon, text).exits_beyond.map(|limit| limit.as_secs());
        assert_eq!(of(Daemon::Chrony, "maxchange 1000 1 2"), Some(1000));
        assert_eq!(of(Daemon::Chrony, "maxchange 1000 1 -1"), None);
        assert_eq!(of(Daemon::Chrony, "maxchange 1000 0 0"), Some(1000));
        assert_eq!(of(Daemon::Chrony, "maxchange 1000 -1 2"), None);
        assert_eq!(of(Daemon::Chrony, "rtcsync"), None);
        assert_eq!(of(Daemon::Ntpsec, "server x"), Some(1000));
        assert_eq!(of(Daemon::Ntp, "tinker step 0.1 panic 60"), Some(60));
        assert_eq!(of(Daemon::Ntp, "tinker panic 0 # virtual machine"), None);
        assert_eq!(of(Daemon::NtpdRs, "[synchronization]\nsingle-step-panic-threshold = 1800\n"), Some(1800));
        assert_eq!(of(Daemon::NtpdRs, "[synchronization]\nsingle-step-panic-threshold = \"inf\"\n"), None);
        let ways = "[synchronization]\nsingle-step-panic-threshold = { forward = \"inf\", backward = 86400 }\n";
        assert_eq!(of(Daemon::NtpdRs, ways), Some(86_400));
        assert_eq!(of(Daemon::NtpdRs, ""), Some(1000));
        assert_eq!(of(Daemon::Timesyncd, ""), None);
    }

    #[test]
    fn how_seldom_timesyncd_asks_is_read_in_systemds_units() {
        let of = |text: &str| directives(Daemon::Timesyncd, text).slowest_poll.map(|poll| poll.as_secs());
        assert_eq!(of("[Time]\n#PollIntervalMaxSec=2048\n"), Some(2048));
        assert_eq!(of("PollIntervalMaxSec = 64\nPollIntervalMaxSec=5min 20s\n"), Some(320));
        assert_eq!(of("PollIntervalMaxSec=128"), Some(128));
        assert_eq!(directives(Daemon::Chrony, "pool x").slowest_poll, None);
    }
}
