//! What a diagnosis needs to know of the time daemons, without an order to any of them: the running and the installed ones, what
//! may set the clock, what the running one knows of its sources and when it steps.

mod clock_setters;
mod cron;
mod denials;
mod guest_tools;
mod installed;
mod steps;

use std::path::Path;
use std::time::Duration;

use super::CorrectorSettings;
use super::chrony::protocol::{ChronyClient, ChronyError, Problem, SourceData, SourceMode, Spare};
use super::chrony::{Chronyd, LOOK, outranking};
use super::detection::{self, RunningDaemon, Who};
use super::facts::Daemon;
use crate::sys::clock::boottime;
use crate::sys::service_manager::ServiceManager;

pub use clock_setters::{ClockSetter, Rights};
pub use cron::CronLine;
pub use denials::{Denial, denials, log_matches};
pub use guest_tools::{GuestTools, vmwares};
pub use installed::{InstalledUnit, is_of_a_file};
pub use steps::StepLimit;

/// Made at the first synchronisation of a boot, and removed by nothing (systemd-timesyncd.service(8)).
pub const FIRST_SYNC_FLAG: &str = "run/systemd/timesync/synchronized";
/// Whose time is what the clock said when it was last written: it is set from there at boot where there is no RTC.
pub const SAVED_CLOCKS: [&str; 3] =
    ["etc/fake-hwclock.data", "var/lib/systemd/timesync/clock", "var/lib/misc/openrc-shutdowntime"];

/// The order by which chronyd asks its sources again.
pub const SET_ONLINE: &str = "sudo chronyc online";
/// What shows which test of its answers fails.
pub const EXAMINE_SAMPLES: &str = "sudo chronyc ntpdata  # which of the tests A, B, C and D fails, by source";
/// How it is given the hypervisor's clock (chrony.conf(5), `refclock`).
pub const USE_HARDWARE: &str =
    "add `refclock PHC /dev/ptp0 poll 2` to its configuration, with the device of that clock";
/// What to do where one server is too few.
pub const INSTALL_SEVERAL: &str = "where that matters install a time daemon that asks several, such as chrony";
/// What to do where there is no daemon.
pub const INSTALL_ONE: &str = "install a time daemon, such as chrony or systemd-timesyncd";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Whether this root has a `/proc` at all: an image that is not running has none.
    pub has_processes: bool,
    /// Whether every process of the host is in it.
    pub sees_the_host: bool,
    /// The time daemons that keep the host's clock.
    pub running: Vec<InspectedDaemon>,
    /// Every process that may set the clock, and why it counts.
    pub setters: Vec<ClockSetter>,
    /// Guest tools of a hypervisor that run here.
    pub guest_tools: Vec<GuestTools>,
    /// What starts services here.
    pub manager: ServiceManager,
    /// The time daemons whose unit is installed.
    pub installed: Vec<InstalledUnit>,
    /// Lines of cron that set the clock.
    pub cron: Vec<CronLine>,
    /// The running daemon's report of its sources; none where it does not give one.
    pub sources: Option<Result<SourceSummary, String>>,
}

/// A time daemon that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedDaemon {
    /// Its name.
    pub name: &'static str,
    /// Whom it asks, by its configuration.
    pub servers: Vec<String>,
    /// Whether one of their names is a pool, of which it asks several.
    pub has_pool: bool,
    /// How many other sources its configuration has.
    pub others: usize,
    /// How many servers it asks by NTS or with a key.
    pub authenticated: usize,
    /// When it steps instead of slewing; none where that is not known.
    pub step_limit: Option<StepLimit>,
    /// What it does about an offset beyond its limit, in words; none for one of PTP.
    pub beyond_its_limit: Option<&'static str>,
    /// Whether its command line or its configuration keeps it from setting the clock, and how.
    pub observes: Option<&'static str>,
    /// The directive that is missing, without which the kernel is never said to be synchronised and the RTC is never set.
    pub lacks: Option<&'static str>,
    /// It ends itself where the clock is off by more than this; none where it never does.
    pub exits_beyond: Option<Duration>,
    /// It follows no source whose root distance is larger; none where that is not known.
    pub most_distance: Option<Duration>,
    /// The directive by which it follows its own clock where it has no other source.
    pub follows_itself: Option<&'static str>,
    /// It asks so seldom once its clock is steady; none where a step is noticed before the next answer, or that is not known.
    pub slowest_poll: Option<Duration>,
    /// Whether no server is configured, so that it asks those that it was built with.
    pub falls_back: bool,
}

/// What a daemon says of its sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceSummary {
    /// How many it has.
    pub total: usize,
    /// How many of these are hardware.
    pub hardware: usize,
    /// How many answered at one of the last eight polls.
    pub reached: usize,
    /// How many of them are configured as offline.
    pub offline: usize,
    /// How many whose names have no address yet.
    pub unresolved: usize,
    /// How many answered and are too far away to be followed.
    pub too_far: usize,
    /// How many answered and do not count, since authenticated ones that are silent outrank them.
    pub outranked: usize,
    /// How many answer each poll while their last sample is older than three of them: what they answer fails its tests.
    pub unusable: usize,
    /// Whether it follows one of them.
    pub follows_one: bool,
}

