//! Wires the rooms together: sockets first, then the source, the first table, the workers; and all of it in reverse at the end.
//!
//! ```text
//! flags -> sockets -> source -> first table -> workers accept -> ready -> stand for election
//! signal -> not ready -> Lease let go -> drain -> source ends -> access log closes
//! ```
//!
//! The control plane runs on the runtime that [`App::run`] is called on; workers have threads and runtimes of their own.

mod bind;
pub mod certificate;
mod descriptors;
mod flags;
mod input;
pub mod logging;
mod lookout;
mod telling;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tidegate_proxy::observe::{Logger, Metrics};
use tidegate_proxy::server::{Bound, Running};
use tidegate_proxy::settings::Settings;
use tidegate_proxy::state::State;
use tidegate_proxy::table::SessionTickets;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::admin::Awaited;
use crate::args::ServeOptions;
use crate::object::SourceEvent;
use crate::reconcile::Reconciler;
use crate::resolver::Resolver;
use crate::signal::{Stop, Stops};
use crate::translate;
use bind::Place;
pub use lookout::Lookout;
use telling::Publishing;

/// Tidegate with all its sockets bound, before it knows an object.
#[derive(Debug)]
pub struct App {
    options: ServeOptions,
    settings: Settings,
    translation: translate::Options,
    state: Arc<State>,
    bound: Bound,
    health: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
}

/// Where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For http.
    pub http: SocketAddr,
    /// For https.
    pub https: SocketAddr,
    /// For health and metrics.
    pub health: SocketAddr,
    /// For the admin pages.
    pub admin: SocketAddr,
}

