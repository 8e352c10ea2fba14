//! Which failures were logged already: each kind once, for as long as it lasts, however many objects meet it.

use std::collections::BTreeSet;

use super::failure::Failure;

/// Failures that were logged and are not over, by HTTP status; 0 stands for no answer.
///
/// Texts would not do: they name the object, so that two objects that fail by turns would fill the log.
#[derive(Debug, Default)]
pub(super) struct Said(BTreeSet<u16>);

impl Said {
    /// Notes a failure; returns whether it is the first of its kind.
    pub(super) fn is_new(&mut self, failure: &Failure) -> bool {
        self.0.insert(failure.status)
    }

    /// All is well again: the next failure is news.
    pub(super) fn over(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_failure_is_news_once_until_it_is_over() {
        let failure = |status: u16, text: &str| Failure { text: text.to_owned(), status, of_server: status >= 500 };
        let mut said = Said::default();
        assert!(said.is_new(&failure(403, "a is forbidden")));
        assert!(said.is_new(&failure(500, "etcd is away")));
        assert!(!said.is_new(&failure(403, "b is forbidden")), "another object, the same failure");
        said.over();
        assert!(said.is_new(&failure(403, "a is forbidden")));
    }
}
