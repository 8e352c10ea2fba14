//! The loop: events in, tables out, and what is told to those who tell it back.

mod inquiry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;
use tidegate_proxy::table::Table;
use tokio::sync::mpsc;

pub use inquiry::Inquiries;

use crate::diagnostic::Diagnostic;
use crate::explain::Known;
use crate::metrics::Control;
use crate::object::{ObjectRef, SourceEvent};
use crate::snapshot::{Changes, Snapshot};
use crate::source::debounce::Debounce;
use crate::translate::{Options, Translator, Update};

/// Events that are taken in at once.
const BATCH: usize = 4096;

/// The longest time between two looks at what changes by time alone, since the system's clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What changed for the outside world with one generation. Consumers (status, Events, logs, metrics) work on these deltas alone.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The generation that serves now.
    pub generation: u64,
    /// Findings that are new.
    pub raised: Arc<[Diagnostic]>,
    /// Findings that no longer hold.
    pub cleared: Arc<[Diagnostic]>,
    /// The UIDs of the objects that new findings are about; those of a cluster have one.
    pub uids: BTreeMap<ObjectRef, Arc<str>>,
    /// Ingresses that are ours and whose routes serve since this generation, new or changed.
    pub served: Arc<[ServedIngress]>,
    /// Ingresses that were ours and are not any more, or of which nothing is served any more, though they may still exist: their status
    /// is let go.
    pub let_go: Arc<[ObjectRef]>,
    /// All DNS names of `ExternalName` Services that routes need resolved, sorted; `None` where they have not changed.
    pub external_names: Option<Arc<[Arc<str>]>>,
    /// All `ClassParameters` that classes of ours point to, sorted, with what is said of them; `None` where that has not changed.
    pub parameters: Option<Arc<[JudgedParameters]>>,
}

/// `ClassParameters` that a class of ours points to, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedParameters {
    /// Their name.
    pub reference: ObjectRef,
    /// The version of their `spec` that was judged; `None` where the object does not say, or cannot be read at all.
    pub generation: Option<i64>,
    /// What is wrong with them, or has no effect; empty when all is well.
    pub findings: Vec<Diagnostic>,
}

/// An Ingress of ours that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedIngress {
    /// Its name.
    pub reference: ObjectRef,
    /// The addresses (IP or name) that its status carries now.
    pub addresses: Arc<[String]>,
}

/// Takes events in and gives tables out.
#[derive(Debug)]
pub struct Reconciler {
    snapshot: Snapshot,
    translator: Translator,
    consumers: Vec<mpsc::UnboundedSender<Arc<Outcome>>>,
    control: Arc<Control>,
    /// What is still to be told, once the table that it came with serves.
    untold: Update,
    inquiries: Inquiries,
    /// `None` once it runs.
    asked: Option<inquiry::Asked>,
}

impl Reconciler {
    /// Makes a reconciler that has seen nothing. `watched` are the namespaces that the source lists one by one; empty is all at once.
    #[must_use]
    pub fn new(options: Options, watched: impl IntoIterator<Item = Arc<str>>, state: Arc<State>) -> Self {
        let mut snapshot = Snapshot::new(watched);
        if let Some(secret) = &options.default_certificate {
            snapshot.pin_secret(secret);
        }
        let (inquiries, asked) = inquiry::channel();
        let translator = Translator::new(options, state);
        let (control, untold) = (Arc::default(), Update::default());
        Self { snapshot, translator, consumers: Vec::new(), control, untold, inquiries, asked: Some(asked) }
    }

