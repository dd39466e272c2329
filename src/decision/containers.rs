//! Containers as far as records and texts speak of them: which ones, and how much of that may be written down. Every text
//! keeps what names a container apart, so that the same text can be written without it.

use std::fmt;
use std::sync::Arc;

use super::counted;

/// So many containers of one list are kept; the others are counted.
const LISTED: usize = 100;
/// So many of them are named in a text.
const IN_WORDS: usize = 10;
/// A longer id or name is cut, characters: who starts a container chooses them.
const LONGEST: usize = 255;
/// The length of an id that is cut in texts, as the engines do, and what is left of it.
const LONG_ID: usize = 64;
const SHORT_ID: usize = 12;

/// How much of containers may be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerNaming {
    /// Engine, id and name.
    #[default]
    Names,
    /// Engine and id.
    Ids,
    /// Their number alone.
    None,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedContainer {
    /// Its engine.
    pub engine: &'static str,
    /// The engine's id of it; empty where it may not be written down.
    pub id: String,
    /// Its name; none where it is not known, or may not be written down. The id where the engine has no ids.
    pub name: Option<String>,
}

/// Several containers, the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerList {
    count: usize,
    first: Arc<[NamedContainer]>,
}

/// A text about containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerText(Vec<TextPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TextPart {
    Words(String),
    Containers(ContainerList),
    /// Words that may name a container, and what replaces them where it may not be named.
    Private(String, &'static str),
}

impl NamedContainer {
    /// A container of that engine.
    #[must_use]
    pub fn new(engine: &'static str, id: &str, name: Option<&str>) -> Self {
        let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
        Self { engine, id: cut(id), name: name.map(cut) }
    }

    /// Without its name, and without an id that is its name.
    fn without_name(&self) -> Self {
        let is_name = self.name.as_ref() == Some(&self.id);
        Self { engine: self.engine, id: if is_name { String::new() } else { self.id.clone() }, name: None }
    }
}

impl ContainerList {
    /// These containers; the later ones of very many are only counted, and not asked for their names.
    #[must_use]
    pub fn new<T>(containers: &[T], named: impl Fn(&T) -> NamedContainer) -> Self {
        Self { count: containers.len(), first: containers.iter().take(LISTED).map(named).collect() }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Those that are known by name or id; of very many the first alone.
    #[must_use]
    pub fn first(&self) -> &[NamedContainer] {
        &self.first
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// As much of them as may be written down.
    #[must_use]
    pub fn naming(&self, naming: ContainerNaming) -> Self {
        let first = match naming {
            ContainerNaming::Names => return self.clone(),
            ContainerNaming::Ids => self.first.iter().map(NamedContainer::without_name).collect(),
            ContainerNaming::None => Arc::default(),
        };
        Self { count: self.count, first }
    }
}

impl From<NamedContainer> for ContainerList {
    fn from(only: NamedContainer) -> Self {
        Self { count: 1, first: Arc::new([only]) }
    }
}

impl ContainerText {
    /// These words come next.
    #[must_use]
    pub fn words(mut self, words: impl Into<String>) -> Self {
        let words = words.into();
        if !words.is_empty() {
            self.0.push(TextPart::Words(words));
        }
        self
    }

    /// These containers are named next.
    #[must_use]
    pub fn containers(mut self, containers: impl Into<ContainerList>) -> Self {
        self.0.push(TextPart::Containers(containers.into()));
        self
    }

    /// Words come next that may name a container, as the path of its cgroup does; `instead` where that may not be written down.
    #[must_use]
    pub fn private(mut self, words: impl Into<String>, instead: &'static str) -> Self {
        self.0.push(TextPart::Private(words.into(), instead));
        self
    }

    /// Another text comes next.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As much of it as may be written down.
    #[must_use]
    pub fn naming(&self, naming: ContainerNaming) -> Self {
        let part = |part: &TextPart| match (part, naming) {
            (TextPart::Words(_), _) | (_, ContainerNaming::Names) => part.clone(),
            (TextPart::Containers(containers), _) => TextPart::Containers(containers.naming(naming)),
            (TextPart::Private(_, instead), _) => TextPart::Words((*instead).to_owned()),
        };
        Self(self.0.iter().map(part).collect())
    }
}

impl<T: Into<String>> From<T> for ContainerText {
    fn from(words: T) -> Self {
        Self::default().words(words)
    }
}

/// `web (docker 3f2a8c01d9e2)`
impl fmt::Display for NamedContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, id, name } = self;
        let is_long = id.len() == LONG_ID;
        let id = id.get(..SHORT_ID).filter(|_| is_long).unwrap_or(id);
        match name {
            Some(name) if *name != self.id => write!(f, "{name} ({engine} {id})"),
            Some(_) | None if id.is_empty() => write!(f, "{engine} container"),
            Some(_) | None => write!(f, "{engine} {id}"),
        }
    }
}

