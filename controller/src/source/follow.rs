//! Follows a directory of manifests on disk, however it is written to: in place, by rename, or by swapping a symbolic link.
//!
//! A change is taken once its file has been still for [`QUIET`], since a file that is being written is valid YAML at many moments
//! that nobody meant. One that never comes to rest is taken after [`IMPATIENCE`], and then only for what it adds or changes: what it no
//! longer has is dropped after rest alone. The system's notifications say when to look; without them, and for what they do not
//! show (a link's target, network file systems), it looks every [`POLL`].

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self as channel, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::Watcher as _;
use notify::event::{AccessKind, AccessMode, EventKind};
use tokio::sync::{mpsc, oneshot};

use super::directory::{Directory, Listing, Stillness};
use super::manifest::Manifest;
use crate::object::SourceEvent;

/// How long a file must be still before it counts as whole.
pub const QUIET: Duration = Duration::from_millis(250);
/// How long a file that never comes to rest is waited for.
pub const IMPATIENCE: Duration = Duration::from_secs(2);
/// How often files are looked at when nothing says that they changed.
pub const POLL: Duration = Duration::from_secs(2);
/// The least time between two looks, however many notifications come.
const PACE: Duration = Duration::from_millis(20);

/// A directory of manifests with what was last seen of its files.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    seen: BTreeMap<PathBuf, Seen>,
    directory: Directory,
}

/// What tells one state of a file from another without reading it; `None` is a file that is gone.
type Signature = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

#[derive(Debug)]
struct Seen {
    signature: Signature,
    /// When it first and last changed since it was taken; `None` when it was taken at rest.
    changed: Option<(Instant, Instant)>,
}

impl Scanner {
    /// Reads a directory (or one file) for the first time.
    ///
    /// # Errors
    /// It is not there, or cannot be listed.
    pub fn start(root: &Path) -> io::Result<(Self, Vec<SourceEvent>)> {
        let mut scanner = Self { root: root.to_owned(), seen: BTreeMap::new(), directory: Directory::default() };
        let listing = Listing::of(root)?;
        scanner.directory.set_trouble(&listing.unreadable);
        for path in listing.files {
            let signature = signature_of(&path).ok().flatten();
            scanner.directory.put(&Arc::new(path.clone()), read(&path), Stillness::Still);
            scanner.seen.insert(path, Seen { signature, changed: None });
        }
        let events = scanner.directory.events();
        Ok((scanner, events))
    }

    /// Looks at the files, and takes those whose time has come.
    pub fn scan(&mut self, now: Instant) -> Vec<SourceEvent> {
        let listing =
            Listing::of(&self.root).unwrap_or_else(|error| Listing { files: Vec::new(), unreadable: vec![(self.root.clone(), error)] });
        self.look(listing, now)
    }

    fn look(&mut self, mut listing: Listing, now: Instant) -> Vec<SourceEvent> {
        for path in &listing.files {
            if !self.seen.contains_key(path) {
                self.seen.insert(path.clone(), Seen { signature: None, changed: None });
            }
        }
        for (path, seen) in &mut self.seen {
            let listed = listing.files.binary_search(path).is_ok();
            if !listed && listing.may_hold(path) {
                continue;
            }
            let signature = if listed { signature_of(path) } else { Ok(None) };
            match signature {
                Ok(signature) if signature != seen.signature => {
                    seen.signature = signature;
                    seen.changed = Some((seen.changed.map_or(now, |(first, _)| first), now));
                }
                Ok(_) => {}
                // As in a directory that may be listed and not be searched.
                Err(error) => listing.unreadable.push((path.clone(), error)),
            }
        }
        self.directory.set_trouble(&listing.unreadable);
        let directory = &mut self.directory;
        self.seen.retain(|path, seen| seen.take(path, directory, now) == Presence::There);
        self.directory.events()
    }

    /// Returns how long nothing needs to be looked at, if nothing says that something changed.
    #[must_use]
    pub fn idle(&self, now: Instant) -> Duration {
        let due = self.seen.values().filter_map(|seen| seen.changed).map(|(first, last)| (last + QUIET).min(first + IMPATIENCE)).min();
        due.map_or(POLL, |due| due.saturating_duration_since(now).min(POLL))
    }
}