    /// Returns what every generation from now on changes. A consumer that follows misses nothing; one that ends is dropped.
    pub fn subscribe(&mut self) -> mpsc::UnboundedReceiver<Arc<Outcome>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.consumers.push(sender);
        receiver
    }

    /// Returns where questions are asked; they are answered once it runs.
    #[must_use]
    pub fn inquiries(&self) -> Inquiries {
        self.inquiries.clone()
    }

    /// Returns all that is known, together with the table that was made of it.
    #[must_use]
    pub fn known<'a>(&'a self, table: &'a Table) -> Known<'a> {
        Known { table, snapshot: &self.snapshot, translator: &self.translator }
    }

    /// Returns where endpoints are told.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        Arc::clone(self.translator.state())
    }

    /// Returns the objects as they are.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns what is noted of the loop's work.
    #[must_use]
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Returns every finding that holds, sorted.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.translator.diagnostics()
    }

    /// Takes events in until every kind has been listed, and returns the first table. `None`: the source ended before.
    pub async fn first_table(&mut self, events: &mut mpsc::Receiver<SourceEvent>) -> Option<Table> {
        let mut batch = Vec::new();
        while !self.snapshot.is_synced() {
            if events.recv_many(&mut batch, BATCH).await == 0 {
                return None;
            }
            for event in batch.drain(..) {
                if let SourceEvent::Unavailable { kind, reason } = &event {
                    tracing::warn!(%kind, reason, "a kind cannot be read");
                }
                self.snapshot.apply(event);
            }
        }
        let mut update = self.translator.rebuild(&self.snapshot, SystemTime::now());
        let table = update.table.take();
        self.untold = update;
        table
    }

    /// Follows events and publishes a table for those that make another one, until the source ends.
    pub async fn run(mut self, events: mpsc::Receiver<SourceEvent>, publisher: &Publisher) {
        self.control.published();
        let first = std::mem::take(&mut self.untold);
        // Told even if it is empty: who tells back to the cluster waits for it to know that nothing is ours.
        self.announce(publisher.current().generation, first);
        let mut events = Debounce::new(events);
        let Some(mut asked) = self.asked.take() else { return };
        loop {
            tokio::select! {
                batch = tokio::time::timeout(self.wait(), events.next()) => match batch {
                    Ok(Some(batch)) => {
                        if self.step(batch.into_iter(), publisher) {
                            self.control.waited(events.age());
                        }
                    }
                    Ok(None) => return,
                    Err(_) => {
                        events.note_empty();
                        self.step(std::iter::empty(), publisher);
                    }
                },
                question = asked.next() => {
                    // What comes while it is answered waits since now, not since the last batch.
                    events.note_empty();
                    question(self.known(&publisher.current()));
                }
            }
        }
    }

    /// Takes a batch of events in; no event is a look at what changes by time alone. Returns whether it made another table.
    pub fn step(&mut self, events: impl Iterator<Item = SourceEvent>, publisher: &Publisher) -> bool {
        let began = Instant::now();
        let mut changes = Changes::default();
        for event in events {
            changes.merge(self.snapshot.apply(event));
        }
        let mut update = self.translator.update(&self.snapshot, &changes, SystemTime::now());
        let table = update.table.take();
        let published = table.is_some();
        let generation = match table {
            Some(table) => {
                let generation = publisher.publish(table);
                tracing::info!(generation, took_ms = began.elapsed().as_secs_f64() * 1e3, "a new table is served");
                generation
            }
            None => publisher.current().generation,
        };
        if published {
            self.control.published();
        }
        self.tell(generation, update);
        published
    }

    fn wait(&self) -> Duration {
        let next = self.translator.next_recheck().map(|when| when.duration_since(SystemTime::now()).unwrap_or_default());
        next.map_or(LONGEST_WAIT, |next| next.min(LONGEST_WAIT))
    }

    /// Tells what changed, if anything did.
    fn tell(&mut self, generation: u64, update: Update) {
        let Update { table: _, raised, cleared, served, let_go, external_names, parameters } = &update;
        let nothing = raised.is_empty()
            && cleared.is_empty()
            && served.is_empty()
            && let_go.is_empty()
            && external_names.is_none()
            && parameters.is_none();
        if !nothing {
            self.announce(generation, update);
        }
    }

    fn announce(&mut self, generation: u64, update: Update) {
        let Update { table: _, raised, cleared, served, let_go, external_names, parameters } = update;
        if let Some(names) = &external_names {
            self.snapshot.retain_names(names);
        }
        log(generation, &raised, &cleared);
        let uid = |object: &ObjectRef| Some((object.clone(), self.snapshot.provenance(object)?.uid()?));
        let outcome = Arc::new(Outcome {
            generation,
            uids: raised.iter().filter_map(|diagnostic| uid(&diagnostic.object)).collect(),
            raised: raised.into(),
            cleared: cleared.into(),
            served: served.into(),
            let_go: let_go.into(),
            external_names,
            parameters,
        });
        self.consumers.retain(|consumer| consumer.send(Arc::clone(&outcome)).is_ok());
    }
}

/// Writes each finding once when it comes, and once when it goes.
fn log(generation: u64, raised: &[Diagnostic], cleared: &[Diagnostic]) {
    for diagnostic in raised {
        let Diagnostic { object, code, field, message } = diagnostic;
        tracing::warn!(%object, %code, field = field.as_deref().unwrap_or_default(), finding = &**message, help = code.help(), generation, "an object is wrong");
    }
    for diagnostic in cleared {
        let Diagnostic { object, code, field, .. } = diagnostic;
        tracing::info!(%object, %code, field = field.as_deref().unwrap_or_default(), generation, "an object is right again");
    }
}
