//! The command line of a service as systemd puts it together: the unit, its drop-ins, and the variables that these name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Root;
use super::files::{self, FromFile};

/// systemd.unit(5), "System Unit Search Path", the first one wins; without the folders of generators and of `systemctl set-property`.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The words of a command line, each with the file that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// In their order; the program comes first.
    pub words: Vec<FromFile<String>>,
    /// The variables of its environment by name.
    pub variables: BTreeMap<String, FromFile<String>>,
}

impl CommandLine {
    /// The command line of the first of these units that is there; none where none is.
    #[must_use]
    pub fn of_unit(root: &Root, units: &[&str]) -> Option<Self> {
        units.iter().find_map(|unit| Service::read(root, unit)).map(Service::into_command_line)
    }

    /// What a file of variables, which a script gives to a program, has in one of these.
    #[must_use]
    pub fn of_variables(root: &Root, files: &[(&str, &str)]) -> Self {
        let mut words = vec![];
        for (file, name) in files {
            let said = variables(root, Path::new(file)).remove(*name);
            words.extend(said.iter().flat_map(split));
        }
        Self { words, variables: BTreeMap::new() }
    }

    /// The values of an option wherever it is given, by any of its names: `--name value`, `--name=value`, `-nvalue`.
    #[must_use]
    pub fn values(&self, names: &[&str]) -> Vec<FromFile<String>> {
        let mut found = vec![];
        for (at, word) in self.words.iter().enumerate() {
            for name in names {
                let Some(rest) = word.value.strip_prefix(name) else { continue };
                let value = match rest.strip_prefix('=') {
                    Some(value) => Some(value.to_owned()),
                    None if rest.is_empty() => self.words.get(at + 1).map(|next| next.value.clone()),
                    None => (!name.starts_with("--")).then(|| rest.to_owned()),
                };
                found.extend(value.map(|value| FromFile { value, file: word.file.clone() }));
            }
        }
        found
    }

    /// The value that counts, which is the last one.
    #[must_use]
    pub fn value(&self, names: &[&str]) -> Option<FromFile<String>> {
        self.values(names).pop()
    }
}

#[derive(Default)]
struct Service {
    commands: Vec<FromFile<String>>,
    variables: BTreeMap<String, FromFile<String>>,
}

impl Service {
    fn read(root: &Root, unit: &str) -> Option<Self> {
        // One that leads to /dev/null is masked, and so are those behind it.
        let main = FOLDERS.iter().map(|folder| Path::new(folder).join(unit)).find(|file| root.at(file).exists());
        let drop_ins = drop_ins(root, unit);
        let is_own = |file: &PathBuf| file.parent().is_some_and(|folder| folder.ends_with(format!("{unit}.d")));
        if main.is_none() && !drop_ins.iter().any(is_own) {
            return None;
        }
        let mut service = Self::default();
        let mut variable_files: Vec<PathBuf> = vec![];
        for file in main.into_iter().chain(drop_ins) {
            let text = files::read(root, &file).ok().flatten().unwrap_or_default();
            for (key, value) in settings(&text, "Service") {
                let said = FromFile { value: value.clone(), file: file.clone() };
                match key {
                    "ExecStart" if value.is_empty() => service.commands.clear(),
                    "ExecStart" => service.commands.push(said),
                    "Environment" if value.is_empty() => service.variables.clear(),
                    "Environment" => service.set(split(&said)),
                    "EnvironmentFile" if value.is_empty() => variable_files.clear(),
                    "EnvironmentFile" => variable_files.push(value.trim_start_matches('-').into()),
                    _ => {}
                }
            }
        }
        variable_files.iter().for_each(|file| service.variables.extend(variables(root, file)));
        Some(service)
    }

    fn set(&mut self, words: Vec<FromFile<String>>) {
        for FromFile { value, file } in words {
            if let Some((name, value)) = value.split_once('=') {
                self.variables.insert(name.to_owned(), FromFile { value: value.to_owned(), file });
            }
        }
    }

    fn into_command_line(self) -> CommandLine {
        let words = self.commands.iter().flat_map(split).flat_map(|word| self.expand(word)).collect();
        CommandLine { words, variables: self.variables }
    }

    /// systemd.service(5), "Command lines": `$NAME` as a word of its own becomes as many words as it has, `${NAME}` a part of one. What
    /// the arguments of a shell are looked at word by word.
    fn expand(&self, mut word: FromFile<String>) -> Vec<FromFile<String>> {
        if let Some(name) = word.value.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
            return self.variables.get(name).map(split).unwrap_or_default();
        }
        for (name, said) in &self.variables {
            word.value = word.value.replace(&format!("${{{name}}}"), &said.value);
        }
        let is_told_to_a_shell = word.value.contains(" -") || word.value.contains(" $");
        if is_told_to_a_shell {
            split(&word).into_iter().flat_map(|word| self.expand(word)).collect()
        } else {
            vec![word]
        }
    }
}

