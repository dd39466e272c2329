//! Whether a pod's container may be made now. Nothing waits here for long: a container runtime asks one question at a time, and lets
//! the container start if the answer is late.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pod;
use crate::container::{Metadata, exemption, tolerance};
use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::foreign::shown;
use crate::sys::output::Priority;
use crate::waiter::Ground;
use crate::waiter::oci::hold::{GateWatch, HeldContainer, Refused, Released};
use crate::waiter::oci::{OciSettings, RefusedBy, count_refusal};

/// The time-out of a runtime that does not say its own (`DefaultPluginRequestTimeout` in containerd/nri).
pub const USUAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the first caller of an epoch waits: a proof takes less, mostly.
const LONGEST: Duration = Duration::from_secs(1);
/// What is left of the time-out for the answer to arrive.
const RESERVE: Duration = Duration::from_millis(500);
/// After so long without a request it is unknown since when an agent is gone. A kubelet asks again after some 11 s.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// How often the log repeats that starts are refused.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// What is written to the log.
pub type LogLine = (Priority, String);

/// The gate as pods find it.
pub struct StartGate {
    argv0: PathBuf,
    watch: GateWatch,
    asked_at: Boottime,
    callers: FirstCallers,
    refusals: Refusals,
}

impl StartGate {
    /// With the settings of the host and of the program that was called as `argv0`, which are read anew at each request.
    #[must_use]
    pub fn new(argv0: PathBuf) -> Self {
        let watch = GateWatch::new(&OciSettings::of(&argv0));
        Self { argv0, watch, asked_at: boottime(), callers: FirstCallers::default(), refusals: Refusals::default() }
    }

    /// The folder of the page.
    #[must_use]
    pub fn page(&self) -> &Path {
        &self.watch.settings().page
    }

    /// Whether a container may be made, or why not, and what to log. The request was made with this time-out.
    pub fn admit(&mut self, request: &[u8], timeout: Duration) -> (Result<(), String>, Vec<LogLine>) {
        // One that cannot be read is held all the same; it only cannot be exempt.
        let metadata = pod::metadata(request).unwrap_or_default();
        let settings = OciSettings::of(&self.argv0);
        let now = boottime();
        if settings != *self.watch.settings() || now.since(self.asked_at) > FORGET_AFTER {
            self.watch = GateWatch::new(&settings);
        }
        self.asked_at = now;
        let mut container = PodContainer {
            metadata: &metadata,
            settings: &settings,
            longest: longest(timeout),
            callers: &mut self.callers,
            exempt_by: None,
            lines: vec![],
        };
        let outcome = self.watch.hold(&mut container);
        let (exempt_by, mut lines) = (container.exempt_by, container.lines);
        let subject = subject(&metadata);
        let answer = match outcome {
            Ok(Released::Exempt) => {
                let rule = exempt_by.unwrap_or_default();
                lines.push((Priority::Info, format!("{subject}: not held at the shut gate: exempt by {rule}")));
                Ok(())
            }
            Ok(Released::On(ground)) => {
                lines.extend(self.refusals.end());
                match ground {
                    // A gate that is open on a proof needs no line in the log; every other release has one.
                    Ground::Proven(_) => {}
                    Ground::Tolerated { .. } => lines.push((Priority::Info, format!("{subject}: released: {ground}"))),
                    Ground::Unproven(_)
                    | Ground::Measured { .. }
                    | Ground::Kernel { .. }
                    | Ground::NoAgent
                    | Ground::TimedOut { .. } => {
                        lines.push((Priority::Warning, format!("{subject}: released: {ground}")))
                    }
                }
                Ok(())
            }
            Err(Refused { waited: _, why }) => {
                count_refusal(&settings, RefusedBy::Nri);
                lines.extend(self.refusals.count(&subject, &why, boottime()));
                Err(format!("clockgate: refusing to create {subject}: {why}"))
            }
        };
        (answer, lines)
    }
}

/// How long the first caller of an epoch may wait for its answer.
fn longest(timeout: Duration) -> Duration {
    LONGEST.min(timeout.saturating_sub(RESERVE))
}

