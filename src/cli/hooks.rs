//! `clockgate hooks`

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::{CliError, print, print_line};
use crate::container::files;
use crate::exit::Exit;
use crate::installer::{self, Change, Host, Standing, Target, unified};
use crate::page;
use crate::sys::output;
use crate::waiter::oci;

#[derive(Debug, clap::Args)]
pub struct HooksArgs {
    #[command(subcommand)]
    verb: HooksVerb,

    /// Change the host below this directory
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum HooksVerb {
    /// Install clockgate for these targets
    Install {
        /// What to install
        #[arg(required = true, value_name = "TARGET")]
        targets: Vec<Target>,

        /// Show what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,

        /// The path of clockgate-oci as the engines execute it
        #[arg(long, value_name = "PATH")]
        oci: Option<PathBuf>,
    },
    /// Remove clockgate from these targets, and restore their files
    Remove {
        /// What to remove [default: everything that is installed]
        #[arg(value_name = "TARGET")]
        targets: Vec<Target>,

        /// Show what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,

        /// Remove it even if some containers can then no longer start
        #[arg(long)]
        force: bool,

        /// Change no file: it was removed by hand
        #[arg(long)]
        forget: bool,
    },
    /// Print what is installed, and which containers are held now
    List,
}

/// What was done, or would be, for one target.
#[derive(serde::Serialize)]
struct Done {
    target: &'static str,
    state: &'static str,
    changes: Vec<Shown>,
    takes_effect: String,
    notes: Vec<String>,
}

/// What is known of one target.
#[derive(serde::Serialize)]
struct ListedTarget {
    target: &'static str,
    state: &'static str,
    files: Vec<PathBuf>,
    holds: Option<&'static str>,
    notes: Vec<String>,
}

#[derive(serde::Serialize)]
struct Shown {
    path: PathBuf,
    diff: String,
}

impl HooksArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        match &self.verb {
            HooksVerb::Install { targets, dry_run, oci } => {
                let host = Host::new(&self.root, oci.clone());
                self.show(&install(&host, targets, *dry_run)?);
            }
            HooksVerb::Remove { targets, dry_run, force, forget } => {
                let host = Host::new(&self.root, None);
                let how = if *forget {
                    How::Forget
                } else if *force {
                    How::Force
                } else {
                    How::Undo
                };
                self.show(&remove(&host, targets, how, *dry_run)?);
            }
            HooksVerb::List => self.list(&Host::new(&self.root, None))?,
        }
        Ok(Exit::Ok)
    }

    fn show(&self, done: &[Done]) {
        if self.json {
            print_line(serde_json::json!({ "version": 2, "targets": done }));
            return;
        }
        for Done { target, state, changes, takes_effect, notes } in done {
            changes.iter().for_each(|shown| drop(output::print(&shown.diff)));
            print_line(format!("{target}: {state}"));
            if !takes_effect.is_empty() {
                print_line(format!("{target}: takes effect {takes_effect}"));
            }
            notes.iter().for_each(|note| print_line(format!("{target}: note: {note}")));
        }
    }

    fn list(&self, host: &Host) -> Result<(), CliError> {
        let mut settings = oci::OciSettings::default();
        let passed_over = settings.take_file(&host.at(oci::FILE));
        let waiting = oci::waiting(&host.at("/proc"));
        let mut rows = vec![];
        for target in Target::ALL {
            let mut notes = vec![];
            let (state, files) = match installer::standing(host, target).map_err(failed)? {
                Standing::Absent if target.programs().iter().any(|name| host.program(name).is_some()) => {
                    ("not installed", vec![])
                }
                Standing::Absent => ("not here", vec![]),
                Standing::Packaged(changes) => ("by the package", changes),
                Standing::Installed(changes) => match installer::drift(host, target, &changes) {
                    None => ("installed", changes),
                    Some(why) => {
                        notes.push(no_longer_held(target, &why));
                        ("not all held", changes)
                    }
                },
                Standing::Edited { path, ours, changes } => {
                    notes.push(match ours {
                        Some(ours) => format!("{} still has entries of clockgate: {ours}", path.display()),
                        None => format!(
                            "{} no longer has clockgate's entries: container starts are not held",
                            path.display()
                        ),
                    });
                    ("changed since", changes)
                }
            };
            if installer::is_unused(host, target) {
                notes.push("has started no container since the install".to_owned());
            }
            let is_there = matches!(state, "installed" | "not all held");
            if is_there && target == Target::Nri {
                notes.push(installer::nri_connection(host, Path::new(page::DIRECTORY)));
            }
            let is_file = |change: &&Change| matches!(change, Change::File { .. });
            let files: Vec<PathBuf> = files.iter().filter(is_file).map(|change| change.path().to_owned()).collect();
            rows.push(ListedTarget {
                target: target.name(),
                state,
                files,
                holds: target.holds().filter(|_| is_there),
                notes,
            });
        }
        if self.json {
            let held: Vec<_> = waiting.iter().map(oci::Waiting::json).collect();
            let list = serde_json::json!({ "version": 2, "targets": rows, "skipped_lines": passed_over, "held": held });
            return print(&format!("{list}\n"));
        }
        let mut lines = vec![];
        let mut remarks = vec![];
        for ListedTarget { target, state, files, holds, notes } in rows {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            lines.push(format!("{target:<14}{state:<15}{}", files.join(" ")).trim_end().to_owned());
            remarks.extend(holds.map(|holds| format!("{target}: holds {holds}")));
            remarks.extend(notes.iter().map(|note| format!("{target}: note: {note}")));
        }
        lines.extend(remarks);
        lines.extend(passed_over.iter().map(|line| format!("skipped: {line}")));
        lines.extend(waiting.iter().map(|held| format!("held now: {held}")));
        print(&(lines.join("\n") + "\n"))
    }
}

