//! `clockgate help`: the verbs in groups, and the manual pages.

use std::path::PathBuf;
use std::process::Command;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::{Cli, CliError, print};
use crate::exit::Exit;
use crate::sys::output;

/// Every verb in its group, in the order of the overview. What engines alone call is not in it.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Wait", &["run", "wait", "hooks", "tolerances"]),
    ("Ask", &["status", "history", "report", "doctor", "explain", "measure"]),
    ("Act", &["sync", "notify", "vm", "accept", "thaw"]),
    ("Set up", &["agent", "config"]),
    ("Help", &["help"]),
];

/// Topics that are no verbs, with their pages.
const PAGES: [(&str, ManualPage); 5] = [
    ("clockgate", ManualPage("clockgate", '8')),
    ("oci", ManualPage("clockgate-oci", '8')),
    ("configuration", ManualPage("clockgate.yaml", '5')),
    ("interfaces", ManualPage("clockgate-interfaces", '7')),
    ("errors", ManualPage("clockgate-errors", '7')),
];

/// A manual page: name and section.
#[derive(Clone, Copy, Debug)]
struct ManualPage(&'static str, char);

#[derive(Debug, clap::Args)]
pub struct HelpArgs {
    /// A verb, or one of clockgate, oci, configuration, interfaces, errors; without it the verbs are listed
    #[arg(value_parser = topics(), hide_possible_values = true)]
    topic: Option<String>,

    /// A verb below that verb, as in `help hooks install`
    #[arg(hide = true)]
    below: Option<String>,
}

fn topics() -> clap::builder::PossibleValuesParser {
    let pages = PAGES.iter().map(|(topic, _)| *topic);
    GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).chain(pages).collect::<Vec<_>>().into()
}

impl HelpArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        let Some(topic) = self.topic else {
            print(&overview())?;
            return Ok(Exit::Ok);
        };
        let page = ManualPage::on(&topic);
        let why = match page.open() {
            Opened::Shown => return Ok(Exit::Ok),
            Opened::No(why) => why,
        };
        let found = page.installed().map_or_else(|| page.published(), |path| path.display().to_string());
        let Some(text) = help_of(&topic, self.below.as_deref()) else {
            return Err(CliError::new(Exit::No, format!("{why}; {} is {found}", page.name())));
        };
        print(&text)?;
        output::say(&format!("clockgate: {why}, so this is `--help`; {} is {found}\n", page.name()));
        Ok(Exit::Ok)
    }
}

/// What became of a page.
enum Opened {
    Shown,
    /// Why it was not.
    No(String),
}

impl ManualPage {
    fn on(topic: &str) -> Self {
        let named = PAGES.iter().find(|(name, _)| *name == topic).map(|(_, page)| *page);
        named.unwrap_or(match topic {
            "run" | "wait" => Self("clockgate-run", '1'),
            "doctor" => Self("clockgate-doctor", '1'),
            "explain" => Self("clockgate-explain", '1'),
            _ => Self("clockgate", '8'),
        })
    }

    /// As manual pages refer to each other.
    fn name(self) -> String {
        format!("{}({})", self.0, self.1)
    }

    /// Shows it by man(1).
    fn open(self) -> Opened {
        match Command::new("man").args([&self.1.to_string(), self.0]).status() {
            // A pager that was interrupted has shown it.
            Ok(status) if status.success() || status.code().is_none() => Opened::Shown,
            Ok(_) => Opened::No(format!("man(1) cannot show {}", self.name())),
            Err(error) => Opened::No(format!("cannot execute man(1): {error}")),
        }
    }

    /// Where it is, beside the program.
    fn installed(self) -> Option<PathBuf> {
        let program = std::env::current_exe().ok()?;
        let prefix = program.parent()?.parent()?;
        let path = prefix.join(format!("share/man/man{1}/{0}.{1}", self.0, self.1));
        path.exists().then_some(path)
    }

    fn published(self) -> String {
        format!("{}/blob/main/docs/man/{}.{}", env!("CARGO_PKG_REPOSITORY"), self.0, self.1)
    }
}

/// What `--help` of a verb prints.
fn help_of(verb: &str, below: Option<&str>) -> Option<String> {
    let mut command = Cli::command();
    command.build();
    let mut found = command.find_subcommand_mut(verb)?;
    if let Some(below) = below
        && found.find_subcommand(below).is_some()
    {
        found = found.find_subcommand_mut(below)?;
    }
    Some(found.render_long_help().to_string())
}

/// Whether that is no refusal of a verb's, but asks what verbs there are.
pub fn asks_for_verbs(error: &clap::Error) -> bool {
    let asks = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    asks && std::env::args_os().nth(1).is_none_or(|first| first.as_encoded_bytes().starts_with(b"-"))
}

/// The verbs in their groups.
pub fn overview() -> String {
    let command = Cli::command();
    let about = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{}\n\nUsage: clockgate VERB [OPTIONS]\n\n", about(command.get_about()));
    for (group, verbs) in GROUPS {
        for (number, verb) in verbs.iter().enumerate() {
            let group = if number == 0 { group } else { "" };
            let what = command.find_subcommand(verb).map(|found| about(found.get_about())).unwrap_or_default();
            text += &format!("{group:<8}{verb:<12}{what}\n");
        }
    }
    text + "\n`clockgate VERB --help` lists the options of a verb, and `clockgate --version` prints the version.\n"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_verb_that_is_not_hidden_is_in_one_group() {
        let command = Cli::command();
        let verbs: BTreeSet<&str> =
            command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(clap::Command::get_name).collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        assert_eq!(grouped.iter().copied().collect::<BTreeSet<_>>(), verbs);
        assert_eq!(grouped.len(), verbs.len());
    }

    #[test]
    fn the_overview_fits_a_terminal() {
        let overview = overview();
        assert!(overview.lines().count() <= 24, "{overview}");
        let wide: Vec<&str> = overview.lines().filter(|line| line.chars().count() > 100).collect();
        assert_eq!(wide, Vec::<&str>::new());
    }

    #[test]
    fn what_is_below_a_verb_has_its_own_help() {
        let help = |verb, below| help_of(verb, below).unwrap_or_default();
        assert!(help("hooks", Some("install")).contains("--dry-run"));
        assert!(help("hooks", None).contains("install"));
        assert!(help("run", None).contains("--max-wait"));
        assert_eq!(help_of("interfaces", None), None);
    }
}
