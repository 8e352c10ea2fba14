//! On which line of its file each field of an object stands.

use std::collections::HashSet;
use std::sync::Arc;

/// The lines of an object's fields, counted from the object's own. Ten thousand objects have as many of them, so that it is kept small:
/// objects of one shape share theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldLines {
    /// All names, one after the other, sorted.
    names: Box<str>,
    /// Where each name ends, and its line.
    fields: Box<[(u32, u32)]>,
}

impl FieldLines {
    /// Takes down the fields of an object that begins on line `first`, in the order of their names.
    pub fn new<'n>(first: usize, fields: impl Iterator<Item = (&'n str, usize)>) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut names = String::new();
        let fields = fields.map(|(name, line)| {
            names.push_str(name);
            (short(names.len()), short(line.saturating_sub(first)))
        });
        let fields = fields.collect();
        Self { names: names.into(), fields }
    }

    /// Returns the line of a field of an object that begins on line `first`; `None` if it is not written.
    #[must_use]
    pub fn get(&self, first: usize, name: &str) -> Option<usize> {
        let at = |index: usize| {
            let (end, line) = *self.fields.get(index)?;
            let begin = index.checked_sub(1).and_then(|before| self.fields.get(before)).map_or(0, |(end, _)| *end);
            Some((self.names.get(usize::try_from(begin).ok()?..usize::try_from(end).ok()?)?, usize::try_from(line).ok()?))
        };
        let (mut low, mut high) = (0, self.fields.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let (known, line) = at(middle)?;
            match known.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(first + line),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Returns the one among those known that says the same, which it is from now on if there is none.
    pub(crate) fn shared(self, known: &mut HashSet<Arc<Self>>) -> Arc<Self> {
        if let Some(found) = known.get(&self) {
            return Arc::clone(found);
        }
        let new = Arc::new(self);
        known.insert(Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_line_and_objects_of_one_shape_share_them() {
        let fields = [("metadata", 2), ("metadata.name", 3), ("spec", 4), ("spec.rules[0]", 6)];
        let at = |first: usize| FieldLines::new(first, fields.iter().map(|(name, line)| (*name, first + line)));
        let lines = at(100);
        for (name, line) in fields {
            assert_eq!(lines.get(100, name), Some(100 + line));
        }
        for absent in ["", "a", "metadata.nam", "spec.rules[0].host", "z"] {
            assert_eq!(lines.get(100, absent), None, "{absent}");
        }
        assert_eq!(FieldLines::default().get(1, "spec"), None);
        let mut known = HashSet::new();
        assert!(Arc::ptr_eq(&at(100).shared(&mut known), &at(7).shared(&mut known)));
    }
}
