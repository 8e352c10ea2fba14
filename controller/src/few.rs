//! A map for the many places where nearly every map has one or two entries, and a few have thousands.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// How many entries make it a tree.
const FEW: usize = 8;

/// Builds a tree anew without gaps: one that was filled entry by entry in order is half empty.
pub fn fill<K: Ord, V>(tree: &mut BTreeMap<K, V>) {
    *tree = std::mem::take(tree).into_iter().collect();
}

/// A map, sorted by key: a list while it is small, because a tree takes the room of eleven entries for its first.
#[derive(Debug, Clone)]
pub struct Few<K, V>(Form<K, V>);

#[derive(Debug, Clone)]
enum Form<K, V> {
    List(Vec<(K, V)>),
    Tree(BTreeMap<K, V>),
}

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Form::List(Vec::new()))
    }
}

impl<K: Ord, V> Few<K, V> {
    /// Returns the value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match &self.0 {
            Form::List(list) => list.get(find(list, key).ok()?).map(|(_, value)| value),
            Form::Tree(tree) => tree.get(key),
        }
    }

    /// Sets the value of a key, and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match &mut self.0 {
            Form::Tree(tree) => return tree.insert(key, value),
            Form::List(list) => match find(list, &key) {
                Ok(at) => return list.get_mut(at).map(|(_, known)| std::mem::replace(known, value)),
                Err(at) if list.len() < FEW => {
                    list.reserve_exact(1);
                    list.insert(at, (key, value));
                    return None;
                }
                Err(_) => {
                    let mut tree: BTreeMap<K, V> = std::mem::take(list).into_iter().collect();
                    tree.insert(key, value);
                    self.0 = Form::Tree(tree);
                }
            },
        }
        None
    }

    /// Takes a key out, and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match &mut self.0 {
            Form::List(list) => {
                let at = find(list, key).ok()?;
                Some(list.remove(at).1)
            }
            Form::Tree(tree) => tree.remove(key),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::List(list) => list.is_empty(),
            Form::Tree(tree) => tree.is_empty(),
        }
    }

    /// Returns every entry, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (list, tree) = match &self.0 {
            Form::List(list) => (Some(list), None),
            Form::Tree(tree) => (None, Some(tree)),
        };
        list.into_iter().flatten().map(|(key, value)| (key, value)).chain(tree.into_iter().flatten())
    }

    /// Returns the entries from a key on, sorted by key. What comes before costs nothing where there is much of it.
    pub fn from<'a>(&'a self, first: &K) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let (list, tree) = match &self.0 {
            Form::List(list) => (list.get(find(list, first).unwrap_or_else(|at| at)..), None),
            Form::Tree(tree) => (None, Some(tree.range(first..))),
        };
        list.into_iter().flatten().map(|(key, value)| (key, value)).chain(tree.into_iter().flatten())
    }

    /// Returns every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns every value, sorted by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

fn find<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V>(list: &[(K, V)], key: &Q) -> Result<usize, usize> {
    list.binary_search_by(|(known, _)| known.borrow().cmp(key))
}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut few = Self::default();
        for (key, value) in entries {
            few.insert(key, value);
        }
        few
    }
}

impl<K: Ord, V: PartialEq> PartialEq for Few<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_whatever_its_size(steps in prop::collection::vec((0u8..24, prop::option::weighted(0.7, 0u8..3)), 0..80)) {
            let (mut few, mut tree) = (Few::default(), BTreeMap::new());
            for (key, value) in steps {
                match value {
                    Some(value) => prop_assert_eq!(few.insert(key, value), tree.insert(key, value)),
                    None => prop_assert_eq!(few.remove(&key), tree.remove(&key)),
                }
                prop_assert_eq!(few.get(&key), tree.get(&key));
                prop_assert!(few.iter().eq(&tree));
                prop_assert!(few.from(&key).eq(tree.range(key..)));
                prop_assert_eq!(few.is_empty(), tree.is_empty());
            }
        }
    }
}
