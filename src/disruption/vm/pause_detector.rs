//! The silent pause: a hypervisor pauses this machine and continues it, and no notice reports it. REALTIME, MONOTONIC and
//! BOOTTIME did not advance meanwhile; only a clock outside of them did.
//!
//! Such a clock (a PTP clock, the VMClock's time, the RTC) is compared with BOOTTIME, which no program can set: a step of the system
//! clock is none of this watch's business, and a sleep is counted in BOOTTIME by the kernel itself.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};

use crate::decision::{Boottime, Cause, Event, Gate, Offset, Reading, ReferenceKind, Snapshot, drift, forward};
use crate::sys::adjtimex::MOST_SLEWED_PPM;
use crate::sys::clock::standing;
use crate::sys::step::NOISE;

/// How often a clock is looked at: one that answers in microseconds, and one of whole seconds.
const FINE_EVERY: Duration = Duration::from_secs(1);
const COARSE_EVERY: Duration = Duration::from_secs(2);
/// What may go missing between two looks at a fine clock: a busy hypervisor runs us late, and a host sets its own clock.
const FINE_SLACK: Duration = Duration::from_millis(100);

/// A clock outside of the system's own, and how to look at it. Looking may block.
#[derive(Clone)]
pub struct OutsideClock {
    /// Its name, for the log.
    pub name: String,
    /// How often it is looked at.
    pub every: Duration,
    /// What may go missing between two looks, beside the distances of both.
    pub slack: Duration,
    look: Arc<dyn Fn() -> Option<Reading> + Send + Sync>,
}

impl OutsideClock {
    /// A clock of that kind; `look` gives nothing when the clock does not answer this time.
    pub fn new(
        name: impl Into<String>,
        kind: ReferenceKind,
        look: impl Fn() -> Option<Reading> + Send + Sync + 'static,
    ) -> Self {
        let (every, slack) = match kind {
            ReferenceKind::Rtc => (COARSE_EVERY, Duration::ZERO),
            ReferenceKind::Phc
            | ReferenceKind::VmClock
            | ReferenceKind::Ntp
            | ReferenceKind::Daemon
            | ReferenceKind::Caller => (FINE_EVERY, FINE_SLACK),
        };
        Self { name: name.into(), every, slack, look: Arc::new(look) }
    }
}

impl fmt::Debug for OutsideClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("name", &self.name).field("every", &self.every).finish_non_exhaustive()
    }
}

