//! The containers that a history names: each name is kept once, however often it was frozen.

use std::collections::HashMap;

use crate::history::RecordedContainer;

/// How many of a disruption are named; all are counted.
const MOST_OF_ONE: usize = 32;
/// How many names are kept in all: who makes containers without end shall not fill a reader's memory.
const MOST: usize = 20_000;
/// As engines print ids.
const SHORT_ID: usize = 12;

/// The containers of one disruption, as numbers of [`NamedContainers`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Frozen ones.
    pub frozen: Vec<u32>,
    /// Held ones.
    pub held: Vec<u32>,
    /// Released ones.
    pub released: Vec<u32>,
}

/// Every name once.
#[derive(Clone, Debug, Default)]
pub struct NamedContainers {
    all: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl NamedContainers {
    /// The names of these numbers.
    pub fn of<'a>(&'a self, numbers: &'a [u32]) -> impl Iterator<Item = &'a str> {
        numbers.iter().filter_map(|number| self.all.get(*number as usize)).map(|name| &**name)
    }

    /// Adds those that are not in the list yet.
    pub(super) fn add(&mut self, containers: &[RecordedContainer<'_>], to: &mut Vec<u32>) {
        for container in containers {
            let id = container.id.char_indices().nth(SHORT_ID).map_or(&*container.id, |(end, _)| &container.id[..end]);
            let name = container.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(id);
            if to.len() >= MOST_OF_ONE {
                return;
            }
            // One that may not be named is counted alone.
            if name.is_empty() {
                continue;
            }
            if let Some(number) = self.number(name).filter(|number| !to.contains(number)) {
                to.push(number);
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(self.all.len()).ok().filter(|_| self.all.len() < MOST)?;
        self.all.push(name.into());
        self.numbers.insert(name.into(), number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_a_container_without_one_is_known_by_its_short_id() {
        let container = |id: &'static str, name: Option<&'static str>| RecordedContainer {
            id: id.into(),
            name: name.map(Into::into),
        };
        let mut all =
            vec![container("0123456789abcdef", None), container("b", Some("web")), container("c", Some("web"))];
        all.push(container("", None));
        let (mut names, mut first, mut second) = (NamedContainers::default(), vec![], vec![]);
        names.add(&all, &mut first);
        names.add(&all, &mut second);
        assert_eq!(names.of(&first).collect::<Vec<_>>(), ["0123456789ab", "web"]);
        assert_eq!((first, names.all.len()), (second, 2));
    }

    #[test]
    fn what_is_kept_of_one_and_of_all_is_limited() {
        let ids: Vec<String> = (0..MOST + 100).map(|number| number.to_string()).collect();
        let all: Vec<_> = ids.iter().map(|id| RecordedContainer { id: id.into(), name: None }).collect();
        let mut names = NamedContainers::default();
        let mut one = vec![];
        names.add(&all, &mut one);
        assert_eq!(one.len(), MOST_OF_ONE);
        all.iter().for_each(|container| names.add(std::slice::from_ref(container), &mut vec![]));
        assert_eq!(names.all.len(), MOST);
    }
}