/// Looks; blocks, for half a second at most.
#[must_use]
pub fn inspect(settings: &CorrectorSettings) -> Inspection {
    let root = &settings.root;
    let seen = detection::look(root);
    let running: Vec<InspectedDaemon> = seen.iter().map(|seen| running(root, seen)).collect();
    let chronyd = seen.iter().position(|seen| seen.who == Who::Daemon(Daemon::Chrony));
    let manager = ServiceManager::find(root);
    let most_distance = chronyd.and_then(|at| running.get(at)?.most_distance);
    Inspection {
        has_processes: clock_setters::has_processes(root),
        sees_the_host: clock_setters::sees_the_host(root),
        setters: clock_setters::find(root),
        guest_tools: guest_tools::find(root),
        manager,
        installed: installed::find(root, manager),
        cron: cron::find(root),
        sources: chronyd.map(|_| sources(settings, most_distance.unwrap_or(Duration::MAX))),
        running,
    }
}

fn running(root: &Path, seen: &RunningDaemon) -> InspectedDaemon {
    let listed = detection::configured(root, seen);
    let known = match seen.who {
        Who::Daemon(daemon) => Some((daemon, detection::text_in_force(root, daemon, &seen.process))),
        Who::Ptp(_) => None,
    };
    let directives = known.as_ref().map(|(daemon, text)| steps::directives(*daemon, text)).unwrap_or_default();
    // chronyd(8): it does not set the clock with it. Others' flags of that name mean something else.
    let is_chronyd = seen.who == Who::Daemon(Daemon::Chrony);
    let flag = (is_chronyd && seen.process.arguments.iter().any(|argument| argument == "-x")).then_some("-x");
    InspectedDaemon {
        name: seen.who.name(),
        servers: listed.servers.iter().map(|server| server.name.to_string()).collect(),
        has_pool: listed.servers.iter().any(|server| server.is_pool) && seen.who.asks_several_of_a_pool(),
        others: listed.others,
        authenticated: listed.authenticated.len(),
        step_limit: directives.step_limit,
        beyond_its_limit: known.map(|(daemon, _)| daemon.facts().beyond_its_limit),
        observes: flag,
        lacks: directives.lacks,
        exits_beyond: directives.exits_beyond,
        most_distance: directives.most_distance,
        follows_itself: directives.follows_itself,
        slowest_poll: directives.slowest_poll,
        falls_back: seen.who == Who::Daemon(Daemon::Timesyncd) && detection::timesyncd_falls_back(root),
    }
}

/// By its socket where that is open to us, else by UDP, which reports as much.
fn sources(settings: &CorrectorSettings, most_distance: Duration) -> Result<SourceSummary, String> {
    let chronyd = Chronyd { socket: settings.chrony_socket.clone(), udp: settings.chrony_udp, spare: Spare::default() };
    let over_socket = summary(&mut chronyd.client(LOOK), most_distance);
    match (over_socket, chronyd.udp) {
        (Err(error), Some(udp)) => {
            summary(&mut ChronyClient::udp(udp, boottime() + LOOK), most_distance).map_err(|_| untold(&error))
        }
        (outcome, _) => outcome.map_err(|error| untold(&error)),
    }
}

fn untold(error: &ChronyError) -> String {
    if matches!(error.problem, Problem::Closed) { format!("needs root: {error}") } else { error.to_string() }
}

fn summary(client: &mut ChronyClient, most_distance: Duration) -> Result<SourceSummary, ChronyError> {
    let activity = client.activity()?;
    let sources = client.sources()?;
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let reached: Vec<&SourceData> = sources.iter().filter(|source| source.reach != 0).collect();
    // Over UDP, and before 4.0, it does not report which source it ranks first.
    let first = outranking(client).ok().flatten().unwrap_or_default();
    let is_silent = !first.is_empty() && !reached.iter().any(|source| first.contains(&source.address));
    Ok(SourceSummary {
        total: sources.len(),
        hardware: sources.iter().filter(|source| source.mode == SourceMode::RefClock).count(),
        reached: reached.len(),
        offline: count(activity.offline),
        unresolved: count(activity.unresolved),
        too_far: reached.iter().filter(|source| source.root_distance > most_distance).count(),
        unusable: reached.iter().filter(|source| answers_in_vain(source)).count(),
        outranked: if is_silent { reached.len() } else { 0 },
        follows_one: sources.iter().any(|source| source.selected),
    })
}

/// Its answers come and none becomes a sample (chrony's FAQ, 3.8: tests A to D of `chronyc ntpdata`).
fn answers_in_vain(source: &SourceData) -> bool {
    const ALL_EIGHT: u16 = 0o377;
    let too_old = source.poll.as_secs().saturating_mul(3);
    source.reach == ALL_EIGHT && source.since_sample_secs.is_some_and(|secs| u64::from(secs) > too_old)
}

/// How long it takes to slew so far, where the daemon is known to slew at one rate.
#[must_use]
pub fn time_to_slew(offset: Duration, rate_ppm: u32) -> Duration {
    offset.mul_f64(1e6 / f64::from(rate_ppm.max(1)))
}
