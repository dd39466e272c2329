//! `/etc/clockgate/oci.conf` and the file beside the wrapper: lines that can be wrong, read by a program that cannot fail.
//!
//! The wrapper starts every container of the host, so it skips what it does not understand, and
//! `clockgate hooks list` says what that was.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::Caller;
use crate::container::exemption::{self, Rule};
use crate::{duration, page};

/// The settings for all wrappers.
pub const FILE: &str = "/etc/clockgate/oci.conf";
/// A file that an administrator writes is smaller.
const SIZE_MAX: u64 = 1 << 16;

/// What a wrapper or a hook does where there is no agent to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OciNoAgent {
    /// Release once the kernel's maximum error is within the threshold, or when `no-agent-wait` is over.
    Kernel,
    /// Release at once.
    Open,
    /// Wait for an agent, for as long as for a shut gate.
    Hold,
}

/// How starts are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciSettings {
    /// The folder of the gate page.
    pub page: PathBuf,
    /// The real runtime, where its name and PATH do not find it.
    pub runtime: Option<PathBuf>,
    /// What to do without an agent.
    pub no_agent: OciNoAgent,
    /// How long to wait for the kernel's clock without an agent.
    pub no_agent_wait: Duration,
    /// How long Docker's containers are held; none is for ever.
    pub docker: Option<Duration>,
    /// How long those of all other engines are.
    pub others: Option<Duration>,
    /// Exempt containers.
    pub exempt: Vec<Rule>,
    /// Where the system's log is written to.
    pub syslog: PathBuf,
}

impl Default for OciSettings {
    fn default() -> Self {
        Self {
            page: PathBuf::from(page::DIRECTORY),
            runtime: None,
            no_agent: OciNoAgent::Kernel,
            no_agent_wait: Duration::from_secs(30),
            // Docker never tries a refused start again; podman holds its lock meanwhile, and a kubelet gives up after two minutes.
            docker: None,
            others: Some(Duration::from_secs(60)),
            exempt: exemption::built_in(),
            syslog: PathBuf::from("/dev/log"),
        }
    }
}

impl OciSettings {
    /// The settings for the wrapper that was called as `argv0`: the host's, and over them those of `argv0` with `.conf` behind it.
    #[must_use]
    pub fn of(argv0: &Path) -> Self {
        let mut settings = Self::default();
        let mut beside = argv0.as_os_str().to_owned();
        beside.push(".conf");
        for file in [Path::new(FILE), Path::new(&beside)] {
            // A name without a folder was found in PATH; the working directory is never meant by it.
            if file.is_absolute() {
                settings.take_file(file);
            }
        }
        settings
    }

    /// Takes the settings of a file, and returns those that were skipped.
    pub fn take_file(&mut self, file: &Path) -> Vec<String> {
        // Looked at first: to open a fifo would wait for a writer.
        let Ok(true) = file.metadata().map(|meta| meta.is_file()) else { return vec![] };
        let mut bytes = vec![];
        if let Err(error) = std::fs::File::open(file).and_then(|f| f.take(SIZE_MAX).read_to_end(&mut bytes)) {
            return vec![format!("{}: cannot be read: {error}", file.display())];
        }
        self.take_text(file, &String::from_utf8_lossy(&bytes))
    }

