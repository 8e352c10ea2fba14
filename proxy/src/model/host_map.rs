//! A map from hosts to values that is cheap to change: a copy shares all but the touched parts.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{HostMatch, HostName};

/// Parts that the names are spread over. A change copies one part: at 10,000 hosts some 40 entries.
const PARTS: usize = 256;

/// Looks up by host: exact name, then a wildcard of one label, then one of many labels (longest first), then any.
///
/// Cloning copies pointers only; [`HostMap::set`] on a clone copies the one part that it touches, so that two generations of
/// a table share everything that did not change.
#[derive(Clone)]
pub struct HostMap<T> {
    hasher: DefaultHashBuilder,
    exact: Parts<T>,
    one_label: Parts<T>,
    many_labels: Parts<T>,
    any: Option<T>,
}

/// The names of one part.
type Part<T> = Arc<HashTable<(HostName, T)>>;

/// Tables, each with the names of one part, and how many names there are. A name is hashed once, for the part and within it.
#[derive(Clone)]
struct Parts<T>(Arc<[Part<T>]>, usize);

impl<T: Clone> Parts<T> {
    fn new() -> Self {
        let empty = Arc::new(HashTable::new());
        Self(std::iter::repeat_with(|| Arc::clone(&empty)).take(PARTS).collect(), 0)
    }

    fn get(&self, hasher: &DefaultHashBuilder, name: &str) -> Option<&T> {
        if self.1 == 0 {
            return None;
        }
        let hash = hasher.hash_one(name);
        self.0.get(part(hash))?.find(hash, |(known, _)| known.as_str() == name).map(|(_, value)| value)
    }

    fn set(&mut self, hasher: &DefaultHashBuilder, name: &HostName, value: Option<T>) {
        let hash = hasher.hash_one(name.as_str());
        let parts = Arc::make_mut(&mut self.0);
        let Some(part) = parts.get_mut(part(hash)) else { return };
        let part = Arc::make_mut(part);
        let before = part.len();
        match (part.find_entry(hash, |(known, _)| known == name), value) {
            (Ok(mut entry), Some(value)) => entry.get_mut().1 = value,
            (Ok(entry), None) => drop(entry.remove()),
            (Err(absent), Some(value)) => {
                let table = absent.into_table();
                table.insert_unique(hash, (name.clone(), value), |(name, _)| hasher.hash_one(name.as_str()));
            }
            (Err(_), None) => {}
        }
        self.1 = self.1 + part.len() - before;
    }

    fn iter(&self) -> impl Iterator<Item = (&HostName, &T)> {
        self.0.iter().flat_map(|part| part.iter()).map(|(name, value)| (name, value))
    }
}

/// The part that holds the names with a hash. Within a part the table goes by the lowest and the highest bits.
fn part(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) % PARTS
}

impl<T: Clone> Default for HostMap<T> {
    fn default() -> Self {
        Self { hasher: DefaultHashBuilder::default(), exact: Parts::new(), one_label: Parts::new(), many_labels: Parts::new(), any: None }
    }
}

impl<T: Clone> HostMap<T> {
    /// Returns what stands for a host (lower case, without port and trailing dot), the most specific match alone.
    #[must_use]
    pub fn get(&self, host: &str) -> Option<&T> {
        if let Some(found) = self.exact.get(&self.hasher, host) {
            return Some(found);
        }
        let mut rest = host;
        let mut first = true;
        while let Some((label, suffix)) = rest.split_once('.') {
            if first
                && !label.is_empty()
                && let Some(found) = self.one_label.get(&self.hasher, suffix)
            {
                return Some(found);
            }
            first = false;
            if let Some(found) = self.many_labels.get(&self.hasher, suffix) {
                return Some(found);
            }
            if self.many_labels.1 == 0 {
                break;
            }
            rest = suffix;
        }
        self.any.as_ref()
    }

    /// Returns what was set for exactly this match.
    #[must_use]
    pub fn get_match(&self, host: &HostMatch) -> Option<&T> {
        match host {
            HostMatch::Exact(name) => self.exact.get(&self.hasher, name.as_str()),
            HostMatch::OneLabel(name) => self.one_label.get(&self.hasher, name.as_str()),
            HostMatch::ManyLabels(name) => self.many_labels.get(&self.hasher, name.as_str()),
            HostMatch::Any => self.any.as_ref(),
        }
    }

    /// Sets what stands for a match; `None` removes it.
    pub fn set(&mut self, host: &HostMatch, value: Option<T>) {
        match host {
            HostMatch::Exact(name) => self.exact.set(&self.hasher, name, value),
            HostMatch::OneLabel(name) => self.one_label.set(&self.hasher, name, value),
            HostMatch::ManyLabels(name) => self.many_labels.set(&self.hasher, name, value),
            HostMatch::Any => self.any = value,
        }
    }

    /// Returns every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (HostMatch, &T)> {
        let exact = self.exact.iter().map(|(name, value)| (HostMatch::Exact(name.clone()), value));
        let one = self.one_label.iter().map(|(name, value)| (HostMatch::OneLabel(name.clone()), value));
        let many = self.many_labels.iter().map(|(name, value)| (HostMatch::ManyLabels(name.clone()), value));
        exact.chain(one).chain(many).chain(self.any.iter().map(|value| (HostMatch::Any, value)))
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.1 + self.one_label.1 + self.many_labels.1 + usize::from(self.any.is_some())
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostMatch {
        HostMatch::of_ingress(text).unwrap_or(HostMatch::Any)
    }

    #[test]
    fn the_most_specific_match_answers_alone() {
        let mut map = HostMap::default();
        for text in ["a.example.com", "*.example.com", ""] {
            map.set(&host(text), Some(text));
        }
        assert_eq!(map.get("a.example.com"), Some(&"a.example.com"));
        assert_eq!(map.get("b.example.com"), Some(&"*.example.com"));
        assert_eq!(map.get("c.b.example.com"), Some(&""), "a wildcard is one label");
        assert_eq!(map.get("example.com"), Some(&""));
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn a_wildcard_of_many_labels_matches_deeper_names_longest_first() {
        let mut map = HostMap::default();
        for text in ["com", "example.com"] {
            map.set(&HostMatch::ManyLabels(text.parse().unwrap_or_else(|e| unreachable!("{e}"))), Some(text));
        }
        assert_eq!(map.get("a.b.example.com"), Some(&"example.com"));
        assert_eq!(map.get("b.com"), Some(&"com"));
        assert_eq!(map.get("com"), None);
    }

    #[test]
    fn a_changed_copy_leaves_the_original_alone() {
        let mut before = HostMap::default();
        before.set(&host("a.b"), Some(1));
        let mut after = before.clone();
        after.set(&host("a.b"), Some(2));
        after.set(&host("c.d"), Some(3));
        after.set(&host("a.b"), None);
        assert_eq!((before.get("a.b"), before.len()), (Some(&1), 1));
        assert_eq!((after.get("a.b"), after.get("c.d"), after.len()), (None, Some(&3), 1));
    }
}