/// The drop-ins of a unit, in the order in which they are read: by name, wherever they lie; of two with one name, the folder that comes
/// first has it.
fn drop_ins(root: &Root, unit: &str) -> Vec<PathBuf> {
    let mut found = BTreeMap::new();
    for kind in [unit, "service"] {
        for folder in FOLDERS {
            let folder = Path::new(folder).join(format!("{kind}.d"));
            for file in files::list(root, &folder) {
                if file.extension().is_some_and(|ending| ending == "conf") {
                    found.entry(file.file_name().map(ToOwned::to_owned)).or_insert(file);
                }
            }
        }
    }
    found.into_values().collect()
}

/// The settings of a section, in their order; lines that end in a backslash go on.
fn settings<'a>(text: &'a str, wanted: &str) -> Vec<(&'a str, String)> {
    let is_comment = |line: &&str| !line.starts_with(['#', ';']);
    let mut lines = text.lines().map(str::trim).filter(is_comment);
    let mut section = "";
    let mut found = vec![];
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| section == wanted) {
            let mut value = value.trim().to_owned();
            while let Some(first) = value.strip_suffix('\\') {
                value = format!("{first} {}", lines.next().unwrap_or_default());
            }
            found.push((key.trim(), value.trim().to_owned()));
        }
    }
    found
}

/// The variables of a file that a unit or a script reads.
fn variables(root: &Root, file: &Path) -> BTreeMap<String, FromFile<String>> {
    let text = files::read(root, file).ok().flatten().unwrap_or_default().replace("\\\n", " ");
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim_start_matches("export ").trim().to_owned();
        let value = value.trim();
        let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        found.insert(name, FromFile { value: inner.unwrap_or(value).to_owned(), file: file.to_owned() });
    }
    found
}

/// A line as words: white space parts them, quotes and backslashes keep it.
fn split(line: &FromFile<String>) -> Vec<FromFile<String>> {
    let mut words: Vec<String> = vec![];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.value.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.into_iter().map(|value| FromFile { value, file: line.file.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::files::host;

    fn words(files: &[(&str, &str)]) -> Vec<String> {
        let (_folder, root) = host(files);
        let line = CommandLine::of_unit(&root, &["d.service"]).unwrap();
        line.words.into_iter().map(|word| word.value).collect()
    }

    const UNIT: &str =
        "[Service]\nEnvironmentFile=-/etc/default/d\nExecStart=/usr/bin/d -H fd:// \\\n   $OPTS --name=${NAME} $NONE\n";

    #[test]
    fn variables_are_put_in_where_the_unit_names_them() {
        let plain =
            [("usr/lib/systemd/system/d.service", UNIT), ("etc/default/d", "OPTS=\"-a 'b c'\" \nOTHER=-x\nNAME=n")];
        assert_eq!(words(&plain), ["/usr/bin/d", "-H", "fd://", "-a", "b c", "--name=n"]);
    }

    #[test]
    fn drop_ins_are_read_by_name_from_every_folder_and_an_empty_value_begins_anew() {
        let files = [
            ("usr/lib/systemd/system/d.service", UNIT),
            ("etc/systemd/system/d.service.d/20-b.conf", "[Service]\nExecStart=\nExecStart=d two\n"),
            ("usr/local/lib/systemd/system/d.service.d/10-a.conf", "[Service]\nExecStart=\nExecStart=d one\n"),
            (
                "run/systemd/system/service.d/30-c.conf",
                "[Service]\nEnvironment=\"OPTS=-x -y\"\n[Unit]\nExecStart=d three\n",
            ),
            ("usr/lib/systemd/system/d.service.d/20-b.conf", "[Service]\nExecStart=\nExecStart=d hidden $OPTS\n"),
        ];
        assert_eq!(words(&files), ["d", "two"]);
        assert_eq!(words(&[files[0], files[3], files[4]]), ["d", "hidden", "-x", "-y"]);
        assert_eq!(words(&[files[0], files[2]]), ["d", "one"]);
    }

    #[test]
    fn an_option_has_its_value_behind_it_or_within() {
        let unit = "[Service]\nEnvironment=MORE=--data-root=/c\nExecStart=/bin/sh -c 'exec d --data-root /a -g/b $MORE --data-root-x=/d'\n";
        let (_folder, root) = host(&[("etc/systemd/system/d.service", unit)]);
        let line = CommandLine::of_unit(&root, &["d.service"]).unwrap();
        let values: Vec<_> = line.values(&["--data-root", "-g"]).into_iter().map(|said| said.value).collect();
        assert_eq!(values, ["/a", "/b", "/c"]);
        assert_eq!(line.value(&["--config-file"]), None);
    }
}
