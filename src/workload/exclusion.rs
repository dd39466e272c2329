//! What `freeze.exclude` says: containers that run on, by their names, cgroups or labels.

use std::fmt;
use std::str::FromStr;

use crate::container::{Container, Metadata};
use crate::sys::glob::GlobPattern;

/// One entry of `freeze.exclude`: a container's name or id; its cgroup, if it begins with `/`; or `LABEL=VALUE`. Each is a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Name(GlobPattern),
    Cgroup(GlobPattern),
    Label(GlobPattern, GlobPattern),
}

impl FromStr for Exclusion {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() != text || text.is_empty() {
            return Err("is empty, or begins or ends with a blank");
        }
        if text.starts_with('/') {
            return Ok(Self(Form::Cgroup(GlobPattern::new(text))));
        }
        Ok(Self(match text.split_once('=') {
            Some(("", _)) => return Err("has no label before the `=`"),
            Some((label, value)) => Form::Label(GlobPattern::new(label), GlobPattern::new(value)),
            None => Form::Name(GlobPattern::new(text)),
        }))
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Name(pattern) | Form::Cgroup(pattern) => pattern.fmt(f),
            Form::Label(label, value) => write!(f, "{label}={value}"),
        }
    }
}

impl Exclusion {
    /// Whether it means this container.
    #[must_use]
    pub fn means(&self, container: &Container, metadata: &Metadata) -> bool {
        match &self.0 {
            Form::Name(name) => {
                name.matches(&container.id) || metadata.name.as_ref().is_some_and(|text| name.matches(text))
            }
            Form::Cgroup(cgroup) => cgroup.matches(&format!("/{}", container.cgroup.display())),
            Form::Label(label, value) => {
                metadata.labels.iter().any(|(key, text)| label.matches(key) && value.matches(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::container::Engine;

    #[test]
    fn an_exclusion_means_a_name_an_id_a_cgroup_or_a_label() {
        let container =
            Container { engine: Engine::Docker, id: "3f2a".to_owned(), cgroup: PathBuf::from("docker/3f2a"), inode: 1 };
        let labels = [("com.example.tier".to_owned(), "vpn".to_owned())].into_iter().collect();
        let metadata = Metadata { name: Some("web-1".to_owned()), labels, ..Metadata::default() };
        let means = |text: &str| text.parse::<Exclusion>().unwrap().means(&container, &metadata);
        for text in ["web-1", "web-?", "w*1", "3f*", "/docker/*", "/*/3f2a", "com.example.tier=vpn", "*.tier=*", "*"] {
            assert!(means(text), "{text}");
        }
        for text in ["web", "eb-1", "web-1?", "/docker", "docker/*", "com.example.tier=web", "tier=vpn"] {
            assert!(!means(text), "{text}");
        }
    }

    #[test]
    fn an_exclusion_prints_as_it_was_written_and_nonsense_is_refused() {
        for text in ["web*", "/a/b", "k=v=w", "k="] {
            assert_eq!(text.parse::<Exclusion>().unwrap().to_string(), text);
        }
        for text in ["", " ", "web ", "=v"] {
            assert!(text.parse::<Exclusion>().is_err(), "{text:?}");
        }
    }
}
