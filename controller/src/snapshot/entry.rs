//! One object through its versions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::object::Provenance;

/// A version of an object, read as its kind.
pub trait Version: PartialEq {
    /// Whether all of it can be served as written. An update that cannot keeps the version before it.
    fn is_good(&self) -> bool {
        true
    }
}

/// The current version of an object and the last good one.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    provenance: Provenance,
    current: Option<Result<Arc<T>, String>>,
    last_good: Option<Arc<T>>,
}

/// The versions of an object as a saved snapshot has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Versions<T> {
    /// The current version is the last good one.
    Good(Arc<T>),
    /// It is not, or nobody has asked yet.
    Read { current: Arc<T>, last_good: Option<Arc<T>> },
    /// The current version cannot be read.
    Unreadable { reason: String, last_good: Option<Arc<T>> },
    /// There is no current version.
    Deleted { last_good: Option<Arc<T>> },
}

impl<T: Version> Entry<T> {
    /// Returns its versions, to be saved.
    pub(super) fn save(&self) -> Versions<T> {
        let last_good = self.last_good.clone();
        match &self.current {
            Some(Ok(current)) if last_good.as_ref().is_some_and(|good| Arc::ptr_eq(current, good)) => Versions::Good(Arc::clone(current)),
            Some(Ok(current)) => Versions::Read { current: Arc::clone(current), last_good },
            Some(Err(reason)) => Versions::Unreadable { reason: reason.clone(), last_good },
            None => Versions::Deleted { last_good },
        }
    }

    /// Makes the entry that was saved.
    pub(super) fn load(provenance: Provenance, versions: Versions<T>) -> Self {
        let (current, last_good) = match versions {
            Versions::Good(current) => (Some(Ok(Arc::clone(&current))), Some(current)),
            Versions::Read { current, last_good } => (Some(Ok(current)), last_good),
            Versions::Unreadable { reason, last_good } => (Some(Err(reason)), last_good),
            Versions::Deleted { last_good } => (None, last_good),
        };
        Self { provenance, current, last_good }
    }

    /// Makes an entry without any version.
    pub(super) fn new(provenance: Provenance) -> Self {
        Self { provenance, current: None, last_good: None }
    }

    /// Takes in a version; returns whether anything is different now.
    pub(super) fn put(&mut self, provenance: Provenance, next: Result<T, String>) -> bool {
        self.provenance = provenance;
        if !self.replace(next) {
            return false;
        }
        self.judge();
        true
    }

    /// Takes in a version without asking whether it is good; returns whether anything is different now. No earlier one is kept.
    pub(super) fn put_unjudged(&mut self, provenance: Provenance, next: Result<T, String>) -> bool {
        self.provenance = provenance;
        self.last_good = None;
        self.replace(next)
    }

    /// Asks whether the current version is good, and keeps it as the last good one if it is.
    pub(super) fn judge(&mut self) {
        if let Some(Ok(version)) = &self.current
            && version.is_good()
        {
            self.last_good = Some(Arc::clone(version));
        }
    }

    fn replace(&mut self, next: Result<T, String>) -> bool {
        let same = match (&self.current, &next) {
            (Some(Ok(current)), Ok(next)) => **current == *next,
            (Some(Err(current)), Err(next)) => current == next,
            (Some(_) | None, _) => false,
        };
        if !same {
            self.current = Some(next.map(Arc::new));
        }
        !same
    }

    /// Takes the current version away and keeps the last good one; returns whether there was one to take.
    pub(super) fn delete_current(&mut self) -> bool {
        self.current.take().is_some()
    }

    /// Keeps nothing but the current version; returns whether there was anything else.
    pub(super) fn forget_last_good(&mut self) -> bool {
        let is_current =
            matches!((&self.current, &self.last_good), (Some(Ok(current)), Some(last_good)) if Arc::ptr_eq(current, last_good));
        !is_current && self.last_good.take().is_some()
    }

    /// Returns the current version, or why it cannot be read; `None` when the object is deleted.
    #[must_use]
    pub fn current(&self) -> Option<&Result<Arc<T>, String>> {
        self.current.as_ref()
    }

    /// Returns the last version that could be served as written.
    #[must_use]
    pub fn last_good(&self) -> Option<&Arc<T>> {
        self.last_good.as_ref()
    }

    /// Returns the newest version that can be read at all.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<T>> {
        self.current.as_ref().and_then(|current| current.as_ref().ok()).or(self.last_good.as_ref())
    }

    /// Returns the version that counts: the current one if it is good, else the last good one, else what can be read.
    #[must_use]
    pub fn serving(&self) -> Option<&Arc<T>> {
        self.last_good.as_ref().or_else(|| self.latest())
    }

    /// Returns all versions that are held.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<T>> {
        let current = self.current.as_ref().and_then(|current| current.as_ref().ok());
        current.into_iter().chain(&self.last_good)
    }

    /// Whether the last good version is another one than the current.
    #[must_use]
    pub fn has_older(&self) -> bool {
        match (self.latest(), &self.last_good) {
            (Some(latest), Some(last_good)) => !Arc::ptr_eq(latest, last_good),
            (_, None) | (None, Some(_)) => false,
        }
    }

    /// Returns where the object was last read.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns why the current version cannot be read.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match &self.current {
            Some(Err(reason)) if self.last_good.is_some() => Some(format!("{reason}; the version before it keeps being served")),
            Some(Err(reason)) => Some(reason.clone()),
            Some(Ok(_)) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Provenance {
        Provenance::Cluster { uid: Arc::default() }
    }

    #[derive(Debug, PartialEq)]
    struct Number(i32);

    impl Version for Number {
        fn is_good(&self) -> bool {
            self.0 > 0
        }
    }

    #[test]
    fn a_bad_update_keeps_the_version_before_it() {
        let mut entry = Entry::new(cluster());
        assert!(entry.put(cluster(), Ok(Number(-1))));
        assert_eq!(entry.serving().map(|v| v.0), Some(-1), "with nothing better, what can be read is served");
        assert!(entry.put(cluster(), Ok(Number(1))));
        assert!(!entry.put(cluster(), Ok(Number(1))));
        for bad in [Err("no".to_owned()), Ok(Number(-2))] {
            assert!(entry.put(cluster(), bad));
            assert_eq!(entry.serving().map(|v| v.0), Some(1));
        }
        assert!(entry.put(cluster(), Ok(Number(2))));
        assert_eq!(entry.serving().map(|v| v.0), Some(2));
        assert!(entry.put(cluster(), Ok(Number(-3))));
        assert!(entry.forget_last_good());
        assert_eq!((entry.serving().map(|v| v.0), entry.last_good().is_none()), (Some(-3), true));
        assert!(entry.put(cluster(), Ok(Number(2))));
        assert!(!entry.forget_last_good());
        assert!(entry.delete_current());
        assert_eq!((entry.latest().map(|v| v.0), entry.current().is_none()), (Some(2), true));
    }
}
