//! The keys: one line each says where it belongs, what may stand there, and what it does.

use std::time::Duration;

use super::Config;
use super::value::KeyValue;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its name from the outermost mapping: `max-step.forward`.
    pub name: &'static str,
    /// What it does, for the sample and the manual.
    pub does: &'static str,
    pub(super) value: for<'a> fn(&'a mut Config) -> KeyValue<'a>,
}

impl Key {
    /// Its value in this configuration, as it would be written in a file.
    #[must_use]
    pub fn print(&self, config: &Config) -> String {
        (self.value)(&mut config.clone()).print()
    }

    /// What may be written there, in words.
    #[must_use]
    pub fn allows(&self) -> String {
        (self.value)(&mut Config::default()).allows()
    }
}

/// Every key, in the order of the sample; those of one section stand together.
pub static KEYS: [Key; 43] = [
    Key {
        name: "threshold",
        does: "The gate opens when the clock is proven to be wrong by at most this.",
        value: |c| KeyValue::Duration(&mut c.policy.threshold, MS, HOUR),
    },
    Key {
        name: "max-drift-ppm",
        does: "The largest error of the clock's rate between two measurements, in parts per million. A proof lasts \
               until the bound, which grows at this rate, reaches the threshold.",
        value: |c| KeyValue::Ppm(&mut c.policy.max_drift_ppm, 1, 10_000),
    },
    Key {
        name: "min-references",
        does: "The least number of references that must answer. A majority of those that answer must agree.",
        value: |c| KeyValue::Count(&mut c.policy.min_references, 1, 16),
    },
    Key {
        name: "correction",
        does: "Which program corrects the clock. auto: clockgate steps it, except where the time daemon has \
               authenticated sources; then the daemon does. clockgate: always clockgate. daemon: always the daemon. \
               none: clockgate never corrects the clock; the gate waits.",
        value: |c| KeyValue::Correction(&mut c.policy.correction),
    },
    Key {
        name: "max-step.forward",
        does: "The largest step forward that one reference alone may cause at the first proof since boot, after a \
               restore or a pause, or where the RTC agrees. Two references that agree have no limit.",
        value: |c| KeyValue::Duration(&mut c.policy.max_forward, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "max-step.unexplained",
        does: "The largest step forward that one reference alone may cause otherwise, beyond what dead reckoning expects.",
        value: |c| KeyValue::Duration(&mut c.policy.max_unexplained, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "max-step.backward",
        does: "The largest step backward that one reference alone may cause, beyond what dead reckoning expects.",
        value: |c| KeyValue::Duration(&mut c.policy.max_backward, Duration::ZERO, YEAR.saturating_mul(100)),
    },
    Key {
        name: "deadline",
        does: "How long the gate may stay shut before at-deadline applies.",
        value: |c| KeyValue::Duration(&mut c.policy.deadline, SEC, YEAR),
    },
    Key {
        name: "at-deadline.unreachable",
        does: "At the deadline, when no reference that counts has answered and nothing shows that the clock is wrong. \
               open: open the gate, publish the clock as unproven, and shut the gate again as soon as a reference \
               disagrees. hold: stay shut.",
        value: |c| KeyValue::AtDeadline(&mut c.policy.unreachable),
    },
    Key {
        name: "at-deadline.imprecise",
        does: "At the deadline, when the answers agree with the clock and their bound exceeds the threshold.",
        value: |c| KeyValue::AtDeadline(&mut c.policy.imprecise),
    },
    Key {
        name: "at-deadline.wrong",
        does: "At the deadline, when the clock is known to be wrong and could not be corrected. A reference shows it, \
               or dead reckoning from the last proof, the RTC, or a time that has certainly passed.",
        value: |c| KeyValue::AtDeadline(&mut c.policy.wrong),
    },
    Key {
        name: "undo-foreign-steps",
        does: "Whether dead reckoning undoes a step by another program, where no reference answers and the last proof \
               would still be valid. The gate then opens without a proof.",
        value: |c| KeyValue::Switch(&mut c.policy.undo_foreign_steps),
    },
    Key {
        name: "suspend-timeout",
        does: "How long the gate stays shut for a suspend that was announced and does not happen.",
        value: |c| KeyValue::Duration(&mut c.policy.suspend_timeout, SEC.saturating_mul(5), HOUR),
    },
    Key {
        name: "remeasure.min",
        does: "The shortest time between two measurements while the gate is open, unless the proof ends sooner.",
        value: |c| KeyValue::Duration(&mut c.policy.remeasure_min, SEC, DAY),
    },
    Key {
        name: "remeasure.max",
        does: "The longest time between two measurements while the gate is open.",
        value: |c| KeyValue::Duration(&mut c.policy.remeasure_max, SEC, DAY),
    },
    Key {
        name: "servers",
        does: "NTP servers to ask. nts://HOST is asked by NTS, HOST?key=N by a symmetric key. Empty: those of the \
               running time daemon, else those of the cloud, else a public pool.",
        value: |c| KeyValue::Servers(&mut c.servers),
    },
    Key {
        name: "authentication",
        does: "What plain references are for beside authenticated ones (NTS, symmetric keys). mix: they are asked too, \
               and neither open the gate nor step the clock. prefer: plain servers are asked only where no \
               authenticated one answers, and prove nothing then. require: plain servers are never asked.",
        value: |c| KeyValue::Authentication(&mut c.policy.authentication),
    },
    Key {
        name: "nts-ca-file",
        does: "A file with the certificate authorities that NTS servers are verified by, in PEM. none: as ca-file says.",
        value: |c| KeyValue::OptionalPath(&mut c.nts_ca_file),
    },
    Key {
        name: "nts-cert-time",
        does: "When the certificate of an NTS server must be valid. measured: at the time that its own answers show, and \
               at none that has certainly passed. strict: by this host's clock as well, so a wrong clock can prevent \
               NTS.",
        value: |c| KeyValue::CertificateTime(&mut c.nts_cert_time),
    },
    Key {
        name: "keys-file",
        does: "A file with symmetric keys, as chrony.keys and ntp.keys have them, one ID TYPE KEY a line. The types are \
               AES128, SHA256 and SHA1. Only its owner and its group may read it. none: no keys.",
        value: |c| KeyValue::OptionalPath(&mut c.keys_file),
    },
    Key {
        name: "measure-timeout",
        does: "How long one exchange may take while no server answers. Once one has answered, each other server gets \
               three times its largest recent delay, at least 300 ms, or 1 s if it never answered. A server that \
               misses that three times in a row is no longer waited for. Never longer than the deadline.",
        value: |c| KeyValue::Duration(&mut c.measure_timeout, MS.saturating_mul(10), SEC.saturating_mul(30)),
    },
    Key {
        name: "http-references",
        does: "URLs of web servers whose Date is asked for where no NTP server answers, for hosts where NTP is \
               blocked. Its bound is 1 s and more, so it never opens the gate and never counts as a reference. It \
               can show that the clock is wrong, and then the gate stays shut. Name the servers that the workloads \
               talk to; https is verified, plain http is not.",
        value: |c| KeyValue::HttpUrls(&mut c.http_references),
    },
    Key {
        name: "ca-file",
        does: "A file with the certificate authorities that https servers are verified by, in PEM. none: those of \
               SSL_CERT_FILE, else the system's, else built-in ones.",
        value: |c| KeyValue::OptionalPath(&mut c.ca_file),
    },
    Key {
        name: "page",
        does: "The directory of the gate page, which containers mount.",
        value: |c| KeyValue::Path(&mut c.page),
    },
    Key {
        name: "bus.system",
        does: "Whether the agent serves org.clockgate.Agent1 on the system bus.",
        value: |c| KeyValue::Switch(&mut c.bus.system),
    },
    Key {
        name: "bus.socket",
        does: "The socket that serves the same object without a bus; the command line uses it.",
        value: |c| KeyValue::Socket(&mut c.bus.socket),
    },
    Key {
        name: "clockbound.enabled",
        does: "Whether the agent also writes ClockBound's page, for programs that use ClockBound. Not where \
               ClockBound itself runs.",
        value: |c| KeyValue::Switch(&mut c.clockbound.enabled),
    },
    Key {
        name: "clockbound.path",
        does: "The file that ClockBound's clients read.",
        value: |c| KeyValue::Path(&mut c.clockbound.path),
    },
    Key { name: "chrony.socket", does: "chronyd's command socket.", value: |c| KeyValue::Socket(&mut c.chrony.socket) },
    Key {
        name: "chrony.udp",
        does: "chronyd's command port, used to read its state where the socket is not accessible; none: never.",
        value: |c| KeyValue::Address(&mut c.chrony.udp),
    },
    Key {
        name: "timesyncd.set-ntp",
        does: "Whether, after a step, timedated may start the time daemon that this host is configured for, if none \
               runs.",
        value: |c| KeyValue::Switch(&mut c.timesyncd.set_ntp),
    },
    Key {
        name: "vsock.enabled",
        does: "Whether the agent accepts notifications and the time from the hypervisor on a vsock port.",
        value: |c| KeyValue::Switch(&mut c.vsock.enabled),
    },
    Key {
        name: "vsock.port",
        does: "The vsock port.",
        value: |c| KeyValue::Count(&mut c.vsock.port, 1, 4_294_967_294),
    },
    Key {
        name: "vsock.peer-cid",
        does: "The vsock address (CID) that may connect. 2: the hypervisor. 3: the parent instance of a Nitro \
               enclave. 1: any program of this machine itself, for tests only.",
        value: |c| KeyValue::Count(&mut c.vsock.peer_cid, 1, 4_294_967_294),
    },
    Key {
        name: "metrics.textfile",
        does: "A file that metrics are written to, for node_exporter's textfile collector, which reads files that end in \
               .prom. It is written on each change and once a minute. none: no file.",
        value: |c| KeyValue::OptionalPath(&mut c.metrics.textfile),
    },
    Key {
        name: "metrics.listen",
        does: "Where /metrics, /readyz and /livez are served by HTTP, to any program that can connect: an address and a \
               port, or the path of a unix socket. none: nowhere.",
        value: |c| KeyValue::Listen(&mut c.metrics.listen),
    },
    Key {
        name: "history.containers",
        does: "What the history on disk says of containers that are frozen, held or released. names: engine, id and \
               name. ids: engine and id. none: how many. The log has the names in any case.",
        value: |c| KeyValue::Naming(&mut c.history.containers),
    },
    Key {
        name: "freeze.engines",
        does: "The engines whose containers are frozen until the clock is proven. containerd: those of nerdctl and ctr. []: none.",
        value: |c| KeyValue::Engines(&mut c.freeze.engines),
    },
    Key {
        name: "freeze.exclude",
        does: "Containers that are not frozen: a name or an id; a cgroup, if it begins with /; LABEL=VALUE. * matches \
               any characters, ? one. The label clockgate.exempt=true excludes too. Time daemons, the services of a \
               Kubernetes node, and virtual machines in containers are never frozen.",
        value: |c| KeyValue::Patterns(&mut c.freeze.exclude),
    },
    Key {
        name: "freeze.max",
        does: "How long containers stay frozen at most, not counting suspend. They are thawed then, even if the clock \
               is wrong. At most 5s where freeze.engines has kubernetes, so that no liveness probe kills a frozen pod.",
        value: |c| KeyValue::Duration(&mut c.freeze.max, SEC, HOUR),
    },
    Key {
        name: "freeze.carriers",
        does: "Containers that carry the network: in the host's network namespace with CAP_NET_ADMIN, as a VPN or a \
               network plugin. thaw: thaw them first where no reference can be reached. never: treat them as all \
               others.",
        value: |c| KeyValue::Carriers(&mut c.policy.thaw_carriers),
    },
    Key {
        name: "freeze.wave-size",
        does: "How many containers are thawed together, so that their due jobs do not all start at once. 0: all.",
        value: |c| KeyValue::Count(&mut c.freeze.wave_size, 0, 100_000),
    },
    Key {
        name: "freeze.wave-pause",
        does: "The time between two such waves.",
        value: |c| KeyValue::Duration(&mut c.freeze.wave_pause, MS, SEC.saturating_mul(10)),
    },
];

/// Keys of earlier versions, and what they are called today.
pub(super) const RENAMED: [(&str, &str); 6] = [
    ("at-deadline.nobody-to-ask", "at-deadline.unreachable"),
    ("at-deadline.asked-and-wrong", "at-deadline.wrong"),
    ("sleep-deadline", "suspend-timeout"),
    ("bus.peer", "bus.socket"),
    ("vsock.peer", "vsock.peer-cid"),
    ("max-step.unsupported", "max-step.unexplained"),
];

pub(super) type Two = fn(&Config) -> (Duration, Duration);

/// Pairs of keys of which the first may not exceed the second.
pub(super) const ORDERED: [(&str, &str, Two); 2] = [
    ("remeasure.min", "remeasure.max", |c| (c.policy.remeasure_min, c.policy.remeasure_max)),
    ("max-step.unexplained", "max-step.forward", |c| (c.policy.max_unexplained, c.policy.max_forward)),
];
