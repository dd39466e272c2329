//! containerd: whose it is, which file it reads first, and where its state lies.

mod layout;
mod merged;

use std::path::PathBuf;

use super::Root;

pub use layout::{ContainerdRestart, Layout, SERVICE, Writer, layouts};
pub use merged::{ContainerdRelease, ContainerdRuntime, File, Merged, files, patterns, readings};

/// The plugin for Kubernetes in containerd 1, and in a file of version 2.
pub const CRI_1: &str = "io.containerd.grpc.v1.cri";
/// Its half that starts containers in containerd 2.
pub const CRI_2: &str = "io.containerd.cri.v1.runtime";

/// The folders of state of every containerd of the host, as we reach them: the usual ones, what its command line or whose it is says, and
/// what its configuration does, by every containerd that may read it.
#[must_use]
pub fn states(root: &Root) -> Vec<PathBuf> {
    let configured = |layout: Layout| {
        // One that could not start by what it reads has no state.
        let merged = Merged::by_each_release(root, &layout.config).flatten();
        merged.filter_map(|merged| merged.state()).chain([layout.state]).collect::<Vec<_>>()
    };
    let usual = layout::usual_states().map(PathBuf::from);
    let mut states: Vec<PathBuf> =
        usual.chain(layouts(root).into_iter().flat_map(configured)).map(|folder| root.at(&folder)).collect();
    states.sort();
    states.dedup();
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states_with(files: &[(&str, &str)]) -> Vec<PathBuf> {
        states(&Root::of_texts(files))
    }

    #[test]
    fn every_layout_has_one_of_the_usual_states() {
        let all = states_with(&[
            ("/usr/bin/k3s", ""),
            ("/etc/k0s/containerd.toml", ""),
            ("/var/snap/microk8s/current/args/containerd-template.toml", ""),
            ("/usr/bin/containerd", ""),
        ]);
        assert_eq!(all, states_with(&[]), "and none but those");
        assert!(all.contains(&PathBuf::from("/nowhere/var/snap/microk8s/common/run/containerd")), "{all:?}");
    }

    #[test]
    fn each_version_of_the_configuration_may_name_the_state_itself_and_by_what_it_imports() {
        let state = "state = \"/run/a\"\n";
        for version in ["", "version = 1\n", "version = 2\n", "version = 3\n", "version = 4\n"] {
            let itself = states_with(&[("/etc/containerd/config.toml", &format!("{version}{state}"))]);
            let importing = format!("{version}imports = [\"/srv/conf.d/*.toml\"]\nstate = \"/run/b\"\n");
            let imported = states_with(&[
                ("/etc/containerd/config.toml", &importing),
                ("/srv/conf.d/x.toml", &format!("{version}{state}")),
            ]);
            for found in [itself, imported] {
                assert!(found.contains(&PathBuf::from("/nowhere/run/a")), "{version}: {found:?}");
            }
        }
    }

    #[test]
    fn a_state_that_an_older_containerd_reads_is_one() {
        // Up to 1.6 a pattern is looked for below `/`, later beside the file.
        let config =
            ("/etc/containerd/config.toml", "version = 2\nimports = [\"conf.d/*.toml\"]\nstate = \"/run/a\"\n");
        let files = [
            config,
            ("/conf.d/x.toml", "state = \"/run/b\"\n"),
            ("/etc/containerd/conf.d/x.toml", "state = \"/run/c\"\n"),
        ];
        let found = states_with(&files);
        for state in ["/nowhere/run/b", "/nowhere/run/c"] {
            assert!(found.contains(&PathBuf::from(state)), "{state}: {found:?}");
        }
    }
}
