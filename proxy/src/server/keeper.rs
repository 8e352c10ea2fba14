//! A thread for what workers must not do after a publication: bind and close sockets, and free old tables.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::publisher::Publisher;
use super::shared::{Phase, Shared};
use super::socket::ListenerSockets;
use crate::table::Table;

/// How soon to look again when something is left to do.
const AGAIN: Duration = Duration::from_millis(100);
/// How soon to try again to bind an address that has failed [`SILENT_ATTEMPTS`] times.
const LATER: Duration = Duration::from_secs(2);
/// Attempts to bind an address before it is called a failure: another listener of ours may just be leaving it.
const SILENT_ATTEMPTS: u32 = 10;

/// Starts the thread. It ends with the publisher.
pub(super) fn start(shared: Arc<Shared>, publisher: Weak<Publisher>, published: Receiver<()>) -> io::Result<()> {
    let keep = move || {
        let mut failures = HashMap::new();
        let mut again = None;
        loop {
            let told = match again {
                Some(pause) => published.recv_timeout(pause),
                None => published.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if told == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            while published.try_recv().is_ok() {}
            let Some(publisher) = publisher.upgrade() else { return };
            let retired = publisher.free_retired();
            follow_table(&shared, &publisher.current(), &mut failures);
            again = if retired > 0 || failures.values().any(|&attempts| attempts < SILENT_ATTEMPTS) {
                Some(AGAIN)
            } else {
                (!failures.is_empty()).then_some(LATER)
            };
        }
    };
    std::thread::Builder::new().name("tidegate-keeper".to_owned()).spawn(keep)?;
    Ok(())
}

/// Binds what the table asks for and is not there, closes what is there and not asked for. `failures` counts attempts by name.
fn follow_table(shared: &Shared, table: &Table, failures: &mut HashMap<Arc<str>, u32>) {
    if shared.phase() >= Phase::Closing {
        failures.clear();
        return;
    }
    let missing: Vec<_> = {
        let mut sockets = shared.sockets();
        let before = sockets.len();
        sockets.retain(|bound| table.listeners.iter().any(|listener| bound.serves(listener)));
        if sockets.len() < before {
            shared.wake_all();
        }
        table.listeners.iter().filter(|listener| !sockets.iter().any(|bound| bound.serves(listener))).collect()
    };
    failures.retain(|name, _| missing.iter().any(|listener| listener.name == *name));
    for listener in missing {
        match ListenerSockets::bind(listener, shared.workers()) {
            Ok(bound) => {
                tracing::info!(listener = &*listener.name, address = %bound.listener.address, "listening");
                failures.remove(&listener.name);
                let mut sockets = shared.sockets();
                if shared.phase() < Phase::Closing {
                    sockets.push(bound);
                    shared.wake_all();
                }
            }
            Err(error) => {
                let attempts = failures.entry(Arc::clone(&listener.name)).or_default();
                *attempts += 1;
                if *attempts == SILENT_ATTEMPTS {
                    tracing::error!(listener = &*listener.name, %error, "a listener of the table is not served; trying on");
                }
            }
        }
    }
}
