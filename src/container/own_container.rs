//! Whether we are in a container ourselves, by the files that engines leave in one.

use std::fs;
use std::path::Path;

/// Files that an engine makes in its containers.
const FILES: [&str; 3] = [".dockerenv", "run/.containerenv", "run/.toolboxenv"];
/// What an engine sets for the first process, and systemd writes down in a container where it is that (sd_booted(3)).
const NOTED: &str = "run/systemd/container";

/// The sign by which this is a container; none where there is none.
#[must_use]
pub fn sign(root: &Path) -> Option<String> {
    let file = FILES.iter().find(|file| root.join(file).exists()).map(|file| format!("/{file}"));
    let noted = || {
        let text = fs::read_to_string(root.join(NOTED)).ok()?;
        Some(format!("/{NOTED} says {}", crate::sys::foreign::shown(text.trim())))
    };
    let secrets =
        || root.join("var/run/secrets/kubernetes.io").exists().then(|| "it has a pod's service account".to_owned());
    file.or_else(noted).or_else(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_sign_and_a_container_has_its_engines() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(sign(root.path()), None);
        fs::create_dir_all(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/.containerenv"), "").unwrap();
        assert_eq!(sign(root.path()).as_deref(), Some("/run/.containerenv"));
    }
}
