//! The file that `ca-file` names, read as the agent reads it: what is wrong with it is a fault of the key that names it.

use std::path::Path;

use super::{ConfigError, Fault, Loaded, Origin, below};
use crate::reference::http::TrustedAuthorities;

/// The same configuration, of the host below `root`, with a warning where not all of the file can be read.
///
/// # Errors
/// [`ConfigError`] with the key that names a file of which nothing can be used.
pub fn check(mut loaded: Loaded, root: &Path) -> Result<Loaded, ConfigError> {
    let named = loaded.config.ca_file.as_deref().zip(loaded.origins.get("ca-file"));
    let Some((path, Origin { file, line })) = named else { return Ok(loaded) };
    let fault = |what| Fault { file: file.clone(), line: Some(*line), key: Some("ca-file".to_owned()), what };
    let path = below(root, path);
    match TrustedAuthorities::load(Some(&path)) {
        Ok(read) => {
            let remark = read.remark().map(|remark| fault(format!("{}: {remark}", path.display())));
            loaded.warnings.extend(remark);
            Ok(loaded)
        }
        Err(error) => Err(ConfigError { faults: vec![fault(error.to_string())] }),
    }
}
