//! From files, or a text, to a configuration: every fault of every file is found before anything is refused.

use std::path::{Path, PathBuf};

use super::{ConfigError, Fault, Loaded, drop_ins, read_keys, yaml};

/// Reads `config.yaml` and `config.d` below `root` and keeps the origin of each key.
///
/// # Errors
/// [`ConfigError`] with every fault of every file.
pub fn load(root: &Path) -> Result<Loaded, ConfigError> {
    if !root.is_dir() {
        let what = "is not a directory".to_owned();
        return Err(ConfigError { faults: vec![Fault { file: root.to_owned(), line: None, key: None, what }] });
    }
    let (files, faults) = drop_ins::find(root);
    read_all(files, faults)
}

/// Reads one file alone, wherever it lies.
///
/// # Errors
/// [`ConfigError`] with every fault of the file.
pub fn load_file(file: &Path) -> Result<Loaded, ConfigError> {
    read_all(vec![file.to_owned()], vec![])
}

fn read_all(files: Vec<PathBuf>, mut faults: Vec<Fault>) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded::default();
    for file in files {
        match drop_ins::read(&file) {
            Ok(text) => take(file, &text, &mut loaded, &mut faults),
            Err(what) => faults.push(Fault { file, line: None, key: None, what }),
        }
    }
    together(loaded, faults)
}

/// Reads a file whose text is there already.
///
/// # Errors
/// [`ConfigError`] with every fault of the text.
#[doc(hidden)]
pub fn load_text(file: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let (mut loaded, mut faults) = (Loaded::default(), vec![]);
    take(file.to_owned(), text, &mut loaded, &mut faults);
    together(loaded, faults)
}

fn take(file: PathBuf, text: &str, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    match yaml::parse(text) {
        Ok(node) => read_keys::take(node, &file, loaded, faults),
        Err(syntax) => {
            let line = (syntax.line > 0).then_some(syntax.line);
            faults.push(Fault { file: file.clone(), line, key: None, what: syntax.message });
        }
    }
    loaded.files.push(file);
}

/// Keys that do not go together are looked for among values that are right by themselves.
fn together(loaded: Loaded, mut faults: Vec<Fault>) -> Result<Loaded, ConfigError> {
    read_keys::check_together(&loaded, &mut faults);
    if faults.is_empty() { Ok(loaded) } else { Err(ConfigError { faults }) }
}