fn no_longer_held(target: Target, why: &str) -> String {
    let name = target.name();
    format!(
        "some of its containers are no longer held: {why}; run `clockgate hooks remove {name}`, then install it again"
    )
}

fn install(host: &Host, targets: &[Target], dry_run: bool) -> Result<Vec<Done>, CliError> {
    let mut plans = vec![];
    for target in targets.iter().copied() {
        if let Some(other) = target.instead().filter(|other| targets.contains(other) || is_installed(host, *other)) {
            let both = format!("{} and {} hold the same containers: install one of them", target.name(), other.name());
            return Err(CliError::new(Exit::Usage, both));
        }
        plans.push(match installer::standing(host, target).map_err(failed)? {
            Standing::Absent => (target, Some(target.plan(host).map_err(failed)?)),
            Standing::Installed(changes) => match installer::drift(host, target, &changes) {
                None => (target, None),
                Some(why) => {
                    let what = format!("{} is installed, and {}", target.name(), no_longer_held(target, &why));
                    return Err(CliError::new(Exit::No, what));
                }
            },
            Standing::Packaged(_) => (target, None),
            Standing::Edited { path, ours: Some(lines), .. } => {
                return Err(failed(installer::InstallerError::Edited { path, lines, target: target.name() }));
            }
            Standing::Edited { path, ours: None, .. } => {
                let (path, name) = (path.display(), target.name());
                let what = format!(
                    "{path} was rewritten since the install, without clockgate's entries: run `clockgate hooks remove {name}` first"
                );
                return Err(CliError::new(Exit::No, what));
            }
        });
    }
    let mut done = vec![];
    for (target, plan) in plans {
        let Some(plan) = plan else {
            let state = "is installed already";
            done.push(Done {
                target: target.name(),
                state,
                changes: vec![],
                takes_effect: String::new(),
                notes: vec![],
            });
            continue;
        };
        if !dry_run {
            installer::apply(host, target, &plan).map_err(failed)?;
        }
        let changes = plan.changes.iter().map(|change| shown(change, DiffDirection::There)).collect();
        let state = if dry_run { "would be installed" } else { "installed" };
        done.push(Done { target: target.name(), state, changes, takes_effect: plan.afterwards, notes: plan.notes });
    }
    Ok(done)
}

