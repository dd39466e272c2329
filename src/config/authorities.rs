//! The files that keys name, read as the agent reads them: what is wrong with one is a fault of the key that names it.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Fault, Loaded, Origin, below};
use crate::error_chain::in_full;
use crate::reference::ntp::symmetric;
use crate::reference::tls::TrustedAuthorities;

type NamedFile = fn(&Config) -> Option<&PathBuf>;
/// Reads such a file: what to remark of it, or what is wrong with it.
type FileCheck = fn(&Path) -> Result<Option<String>, String>;

const FILES: [(&str, NamedFile, FileCheck); 3] = [
    ("ca-file", |c| c.ca_file.as_ref(), authorities),
    ("nts-ca-file", |c| c.nts_ca_file.as_ref(), authorities),
    ("keys-file", |c| c.keys_file.as_ref(), keys),
];

/// The same configuration, of the host below `root`, with a warning where not all of a file can be read.
///
/// # Errors
/// [`ConfigError`] with each key that names a file of which nothing can be used.
pub fn check(mut loaded: Loaded, root: &Path) -> Result<Loaded, ConfigError> {
    let mut faults = vec![];
    for (key, named, look) in FILES {
        let Some((path, Origin { file, line })) = named(&loaded.config).zip(loaded.origins.get(key)) else { continue };
        let fault = |what| Fault { file: file.clone(), line: Some(*line), key: Some(key.to_owned()), what };
        let path = below(root, path);
        match look(&path) {
            Ok(remark) => {
                let warning = remark.map(|remark| fault(format!("{}: {remark}", path.display())));
                loaded.warnings.extend(warning);
            }
            Err(what) => faults.push(fault(what)),
        }
    }
    if faults.is_empty() { Ok(loaded) } else { Err(ConfigError { faults }) }
}

fn authorities(file: &Path) -> Result<Option<String>, String> {
    TrustedAuthorities::load(Some(file)).map(|read| read.remark()).map_err(|error| error.to_string())
}

fn keys(file: &Path) -> Result<Option<String>, String> {
    let keys = symmetric::read(file).map_err(|error| in_full(&error))?;
    Ok(keys.is_empty().then(|| "there is no key in it".to_owned()))
}