/// Whether a file is still to be looked at.
#[derive(PartialEq, Eq)]
enum Presence {
    There,
    Gone,
}

impl Seen {
    fn take(&mut self, path: &Path, directory: &mut Directory, now: Instant) -> Presence {
        let Some((first, last)) = self.changed else { return Presence::There };
        let still = now.saturating_duration_since(last) >= QUIET;
        if !still && now.saturating_duration_since(first) < IMPATIENCE {
            return Presence::There;
        }
        if self.signature.is_none() {
            if still {
                directory.remove(path);
                return Presence::Gone;
            }
            return Presence::There;
        }
        let manifest = read(path);
        let Ok(after) = signature_of(path) else { return Presence::There };
        if after != self.signature {
            self.signature = after;
            self.changed = Some((first, now));
            return Presence::There;
        }
        directory.put(&Arc::new(path.to_owned()), manifest, if still { Stillness::Still } else { Stillness::Changing });
        // Of one that is not at rest, the next look that counts is another IMPATIENCE away.
        self.changed = if still { None } else { Some((now, last)) };
        Presence::There
    }
}

fn read(path: &Path) -> Manifest {
    match std::fs::read(path) {
        Ok(content) => Manifest::parse(&Arc::new(path.to_owned()), &content),
        Err(error) => Manifest::unreadable(path, &error.to_string()),
    }
}

fn signature_of(path: &Path) -> io::Result<Signature> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (modified, changed) = ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    Ok(Some((metadata.dev(), metadata.ino(), metadata.size(), modified, changed)))
}

/// Reads a directory (or one file) of manifests, and follows it on a thread of its own until the receiver is gone. The first events are
/// every kind as a whole. What it returns resolves when the thread ends, be it by a panic.
///
/// # Errors
/// It is not there or cannot be listed, or the system gives no thread.
pub fn follow(root: &Path, events: mpsc::Sender<SourceEvent>) -> io::Result<oneshot::Receiver<()>> {
    let (running, ended) = oneshot::channel::<()>();
    let (wake, woken) = channel::sync_channel(1);
    // The watch stands before the first look, so that nothing falls between the two.
    let watcher = watch(root, wake.clone());
    let (scanner, first) = Scanner::start(root)?;
    std::thread::Builder::new().name("manifests".into()).spawn(move || {
        // Held here so that the channel never closes, with or without a watcher.
        let _hold = (watcher, wake, running);
        run(scanner, first, &woken, &events);
    })?;
    Ok(ended)
}

fn run(mut scanner: Scanner, first: Vec<SourceEvent>, woken: &channel::Receiver<()>, events: &mpsc::Sender<SourceEvent>) {
    let mut next = first;
    loop {
        for event in next {
            if events.blocking_send(event).is_err() {
                return;
            }
        }
        match woken.recv_timeout(scanner.idle(Instant::now())) {
            // Lets a burst of notifications pass, and sees it with one look.
            Ok(()) => std::thread::sleep(PACE),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while woken.try_recv().is_ok() {}
        if events.is_closed() {
            return;
        }
        next = scanner.scan(Instant::now());
    }
}

/// Asks the system to tell of changes; without that, [`POLL`] finds them.
fn watch(root: &Path, wake: channel::SyncSender<()>) -> Option<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too, and must not wake us.
        let reading =
            event.is_ok_and(|event| matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write)));
        if !reading {
            // Full means that a look is due already.
            let _ = wake.try_send(());
        }
    };
    let (place, depth) = if root.is_dir() {
        (root, notify::RecursiveMode::Recursive)
    } else {
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")), notify::RecursiveMode::NonRecursive)
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(place, depth)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::info!(directory = %root.display(), %error, poll_ms = POLL.as_millis(), "the system does not tell of changes to files; polling");
            None
        }
    }
}

#[cfg(test)]
#[path = "follow/tests.rs"]
mod tests;
