//! Texts that many objects repeat (names of ports and classes, fields), held once.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// How many texts are remembered, so that a cluster of nothing but different ones costs no more than this.
const REMEMBERED: usize = 1024;

/// Returns a text, the same one for all who ask for it.
#[must_use]
pub fn shared(text: &str) -> Arc<str> {
    thread_local! {
        static KNOWN: RefCell<HashSet<Arc<str>>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        if known.len() < REMEMBERED {
            known.insert(Arc::clone(&text));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_once() {
        assert!(Arc::ptr_eq(&shared("http"), &shared("http")));
        assert_eq!(&*shared("https"), "https");
    }
}