impl App {
    /// Opens the access log and binds every address. Nothing is served yet.
    ///
    /// # Errors
    /// An address cannot be bound or the access log not be written: names it and its flag.
    pub fn bind(options: ServeOptions) -> anyhow::Result<Self> {
        flags::check_watched(&options.defaults, &options.source.watch_namespace)?;
        let settings = flags::settings(&options);
        let metrics = Arc::new(Metrics::new(flags::series(&options)));
        let log = Logger::start(&settings.access_log, settings.access_log_format.clone(), Arc::clone(&metrics)).context("--access-log")?;
        let tickets = SessionTickets::new().context("cannot make keys for TLS tickets")?;
        let listened = [options.listen.http, options.listen.https];
        let mut translation = flags::translation(&options.served(), listened, certificate::default_certificate()?, tickets)?;
        let places = [
            Place { name: flags::HTTP, flag: "--http", address: options.listen.http },
            Place { name: flags::HTTPS, flag: "--https", address: options.listen.https },
        ];
        let bound = bind::proxy(&settings, &mut translation, &places)?;
        let health = bind::own("--health", options.listen.health)?;
        let admin = bind::own("--admin", options.listen.admin)?;
        let address = |name: &str| bound.addresses().iter().find(|(known, _)| **known == *name).map(|(_, address)| *address);
        let addresses = Addresses {
            http: address(flags::HTTP).context("the http listener is not bound")?,
            https: address(flags::HTTPS).context("the https listener is not bound")?,
            health: health.local_addr()?,
            admin: admin.local_addr()?,
        };
        // Redirects to https name a port; that of the socket is only known now.
        for listener in &mut translation.listeners {
            listener.public_https_port.get_or_insert(addresses.https.port());
        }
        let state = Arc::new(State::new(metrics, log));
        Ok(Self { options, settings, translation, state, bound, health, admin, addresses })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Says where it listens and how it is laid out: the first lines of the log.
    fn say_hello(&self) {
        let Addresses { http, https, health, admin } = self.addresses;
        let (version, workers) = (env!("CARGO_PKG_VERSION"), self.settings.workers);
        tracing::info!(version, workers, "tidegate starts");
        for (listener, address) in [("http", http), ("https", https), ("health", health), ("admin", admin)] {
            tracing::info!(listener, %address, "listening");
        }
        let connections = self.settings.max_connections;
        if connections < Settings::default().max_connections {
            tracing::warn!(connections, "the limit of open files (ulimit -n) leaves room for few connections");
        }
    }

    /// Serves until a signal comes, drains, and returns what the process ends with. `serving` is called once the first table serves.
    ///
    /// # Errors
    /// There is no source, or the system gives no thread; the control plane failed.
    pub async fn run(self, stops: &mut Stops, serving: impl FnOnce()) -> anyhow::Result<ExitCode> {
        self.say_hello();
        let Self { options, settings, translation, state, bound, health, admin, addresses } = self;
        let (sender, mut events) = input::channel();
        let mut input = input::start(&options.source, sender.clone()).await?;
        let mut reconciler = Reconciler::new(translation, input::listed_one_by_one(&options.source), Arc::clone(&state));
        resolve_names(&mut reconciler, sender, addresses);
        let (pages, readiness, view) = telling::pages([health, admin], &options, addresses, Arc::clone(&state), &mut reconciler);
        let table = tokio::select! {
            table = reconciler.first_table(&mut events) => table.context("the source ended before it was read")?,
            failure = input.ended() => return Err(failure),
            _ = stops.next() => return Ok(ExitCode::SUCCESS),
        };
        readiness.done(Awaited::Objects);
        readiness.done(Awaited::Table);
        let running = bound.start(table, Arc::clone(&state)).context("cannot start the workers")?;
        let publisher = Arc::clone(running.publisher());
        let _ = view.publisher.set(Arc::clone(&publisher));
        readiness.done(Awaited::Listeners);
        // Only who serves stands for election: one that waits for its objects would hold the Lease and tell nothing.
        let publishing = input.client().map(|client| Publishing::start(&options, client, &mut reconciler));
        let mut reconciling = tokio::spawn(async move { reconciler.run(events, &publisher).await });
        tracing::info!("ready");
        serving();
        // The source and the reconciler only end when they panic: what serves is told to end well, and the supervisor to start anew.
        let (stop, failure) = tokio::select! {
            stop = stops.next() => (stop, None),
            failure = input.ended() => (Stop::Terminate, Some(failure)),
            ended = &mut reconciling => (Stop::Terminate, Some(anyhow::anyhow!("the reconciler ended: {ended:?}"))),
        };
        if let Some(error) = &failure {
            tracing::error!(%error, "the control plane failed; ending");
        }
        readiness.drain();
        let code = drain(running, publishing, &settings, stop, stops).await;
        reconciling.abort();
        drop((input, pages));
        // It waits for a slow sink, for seconds at worst; nobody else needs this thread any more.
        state.log.close();
        tracing::info!("ended");
        Ok(if failure.is_some() { ExitCode::FAILURE } else { code })
    }
}

/// Keeps the names of ExternalName Services resolved.
fn resolve_names(reconciler: &mut Reconciler, events: mpsc::Sender<SourceEvent>, addresses: Addresses) {
    let Addresses { http, https, health, admin } = addresses;
    tokio::spawn(Resolver::from_system(vec![http, https, health, admin], events).run(reconciler.subscribe()));
}

/// Drains, until the time is over or another signal comes, and returns what the process ends with.
async fn drain(running: Running, publishing: Option<Publishing>, settings: &Settings, stop: Stop, stops: &mut Stops) -> ExitCode {
    let min = match stop {
        Stop::Terminate => settings.drain_min,
        Stop::Interrupt => std::time::Duration::ZERO,
    };
    tracing::info!(signal = ?stop, drain_min_ms = min.as_millis(), drain_max_ms = settings.drain_max.as_millis(), "draining");
    // The Lease is let go at once: another replica need not wait for our last request to write status.
    let last_words = tokio::spawn(async {
        if let Some(publishing) = publishing {
            publishing.end().await;
        }
    });
    let code = tokio::select! {
        _ = running.drain(min, settings.drain_max) => ExitCode::SUCCESS,
        _ = stops.next() => {
            tracing::warn!("another signal; ending at once");
            ExitCode::FAILURE
        }
    };
    // Long over, but for the signals that come one upon the other.
    let _ = last_words.await;
    code
}