/// `web (docker 3f2a8c01d9e2), db (docker 0c99364380c8)`; their number where they are not named.
impl fmt::Display for ContainerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.first.iter().take(IN_WORDS).map(ToString::to_string).collect();
        match (self.count, self.count - named.len()) {
            (count, _) if named.is_empty() => f.write_str(&counted(count as u64, "container")),
            (_, 0) => f.write_str(&named.join(", ")),
            (_, others) => write!(f, "{} and {others} more", named.join(", ")),
        }
    }
}

impl fmt::Display for ContainerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            TextPart::Words(words) | TextPart::Private(words, _) => f.write_str(words),
            TextPart::Containers(containers) => write!(f, "{containers}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> NamedContainer {
        NamedContainer::new("an engine", &"3f2a8c01d9e2".repeat(6)[..64], Some("web"))
    }

    #[test]
    fn a_text_has_names_or_ids_or_neither() {
        let text = ContainerText::from("cannot freeze ").containers(web()).words(": ").private("/x/web", "a cgroup");
        let naming = |naming| text.naming(naming).to_string();
        assert_eq!(naming(ContainerNaming::Names), "cannot freeze web (an engine 3f2a8c01d9e2): /x/web");
        assert_eq!(naming(ContainerNaming::Ids), "cannot freeze an engine 3f2a8c01d9e2: a cgroup");
        assert_eq!(naming(ContainerNaming::None), "cannot freeze 1 container: a cgroup");
        assert_eq!(
            text.naming(ContainerNaming::Ids).naming(ContainerNaming::Names).to_string(),
            naming(ContainerNaming::Ids)
        );
        assert!(ContainerText::from("").is_empty() && !text.is_empty());
        assert_eq!(ContainerText::from(""), ContainerText::default());
    }

    #[test]
    fn an_id_that_is_a_name_is_not_written_down_as_an_id() {
        let machine =
            ContainerList::from(NamedContainer::new("an engine", "a-machine-of-mine", Some("a-machine-of-mine")));
        assert_eq!(machine.to_string(), "an engine a-machine-of-mine");
        let ids = machine.naming(ContainerNaming::Ids);
        assert_eq!((ids.to_string().as_str(), ids.first()[0].id.as_str()), ("an engine container", ""));
    }

    #[test]
    fn of_very_many_the_first_are_named_and_all_are_counted() {
        let many: Vec<usize> = (0..1000).collect();
        let list = ContainerList::new(&many, |n| NamedContainer::new("e", &n.to_string(), None));
        assert_eq!((list.count(), list.first().len()), (1000, LISTED));
        assert_eq!(list.to_string(), "e 0, e 1, e 2, e 3, e 4, e 5, e 6, e 7, e 8, e 9 and 990 more");
        assert_eq!(list.naming(ContainerNaming::None).to_string(), "1000 containers");
        assert!(ContainerList::default().is_empty());
        let long = NamedContainer::new("e", &"ä".repeat(1000), None);
        assert_eq!(long.id.chars().count(), LONGEST);
    }
}
