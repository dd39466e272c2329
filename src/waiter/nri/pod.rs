//! What the runtime says of a container that it is about to make (`CreateContainerRequest` in containerd/nri, pkg/api/api.proto).

use std::collections::BTreeMap;

use super::protobuf::{FieldValue, MalformedMessage, fields};
use crate::container::exemption::{self, Rule};
use crate::container::{Metadata, command};

/// A container's metadata, by the request to make it.
///
/// # Errors
/// [`MalformedMessage`].
pub fn metadata(request: &[u8]) -> Result<Metadata, MalformedMessage> {
    let (pod, container) = described(request)?;
    Ok(combined(&pod, container))
}

/// Why the container that a request is about is exempt, and its pause container, by their ids.
///
/// # Errors
/// [`MalformedMessage`].
pub fn exempt(request: &[u8], rules: &[Rule]) -> Result<Vec<(String, String)>, MalformedMessage> {
    let (pod, container) = described(request)?;
    let mut list = PodList::default();
    list.containers.push(Described { pod_id: pod.id.clone(), ..container });
    list.pods.insert(pod.id.clone(), pod);
    Ok(list.exempt(rules))
}

fn described(request: &[u8]) -> Result<(Described, Described), MalformedMessage> {
    let mut pod = Described::default();
    let mut container = Described::default();
    for (number, value) in fields(request)? {
        match number {
            1 => pod = Described::pod(value)?,
            2 => container = Described::container(value)?,
            _ => {}
        }
    }
    Ok((pod, container))
}

fn combined(pod: &Described, container: Described) -> Metadata {
    // An annotation counts before a label, and the container's before its pod's.
    let mut labels = pod.labels.clone();
    labels.extend(container.labels);
    labels.extend(pod.annotations.clone());
    labels.extend(container.annotations);
    let metadata = Metadata {
        name: container.name,
        command: command(&container.words.iter().map(String::as_str).collect::<Vec<_>>()),
        pod: pod.name.clone(),
        namespace: pod.namespace.clone(),
        labels,
        cgroup: container.cgroup.map(Into::into),
        ..Metadata::default()
    };
    metadata.with(BTreeMap::new())
}

/// The pods and containers that a runtime lists, in one message or several (`SynchronizeRequest`).
#[derive(Debug, Default)]
pub struct PodList {
    pods: BTreeMap<String, Described>,
    containers: Vec<Described>,
    size: usize,
}

/// What a list may take in memory: half of what the unit allows (`MemoryMax` of clockgate-nri.service), where a message of 4 MiB and its
/// fields have to fit beside it. A node has 110 pods, or 500; with a hundred annotations each those take less than half of it.
pub const LIST_MAX: usize = 32 << 20;
/// What a text takes beside its letters, in a map and with its value: rather more than less.
const OF_A_TEXT: usize = 128;