fn subject(metadata: &Metadata) -> String {
    let title =
        metadata.title().map_or_else(|| "a container".to_owned(), |title| format!("container {}", shown(title)));
    match (&metadata.namespace, &metadata.pod) {
        (Some(namespace), Some(pod)) => format!("{title} of pod {}/{}", shown(namespace), shown(pod)),
        (_, Some(pod)) => format!("{title} of pod {}", shown(pod)),
        (_, None) => title,
    }
}

/// Who has waited already: the first caller of each epoch.
#[derive(Debug, Default)]
struct FirstCallers(Option<Option<u64>>);

impl FirstCallers {
    /// Whether this is the first caller of the epoch.
    fn is_first(&mut self, epoch: Option<u64>) -> bool {
        self.0.replace(epoch) != Some(epoch)
    }
}

/// The refusals since the gate was found shut: one line, and then one a minute.
#[derive(Debug, Default)]
struct Refusals {
    count: u64,
    logged: Option<Boottime>,
}

impl Refusals {
    fn count(&mut self, subject: &str, why: &str, now: Boottime) -> Option<LogLine> {
        self.count += 1;
        let is_due = self.logged.is_none_or(|logged| now >= logged + REMIND_EVERY);
        if is_due {
            self.logged = Some(now);
        }
        let so_far = if self.count == 1 { String::new() } else { format!("; {} refusals so far", self.count) };
        is_due.then(|| (Priority::Warning, format!("refused: {subject}: {why}{so_far}")))
    }

    fn end(&mut self) -> Option<LogLine> {
        let Self { count, logged: _ } = std::mem::take(self);
        (count > 0).then(|| (Priority::Info, format!("containers are made again, after {count} refusals")))
    }
}

struct PodContainer<'a> {
    metadata: &'a Metadata,
    settings: &'a OciSettings,
    longest: Duration,
    callers: &'a mut FirstCallers,
    exempt_by: Option<String>,
    lines: Vec<LogLine>,
}

impl HeldContainer for PodContainer<'_> {
    fn is_exempt(&mut self) -> bool {
        self.exempt_by = exemption::find(self.metadata, &self.settings.exempt).map(|exemption| exemption.to_string());
        self.exempt_by.is_some()
    }

    fn tolerance(&mut self) -> Option<Duration> {
        match tolerance::of(self.metadata)? {
            Ok(tolerance) => Some(tolerance),
            Err(why) => {
                let why = format!("{}: {} is ignored: {}", subject(self.metadata), tolerance::LABEL, shown(&why));
                self.lines.push((Priority::Warning, why));
                None
            }
        }
    }

    fn patience(&mut self, epoch: Option<u64>) -> Option<Duration> {
        Some(if self.callers.is_first(epoch) { self.longest } else { Duration::ZERO })
    }

    // It does not wait for long enough for a line in the log.
    fn waits(&mut self, _waited: Duration, _why: &str) {}
}

#[cfg(test)]
mod tests {
    use super::super::pod::tests::request;
    use super::*;
    use std::io::Write;

    use clockgate_page::sys::mapping;
    use clockgate_page::{Gate, MAGIC, VERSION, at, boot_id};

    use crate::sys::nap;

    /// A host without a gate page.
    fn gate(settings: &str) -> (tempfile::TempDir, StartGate) {
        let folder = tempfile::tempdir().unwrap();
        let argv0 = folder.path().join("clockgate-nri");
        let page = folder.path().join("public");
        std::fs::write(argv0.with_extension("conf"), format!("page = {}\n{settings}", page.display())).unwrap();
        (folder, StartGate::new(argv0))
    }

    #[test]
    fn the_first_caller_of_an_epoch_waits_and_no_other() {
        let mut callers = FirstCallers::default();
        let first: Vec<bool> =
            [None, None, Some(7), Some(7), Some(8), Some(8)].map(|epoch| callers.is_first(epoch)).into();
        assert_eq!(first, [true, false, true, false, true, false]);
        // An answer that is late starts the container.
        let seconds = Duration::from_secs;
        assert_eq!(longest(seconds(30)), seconds(1));
        assert_eq!(longest(USUAL_TIMEOUT), seconds(1));
        assert_eq!(longest(Duration::from_millis(1200)), Duration::from_millis(700));
        assert_eq!(longest(Duration::from_millis(300)), Duration::ZERO);
    }