/// Sends a pause whenever the witness has advanced without this machine, until no receiver is left. `published` has the time of the
/// last proof, and the error at which that proof is void.
///
/// # Errors
/// None; it ends when no receiver is left.
pub async fn watch(
    witness: OutsideClock,
    published: watch::Receiver<Snapshot>,
    events: mpsc::Sender<Event>,
) -> Result<(), Infallible> {
    debug!(?witness, "monitoring VM pauses");
    let mut looks = interval(witness.every);
    // After a pause the next look comes when it is due and not at once for every one that was missed.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = LastComparison::new(witness.slack);
    loop {
        tokio::select! {
            () = events.closed() => return Ok(()),
            _ = looks.tick() => {}
        }
        let look = witness.look.clone();
        let Ok(Some((reading, asleep))) = tokio::task::spawn_blocking(move || seen(&look)).await else { continue };
        let snapshot = published.borrow().clone();
        if let Some(lost) = memory.compare(Look::new(&reading, asleep), &snapshot) {
            info!(witness = witness.name, ?lost, "VM pause detected");
            if events.send(Event::Disrupted(Cause::Pause { lost })).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn seen(look: &Arc<dyn Fn() -> Option<Reading> + Send + Sync>) -> Option<(Reading, Duration)> {
    // Before the look: a sleep in between then shows at the next one.
    let asleep = standing().boot_minus_mono;
    look().map(|reading| (reading, asleep))
}

/// One look at a witness.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// The witness's time minus BOOTTIME: it grows by what this machine missed.
    ahead: Offset,
    /// The witness's time minus the system clock's: the same, but for who set that meanwhile.
    offset: Offset,
    /// How far both can be off.
    distance: Duration,
    as_of: Boottime,
    /// The time asleep since boot, as the kernel counted it.
    asleep: Duration,
    /// Whether the system clock was proven right then.
    proven: bool,
}

impl Look {
    fn new(reading: &Reading, asleep: Duration) -> Self {
        let as_of = forward(Duration::from_nanos(reading.as_of.as_nanos()));
        let ahead = Offset::from_nanos(reading.local.as_nanos()) + reading.offset - as_of;
        // A witness may be as wrong as it likes, as long as it stays so: what counts is how well it can be read.
        let distance =
            if reading.kind == ReferenceKind::Rtc { reading.root_distance } else { reading.delay.unwrap_or_default() };
        Self { ahead, offset: reading.offset, distance, as_of: reading.as_of, asleep, proven: false }
    }
}

/// What was seen before.
#[derive(Debug)]
struct LastComparison {
    slack: Duration,
    last: Option<Look>,
    /// The first look that a proof holds for, as long as it does.
    at_proof: Option<(Boottime, Look)>,
    /// The last look before a notice of a disruption.
    before: Option<Look>,
}

impl LastComparison {
    const fn new(slack: Duration) -> Self {
        Self { slack, last: None, at_proof: None, before: None }
    }

    /// What this machine missed, if it is more than can be explained and no notice has reported it yet.
    fn compare(&mut self, mut now: Look, published: &Snapshot) -> Option<Duration> {
        let proven = published.gate == Gate::Proven;
        now.proven = proven && published.since <= now.as_of;
        let last = self.last.replace(now)?;
        let lost = if now.asleep.saturating_sub(last.asleep) > NOISE {
            // The kernel reports a sleep, and counts it by the RTC, up to a second off.
            self.at_proof = None;
            None
        } else if published.since > last.as_of {
            self.at_proof = None;
            if last.proven {
                self.before.get_or_insert(last);
            }
            self.still_missing(&now, published)
        } else {
            let slewed = drift(now.as_of.since(last.as_of), MOST_SLEWED_PPM);
            missing(now.ahead - last.ahead, self.slack + slewed, [&last, &now])
                .or_else(|| self.still_missing(&now, published))
                .or_else(|| self.missing_since_the_proof(last, &now, published))
        };
        if lost.is_some() {
            *self = Self { last: Some(Look { proven: false, ..now }), ..Self::new(self.slack) };
        }
        lost
    }

    /// A notice reported a disruption, and the clock was proven since. It is as far from the witness as before, or else this
    /// machine was paused once more, in the middle of the proof.
    fn still_missing(&mut self, now: &Look, published: &Snapshot) -> Option<Duration> {
        if !now.proven {
            return None;
        }
        let before = self.before.take()?;
        missing(now.offset - before.offset, self.slack + published.threshold * 2, [&before, now])
    }

    /// Many pauses, each as short as the delays of a busy host, add up.
    fn missing_since_the_proof(&mut self, last: Look, now: &Look, published: &Snapshot) -> Option<Duration> {
        if !now.proven {
            self.at_proof = None;
            return None;
        }
        let (proof, first) = *self.at_proof.get_or_insert((published.as_of, last));
        if proof != published.as_of {
            self.at_proof = Some((published.as_of, *now));
            return None;
        }
        let drifted = drift(now.as_of.since(first.as_of), published.max_drift_ppm);
        missing(now.ahead - first.ahead, published.threshold + drifted, [&first, now])
    }
}

/// What the witness went on by and we did not, if it is more than `explained` and what the two looks leave open.
fn missing(lost: Offset, explained: Duration, looks: [&Look; 2]) -> Option<Duration> {
    let open: Duration = looks.iter().map(|look| look.distance).sum();
    (!lost.is_backward() && lost.abs() > explained + open).then(|| lost.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Voice;
    use crate::decision::{Epoch, Leap, Realtime};
    use std::sync::Mutex;
    use tokio::sync::mpsc::Receiver;

    /// A witness that is a fake, and this machine beside it: milliseconds since the machine booted.
    #[derive(Clone, Copy, Debug)]
    struct Fake {
        /// What this machine counted.
        boot: i64,
        /// What it missed.
        missed: i64,
        /// How its clock was stepped since.
        stepped: i64,
        /// How long it slept.
        asleep: i64,
        kind: ReferenceKind,
    }

    const RUNNING: Fake = Fake { boot: 100_000, missed: 0, stepped: 0, asleep: 0, kind: ReferenceKind::Phc };

    impl Fake {
        fn reading(self) -> Reading {
            let ms = |ms: i64| ms * 1_000_000;
            Reading {
                source: "fake".to_owned(),
                voice: Voice::hypervisor(),
                kind: self.kind,
                as_of: Boottime::from_nanos(ms(self.boot).unsigned_abs()),
                local: Realtime::from_nanos(ms(self.boot + self.stepped)),
                offset: Offset::from_nanos(ms(self.missed - self.stepped)),
                root_distance: Duration::from_secs(1),
                authenticated: false,
                leap: Leap::None,
                stratum: None,
                delay: Some(Duration::from_micros(20)),
                upstream: None,
            }
        }

        fn look(self) -> Look {
            Look::new(&self.reading(), Duration::from_millis(self.asleep.unsigned_abs()))
        }

        fn after(self, ms: i64) -> Self {
            Self { boot: self.boot + ms, ..self }
        }
    }

    fn proven(at: Fake) -> Snapshot {
        let at = Boottime::from_nanos((at.boot * 1_000_000).unsigned_abs());
        Snapshot {
            gate: Gate::Proven,
            epoch: Epoch::new(1),
            since: at,
            as_of: at,
            threshold: Duration::from_millis(200),
            max_drift_ppm: 500,
            ..Snapshot::default()
        }
    }

    fn running() -> (LastComparison, Snapshot) {
        let mut memory = LastComparison::new(FINE_SLACK);
        let published = proven(RUNNING.after(-10));
        assert_eq!(memory.compare(RUNNING.look(), &published), None);
        (memory, published)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_is_how_far_the_witness_advanced_and_is_reported_once() {
        let (mut memory, published) = running();
        let paused = Fake { missed: 20_000, ..RUNNING.after(1000) };
        assert_eq!(memory.compare(paused.look(), &published), Some(ms(20_000)));
        assert_eq!(memory.compare(paused.after(1000).look(), &published), None);
    }

    #[test]
    fn a_slew_a_step_and_a_busy_host_are_no_pause() {
        let (mut memory, published) = running();
        // Slowed down by chronyd, on a host that is busy as well.
        let slewed = Fake { missed: 180, ..RUNNING.after(1000) };
        assert_eq!(memory.compare(slewed.look(), &published), None);
        let stepped = Fake { stepped: -3_600_000, ..slewed.after(1000) };
        assert_eq!(memory.compare(stepped.look(), &published), None);
        let ahead = Fake { missed: -5000, ..stepped.after(1000) };
        assert_eq!(memory.compare(ahead.look(), &published), None, "the host set its clock back");
    }

    #[test]
    fn a_sleep_is_reported_by_the_kernel_and_not_here() {
        let (mut memory, published) = running();
        let slept = Fake { missed: 900, asleep: 60_000, ..RUNNING.after(60_000) };
        assert_eq!(memory.compare(slept.look(), &published), None);
        assert_eq!(memory.compare(slept.after(1000).look(), &published), None);
    }

    #[test]
    fn many_short_pauses_come_to_one() {
        let (mut memory, published) = running();
        let mut now = RUNNING;
        let reported = (0..10).find_map(|_| {
            now = Fake { missed: now.missed + 90, ..now.after(1000) };
            memory.compare(now.look(), &published)
        });
        assert_eq!(reported, Some(ms(270)));
        // Renewed meanwhile, the proof has taken them in.
        let (mut memory, mut published) = running();
        let mut now = RUNNING;
        for _ in 0..10 {
            now = Fake { missed: now.missed + 90, ..now.after(1000) };
            published.as_of = Boottime::from_nanos((now.boot * 1_000_000).unsigned_abs());
            assert_eq!(memory.compare(now.look(), &published), None);
        }
    }

    #[test]
    fn a_restore_with_a_notice_is_not_reported_again() {
        let (mut memory, _) = running();
        // Reported at 100.5 s, stepped by what was missing, proven; then we look.
        let repaired = Fake { missed: 60_000, stepped: 60_030, ..RUNNING.after(1000) };
        assert_eq!(memory.compare(repaired.look(), &proven(RUNNING.after(500))), None);
        assert_eq!(memory.compare(repaired.after(1000).look(), &proven(RUNNING.after(500))), None);
    }

    #[test]
    fn a_pause_in_the_middle_of_the_proof_is_reported() {
        let (mut memory, _) = running();
        let restored = proven(RUNNING.after(500));
        let shut = Snapshot { gate: Gate::Shut, ..restored.clone() };
        let measuring = Fake { missed: 60_000, ..RUNNING.after(1000) };
        assert_eq!(memory.compare(measuring.look(), &shut), None);
        let opened = Fake { missed: 68_000, stepped: 60_000, ..RUNNING.after(1200) };
        // Longer than a second later, so that the pause of 8 s does not show from one look to the next.
        let slowly = LastComparison { last: Some(Look { as_of: Boottime::default(), ..opened.look() }), ..memory };
        memory = slowly;
        assert_eq!(memory.compare(opened.look(), &restored), Some(ms(8000)));
    }

    #[test]
    fn the_rtc_shows_seconds() {
        let mut memory = LastComparison::new(Duration::ZERO);
        let rtc = Fake { kind: ReferenceKind::Rtc, ..RUNNING };
        let published = proven(RUNNING.after(-10));
        assert_eq!(memory.compare(rtc.look(), &published), None);
        assert_eq!(memory.compare(Fake { missed: 900, ..rtc.after(2000) }.look(), &published), None);
        let paused = Fake { missed: 20_400, ..rtc.after(4000) };
        assert_eq!(memory.compare(paused.look(), &published), Some(ms(19_500)));
    }

    fn spawned(fake: Fake) -> (Arc<Mutex<Option<Fake>>>, Receiver<Event>, watch::Sender<Snapshot>) {
        let world = Arc::new(Mutex::new(Some(fake)));
        let seen = world.clone();
        let witness = OutsideClock::new("fake", fake.kind, move || seen.lock().unwrap().map(Fake::reading));
        let (events, inbox) = mpsc::channel(4);
        let (publish, published) = watch::channel(proven(fake.after(-10)));
        tokio::spawn(super::watch(witness, published, events));
        (world, inbox, publish)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fake_clock_that_goes_on_alone_is_a_disruption_at_the_next_look() {
        let (world, mut inbox, _publish) = spawned(RUNNING);
        tokio::time::sleep(FINE_EVERY * 3).await;
        // It does not answer for a while, and nothing is made of that.
        *world.lock().unwrap() = None;
        tokio::time::sleep(FINE_EVERY * 3).await;
        assert!(inbox.try_recv().is_err());
        let began = tokio::time::Instant::now();
        *world.lock().unwrap() = Some(Fake { missed: 20_000, ..RUNNING.after(1000) });
        assert_eq!(inbox.recv().await, Some(Event::Disrupted(Cause::Pause { lost: ms(20_000) })));
        assert!(began.elapsed() <= FINE_EVERY);
    }
}
