//! The verbs that the program has, from the tree of its command line.

use clap::CommandFactory;
use clockgate::cli::Cli;

/// The verbs directly below these, none for the program itself; those that are hidden, too.
pub fn below(verbs: &[&str]) -> Vec<String> {
    let mut root = Cli::command();
    root.build();
    let found = verbs.iter().try_fold(&root, |command, verb| command.find_subcommand(verb));
    let below = found.map(|command| command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect());
    let mut below: Vec<String> = below.unwrap_or_default();
    below.retain(|verb| verb != "help" || verbs.is_empty());
    below
}