impl PodList {
    /// What it takes in memory, rather more than less.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Adds those of one message, as long as the list does not get too long.
    ///
    /// # Errors
    /// [`MalformedMessage`].
    pub fn add(&mut self, request: &[u8]) -> Result<(), MalformedMessage> {
        for (number, value) in fields(request)? {
            match number {
                1 => {
                    let pod = self.counted(Described::pod(value)?)?;
                    self.pods.insert(pod.id.clone(), pod);
                }
                2 => {
                    let container = self.counted(Described::container(value)?)?;
                    self.containers.push(container);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn counted(&mut self, described: Described) -> Result<Described, MalformedMessage> {
        let size = self.size.saturating_add(described.size());
        if size > LIST_MAX {
            return Err(MalformedMessage::ListTooLong(LIST_MAX));
        }
        self.size = size;
        Ok(described)
    }

    /// Those that are exempt by these rules, with the rule; of an exempt pod the pause container too, which has the pod's id.
    pub fn exempt(self, rules: &[Rule]) -> Vec<(String, String)> {
        let by = |metadata: &Metadata| exemption::find(metadata, rules).map(|exemption| exemption.to_string());
        let nameless = Described::default();
        let pause = |pod: &Described| Some((pod.id.clone(), by(&combined(pod, Described::default()))?));
        let mut found: Vec<(String, String)> = self.pods.values().filter_map(pause).collect();
        for container in self.containers {
            let pod = self.pods.get(&container.pod_id).unwrap_or(&nameless);
            let id = container.id.clone();
            found.extend(by(&combined(pod, container)).map(|rule| (id, rule)));
        }
        found
    }
}

/// What is said of a pod or of a container.
#[derive(Debug, Default)]
struct Described {
    id: String,
    /// Of a container: its pod's id.
    pod_id: String,
    name: Option<String>,
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    words: Vec<String>,
    cgroup: Option<String>,
}

impl Described {
    fn size(&self) -> usize {
        let entries = self.labels.iter().chain(&self.annotations).map(|(key, text)| OF_A_TEXT + key.len() + text.len());
        let words = self.words.iter().chain(&self.name).chain(&self.namespace).chain(&self.cgroup);
        let words = words.map(|word| OF_A_TEXT + word.len());
        2 * size_of::<Self>() + self.id.len() + self.pod_id.len() + entries.chain(words).sum::<usize>()
    }

    fn pod(message: FieldValue<'_>) -> Result<Self, MalformedMessage> {
        let mut pod = Self::default();
        for (number, value) in fields(message.bytes())? {
            match number {
                1 => pod.id = value.text(),
                2 => pod.name = known(value),
                4 => pod.namespace = known(value),
                5 => pod.labels.extend(entry(value)?),
                6 => pod.annotations.extend(entry(value)?),
                _ => {}
            }
        }
        Ok(pod)
    }

    fn container(message: FieldValue<'_>) -> Result<Self, MalformedMessage> {
        let mut container = Self::default();
        for (number, value) in fields(message.bytes())? {
            match number {
                1 => container.id = value.text(),
                2 => container.pod_id = value.text(),
                3 => container.name = known(value),
                5 => container.labels.extend(entry(value)?),
                6 => container.annotations.extend(entry(value)?),
                7 => container.words.push(value.text()),
                11 => {
                    let linux = fields(value.bytes())?;
                    container.cgroup =
                        linux.into_iter().find(|(number, _)| *number == 5).and_then(|(_, path)| known(path));
                }
                _ => {}
            }
        }
        Ok(container)
    }
}

/// A text that is empty was not given.
fn known(value: FieldValue<'_>) -> Option<String> {
    Some(value.text()).filter(|text| !text.is_empty())
}

/// An entry of a map is a message of a key and a value.
fn entry(message: FieldValue<'_>) -> Result<Option<(String, String)>, MalformedMessage> {
    let (mut key, mut text) = (None, String::new());
    for (number, value) in fields(message.bytes())? {
        match number {
            1 => key = Some(value.text()),
            2 => text = value.text(),
            _ => {}
        }
    }
    Ok(key.map(|key| (key, text)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::protobuf::MessageBytes;
    use super::*;

    fn map(message: MessageBytes, number: u64, entries: &[(&str, &str)]) -> MessageBytes {
        entries.iter().fold(message, |message, (key, value)| {
            message.with(number, &MessageBytes::default().with(1, key.as_bytes()).with(2, value.as_bytes()).bytes())
        })
    }

    /// A request to make the container `web` of the pod `shop-0`.
    pub fn request(pod: &[(&str, &str)], container: &[(&str, &str)], words: &[&str]) -> Vec<u8> {
        let pod = map(MessageBytes::default().with(1, b"p1").with(2, b"shop-0").with(4, b"default"), 6, pod);
        let web = map(MessageBytes::default().with(1, b"c1").with(3, b"web"), 6, container);
        let web = words.iter().fold(web, |web, word| web.with(7, word.as_bytes()));
        let web = web.with(11, &MessageBytes::default().with(5, b"/kubepods/pod1/c1").bytes());
        MessageBytes::default().with(1, &pod.bytes()).with(2, &web.bytes()).bytes()
    }

    fn exempt_by(pod: &[(&str, &str)], container: &[(&str, &str)], words: &[&str]) -> Option<String> {
        let metadata = metadata(&request(pod, container, words)).unwrap();
        exemption::find(&metadata, &exemption::built_in()).map(|exemption| exemption.to_string())
    }

    #[test]
    fn name_pod_namespace_command_image_and_cgroup_are_known() {
        let image = [("io.kubernetes.cri.image-name", "docker.io/x/web:4")];
        let found = metadata(&request(&[], &image, &["/sbin/tini", "--", "/usr/bin/web", "-x"])).unwrap();
        assert_eq!((found.name.as_deref(), found.command.as_deref()), (Some("web"), Some("web")));
        assert_eq!((found.pod.as_deref(), found.namespace.as_deref()), (Some("shop-0"), Some("default")));
        assert_eq!(found.image.as_deref(), Some("docker.io/x/web:4"));
        assert_eq!(found.cgroup.as_deref().and_then(std::path::Path::to_str), Some("/kubepods/pod1/c1"));
    }

    #[test]
    fn static_pods_time_daemons_and_the_label_are_exempt_wherever_they_are_said() {
        assert_eq!(exempt_by(&[], &[], &["/bin/web"]), None);
        let by_file = [("kubernetes.io/config.source", "file")];
        assert_eq!(exempt_by(&by_file, &[], &["/bin/web"]).as_deref(), Some("static-pod"));
        assert_eq!(exempt_by(&[("kubernetes.io/config.source", "api")], &[], &[]), None);
        let label = [("clockgate.exempt", "true")];
        for (pod, container) in [(&label[..], &[][..]), (&[], &label)] {
            assert_eq!(exempt_by(pod, container, &[]).as_deref(), Some("clockgate.exempt=true"));
        }
        // What is said of the container counts before what is said of its pod.
        assert_eq!(exempt_by(&label, &[("clockgate.exempt", "false")], &[]), None);
        assert_eq!(exempt_by(&[], &[], &["/usr/sbin/clockgate"]).as_deref(), Some("command:clockgate"));
    }

    /// Pods of a full node, each with a hundred annotations, and three containers of each.
    #[test]
    fn a_list_of_a_full_node_is_kept_and_one_without_end_is_refused() {
        let mut list = PodList::default();
        let annotations: Vec<_> = (0..100).map(|number| format!("example.org/annotation-{number}")).collect();
        let of_pod: Vec<_> =
            annotations.iter().map(|key| (key.as_str(), "a value of some words, as they have")).collect();
        for pod in 0..500 {
            let id = format!("p{pod}");
            let described = map(MessageBytes::default().with(1, id.as_bytes()), 6, &of_pod);
            let container = map(MessageBytes::default().with(2, id.as_bytes()), 6, &of_pod[..10]).bytes();
            let message = MessageBytes::default().with(1, &described.bytes());
            let message = (0..3).fold(message, |message, _| message.with(2, &container));
            list.add(&message.bytes()).unwrap();
        }
        assert!(
            (list.pods.len(), list.containers.len()) == (500, 1500) && list.size() < LIST_MAX / 2,
            "{}",
            list.size()
        );
        // A message of 4 MiB has two million empty containers in it.
        assert_eq!(list.add(&[0x12, 0].repeat(2 << 20)), Err(MalformedMessage::TooManyFields));
        let many = [0x12, 0].repeat(1 << 17);
        let refused = (0..20).find_map(|_| list.add(&many).err());
        assert_eq!(refused, Some(MalformedMessage::ListTooLong(LIST_MAX)));
        assert!(list.size() <= LIST_MAX && list.containers.len() * size_of::<Described>() <= LIST_MAX);
    }

    #[test]
    fn a_request_that_is_cut_short_is_an_error_or_a_smaller_one() {
        let whole = request(&[("a", "b")], &[("c", "d")], &["/bin/web"]);
        assert!((0..whole.len()).any(|length| metadata(&whole[..length]).is_err()));
        assert_eq!(metadata(&[]).unwrap(), Metadata::default());
    }
}
