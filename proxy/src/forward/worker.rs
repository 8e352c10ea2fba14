//! What a worker has of its own, and what it finds for a request in the table.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use http::request::Parts;

use super::Connection;
use super::client::{Client, Memo};
use super::facts::{self, Facts};
use super::headers::Trust;
use super::saved_head::Buffers;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::error::Reason;
use crate::filter::{Answer, Exchange};
use crate::model::{Scheme, request_host};
use crate::observe::{Observer, Record};
use crate::settings::Settings;
use crate::state::State;
use crate::table::{Lookup, Route, Table};
use crate::upstream::{Connector, Pools};

/// What one worker has of its own: the table as it last saw it, and its pools. Not shared between threads.
pub struct Worker {
    /// Its number, from 0.
    pub id: usize,
    /// The place that tables are published to.
    pub table: Arc<ArcSwap<Table>>,
    /// Shared state.
    pub state: Arc<State>,
    /// What flags say.
    pub settings: Arc<Settings>,
    /// Whether serving ends; tunnels register here.
    pub drain: Drain,
    /// Its time.
    pub clock: Clock,
    pub(super) pools: Pools,
    pub(super) memo: Memo,
    pub(super) saved_heads: Buffers,
    pub(super) observer: Rc<Observer>,
    seen_table: RefCell<Cache<Arc<ArcSwap<Table>>, Arc<Table>>>,
    seen_retirements: Cell<u64>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).field("pools", &self.pools).finish_non_exhaustive()
    }
}

/// What the table and the connection say of a request.
#[derive(Debug)]
pub(super) struct Found<'r> {
    pub(super) facts: Facts<'r>,
    pub(super) route: Arc<Route>,
    pub(super) client: Client,
    pub(super) trust: Trust,
    /// The port that clients of http see; `None` where it is not known.
    pub(super) http_port: Option<u16>,
    /// The port that clients of https see; `None` where it is not known.
    pub(super) https_port: Option<u16>,
    /// Longest pause inside the request's body.
    pub(super) body_timeout: Duration,
}

impl Worker {
    /// Makes a worker's context, on the worker's own thread.
    #[must_use]
    pub fn new(id: usize, table: Arc<ArcSwap<Table>>, state: Arc<State>, settings: Arc<Settings>, drain: Drain) -> Self {
        state.upstreams.slots().register(id);
        Self {
            id,
            pools: Pools::new(Connector::new(), settings.idle_connections, settings.upstream_idle, Arc::clone(&state.metrics)),
            clock: Clock::new(),
            memo: Memo::new(),
            saved_heads: Buffers::default(),
            observer: state.log.observer(),
            seen_table: RefCell::new(Cache::new(Arc::clone(&table))),
            seen_retirements: Cell::new(0),
            table,
            state,
            settings,
            drain,
        }
    }

    /// Looks at the table anew after a swap, and clears pools of what is gone. Called when the publisher wakes the worker.
    pub fn refresh(&self) {
        self.seen_table.borrow_mut().load();
        let slots = self.state.upstreams.slots();
        let retirements = slots.retirements();
        if self.seen_retirements.replace(retirements) != retirements {
            for slot in slots.clear_for(self.id) {
                self.pools.clear(slot);
            }
        }
    }

    /// Does what a worker has to do beside requests: hands over lines of the log in time. Runs for as long as the worker lives.
    pub fn attend(&self) -> impl Future<Output = ()> + 'static {
        let observer = Rc::clone(&self.observer);
        async move { observer.flush_in_time().await }
    }

    /// Returns what its requests are counted and logged with.
    #[must_use]
    pub fn observer(&self) -> &Rc<Observer> {
        &self.observer
    }

    /// Reads a request and finds its route. All that is needed of the table is taken out: nothing holds it while the request runs.
    pub(super) fn find<'r>(&self, parts: &'r Parts, connection: &Connection, record: &mut Record) -> Result<Found<'r>, Answer> {
        let mut seen_table = self.seen_table.borrow_mut();
        let found = Found::find(seen_table.load(), connection, parts)?;
        record.route(&found.route.series);
        if matches!(found.trust, Trust::Proxy) && found.client.address != connection.client_ip() {
            // Nobody says which port it used.
            record.client(SocketAddr::new(found.client.address, 0));
        }
        Ok(found)
    }
}

impl<'r> Found<'r> {
    /// Reads a request and finds its route in a table.
    #[inline]
    pub(super) fn find(table: &Table, connection: &Connection, parts: &'r Parts) -> Result<Self, Answer> {
        let listener = table.listener(&connection.listener).ok_or(Reason::NoHost)?;
        let facts = Facts::read(parts, &listener.limits)?;
        let route = match listener.find(&facts.host, &facts.path.path, Facts::conditions(parts)) {
            Lookup::Route(route) => Arc::clone(route),
            Lookup::NoPath(_) => return Err(Answer::from(Reason::NoPath)),
            Lookup::NoHost => return Err(Answer::from(Reason::NoHost)),
        };
        let own_port = listener.public_port.unwrap_or(connection.local_port);
        let (http_port, https_port) = match connection.scheme {
            Scheme::Http => (Some(own_port), listener.public_https_port),
            Scheme::Https => (None, Some(own_port)),
        };
        let address = connection.client_ip();
        let trusted = &table.trusted_proxies;
        let trust = if !trusted.is_empty() && trusted.contains(address) { Trust::Proxy } else { Trust::Stranger };
        let client = match trust {
            Trust::Proxy => Client::behind_proxy(address, connection.scheme, own_port, &parts.headers, trusted),
            Trust::Stranger => Client::of_connection(address, connection.scheme, own_port),
        };
        Ok(Self { facts, route, client, trust, http_port, https_port, body_timeout: listener.limits.body_timeout })
    }

    /// Returns the authority that the client asked for; a trusted proxy's word counts.
    pub(super) fn authority(&self) -> &str {
        self.client.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(self.facts.authority)
    }

    /// Returns the host that the client asked for; a trusted proxy's word counts.
    pub(super) fn host(&self) -> Result<Cow<'_, str>, Answer> {
        match &self.client.host {
            None => Ok(Cow::Borrowed(&*self.facts.host)),
            Some(_) => request_host(self.authority()).map_err(|_| Answer::from(Reason::BadHost)),
        }
    }

    /// Returns what filters see. `host` is as [`Found::host`] gives it, `body_bytes` the length of the body as announced.
    pub(super) fn exchange<'e>(&'e self, parts: &'e Parts, host: &'e str, body_bytes: Option<u64>) -> Exchange<'e> {
        Exchange {
            method: &parts.method,
            scheme: self.client.scheme,
            host,
            port: facts::port_of(self.authority()),
            path: &self.facts.path.path,
            target: self.facts.target,
            https_port: self.https_port,
            http_port: self.http_port,
            body_bytes,
            body_limit: None,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.state.upstreams.slots().unregister(self.id);
    }
}