/// How to take something back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Undo,
    Force,
    Forget,
}

fn remove(host: &Host, targets: &[Target], how: How, dry_run: bool) -> Result<Vec<Done>, CliError> {
    let all: Vec<Target> = Target::ALL.into_iter().filter(|target| is_installed(host, *target)).collect();
    let targets = if targets.is_empty() { &all } else { targets };
    let mut done = vec![];
    for target in targets.iter().copied() {
        let changes = match installer::standing(host, target).map_err(failed)? {
            Standing::Absent => return Err(CliError::new(Exit::No, format!("{} is not installed", target.name()))),
            Standing::Packaged(_) => {
                let what = format!("{} belongs to the package: remove the package (`make uninstall`)", target.name());
                return Err(CliError::new(Exit::No, what));
            }
            Standing::Edited { path, ours: Some(lines), .. } if how != How::Forget && !dry_run => {
                return Err(failed(installer::InstallerError::Edited { path, lines, target: target.name() }));
            }
            Standing::Installed(changes) | Standing::Edited { changes, .. } => changes,
        };
        let needed = target.needed_by(host).map_err(failed)?;
        if let Some(needed) = needed.filter(|_| how == How::Undo && !dry_run) {
            return Err(CliError::new(Exit::No, needed));
        }
        match how {
            _ if dry_run => {}
            How::Forget => installer::forget(host, target).map_err(failed)?,
            How::Undo | How::Force => installer::undo(host, target).map_err(failed)?,
        }
        let state = match (dry_run, how) {
            (true, _) => "would be removed",
            (false, How::Forget) => "removed from the record, and its files are unchanged",
            (false, How::Undo | How::Force) => "removed",
        };
        let files = changes.iter().rev().filter(|change| matches!(change, Change::File { .. }));
        let changes = files.map(|change| shown(change, DiffDirection::Back)).collect();
        let afterwards = if how == How::Forget { String::new() } else { target.afterwards(host) };
        done.push(Done { target: target.name(), state, changes, takes_effect: afterwards, notes: vec![] });
    }
    Ok(done)
}

fn is_installed(host: &Host, target: Target) -> bool {
    installer::standing(host, target)
        .is_ok_and(|standing| matches!(standing, Standing::Installed(_) | Standing::Edited { .. }))
}

/// Whether a change is shown as it is made, or as it is taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DiffDirection {
    There,
    Back,
}

fn shown(change: &Change, way: DiffDirection) -> Shown {
    let diff = match change {
        Change::File { path, before, after, .. } => {
            let none = Path::new("/dev/null");
            let old = (before.as_ref().map_or(none, |_| path), before.as_deref().unwrap_or_default());
            let new = (path.as_path(), after.as_str());
            let (from, to) = if way == DiffDirection::There { (old, new) } else { (new, old) };
            format!("--- {}\n+++ {}\n{}", from.0.display(), to.0.display(), unified(from.1, to.1))
        }
        Change::Link { path, to } => {
            format!("+link {} -> {}\n", path.display(), to.display())
        }
    };
    Shown { path: change.path().to_owned(), diff }
}

fn failed(error: installer::InstallerError) -> CliError {
    let exit = match &error {
        installer::InstallerError::File(files::FileError::Refused { .. }) => Exit::Config,
        installer::InstallerError::Wrong(_) | installer::InstallerError::Edited { .. } => Exit::No,
        installer::InstallerError::File(files::FileError::Io { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::NotPermitted
        }
        installer::InstallerError::File(files::FileError::Io { .. }) => Exit::Bug,
    };
    let text = error.to_string();
    match error {
        installer::InstallerError::File(files::FileError::Io { source, .. }) => CliError::caused(exit, text, source),
        installer::InstallerError::File(files::FileError::Refused { .. })
        | installer::InstallerError::Wrong(_)
        | installer::InstallerError::Edited { .. } => CliError::new(exit, text),
    }
}
