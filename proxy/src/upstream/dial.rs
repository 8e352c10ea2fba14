//! An attempt to connect that several requests wait for.

use std::cell::{Cell, RefCell};

use tokio::sync::Notify;

use crate::error::{ProxyError, Reason, Retry};

/// One attempt; all who wait get its result.
#[derive(Debug, Default)]
pub(super) struct Dial {
    over: Notify,
    done: Cell<bool>,
    failure: RefCell<Option<(Reason, Box<str>)>>,
}

impl Dial {
    /// Ends the attempt.
    pub(super) fn finish(&self, result: Result<(), (Reason, Box<str>)>) {
        *self.failure.borrow_mut() = result.err();
        self.done.set(true);
        self.over.notify_waiters();
    }

    /// Waits for the end of the attempt.
    pub(super) async fn finished(&self) -> Result<(), ProxyError> {
        if !self.done.get() {
            self.over.notified().await;
        }
        match self.failure.borrow().as_ref() {
            None => Ok(()),
            Some((kind, text)) => Err(ProxyError::new(*kind).with_retry(Retry::Unprocessed).with_source(text.to_string())),
        }
    }
}
