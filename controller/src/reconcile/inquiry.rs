//! Questions about what is known, answered by who knows it, between two steps.

use tokio::sync::{mpsc, oneshot};

use crate::explain::Known;

/// Questions that may wait at once.
const WAITING: usize = 16;

type Question = Box<dyn FnOnce(Known<'_>) + Send>;

/// Where questions are asked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inquiries(mpsc::Sender<Question>);

/// Where they arrive.
pub(super) struct Asked(mpsc::Receiver<Question>);

/// Makes both ends.
pub(super) fn channel() -> (Inquiries, Asked) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Inquiries(sender), Asked(receiver))
}

impl Inquiries {
    /// Makes a place where nobody answers.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        channel().0
    }

    /// Asks, and waits for the answer; must not be called where waiting is not allowed. `None`: there is nobody who knows (any more), or the
    /// question ended in a panic.
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(Known<'_>) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |known: Known<'_>| {
            // A question that panics goes unanswered, and who has gone needs no answer.
            if let Ok(answered) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(known))) {
                let _ = answer.send(answered);
            } else {
                tracing::error!("a question about what is known ended in a panic");
            }
        });
        self.0.blocking_send(question).ok()?;
        answered.blocking_recv().ok()
    }
}

impl Asked {
    /// Waits for a question; for ever where nobody asks any more.
    pub(super) async fn next(&mut self) -> Question {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asked")
    }
}