    /// The page of an agent whose gate is this, in this epoch.
    fn page(gate: Gate, epoch: u64) -> Vec<u8> {
        let mut bytes = vec![0; mapping::LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(at::MAGIC, &MAGIC.to_ne_bytes());
        put(at::VERSION, &VERSION.to_ne_bytes());
        put(at::SIZE, &u32::try_from(at::ALIVE_UNTIL).unwrap().to_ne_bytes());
        put(at::BOOT_ID, &boot_id().unwrap());
        put(at::GATE, &(gate as u32).to_ne_bytes());
        put(at::EPOCH, &epoch.to_ne_bytes());
        put(at::WHY, b"measuring");
        put(at::VALID_UNTIL, &(boottime() + Duration::from_secs(300)).as_nanos().to_ne_bytes());
        bytes
    }

    #[test]
    fn the_first_caller_is_released_by_a_gate_that_opens_meanwhile() {
        let (folder, mut gate) = gate("");
        let file = folder.path().join("public/gate");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        // A busy machine may open it too late: then the next epoch's first caller is to be released.
        let is_released = (1..30).any(|epoch| {
            std::fs::write(&file, page(Gate::Shut, epoch)).unwrap();
            let opener = std::thread::spawn({
                let file = file.clone();
                move || {
                    nap(Duration::from_millis(100));
                    std::fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(&page(Gate::Proven, epoch))
                }
            });
            let (answer, _) = gate.admit(&request(&[], &[], &[]), USUAL_TIMEOUT);
            opener.join().unwrap().unwrap();
            answer.is_ok()
        });
        assert!(is_released);
        std::fs::write(&file, page(Gate::Shut, 30)).unwrap();
        let why = "clockgate: refusing to create container web of pod default/shop-0: the gate is shut: measuring; \
                   `clockgate status` says more";
        for _ in 0..2 {
            assert_eq!(gate.admit(&request(&[], &[], &[]), USUAL_TIMEOUT).0, Err(why.to_owned()));
        }
    }

    #[test]
    fn a_refusal_names_the_container_and_exempt_ones_pass() {
        let (_folder, mut gate) = gate("no-agent = hold\n");
        let short = Duration::from_millis(600);
        let (refused, lines) = gate.admit(&request(&[], &[], &["/bin/web"]), short);
        let why = refused.unwrap_err();
        assert_eq!(
            why,
            "clockgate: refusing to create container web of pod default/shop-0: there is no agent (no-agent = hold)"
        );
        assert!(
            matches!(&lines[..], [(Priority::Warning, line)] if line.starts_with("refused: container web of ")),
            "{lines:?}"
        );
        // The log has the next one a minute later.
        let (refused, lines) = gate.admit(&request(&[], &[], &["/bin/web"]), short);
        assert!(refused.is_err() && lines.is_empty());
        let (passed, lines) = gate.admit(&request(&[("kubernetes.io/config.source", "file")], &[], &[]), short);
        assert!(passed.is_ok() && lines[0].1.ends_with("exempt by static-pod"), "{lines:?}");
        assert!(gate.admit(&[0xff], short).0.is_err(), "what cannot be read is held");
        assert!(
            gate.admit(&[], short).0.is_err_and(|why| why.starts_with("clockgate: refusing to create a container: "))
        );
    }

    #[test]
    fn settings_count_from_the_next_request_on() {
        let (folder, mut gate) = gate("no-agent = hold\n");
        assert!(gate.admit(&[], Duration::ZERO).0.is_err());
        std::fs::write(folder.path().join("clockgate-nri.conf"), "page = /nowhere\nno-agent = open\n").unwrap();
        let (passed, lines) = gate.admit(&[], Duration::ZERO);
        assert!(passed.is_ok());
        let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "containers are made again, after 1 refusals",
                "a container: released: no agent; the clock was not checked"
            ]
        );
    }
}
