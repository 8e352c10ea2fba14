//! Where lines of the access log go: a buffer of each worker, one writer thread behind a bounded channel, one sink.
//!
//! A worker never waits for the sink. When the channel is full the buffer's lines are lost and counted. What was written out of a full
//! buffer goes back to its worker, so that a busy one fills the same two by turns; what was written before is let go.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Metrics;
use super::details::{Details, Needs};
use super::line::Clock;
use crate::settings::{AccessLog, LogFormat};

/// A worker's buffer is handed over once it holds this many bytes.
const FLUSH_BYTES: usize = 64 * 1024;
/// How large a worker's buffer is: the line that fills it may reach beyond.
const BUFFER_BYTES: usize = FLUSH_BYTES + 4096;
/// No line waits longer than this in a worker's buffer.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How many records' details a worker keeps: about as many as it has requests under way.
const MOST_SPARE: usize = 256;
/// Buffers on their way to the writer: with [`FLUSH_BYTES`], some 4 MiB for the process.
const QUEUE: usize = 64;
/// How long the end waits for a sink that does not take the last lines.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A file that the access log cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {path}: {source}")]
pub struct LogError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// The access log of the process.
#[derive(Debug)]
pub struct Logger {
    format: Arc<LogFormat>,
    metrics: Arc<Metrics>,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    queue: SyncSender<Message>,
    thread: JoinHandle<()>,
    done: Receiver<()>,
}

#[derive(Debug)]
enum Message {
    Lines(Batch),
    Close,
}

/// What a worker hands over.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
    /// Where the buffer goes when it is written.
    back: SyncSender<Vec<u8>>,
}

impl Batch {
    /// Gives the buffer back if its worker is busy: it filled it, and to the size that all have.
    fn give_back(mut self) {
        if self.bytes.len() >= FLUSH_BYTES && self.bytes.capacity() <= BUFFER_BYTES {
            self.bytes.clear();
            // One waits there already, or the worker is gone.
            let _ = self.back.try_send(self.bytes);
        }
    }
}

impl Logger {
    /// Makes a log that writes nothing.
    #[must_use]
    pub fn off(metrics: Arc<Metrics>) -> Self {
        Self { format: Arc::new(LogFormat::json()), metrics, writer: Mutex::new(None) }
    }

    /// Opens the sink and starts its writer thread.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the system gives no thread.
    pub fn start(to: &AccessLog, format: LogFormat, metrics: Arc<Metrics>) -> Result<Self, LogError> {
        let sink: Box<dyn Sink> = match to {
            AccessLog::Off => return Ok(Self::off(metrics)),
            AccessLog::Stdout => Box::new(std::io::stdout()),
            AccessLog::File(path) => Box::new(LogFile::open(path).map_err(|source| LogError { path: path.clone(), source })?),
        };
        let path = || if let AccessLog::File(path) = to { path.clone() } else { PathBuf::from("-") };
        Self::with_sink(sink, format, metrics).map_err(|source| LogError { path: path(), source })
    }

    fn with_sink(mut sink: Box<dyn Sink>, format: LogFormat, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let (tell_done, done) = sync_channel(1);
        let counted = Arc::clone(&metrics);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            write_all(&lines, &mut *sink, &counted);
            let _ = tell_done.send(());
        })?;
        Ok(Self { format: Arc::new(format), metrics, writer: Mutex::new(Some(Writer { queue, thread, done })) })
    }

    /// Makes a worker's end of it, on the worker's own thread.
    #[must_use]
    pub fn observer(&self) -> Rc<Observer> {
        let queue = self.lock().as_ref().map(|writer| writer.queue.clone());
        Rc::new(Observer {
            metrics: Arc::clone(&self.metrics),
            lines: queue.map(|queue| {
                let (back, written) = sync_channel(1);
                Lines {
                    format: Arc::clone(&self.format),
                    needs: Needs::of(&self.format),
                    queue,
                    back,
                    written,
                    buffer: RefCell::default(),
                    count: Cell::new(0),
                    clock: RefCell::new(Clock::new()),
                    spare: RefCell::default(),
                    begun: tokio::sync::Notify::new(),
                }
            }),
        })
    }

    /// Writes what was handed over, and ends the writer thread. Lines of observers that still live are lost; does nothing when done
    /// before. Waits at most 5 s for the sink, so call it neither on a worker nor on a runtime that others need.
    pub fn close(&self) {
        let Some(writer) = self.lock().take() else { return };
        // A full queue is a sink that does not take lines: waiting for a place in it could take for ever.
        let mut message = Message::Close;
        let deadline = std::time::Instant::now() + CLOSE_WITHIN;
        while let Err(TrySendError::Full(back)) = writer.queue.try_send(message) {
            if std::time::Instant::now() > deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        if writer.done.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())).is_ok() {
            let _ = writer.thread.join();
        }
    }

    /// Locks; there is nothing that a panic could leave half done.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.close();
    }
}

