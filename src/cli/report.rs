//! `clockgate report`: was anything wrong, and how badly; as text, JSON, a picture or a page.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::CliError;
use crate::cli::history::{cannot_read, history_below};
use crate::cli::period::Period;
use crate::exit::Exit;
use crate::page::{self, Agent, Page, boot_id};
use crate::report::{ClockReport, Fold, LivingAgent, Window, write_html, write_json, write_svg, write_text};
use crate::sys::clock::boottime;
use crate::sys::local_time::utc_offset_secs;
use crate::sys::{foreign, output, own_file};

#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    #[command(flatten)]
    period: Period,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Write a page to this file; `-` prints it in place of the text
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write a picture to this file; `-` prints it in place of the text
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Read the history below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl ReportArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        let is_dash = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        let printed = [self.json, is_dash(&self.html), is_dash(&self.svg)];
        if printed.into_iter().filter(|is_printed| *is_printed).count() > 1 {
            return Err(CliError::new(Exit::Usage, "one of --json, --html - and --svg - can be printed, not several"));
        }
        if self.html.as_deref().zip(self.svg.as_deref()).is_some_and(|(html, svg)| is_one_file(html, svg)) {
            return Err(CliError::new(Exit::Usage, "--html and --svg are two files, and have one name"));
        }
        let (since, until) = self.period.ends()?;
        let files = history_below(&self.root)?;
        let mut fold = Fold::default();
        files.each_line(|line| fold.add_line(line)).map_err(|error| cannot_read(&files, error))?;
        let report = fold.report(&Window { since, until, alive: alive(&self.root) });
        let html = |to: &mut dyn Write| write_html(&report, utc_offset_secs, to);
        let svg = |to: &mut dyn Write| write_svg(&report, utc_offset_secs, to);
        put(self.html.as_deref(), &html)?;
        put(self.svg.as_deref(), &svg)?;
        self.print(&report)
    }

    fn print(&self, report: &ClockReport) -> Result<Exit, CliError> {
        let is_dash = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        let printed = output::stream(|to| {
            if self.json {
                write_json(report, to)
            } else if is_dash(&self.html) {
                write_html(report, utc_offset_secs, to)
            } else if is_dash(&self.svg) {
                write_svg(report, utc_offset_secs, to)
            } else {
                write_text(report, utc_offset_secs, to)
            }
        });
        printed.map_err(|error| CliError::caused(Exit::Bug, "cannot write to standard output", error))?;
        Ok(Exit::Ok)
    }
}

/// Whether two paths name one file, which need not be there: `one`, `./one` and `there/../one`.
fn is_one_file(one: &Path, other: &Path) -> bool {
    let folder = |path: &Path| {
        let named = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::canonicalize(named.unwrap_or(Path::new(".")))
    };
    one == other
        || one.file_name() == other.file_name()
            && folder(one).ok().zip(folder(other).ok()).is_some_and(|(one, other)| one == other)
}

/// Writes a file that was asked for; `-` is printed later.
fn put(path: Option<&Path>, content: &dyn Fn(&mut dyn Write) -> io::Result<()>) -> Result<(), CliError> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else { return Ok(()) };
    own_file::write(path, content)
        .map_err(|error| CliError::caused(Exit::Usage, format!("cannot write {}", foreign::shown_path(path)), error))
}

/// The agent of this host, whose last record still holds.
fn alive(root: &Path) -> Option<LivingAgent> {
    let boot = boot_id().filter(|_| root == Path::new("/"))?;
    let view = Page::open(Path::new(page::DIRECTORY)).ok()?.read();
    match view.agent {
        Agent::Alive | Agent::Starting => {
            let boot = boot.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(LivingAgent { boot, now: boottime() })
        }
        Agent::Ended { .. } | Agent::Silent { .. } | Agent::PageGone => None,
    }
}
