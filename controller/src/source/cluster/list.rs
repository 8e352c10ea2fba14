//! Whole lists of objects, what is known of one watch's, and when a new list of them is not believed at once.

use std::collections::BTreeSet;
use std::fmt::Debug;

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use crate::object::{Object, ObjectRef};

/// The names of a watch's objects, as last reported.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: Option<BTreeSet<ObjectRef>>,
}

/// What a new list has lost against what was known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Half of it at most.
    Plausible,
    /// More than half.
    Doubtful {
        /// Objects known.
        before: usize,
        /// Of these, objects that are in the list.
        after: usize,
    },
}

impl Known {
    /// Whether there was a list at all.
    pub(super) fn is_listed(&self) -> bool {
        self.names.is_some()
    }

    pub(super) fn insert(&mut self, name: &ObjectRef) {
        self.names.get_or_insert_default().insert(name.clone());
    }

    pub(super) fn remove(&mut self, name: &ObjectRef) {
        self.names.get_or_insert_default().remove(name);
    }

    pub(super) fn replace(&mut self, objects: &[Object]) {
        self.names = Some(objects.iter().map(|object| object.reference.clone()).collect());
    }

    pub(super) fn loss(&self, objects: &[Object]) -> Loss {
        let Some(names) = &self.names else { return Loss::Plausible };
        let (before, after) = (names.len(), objects.iter().filter(|object| names.contains(&object.reference)).count());
        let lost = before - after;
        if lost * 2 > before { Loss::Doubtful { before, after } } else { Loss::Plausible }
    }
}

/// Lists everything, page by page, by a consistent read: no `resourceVersion`, so that no cache answers with what it has.
///
/// `selector` is what fields must be; `None` leaves nothing out.
///
/// # Errors
/// The API server cannot be reached, or refuses one of the pages.
pub async fn list<K>(api: &Api<K>, selector: Option<&str>) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams { field_selector: selector.map(str::to_owned), limit: Some(super::PAGE), ..ListParams::default() };
    let mut objects = Vec::new();
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(objects);
        }
    }
}