    /// Takes the settings of a file whose text is there already, and returns those that were skipped.
    #[doc(hidden)]
    pub fn take_text(&mut self, file: &Path, text: &str) -> Vec<String> {
        let mut passed_over = vec![];
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty()
                && let Err(why) = self.take_line(line)
            {
                passed_over.push(format!("{}:{number}: {why}", file.display()));
            }
        }
        passed_over
    }

    fn take_line(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line.split_once('=').ok_or("expected NAME = VALUE")?;
        let (name, value) = (name.trim(), value.trim());
        match name {
            "page" => self.page = absolute(value)?,
            "runtime" => self.runtime = Some(absolute(value)?),
            "syslog" => self.syslog = absolute(value)?,
            "no-agent" => {
                self.no_agent = match value {
                    "kernel" => OciNoAgent::Kernel,
                    "open" => OciNoAgent::Open,
                    "hold" => OciNoAgent::Hold,
                    _ => return Err(format!("expected kernel, open or hold for no-agent, found `{value}`")),
                }
            }
            "no-agent-wait" => self.no_agent_wait = duration::parse(value)?,
            "max-wait" => self.others = patience(value)?,
            "max-wait.docker" => self.docker = patience(value)?,
            "exempt" if value == "none" => self.exempt.clear(),
            "exempt" => self.exempt.push(value.parse()?),
            _ => return Err(format!("unknown setting `{name}`")),
        }
        Ok(())
    }

    /// How long the containers of an engine are held.
    #[must_use]
    pub const fn patience(&self, caller: Caller) -> Option<Duration> {
        match caller {
            Caller::Docker => self.docker,
            Caller::Podman | Caller::Crio | Caller::Kubernetes | Caller::Containerd | Caller::Other => self.others,
        }
    }
}

fn absolute(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err(format!("expected an absolute path, found `{value}`")) }
}

fn patience(value: &str) -> Result<Option<Duration>, String> {
    if value == "infinity" { Ok(None) } else { duration::parse(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> (OciSettings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("oci.conf");
        std::fs::write(&file, text).unwrap();
        let mut settings = OciSettings::default();
        let passed_over = settings.take_file(&file);
        (settings, passed_over.iter().map(|line| line.replace(&format!("{}:", file.display()), "")).collect())
    }

    #[test]
    fn every_valid_line_counts_beside_invalid_ones() {
        let (settings, passed_over) = take(
            "# a comment\npage=/p\n\nno-agent = hold # for ever\nno-agent-wait = 5s\nmax-wait = 10s\n\
             max-wait.docker = 2min\nruntime = bin/runc\nnonsense\ncolour = blue\nmax-wait.docker = soon\nsyslog = /log\n",
        );
        assert_eq!((settings.page, settings.no_agent), (PathBuf::from("/p"), OciNoAgent::Hold));
        assert_eq!((settings.no_agent_wait, settings.others), (Duration::from_secs(5), Some(Duration::from_secs(10))));
        assert_eq!((settings.docker, settings.runtime), (Some(Duration::from_secs(120)), None));
        assert_eq!(settings.syslog, PathBuf::from("/log"));
        let lines: Vec<_> = passed_over.iter().map(|line| line.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(lines, ["8", "9", "10", "11"], "{passed_over:?}");
    }

    #[test]
    fn docker_waits_for_ever_and_the_others_for_a_minute() {
        let settings = OciSettings::default();
        assert_eq!(settings.patience(Caller::Docker), None);
        for engine in [Caller::Podman, Caller::Crio, Caller::Kubernetes, Caller::Containerd, Caller::Other] {
            assert_eq!(settings.patience(engine), Some(Duration::from_secs(60)));
        }
        assert_eq!(take("max-wait = infinity").0.patience(Caller::Podman), None);
    }

    #[test]
    fn rules_add_up_and_none_takes_the_built_in_ones_away() {
        let built_in = exemption::built_in().len();
        assert_eq!(take("exempt = command:mytimed").0.exempt.len(), built_in + 1);
        assert_eq!(take("exempt = none\nexempt = command:mytimed").0.exempt.len(), 1);
        assert_eq!(take("exempt = everybody").1.len(), 1);
    }

    #[test]
    fn no_file_a_folder_and_random_bytes_are_survived() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = OciSettings::default();
        assert!(settings.take_file(&folder.path().join("none")).is_empty());
        assert!(settings.take_file(folder.path()).is_empty());
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(settings.take_file(&fifo).is_empty());
        let file = folder.path().join("bytes");
        std::fs::write(&file, (0..=255).cycle().take(100_000).collect::<Vec<u8>>()).unwrap();
        assert!(!settings.take_file(&file).is_empty());
        assert_eq!(settings, OciSettings::default());
    }
}