/// What one worker has of metrics and log. Not shared between threads.
#[derive(Debug)]
pub struct Observer {
    metrics: Arc<Metrics>,
    lines: Option<Lines>,
}

/// The lines that a worker has not handed over yet.
#[derive(Debug)]
pub(super) struct Lines {
    format: Arc<LogFormat>,
    pub(super) needs: Needs,
    queue: SyncSender<Message>,
    back: SyncSender<Vec<u8>>,
    /// A buffer that was written and came back.
    written: Receiver<Vec<u8>>,
    buffer: RefCell<Vec<u8>>,
    count: Cell<u64>,
    clock: RefCell<Clock>,
    /// Details of records that have ended, for those to come.
    #[expect(clippy::vec_box, reason = "they go from hand to hand whole")]
    spare: RefCell<Vec<Box<Details>>>,
    /// Told when a line comes into the empty buffer.
    begun: tokio::sync::Notify,
}

impl Lines {
    /// Returns details for a record that begins; what they were of before is still in them.
    pub(super) fn spare(&self) -> Box<Details> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Box::new(Details::new()))
    }

    /// Takes back the details of a record that has ended.
    pub(super) fn take_back(&self, mut details: Box<Details>) {
        details.shrink();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(details);
        }
    }
}

impl Observer {
    /// Returns the process's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns where lines go; `None` when the log is off.
    pub(super) fn lines(&self) -> Option<&Lines> {
        self.lines.as_ref()
    }

    /// Adds a line: `render` writes it, without its line break.
    pub(super) fn push(&self, render: impl FnOnce(&mut Vec<u8>, &LogFormat, &mut Clock)) {
        let Some(lines) = &self.lines else { return };
        // Rendering calls nothing that logs, so that nobody holds the buffer here; if somebody did, a lost line beats a panic.
        let (Ok(mut buffer), Ok(mut clock)) = (lines.buffer.try_borrow_mut(), lines.clock.try_borrow_mut()) else {
            self.metrics.log_dropped(1);
            return;
        };
        if buffer.capacity() == 0 {
            *buffer = lines.written.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
        }
        let was_empty = buffer.is_empty();
        render(&mut buffer, &lines.format, &mut clock);
        buffer.push(b'\n');
        lines.count.set(lines.count.get() + 1);
        let full = buffer.len() >= FLUSH_BYTES;
        drop(buffer);
        if full {
            self.flush();
        } else if was_empty {
            lines.begun.notify_one();
        }
    }

    /// Hands over what the buffer holds. Never waits: what does not fit into the queue is lost and counted.
    pub fn flush(&self) {
        let Some(lines) = &self.lines else { return };
        let Ok(mut buffer) = lines.buffer.try_borrow_mut() else { return };
        let bytes = std::mem::take(&mut *buffer);
        drop(buffer);
        let count = lines.count.replace(0);
        if count == 0 {
            return;
        }
        let batch = Batch { bytes, lines: count, back: lines.back.clone() };
        if lines.queue.try_send(Message::Lines(batch)).is_err() {
            self.metrics.log_dropped(count);
        }
    }

    /// Hands lines over before they are a second old; runs beside the worker for as long as it lives. Sleeps while there are none.
    pub async fn flush_in_time(&self) {
        let Some(lines) = &self.lines else { return std::future::pending().await };
        loop {
            lines.begun.notified().await;
            tokio::time::sleep(FLUSH_AFTER).await;
            self.flush();
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What lines are written to.
trait Sink: Write + Send {
    /// Makes ready for another batch.
    fn refresh(&mut self) -> std::io::Result<()>;
}

impl Sink for std::io::Stdout {
    fn refresh(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file that others may rotate: when its name leads elsewhere, it is opened anew.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let metadata = file.metadata()?;
        Ok(Self { path: path.to_owned(), file, identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn refresh(&mut self) -> std::io::Result<()> {
        let there = std::fs::metadata(&self.path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if there != Some(self.identity) {
            *self = Self::open(&self.path)?;
        }
        Ok(())
    }
}

/// The writer thread: writes until it is told to close.
fn write_all(queue: &Receiver<Message>, sink: &mut dyn Sink, metrics: &Metrics) {
    let mut broken = false;
    while let Ok(Message::Lines(batch)) = queue.recv() {
        match sink.refresh().and_then(|()| sink.write_all(&batch.bytes)).and_then(|()| sink.flush()) {
            Ok(()) => broken = false,
            Err(error) => {
                metrics.log_failed();
                metrics.log_dropped(batch.lines);
                if !broken {
                    tracing::error!(%error, "the access log cannot be written; its lines are lost until it can");
                }
                broken = true;
            }
        }
        batch.give_back();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests;
