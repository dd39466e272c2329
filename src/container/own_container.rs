//! Whether we are in a container ourselves, by the files that engines leave in one.

use std::fs;
use std::path::Path;

use crate::sys::foreign;

/// Files that an engine makes in its containers.
const FILES: [&str; 3] = [".dockerenv", "run/.containerenv", "run/.toolboxenv"];
/// What an engine sets for the first process: systemd notes it where it is that (sd_booted(3)), podman and systemd-nspawn always.
const NOTED: [&str; 2] = ["run/systemd/container", "run/host/container-manager"];

/// The sign by which this is a container; none where there is none.
#[must_use]
pub fn sign(root: &Path) -> Option<String> {
    let file = FILES.iter().find(|file| root.join(file).exists()).map(|file| format!("/{file}"));
    let noted = || {
        let noted = |file: &&str| Some((*file).to_owned()).zip(fs::read_to_string(root.join(file)).ok());
        let (file, text) = NOTED.iter().find_map(noted)?;
        Some(format!("/{file}, which says {}", foreign::shown(text.trim())))
    };
    let secrets =
        || root.join("var/run/secrets/kubernetes.io").exists().then(|| "the service account of its pod".to_owned());
    // LXC sets it for an init that notes nothing, such as Alpine's; root alone may read it.
    let given = || {
        let given = foreign::text(&root.join("proc/1/environ")).ok()?;
        let engine = given.split('\0').find_map(|variable| variable.strip_prefix("container="))?;
        Some(format!("container={} of its first process", foreign::shown(engine)))
    };
    file.or_else(noted).or_else(secrets).or_else(given)
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
